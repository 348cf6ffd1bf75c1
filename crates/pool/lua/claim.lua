-- Binds the longest-warm container to a session, or finds the one that serves it already. Who finds
-- none gets a ticket and comes back with it: first come first served, the agents taking turns.
-- KEYS: none. Each one costs every claim, and most are needed by few, so all are made here from their
--       beginning: `pool:warm`, `pool:sessions`, `pool:agent:A`, `pool:id`, `pool:claims`,
--       `pool:waiting`, `pool:tickets`, `pool:fairness`, `pool:leader`, `pool:container:C` and its
--       `:report`, and the session's `S:state`, `S:input`, `S:inflight`, `S:output_buffer`, `S:result`,
--       `S:transcript`
-- ARGV: 1 beginning of all keys, 2 session, 3 agent, 4 most sessions of the agent,
--       5 assignment for the wrapper, 6 model or "", 7 oldest heartbeat that counts, in ms,
--       8 gateway, 9 how long a ticket lasts without its owner coming back, in ms,
--       10 ticket, if this is not the first attempt
-- Returns: {"ok", container, SHA-256 of its user's password or "", number of the claim}
--          | {"live", container} | {"draining", container} | {"agent_limit", ticket}
--          | {"none", ticket, number of the newest look} | {"emptied"}
--          | {"none", ticket, number of the newest look, number of the look by which the leader can start
--             no container, why}
local call = redis.call
local prefix, session, agent, ticket = ARGV[1], ARGV[2], ARGV[3], ARGV[10]
local pool = prefix .. 'pool:'
local containers, agents = pool .. 'container:', pool .. 'agent:'
local sessions, warm, waiting = pool .. 'sessions', pool .. 'warm', pool .. 'waiting'

local live = call('HGET', sessions, session)
if live then
  if ticket then
    call('ZREM', waiting, ticket)
    call('HDEL', pool .. 'tickets', ticket)
  end
  if call('HGET', containers .. live, 'state') == 'assigned' then
    return {'live', live}
  end
  return {'draining', live}
end
local known = call('MGET', pool .. 'id', pool .. 'claims')
if not known[1] then
  -- Whatever is warm here: the session may be live on a container that is not known again yet.
  return {'emptied'}
end
-- Put together as words: a number that a command is given would be put into words each time.
local t = call('TIME')
local micros = string.sub('00000', #t[2]) .. t[2]
local now = t[1] .. string.sub(micros, 1, 3)
local us = t[1] .. micros
local room = tonumber(ARGV[4]) - call('SCARD', agents .. agent)
local queue = call('ZCARD', waiting)

-- How many containers those before this claim are owed. Tickets whose owner has gone are removed.
-- For one that has no place yet all are before it, and its agent's last turn is found on the way.
local ahead, last = 0, 0
if queue > 0 then
  local rooms = {}
  local ours = ticket and call('ZRANK', waiting, ticket)
  local before = {}
  if ours ~= 0 then
    before = call('ZRANGE', waiting, 0, ours and ours - 1 or -1, 'WITHSCORES')
  end
  for i = 1, #before, 2 do
    local deadline, most, theirs =
      string.match(call('HGET', pool .. 'tickets', before[i]) or '', '^(%d+) (%d+) (.*)$')
    if not deadline or tonumber(deadline) < tonumber(now) then
      call('ZREM', waiting, before[i])
      call('HDEL', pool .. 'tickets', before[i])
      queue = queue - 1
    else
      if theirs == agent then
        last = tonumber(before[i + 1])
      end
      rooms[theirs] = rooms[theirs] or tonumber(most) - call('SCARD', agents .. theirs)
      if rooms[theirs] > 0 then
        rooms[theirs] = rooms[theirs] - 1
        ahead = ahead + 1
      end
    end
  end
  -- Of this agent's own room those before it have taken their part.
  room = rooms[agent] or room
end

-- Nearly always the first one can be claimed.
local id, hash
local from, some = 0, 1
while room > 0 and not id do
  local ids = call('ZRANGE', warm, from, from + some - 1)
  for i = 1, #ids do
    local record = containers .. ids[i]
    local said = call('HMGET', record, 'state', 'aclHash')
    -- The report is the container's to write: whatever it holds, others can be claimed.
    local told = redis.pcall('HMGET', record .. ':report', 'heartbeat', 'session')
    local beat = tonumber(told[1] or '') or 0
    if said[1] ~= 'warm' then
      call('ZREM', warm, ids[i])
      from = from - 1
    -- One that was not heard of is passed over, and one that says that it serves a session;
    -- what becomes of it is for others to decide.
    elseif now - beat <= tonumber(ARGV[7]) and not told[2] then
      if ahead == 0 then
        id, hash = ids[i], said[2] or ''
        break
      end
      ahead = ahead - 1
    end
  end
  if #ids < some then
    break
  end
  from, some = from + some, 8
end

if id then
  if queue > 0 then
    if ticket then
      local turn = call('ZSCORE', waiting, ticket)
      call('ZREM', waiting, ticket)
      call('HDEL', pool .. 'tickets', ticket)
      -- One that waited for its agent's limit may have a turn that is long past.
      if turn and tonumber(turn) > tonumber(call('HGET', pool .. 'fairness', 'served') or '0') then
        call('HSET', pool .. 'fairness', 'served', turn)
      end
    end
    if call('ZCARD', waiting) == 0 then
      call('DEL', pool .. 'fairness')
    end
  end
  -- Above every earlier number, also when Redis was emptied since.
  local claim = us
  if known[2] and tonumber(known[2]) >= tonumber(us) then
    claim = string.format('%.0f', known[2] + 1)
  end
  call('SET', pool .. 'claims', claim)
  call('ZREM', warm, id)
  call('HSET', containers .. id, 'state', 'assigned', 'session', session, 'agent', agent,
    'assignedAt', now, 'assignment', ARGV[5], 'owner', ARGV[8], 'claim', claim)
  call('HSET', sessions, session, id)
  call('SADD', agents .. agent, session)
  local own = prefix .. session .. ':'
  local added = call('HSET', own .. 'state', 'status', 'assigned', 'containerId', id,
    'agentId', agent, 'model', ARGV[6], 'turn', '', 'startedAt', now, 'lastActivity', now)
  if added < 7 then
    -- It lived before, and what it left is not to expire.
    call('HDEL', own .. 'state', 'endedAt', 'batch')
    for _, name in ipairs({'state', 'input', 'inflight', 'output_buffer', 'result', 'transcript'}) do
      call('PERSIST', own .. name)
    end
  end
  -- It is told by deliver.lua, once its user may reach the session.
  return {'ok', id, hash, claim}
end

if not ticket or not call('ZSCORE', waiting, ticket) then
  -- Each agent's next turn comes after its last one that waits, and not before what is being served.
  local served = tonumber(call('HGET', pool .. 'fairness', 'served') or '0')
  -- Among those of one turn, who came first. Never drawn twice, also when nobody waited since.
  local came = tonumber(call('HGET', pool .. 'fairness', 'came') or '0')
  came = string.format('%016.0f', math.max(came + 1, us))
  call('HSET', pool .. 'fairness', 'came', came)
  ticket = came .. '@' .. ARGV[8]
  call('ZADD', waiting, math.max(served, last) + 1, ticket)
end
call('HSET', pool .. 'tickets', ticket, string.format('%.0f %s %s', now + ARGV[9], ARGV[4], agent))
if room <= 0 then
  return {'agent_limit', ticket}
end
-- Told in the step that finds none: what was taken back, or whose leader is gone, does not count.
local drawn, trouble, look, lasts =
  unpack(call('HMGET', pool .. 'leader', 'drawn', 'trouble', 'look', 'until'))
if trouble and tonumber(lasts or '0') > tonumber(now) then
  return {'none', ticket, drawn or '0', look, trouble}
end
return {'none', ticket, drawn or '0'}
