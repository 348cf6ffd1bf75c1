-- Hands a claimed container its assignment, unless it has it.
-- KEYS: 1 record of the container, 2 its inbox
-- Returns: "ok" | "moved" when it serves no session (any more)
if redis.call('HGET', KEYS[1], 'state') ~= 'assigned' then
  return 'moved'
end
local assignment = redis.call('HGET', KEYS[1], 'assignment')
if assignment and redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], assignment)
end
return 'ok'
