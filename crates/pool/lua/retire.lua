-- Takes a container out of service; it can no longer be claimed.
-- KEYS: 1 record of the container, 2 sorted set of warm containers, 3 hash of the leader,
--       4 (when its session must be quiet) state of the session
-- ARGV: 1 container, 2 new state ("draining" | "failed"), 3 reason, 4 session it must serve or "",
--       5 the caller's fence, or "" for one that is asked for from outside or looks after the
--       container's host without leading,
--       6 (when its session must be quiet) the session's last activity as it was seen
-- Returns: {"ok", session or ""} | {"gone"} | {"moved", state} | {"fenced"}
if ARGV[5] ~= '' and redis.call('HGET', KEYS[3], 'fence') ~= ARGV[5] then
  return {'fenced'}
end
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return {'gone'}
end
local session = redis.call('HGET', KEYS[1], 'session') or ''
if ARGV[4] ~= '' and ARGV[4] ~= session then
  return {'moved', state}
end
if KEYS[4] and (redis.call('HGET', KEYS[4], 'lastActivity') ~= ARGV[6]
    or (redis.call('HGET', KEYS[4], 'turn') or '') ~= '') then
  return {'moved', state}
end
redis.call('ZREM', KEYS[2], ARGV[1])
if state ~= 'failed' then
  redis.call('HSET', KEYS[1], 'state', ARGV[2], 'reason', ARGV[3])
end
return {'ok', session}
