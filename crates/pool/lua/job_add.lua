-- Writes down a job of an agent's. Where the agent has as many as it may, the one that has been over for
-- longest makes room.
-- KEYS: 1 sorted set of jobs, 2 the agent's jobs, 3 the job
-- ARGV: 1 job, 2 agent, 3 plan, 4 when it is due first, 5 the most jobs of the agent,
--       6 beginning of job keys
-- Returns: "ok" | "full"
if redis.call('SCARD', KEYS[2]) >= tonumber(ARGV[5]) then
  local over, since
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    local is = redis.call('HMGET', ARGV[6] .. id, 'state', 'until')
    local kept = tonumber(is[2] or '0')
    if is[1] == 'done' and (not since or kept < since) then
      over, since = id, kept
    end
  end
  if not over or redis.call('SCARD', KEYS[2]) > tonumber(ARGV[5]) then
    return 'full'
  end
  redis.call('SREM', KEYS[2], over)
  redis.call('ZREM', KEYS[1], over)
  redis.call('DEL', ARGV[6] .. over)
end
local t = redis.call('TIME')
redis.call('HSET', KEYS[3], 'agent', ARGV[2], 'plan', ARGV[3], 'state', 'waiting', 'due', ARGV[4],
  'runs', '0', 'createdAt', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
return 'ok'
