-- Counts the claims that wait, and removes the tickets of those that no longer do.
-- KEYS: 1 tickets in their order, 2 hash of tickets, 3 hash of whose turn it is
-- ARGV: 1 beginning of the keys of agents' sessions
-- Returns: {how many wait, how many of them could be served if there were containers}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local count, servable, rooms = 0, 0, {}
for _, ticket in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local deadline, most, agent =
    string.match(redis.call('HGET', KEYS[2], ticket) or '', '^(%d+) (%d+) (.*)$')
  if not deadline or tonumber(deadline) < now then
    redis.call('ZREM', KEYS[1], ticket)
    redis.call('HDEL', KEYS[2], ticket)
  else
    count = count + 1
    rooms[agent] = rooms[agent] or tonumber(most) - redis.call('SCARD', ARGV[1] .. agent)
    if rooms[agent] > 0 then
      rooms[agent] = rooms[agent] - 1
      servable = servable + 1
    end
  end
end
if count == 0 then
  redis.call('DEL', KEYS[2], KEYS[3])
end
return {count, servable}
