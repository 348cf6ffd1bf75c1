-- Draws the number of a look, before it asks whether containers can be started.
-- KEYS: 1 hash of the leader
-- ARGV: 1 the caller's fence
-- Returns: the number | "fenced"
local fence, until_ms, drawn = unpack(redis.call('HMGET', KEYS[1], 'fence', 'until', 'drawn'))
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if fence ~= ARGV[1] or tonumber(until_ms or '0') <= now then
  return 'fenced'
end
-- Above every earlier number, also when Redis was emptied since.
local number = math.max(tonumber(drawn or '0') + 1, t[1] * 1000000 + t[2])
number = string.format('%.0f', number)
redis.call('HSET', KEYS[1], 'drawn', number)
return number
