-- Binds the longest-warm container to a session, or finds the one that serves it already.
-- KEYS: 1 sorted set of warm containers, 2 hash of live sessions, 3 set of the agent's sessions,
--       4 state of the session, 5.. its other keys, which must not expire while it lives
-- ARGV: 1 session, 2 agent, 3 most sessions of the agent, 4 beginning of container keys,
--       5 assignment for the wrapper, 6 model or "", 7 oldest heartbeat that counts, in ms
-- Returns: {"ok", container, SHA-256 of its user's password or ""} | {"live", container}
--          | {"draining", container} | {"agent_limit"} | {"none"}
local live = redis.call('HGET', KEYS[2], ARGV[1])
if live then
  if redis.call('HGET', ARGV[4] .. live, 'state') == 'assigned' then
    return {'live', live}
  end
  return {'draining', live}
end
if redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[3]) then
  return {'agent_limit'}
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = ARGV[4] .. id
  if redis.call('HGET', record, 'state') ~= 'warm' then
    redis.call('ZREM', KEYS[1], id)
  else
    -- The report is the container's to write: whatever it holds, others can be claimed.
    local told = redis.pcall('HGET', record .. ':report', 'heartbeat')
    local beat = type(told) == 'string' and tonumber(told) or 0
    -- One that was not heard of is passed over; whether it is dead is for others to decide.
    if now - beat <= tonumber(ARGV[7]) then
      redis.call('ZREM', KEYS[1], id)
      redis.call('HSET', record, 'state', 'assigned', 'session', ARGV[1], 'agent', ARGV[2],
        'assignedAt', now, 'assignment', ARGV[5])
      redis.call('HSET', KEYS[2], ARGV[1], id)
      redis.call('SADD', KEYS[3], ARGV[1])
      redis.call('HSET', KEYS[4], 'status', 'assigned', 'containerId', id, 'agentId', ARGV[2],
        'model', ARGV[6], 'turn', '', 'startedAt', now, 'lastActivity', now)
      redis.call('HDEL', KEYS[4], 'endedAt', 'batch')
      for i = 4, #KEYS do
        redis.call('PERSIST', KEYS[i])
      end
      -- It is told by deliver.lua, once its user may reach the session.
      return {'ok', id, redis.call('HGET', record, 'aclHash') or ''}
    end
  end
end
return {'none'}
