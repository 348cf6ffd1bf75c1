-- Writes down that one session waits for another one's answer, unless that one waits for it already,
-- by whatever way.
-- KEYS: 1 sorted set of those that the waiting session waits for, by their deadlines in Unix ms
-- ARGV: 1 the waiting session, 2 the awaited one, 3 how long it waits at most, in ms,
--       4 beginning of the keys of such sets
-- Returns: 1 | 0 for a circle
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- More are not looked at: so many do not wait for each other without a circle.
local open, seen, steps = {ARGV[2]}, {}, 0
while #open > 0 and steps < 256 do
  local session = table.remove(open)
  steps = steps + 1
  if session == ARGV[1] then
    return 0
  end
  if not seen[session] then
    seen[session] = true
    local awaited = redis.call('ZRANGEBYSCORE', ARGV[4] .. session, now, '+inf')
    for _, other in ipairs(awaited) do
      open[#open + 1] = other
    end
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
