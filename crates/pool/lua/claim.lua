-- Binds the longest-warm container to a session, or finds the one that serves it already. Who finds
-- none gets a ticket and comes back with it: first come first served, the agents taking turns.
-- KEYS: 1 sorted set of warm containers, 2 hash of live sessions, 3 set of the agent's sessions,
--       4 state of the session, 5 number of the last claim, 6 tickets in the order in which they are
--       served, 7 hash of tickets, 8 hash of whose turn it is, 9 the pool's id,
--       10.. the session's other keys, which must not expire while it lives
-- ARGV: 1 session, 2 agent, 3 most sessions of the agent, 4 beginning of container keys,
--       5 assignment for the wrapper, 6 model or "", 7 oldest heartbeat that counts, in ms,
--       8 gateway, 9 ticket, "" for one that has just come, 10 how long a ticket lasts without its
--       owner coming back, in ms, 11 beginning of the keys of agents' sessions
-- Returns: {"ok", container, SHA-256 of its user's password or "", number of the claim}
--          | {"live", container} | {"draining", container} | {"agent_limit", ticket}
--          | {"none", ticket} | {"emptied"}
local live = redis.call('HGET', KEYS[2], ARGV[1])
if live then
  if ARGV[9] ~= '' then
    redis.call('ZREM', KEYS[6], ARGV[9])
    redis.call('HDEL', KEYS[7], ARGV[9])
  end
  if redis.call('HGET', ARGV[4] .. live, 'state') == 'assigned' then
    return {'live', live}
  end
  return {'draining', live}
end
if redis.call('EXISTS', KEYS[9]) == 0 then
  -- Whatever is warm here: the session may be live on a container that is not known again yet.
  return {'emptied'}
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local us = t[1] * 1000000 + t[2]
local room = tonumber(ARGV[3]) - redis.call('SCARD', KEYS[3])
local queue = redis.call('ZCARD', KEYS[6])

-- How many containers those before this claim are owed. Tickets whose owner has gone are removed.
-- For one that has no place yet all are before it, and its agent's last turn is found on the way.
local ahead, last = 0, 0
if queue > 0 then
  local rooms = {}
  local ours = ARGV[9] ~= '' and redis.call('ZRANK', KEYS[6], ARGV[9])
  local tickets = {}
  if ours ~= 0 then
    tickets = redis.call('ZRANGE', KEYS[6], 0, ours and ours - 1 or -1, 'WITHSCORES')
  end
  for i = 1, #tickets, 2 do
    local ticket = tickets[i]
    local deadline, most, agent =
      string.match(redis.call('HGET', KEYS[7], ticket) or '', '^(%d+) (%d+) (.*)$')
    if not deadline or tonumber(deadline) < now then
      redis.call('ZREM', KEYS[6], ticket)
      redis.call('HDEL', KEYS[7], ticket)
      queue = queue - 1
    else
      if agent == ARGV[2] then
        last = tonumber(tickets[i + 1])
      end
      rooms[agent] = rooms[agent]
        or tonumber(most) - redis.call('SCARD', ARGV[11] .. agent)
      if rooms[agent] > 0 then
        rooms[agent] = rooms[agent] - 1
        ahead = ahead + 1
      end
    end
  end
  -- Of this agent's own room those before it have taken their part.
  room = rooms[ARGV[2]] or room
end

local function pick()
  local from = 0
  while true do
    local ids = redis.call('ZRANGE', KEYS[1], from, from + 7)
    for _, id in ipairs(ids) do
      local record = ARGV[4] .. id
      local said = redis.call('HMGET', record, 'state', 'aclHash')
      -- The report is the container's to write: whatever it holds, others can be claimed.
      local told = redis.pcall('HMGET', record .. ':report', 'heartbeat', 'session')
      local beat = type(told[1]) == 'string' and tonumber(told[1]) or 0
      if said[1] ~= 'warm' then
        redis.call('ZREM', KEYS[1], id)
        from = from - 1
      -- One that was not heard of is passed over, and one that says that it serves a session;
      -- what becomes of it is for others to decide.
      elseif now - beat <= tonumber(ARGV[7]) and not told[2] then
        if ahead == 0 then
          return id, said[2] or ''
        end
        ahead = ahead - 1
      end
    end
    if #ids < 8 then
      return nil
    end
    from = from + 8
  end
end

local id, hash
if room > 0 then
  id, hash = pick()
end
if id then
  if queue > 0 then
    if ARGV[9] ~= '' then
      local turn = redis.call('ZSCORE', KEYS[6], ARGV[9])
      redis.call('ZREM', KEYS[6], ARGV[9])
      redis.call('HDEL', KEYS[7], ARGV[9])
      -- One that waited for its agent's limit may have a turn that is long past.
      if turn and tonumber(turn) > tonumber(redis.call('HGET', KEYS[8], 'served') or '0') then
        redis.call('HSET', KEYS[8], 'served', turn)
      end
    end
    if redis.call('ZCARD', KEYS[6]) == 0 then
      redis.call('DEL', KEYS[8])
    end
  end
  -- Above every earlier number, also when Redis was emptied since.
  local number = tonumber(redis.call('GET', KEYS[5]) or '0')
  local claim = string.format('%.0f', math.max(number + 1, us))
  redis.call('SET', KEYS[5], claim)
  redis.call('ZREM', KEYS[1], id)
  redis.call('HSET', ARGV[4] .. id, 'state', 'assigned', 'session', ARGV[1], 'agent', ARGV[2],
    'assignedAt', now, 'assignment', ARGV[5], 'owner', ARGV[8], 'claim', claim)
  redis.call('HSET', KEYS[2], ARGV[1], id)
  redis.call('SADD', KEYS[3], ARGV[1])
  local added = redis.call('HSET', KEYS[4], 'status', 'assigned', 'containerId', id,
    'agentId', ARGV[2], 'model', ARGV[6], 'turn', '', 'startedAt', now, 'lastActivity', now)
  if added < 7 then
    -- It lived before, and what it left is not to expire.
    redis.call('HDEL', KEYS[4], 'endedAt', 'batch')
    for i = 10, #KEYS do
      redis.call('PERSIST', KEYS[i])
    end
    redis.call('PERSIST', KEYS[4])
  end
  -- It is told by deliver.lua, once its user may reach the session.
  return {'ok', id, hash, claim}
end

local ticket = ARGV[9]
if ticket == '' or not redis.call('ZSCORE', KEYS[6], ticket) then
  -- Each agent's next turn comes after its last one that waits, and not before what is being served.
  local served = tonumber(redis.call('HGET', KEYS[8], 'served') or '0')
  -- Among those of one turn, who came first. Never drawn twice, also when nobody waited since.
  local came = tonumber(redis.call('HGET', KEYS[8], 'came') or '0')
  came = string.format('%016.0f', math.max(came + 1, us))
  redis.call('HSET', KEYS[8], 'came', came)
  ticket = came .. '@' .. ARGV[8]
  redis.call('ZADD', KEYS[6], math.max(served, last) + 1, ticket)
end
redis.call('HSET', KEYS[7], ticket, string.format('%.0f %s %s', now + ARGV[10], ARGV[3], ARGV[2]))
return {room > 0 and 'none' or 'agent_limit', ticket}
