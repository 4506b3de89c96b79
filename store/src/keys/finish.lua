-- finish(key; token, body, state, answer, ms): 1 kept, 0 lost, because somebody else has the key, 2 not ours.
-- Decides as Entry::finish in protocol.rs, which says why.
if #ARGV[1] ~= 16 or #ARGV[2] ~= 32 then return redis.error_reply('ERR a token has 16 bytes and a digest 32') end
local stored = redis.pcall('GET', KEYS[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if stored then
  local state, till
  if type(stored) == 'string' and #stored >= 62 then state, till = stored:match('^([PAD])(' .. ('%d'):rep(13) .. ')') end
  if not state or (state ~= 'A' and #stored > 62) then return 2 end
  if tonumber(till) > now then
    if stored:sub(15, 30) ~= ARGV[1] then return 0 end
    if state ~= 'P' then return 1 end
  end
end
local till = ('%013d'):format(now + ARGV[5])
redis.call('SET', KEYS[1], ARGV[3] .. till .. ARGV[1] .. ARGV[2] .. ARGV[4], 'PXAT', till)
return 1
