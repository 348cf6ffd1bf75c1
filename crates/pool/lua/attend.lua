-- Keeps a gateway registered, lets it lead when nobody does, and tells it what it has to know.
-- KEYS: 1 sorted set of gateways, 2 hash of the leader, 3 hash of settings, 4 the pool's id,
--       5 number of the last claim
-- ARGV: 1 gateway as "id@host", 2 how long it is taken for live after this, in ms,
--       3 "attend" | "leave", 4 the pool's id as the gateway knows it
-- Returns: {{now, fence or "", leader or "", "1" if Redis knows the pool by this id or "0",
--           why the leader can start no container or ""}, {live gateways}, {setting, value, …}}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local us = t[1] * 1000000 + t[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local leader = redis.call('HGET', KEYS[2], 'owner')
local until_ms = tonumber(redis.call('HGET', KEYS[2], 'until') or '0')
if ARGV[3] == 'leave' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  if leader == ARGV[1] then
    redis.call('HDEL', KEYS[2], 'owner', 'until', 'trouble', 'look')
    leader = false
  end
  if redis.call('ZCARD', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[2], KEYS[5])
  end
else
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  if not leader or until_ms <= now then
    -- Above every earlier number, also when Redis was emptied since.
    local last = tonumber(redis.call('HGET', KEYS[2], 'fence') or '0')
    -- What the last one said went with its lease.
    redis.call('HDEL', KEYS[2], 'trouble', 'look')
    redis.call('HSET', KEYS[2], 'owner', ARGV[1], 'until', now + ARGV[2],
      'fence', string.format('%.0f', math.max(last + 1, us)))
    leader = ARGV[1]
  elseif leader == ARGV[1] then
    redis.call('HSET', KEYS[2], 'until', now + ARGV[2])
  end
end
local fence = leader == ARGV[1] and redis.call('HGET', KEYS[2], 'fence') or ''
return {
  {string.format('%.0f', now), fence, leader or '', redis.call('GET', KEYS[4]) == ARGV[4] and '1' or '0',
    redis.call('HGET', KEYS[2], 'trouble') or ''},
  redis.call('ZRANGE', KEYS[1], 0, -1),
  redis.call('HGETALL', KEYS[3]),
}
