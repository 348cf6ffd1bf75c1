-- Makes a container claimable once it is ready and, where asked for, its tools were listed.
-- KEYS: 1 record of the container, 2 its report, 3 sorted set of warm containers,
--       4 hash of the leader
-- ARGV: 1 container, 2 "1" when its tools must have been listed, 3 the caller's fence, or "" when
--       it looks after the container's host without leading, 4 channel that gateways hear
-- Returns: "ok" | "not_creating" | "not_ready" | "fenced"
if ARGV[3] ~= '' and redis.call('HGET', KEYS[4], 'fence') ~= ARGV[3] then
  return 'fenced'
end
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
redis.call('PUBLISH', ARGV[4], 'freed')
return 'ok'
