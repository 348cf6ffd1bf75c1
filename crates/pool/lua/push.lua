-- Appends a prompt to a live session's input.
-- KEYS: 1 hash of live sessions, 2 input, 3 state of the session, 4 the pool's id,
--       5 (with an idempotency key) where the turn of that key is kept
-- ARGV: 1 session, 2 item, 3 turn, 4 beginning of container keys,
--       5 how long the idempotency key is kept, in ms, or "", 6 the only container that it is for, or ""
-- Returns: {"ok", seq before} | {"repeated", turn} | {"unknown"} | {"emptied"}
-- What was asked once has its answer, also when the session is over by now.
local turn = KEYS[5] and redis.call('GET', KEYS[5])
if turn then
  return {'repeated', turn}
end
local container = redis.call('HGET', KEYS[1], ARGV[1])
local ours = container and (ARGV[6] == '' or ARGV[6] == container)
if not ours or redis.call('HGET', ARGV[4] .. container, 'state') ~= 'assigned' then
  return {redis.call('EXISTS', KEYS[4]) == 1 and 'unknown' or 'emptied'}
end
if KEYS[5] then
  redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[5])
end
local t = redis.call('TIME')
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[3], 'lastActivity', t[1] * 1000 + math.floor(t[2] / 1000))
return {'ok', redis.call('HGET', KEYS[3], 'seq') or '0'}
