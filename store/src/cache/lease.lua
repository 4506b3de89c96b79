-- lease(key; token, ms) after a miss: {0} granted, {1, value} a value came meanwhile, {2} another reader has one.
-- Decides as Entry::lease in protocol.rs, which says why; the time is the server's, since readers' clocks differ.
if #ARGV[1] ~= 16 then return redis.error_reply('ERR a token has 16 bytes') end
local stored = redis.pcall('GET', KEYS[1])
-- Nothing, or of another type.
if type(stored) ~= 'string' then stored = '' end
if stored:byte(1) == 86 then return {1, stored} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = #stored == 30 and stored:match('^L(' .. ('%d'):rep(13) .. ')')
if deadline and tonumber(deadline) > now then return {2} end
redis.call('SET', KEYS[1], ('L%013d'):format(now + ARGV[2]) .. ARGV[1], 'PX', ARGV[2])
return {0}
