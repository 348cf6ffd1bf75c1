-- Appends a prompt to a live session's input.
-- KEYS: 1 hash of live sessions, 2 input, 3 state of the session,
--       4 (with an idempotency key) where the turn of that key is kept
-- ARGV: 1 session, 2 item, 3 turn, 4 beginning of container keys,
--       5 how long the idempotency key is kept, in ms
-- Returns: {"ok", seq before} | {"repeated", turn} | {"unknown"}
-- What was asked once has its answer, also when the session is over by now.
local turn = KEYS[4] and redis.call('GET', KEYS[4])
if turn then
  return {'repeated', turn}
end
local container = redis.call('HGET', KEYS[1], ARGV[1])
if not container or redis.call('HGET', ARGV[4] .. container, 'state') ~= 'assigned' then
  return {'unknown'}
end
if KEYS[4] then
  redis.call('SET', KEYS[4], ARGV[3], 'PX', ARGV[5])
end
local t = redis.call('TIME')
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[3], 'lastActivity', t[1] * 1000 + math.floor(t[2] / 1000))
return {'ok', redis.call('HGET', KEYS[3], 'seq') or '0'}
