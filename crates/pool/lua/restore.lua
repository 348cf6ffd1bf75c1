-- Writes down a container again after Redis has lost it, as a gateway remembers it. One that was
-- claimable has to become ready anew: somebody may have claimed it unseen. What is known already stays
-- as it is, and a session that another container serves by now stays with that one.
-- KEYS: 1 set of containers, 2 record of the container, 3 hash of live sessions,
--       4 hash of the leader, 5 report of the container,
--       6, 7 (with a session) set of the agent's sessions, state of the session
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
if redis.call('EXISTS', KEYS[2]) == 0 then
  for i = 6, 5 + words, 2 do
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
  if redis.call('HGET', KEYS[2], 'state') == 'warm' then
    redis.call('HSET', KEYS[2], 'state', 'creating', 'createdAt', now)
  end
end
-- Its report is lost too, and any gateway that looks before the wrapper writes it again would take it
-- for one that has fallen silent.
if redis.call('TYPE', KEYS[5]).ok == 'none' then
  redis.call('HSET', KEYS[5], 'heartbeat', now)
end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[2], 'session') == ARGV[3] then
  redis.call('HSETNX', KEYS[3], ARGV[3], ARGV[1])
  if redis.call('HGET', KEYS[3], ARGV[3]) ~= ARGV[1] then
    redis.call('HSET', KEYS[2], 'state', 'failed',
      'reason', 'another container serves its session by now')
    redis.call('HDEL', KEYS[2], 'session', 'agent', 'assignment', 'owner', 'claim', 'assignedAt')
    return 'ok'
  end
  redis.call('SADD', KEYS[6], ARGV[3])
  -- The container may have made something else of it; that must not keep the others from being known.
  if redis.call('TYPE', KEYS[7]).ok ~= 'hash' then
    redis.call('DEL', KEYS[7])
  end
  for i = 6 + words, #ARGV, 2 do
    redis.call('HSETNX', KEYS[7], ARGV[i], ARGV[i + 1])
  end
  redis.call('HSETNX', KEYS[7], 'unsure', '1')
  redis.call('HSET', KEYS[7], 'lastActivity', now)
end
return 'ok'
