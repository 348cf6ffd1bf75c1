-- Takes back a ticket of a claim that no longer waits.
-- KEYS: 1 tickets in their order, 2 hash of tickets, 3 hash of whose turn it is
-- ARGV: 1 ticket, 2 channel that gateways hear
-- Returns: "ok"
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 and redis.call('ZCARD', KEYS[1]) > 0 then
  -- What was kept for it is free for the next one.
  redis.call('PUBLISH', ARGV[2], 'freed')
end
if redis.call('ZCARD', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[3])
end
return 'ok'
