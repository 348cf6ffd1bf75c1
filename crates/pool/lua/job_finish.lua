-- Writes down what came of a run, and when the next one is.
-- KEYS: 1 sorted set of jobs, 2 the job
-- ARGV: 1 job, 2 when the run was due, 3 the attempt, 4 what came of it,
--       5 "1" if it was carried out, "0" if it was left out, 6 when it is due next, or "" for never,
--       7 how long one that is never due again is kept, in ms
-- Returns: "ok" | "moved"
local is = redis.call('HMGET', KEYS[2], 'state', 'due', 'attempt')
if is[1] ~= 'firing' or is[2] ~= ARGV[2] or is[3] ~= ARGV[3] then
  return 'moved'
end
redis.call('HINCRBY', KEYS[2], 'runs', ARGV[5])
redis.call('HSET', KEYS[2], 'lastRun', ARGV[2], 'lastOutcome', ARGV[4])
redis.call('HDEL', KEYS[2], 'attempt', 'gateway', 'until')
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], 'state', 'waiting', 'due', ARGV[6])
  redis.call('ZADD', KEYS[1], ARGV[6], ARGV[1])
  return 'ok'
end
local t = redis.call('TIME')
local keep = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[7])
redis.call('HSET', KEYS[2], 'state', 'done', 'until', string.format('%.0f', keep))
redis.call('HDEL', KEYS[2], 'due')
redis.call('ZADD', KEYS[1], keep, ARGV[1])
return 'ok'
