-- Gives up a run that was not carried out: it is given out again at once.
-- KEYS: 1 sorted set of jobs, 2 the job
-- ARGV: 1 job, 2 when the run was due, 3 the attempt
-- Returns: "ok" | "moved"
local is = redis.call('HMGET', KEYS[2], 'state', 'due', 'attempt')
if is[1] ~= 'firing' or is[2] ~= ARGV[2] or is[3] ~= ARGV[3] then
  return 'moved'
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
return 'ok'
