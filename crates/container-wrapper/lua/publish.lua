-- Applies one batch of a session's output, once.
--
-- KEYS[1]  output_buffer   list of envelopes, newest last
-- KEYS[2]  output          channel
-- KEYS[3]  state           hash
-- KEYS[4]  result          string
-- KEYS[5]  inflight        list of items that are being worked on
--
-- ARGV[1]  number of the batch; rises by one
-- ARGV[2]  how many envelopes the buffer keeps
-- ARGV[3]  how many bytes of envelopes it keeps; the newest envelope is kept whatever its size
-- ARGV[4]  the newest turn's ending, or empty for no change
-- ARGV[5]  E: how many envelopes follow
-- ARGV[6]  F: how many state fields follow, each as name and value
-- ARGV[7]  R: how many items are removed from inflight
-- ARGV[8…] E envelopes, 2 * F names and values, R items
--
-- Returns 1 when the batch was applied, 0 when it had been applied before (its answer was lost), or
-- when the session was concluded without this wrapper.
-- A state without a batch number accepts any: Redis was emptied, or the session is new.

local batch = tonumber(ARGV[1])
local keep = tonumber(ARGV[2])
local keep_bytes = tonumber(ARGV[3])
local envelopes = tonumber(ARGV[5])
local fields = tonumber(ARGV[6])
local removals = tonumber(ARGV[7])
if not (batch and keep and keep_bytes and envelopes and fields and removals)
    or #ARGV ~= 7 + envelopes + 2 * fields + removals then
  return redis.error_reply('publish: malformed batch')
end

local done = tonumber(redis.call('HGET', KEYS[3], 'batch') or '')
if done and batch <= done then
  return 0
end

local first = 8
local last = first + envelopes - 1
if envelopes > 0 then
  local bytes = tonumber(redis.call('HGET', KEYS[3], 'bufferBytes') or '0')
  local length = redis.call('LLEN', KEYS[1])
  if length == 0 then
    bytes = 0
  end
  for i = first, last do
    length = redis.call('RPUSH', KEYS[1], ARGV[i])
    bytes = bytes + #ARGV[i]
  end
  if length > keep then
    for _, gone in ipairs(redis.call('LPOP', KEYS[1], length - keep)) do
      bytes = bytes - #gone
    end
    length = keep
  end
  while bytes > keep_bytes and length > 1 do
    bytes = bytes - #redis.call('LPOP', KEYS[1])
    length = length - 1
  end
  redis.call('HSET', KEYS[3], 'bufferBytes', bytes)
end
local at = last + 1
for i = at, at + 2 * fields - 1, 2 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[3], 'batch', ARGV[1])
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[4], ARGV[4], 'KEEPTTL')
end
at = at + 2 * fields
for i = at, at + removals - 1 do
  redis.call('LREM', KEYS[5], 1, ARGV[i])
end
-- Last, so that whoever hears of an envelope finds it in the buffer.
for i = first, last do
  redis.call('PUBLISH', KEYS[2], ARGV[i])
end
return 1
