-- Reserves a place for a container before the runtime is asked for it.
-- KEYS: 1 set of containers, 2 record of the container, 3 hash of the leader
-- ARGV: 1 container, 2 most containers that may exist, 3 fingerprint, 4 SHA-256 of its token,
--       5 SHA-256 of its Redis user's password or "", 6 its host, 7 the caller's fence
-- Returns: "ok" | "at_cap" | "fenced"
if redis.call('HGET', KEYS[3], 'fence') ~= ARGV[7] then
  return 'fenced'
end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 'at_cap'
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'state', 'creating', 'createdAt', now, 'fingerprint', ARGV[3],
  'tokenHash', ARGV[4], 'aclHash', ARGV[5], 'host', ARGV[6])
return 'ok'
