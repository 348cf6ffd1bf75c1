-- Applies one batch of a session's output, once.
--
-- KEYS[1]  output_buffer   list of envelopes, newest last
-- KEYS[2]  output          channel
-- KEYS[3]  state           hash
-- KEYS[4]  result          string
-- KEYS[5]  inflight        list of items that are being worked on
-- KEYS[6]  transcript      list of what was asked and answered, newest last
--
-- ARGV[1]  number of the batch; rises by one
-- ARGV[2]  how many envelopes the buffer keeps after this batch
-- ARGV[3]  the newest turn's ending, or empty for no change
-- ARGV[4]  E: how many envelopes follow
-- ARGV[5]  F: how many state fields follow, each as name and value
-- ARGV[6]  R: how many items are removed from inflight
-- ARGV[7]  T: how many entries the transcript gets
-- ARGV[8]  how many it keeps
-- ARGV[9…] E envelopes, 2 * F names and values, R items, T entries
--
-- Returns 1 when the batch was applied, 0 when it had been applied before (its answer was lost), or
-- when the session was concluded without this wrapper.
-- A state without a batch number accepts any: Redis was emptied, or the session is new.

local batch = tonumber(ARGV[1])
local keep = tonumber(ARGV[2])
local envelopes = tonumber(ARGV[4])
local fields = tonumber(ARGV[5])
local removals = tonumber(ARGV[6])
local entries = tonumber(ARGV[7])
local turns = tonumber(ARGV[8])
if not (batch and keep and envelopes and fields and removals and entries and turns)
    or #ARGV ~= 8 + envelopes + 2 * fields + removals + entries then
  return redis.error_reply('publish: malformed batch')
end

local done = tonumber(redis.call('HGET', KEYS[3], 'batch') or '')
if done and batch <= done then
  return 0
end

local first = 9
local last = first + envelopes - 1
if envelopes > 0 then
  redis.call('RPUSH', KEYS[1], unpack(ARGV, first, last))
  redis.call('LTRIM', KEYS[1], -keep, -1)
end
local at = last + 1
redis.call('HSET', KEYS[3], 'batch', ARGV[1], unpack(ARGV, at, at + 2 * fields - 1))
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[4], ARGV[3], 'KEEPTTL')
end
at = at + 2 * fields
for i = at, at + removals - 1 do
  redis.call('LREM', KEYS[5], 1, ARGV[i])
end
if entries > 0 then
  at = at + removals
  redis.call('RPUSH', KEYS[6], unpack(ARGV, at, at + entries - 1))
  redis.call('LTRIM', KEYS[6], -turns, -1)
end
-- Last, so that whoever hears of an envelope finds it in the buffer.
for i = first, last do
  redis.call('PUBLISH', KEYS[2], ARGV[i])
end
return 1
