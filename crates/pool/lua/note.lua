-- Writes one field of a container's record, if there is one.
-- KEYS: 1 record of the container
-- ARGV: 1 field, 2 value
-- Returns: "ok" | "gone"
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'gone'
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'ok'
