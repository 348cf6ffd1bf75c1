-- Writes down why the gateway that leads can start no container, or that it can, and tells all gateways.
-- What it says stands until it says otherwise, and not longer than its lease.
-- KEYS: 1 hash of the leader
-- ARGV: 1 the caller's fence, 2 why none can be started, or "", 3 number of the look that has shown it,
--       or "", 4 channel of the news
-- Returns: "ok" | "fenced"
local fence, until_ms = unpack(redis.call('HMGET', KEYS[1], 'fence', 'until'))
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if fence ~= ARGV[1] or tonumber(until_ms or '0') <= now then
  return 'fenced'
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'trouble', ARGV[2], 'look', ARGV[3])
elseif redis.call('HDEL', KEYS[1], 'trouble', 'look') == 0 then
  return 'ok'
end
redis.call('PUBLISH', ARGV[4], 'trouble')
return 'ok'
