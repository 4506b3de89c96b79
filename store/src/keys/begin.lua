-- begin(key; token, body, ms): {0} granted, {1, answer} answered, {2, ms} in flight, {3} another body, {4} done, {5} not ours.
-- Decides as Entry::begin in protocol.rs, which says why; the time is the server's, since askers' clocks differ.
if #ARGV[1] ~= 16 or #ARGV[2] ~= 32 then return redis.error_reply('ERR a token has 16 bytes and a digest 32') end
local stored = redis.pcall('GET', KEYS[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if stored then
  local state, till
  -- Something of another type answers a table.
  if type(stored) == 'string' and #stored >= 62 then state, till = stored:match('^([PAD])(' .. ('%d'):rep(13) .. ')') end
  if not state or (state ~= 'A' and #stored > 62) then return {5} end
  if tonumber(till) > now then
    if stored:sub(31, 62) ~= ARGV[2] then return {3} end
    if state == 'A' then return {1, stored:sub(63)} end
    if state == 'D' then return {4} end
    if stored:sub(15, 30) ~= ARGV[1] then return {2, tonumber(till) - now} end
  end
end
local till = ('%013d'):format(now + ARGV[3])
redis.call('SET', KEYS[1], 'P' .. till .. ARGV[1] .. ARGV[2], 'PXAT', till)
return {0}
