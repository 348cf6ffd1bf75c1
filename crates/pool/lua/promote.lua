-- Makes a container claimable once it is ready and, where asked for, its tools were listed.
-- KEYS: 1 record of the container, 2 its report, 3 sorted set of warm containers
-- ARGV: 1 container, 2 "1" when its tools must have been listed
-- Returns: "ok" | "not_creating" | "not_ready"
if redis.call('HGET', KEYS[1], 'state') ~= 'creating' then
  return 'not_creating'
end
if not redis.call('HGET', KEYS[2], 'readyAt') then
  return 'not_ready'
end
if ARGV[2] == '1' and not redis.call('HGET', KEYS[1], 'toolsListedAt') then
  return 'not_ready'
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'state', 'warm', 'warmAt', now)
redis.call('ZADD', KEYS[3], now, ARGV[1])
return 'ok'
