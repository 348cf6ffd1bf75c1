-- Forgets a job of an agent's, also while it is being carried out.
-- KEYS: 1 sorted set of jobs, 2 the agent's jobs, 3 the job
-- ARGV: 1 job
-- Returns: "ok" | "unknown"
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then
  return 'unknown'
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[3])
return 'ok'
