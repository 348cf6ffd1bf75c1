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
local call = redis.call
local live = call('HGET', KEYS[2], ARGV[1])
if live then
  if ARGV[9] ~= '' then
    call('ZREM', KEYS[6], ARGV[9])
    call('HDEL', KEYS[7], ARGV[9])
  end
  if call('HGET', ARGV[4] .. live, 'state') == 'assigned' then
    return {'live', live}
  end
  return {'draining', live}
end
local known = call('MGET', KEYS[9], KEYS[5])
if not known[1] then
  -- Whatever is warm here: the session may be live on a container that is not known again yet.
  return {'emptied'}
end
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local us = t[1] * 1000000 + t[2]
local room = tonumber(ARGV[3]) - call('SCARD', KEYS[3])
local queue = call('ZCARD', KEYS[6])

-- How many containers those before this claim are owed. Tickets whose owner has gone are removed.
-- For one that has no place yet all are before it, and its agent's last turn is found on the way.
local ahead, last = 0, 0
if queue > 0 then
  local rooms = {}
  local ours = ARGV[9] ~= '' and call('ZRANK', KEYS[6], ARGV[9])
  local tickets = {}
  if ours ~= 0 then
    tickets = call('ZRANGE', KEYS[6], 0, ours and ours - 1 or -1, 'WITHSCORES')
  end
  for i = 1, #tickets, 2 do
    local ticket = tickets[i]
    local deadline, most, agent =
      string.match(call('HGET', KEYS[7], ticket) or '', '^(%d+) (%d+) (.*)$')
    if not deadline or tonumber(deadline) < now then
      call('ZREM', KEYS[6], ticket)
      call('HDEL', KEYS[7], ticket)
      queue = queue - 1
    else
      if agent == ARGV[2] then
        last = tonumber(tickets[i + 1])
      end
      rooms[agent] = rooms[agent]
        or tonumber(most) - call('SCARD', ARGV[11] .. agent)
      if rooms[agent] > 0 then
        rooms[agent] = rooms[agent] - 1
        ahead = ahead + 1
      end
    end
  end
  -- Of this agent's own room those before it have taken their part.
  room = rooms[ARGV[2]] or room
end

-- Nearly always the first one can be claimed.
local function pick()
  local from, some = 0, 1
  while true do
    local ids = call('ZRANGE', KEYS[1], from, from + some - 1)
    for _, id in ipairs(ids) do
      local record = ARGV[4] .. id
      local said = call('HMGET', record, 'state', 'aclHash')
      -- The report is the container's to write: whatever it holds, others can be claimed.
      local told = redis.pcall('HMGET', record .. ':report', 'heartbeat', 'session')
      local beat = type(told[1]) == 'string' and tonumber(told[1]) or 0
      if said[1] ~= 'warm' then
        call('ZREM', KEYS[1], id)
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
    if #ids < some then
      return nil
    end
    from, some = from + some, 8
  end
end

local id, hash
if room > 0 then
  id, hash = pick()
end
if id then
  if queue > 0 then
    if ARGV[9] ~= '' then
      local turn = call('ZSCORE', KEYS[6], ARGV[9])
      call('ZREM', KEYS[6], ARGV[9])
      call('HDEL', KEYS[7], ARGV[9])
      -- One that waited for its agent's limit may have a turn that is long past.
      if turn and tonumber(turn) > tonumber(call('HGET', KEYS[8], 'served') or '0') then
        call('HSET', KEYS[8], 'served', turn)
      end
    end
    if call('ZCARD', KEYS[6]) == 0 then
      call('DEL', KEYS[8])
    end
  end
  -- Above every earlier number, also when Redis was emptied since.
  local claim = string.format('%.0f', math.max(tonumber(known[2] or '0') + 1, us))
  -- Each number that a command is given is put into words anew.
  local at = string.format('%.0f', now)
  call('SET', KEYS[5], claim)
  call('ZREM', KEYS[1], id)
  call('HSET', ARGV[4] .. id, 'state', 'assigned', 'session', ARGV[1], 'agent', ARGV[2],
    'assignedAt', at, 'assignment', ARGV[5], 'owner', ARGV[8], 'claim', claim)
  call('HSET', KEYS[2], ARGV[1], id)
  call('SADD', KEYS[3], ARGV[1])
  local added = call('HSET', KEYS[4], 'status', 'assigned', 'containerId', id,
    'agentId', ARGV[2], 'model', ARGV[6], 'turn', '', 'startedAt', at, 'lastActivity', at)
  if added < 7 then
    -- It lived before, and what it left is not to expire.
    call('HDEL', KEYS[4], 'endedAt', 'batch')
    for i = 10, #KEYS do
      call('PERSIST', KEYS[i])
    end
    call('PERSIST', KEYS[4])
  end
  -- It is told by deliver.lua, once its user may reach the session.
  return {'ok', id, hash, claim}
end

local ticket = ARGV[9]
if ticket == '' or not call('ZSCORE', KEYS[6], ticket) then
  -- Each agent's next turn comes after its last one that waits, and not before what is being served.
  local served = tonumber(call('HGET', KEYS[8], 'served') or '0')
  -- Among those of one turn, who came first. Never drawn twice, also when nobody waited since.
  local came = tonumber(call('HGET', KEYS[8], 'came') or '0')
  came = string.format('%016.0f', math.max(came + 1, us))
  call('HSET', KEYS[8], 'came', came)
  ticket = came .. '@' .. ARGV[8]
  call('ZADD', KEYS[6], math.max(served, last) + 1, ticket)
end
call('HSET', KEYS[7], ticket, string.format('%.0f %s %s', now + ARGV[10], ARGV[3], ARGV[2]))
return {room > 0 and 'none' or 'agent_limit', ticket}
