-- Takes over the claim of a gateway that is gone, under a new number.
-- KEYS: 1 record of the container, 2 sorted set of gateways, 3 number of the last claim,
--       4 hash of the leader
-- ARGV: 1 the claim's number as it was seen, 2 its owner as it was seen, 3 the new owner,
--       4 the caller's fence
-- Returns: "ok" | "moved" | "fenced"
if redis.call('HGET', KEYS[4], 'fence') ~= ARGV[4] then
  return 'fenced'
end
local said = redis.call('HMGET', KEYS[1], 'state', 'claim', 'owner')
if said[1] ~= 'assigned' or (said[2] or '') ~= ARGV[1] or (said[3] or '') ~= ARGV[2] then
  return 'moved'
end
local t = redis.call('TIME')
local deadline = redis.call('ZSCORE', KEYS[2], ARGV[2])
if deadline and tonumber(deadline) > t[1] * 1000 + math.floor(t[2] / 1000) then
  return 'moved'
end
-- Above every earlier number, also when Redis was emptied since.
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
local claim = string.format('%.0f', math.max(last + 1, t[1] * 1000000 + t[2]))
redis.call('SET', KEYS[3], claim)
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'claim', claim)
return 'ok'
