-- abandon(key; token): 1 freed, 0 there was nothing of this token to free, 2 not ours.
-- Decides as Entry::abandon in protocol.rs, which says why.
if #ARGV[1] ~= 16 then return redis.error_reply('ERR a token has 16 bytes') end
local stored = redis.pcall('GET', KEYS[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not stored then return 0 end
local state, till
if type(stored) == 'string' and #stored >= 62 then state, till = stored:match('^([PAD])(' .. ('%d'):rep(13) .. ')') end
if not state or (state ~= 'A' and #stored > 62) then return 2 end
if tonumber(till) <= now or state ~= 'P' or stored:sub(15, 30) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
