-- Gives out the job that has been due for longest, and forgets those that were kept for long enough.
-- A job that was given out and not finished in time is given out again.
-- KEYS: 1 sorted set of jobs
-- ARGV: 1 gateway, 2 how long it is given out, in ms, 3 beginning of job keys,
--       4 beginning of the sets of agents' jobs
-- Returns: {"job", now, job, {field, value, …}} | {"none", now, when something is due next or ""}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local word = string.format('%.0f', now)
-- Few in one go: others wait for a script.
for _ = 1, 50 do
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if not first[1] then
    return {'none', word, ''}
  end
  if tonumber(first[2]) > now then
    return {'none', word, string.format('%.0f', first[2])}
  end
  local id = first[1]
  local key = ARGV[3] .. id
  local state = redis.call('HGET', key, 'state')
  if state == 'waiting' or state == 'firing' then
    local lease = now + tonumber(ARGV[2])
    redis.call('HSET', key, 'state', 'firing', 'gateway', ARGV[1],
      'until', string.format('%.0f', lease))
    redis.call('HINCRBY', key, 'attempt', 1)
    redis.call('ZADD', KEYS[1], lease, id)
    return {'job', word, id, redis.call('HGETALL', key)}
  end
  local agent = redis.call('HGET', key, 'agent')
  if agent then
    redis.call('SREM', ARGV[4] .. agent, id)
  end
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], id)
end
return {'none', word, word}
