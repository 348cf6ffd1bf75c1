-- Hands a claimed container its assignment, unless it has it.
-- KEYS: 1 record of the container, 2 its inbox
-- ARGV: 1 number of the claim
-- Returns: "ok" | "moved" when it serves no session (any more), or another gateway sees to it
local said = redis.call('HMGET', KEYS[1], 'state', 'claim', 'assignment')
if said[1] ~= 'assigned' or said[2] ~= ARGV[1] then
  return 'moved'
end
if said[3] and redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], said[3])
end
return 'ok'
