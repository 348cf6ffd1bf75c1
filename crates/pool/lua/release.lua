-- Forgets a container that is gone. Its session, if it had one, has ended; the session's keys
-- stay readable for a while.
-- KEYS: 1 set of containers, 2 sorted set of warm containers, 3 hash of live sessions,
--       4 record, 5 report, 6 inbox of the container,
--       7.. (with a session) state of the session, its input, inflight, output_buffer, result
--       and transcript
-- ARGV: 1 container, 2 session or "", 3 how long its keys stay, in ms, 4 its output channel or "",
--       5 channel that gateways hear, 6 beginning of the keys of agents' sessions,
--       7 agent, if the record says none
-- Returns: "ok"
-- Who asks may have looked before the container was claimed.
local agent = redis.call('HGET', KEYS[4], 'agent') or ARGV[7]
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[4], KEYS[5], KEYS[6])
if ARGV[2] ~= '' and redis.call('HGET', KEYS[3], ARGV[2]) == ARGV[1] then
  redis.call('HDEL', KEYS[3], ARGV[2])
  redis.call('SREM', ARGV[6] .. agent, ARGV[2])
  -- The container could write what it liked into these keys. What is not what it must be is no
  -- use to anybody, and would be in the way of the session's next container.
  local kinds = {'hash', 'list', 'list', 'list', 'string', 'list'}
  for i = 7, #KEYS do
    if redis.call('TYPE', KEYS[i]).ok ~= kinds[i - 6] then
      redis.call('DEL', KEYS[i])
    end
  end
  local t = redis.call('TIME')
  -- Whose it was is not the container's to say.
  redis.call('HSET', KEYS[7], 'status', 'ended', 'turn', '', 'agentId', agent,
    'endedAt', t[1] * 1000 + math.floor(t[2] / 1000))
  for i = 7, #KEYS do
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
  -- Readers need not wait for a look at the state to know.
  redis.call('PUBLISH', ARGV[4], 'ended')
end
redis.call('PUBLISH', ARGV[5], 'freed')
return 'ok'
