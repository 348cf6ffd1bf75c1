-- Writes down a container again after Redis has lost it, as a gateway remembers it. One that was
-- claimable has to become ready anew: somebody may have claimed it unseen.
-- KEYS: 1 set of containers, 2 record of the container, 3 hash of live sessions,
--       4 hash of the leader,
--       5, 6 (with a session) set of the agent's sessions, state of the session
-- ARGV: 1 container, 2 the caller's fence, 3 session or "", 4 agent or "",
--       5 how many words of the record follow, 6.. field, value, …,
--       then field, value, … of the session's state
-- Returns: "ok" | "fenced"
if redis.call('HGET', KEYS[4], 'fence') ~= ARGV[2] then
  return 'fenced'
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local words = tonumber(ARGV[5])
redis.call('SADD', KEYS[1], ARGV[1])
for i = 6, 5 + words, 2 do
  redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1])
end
if redis.call('HGET', KEYS[2], 'state') == 'warm' then
  redis.call('HSET', KEYS[2], 'state', 'creating', 'createdAt', now)
end
if ARGV[3] ~= '' then
  redis.call('HSETNX', KEYS[3], ARGV[3], ARGV[1])
  redis.call('SADD', KEYS[5], ARGV[3])
  for i = 6 + words, #ARGV, 2 do
    redis.call('HSETNX', KEYS[6], ARGV[i], ARGV[i + 1])
  end
  redis.call('HSETNX', KEYS[6], 'unsure', '1')
  redis.call('HSET', KEYS[6], 'lastActivity', now)
end
return 'ok'
