-- fill(key; token, value, ms): 1 stored, 0 refused, because the token is not there.
-- Decides as Entry::fill in protocol.rs, which says why.
if #ARGV[1] ~= 16 then return redis.error_reply('ERR a token has 16 bytes') end
local stored = redis.pcall('GET', KEYS[1])
if type(stored) ~= 'string' or #stored ~= 30 or not stored:find('^L' .. ('%d'):rep(13)) then return 0 end
if stored:sub(15) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
