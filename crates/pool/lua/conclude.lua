-- Ends the turns of a session whose container is gone, on the wrapper's behalf.
-- KEYS: 1 output_buffer, 2 state, 3 result, 4 inflight, 5 input, 6 transcript of the session
-- ARGV: 1 output channel, 2 length of the buffer, 3 seq that the session must be at, as it was
--       read, 4 JSON of the newest terminal event, 5 how many prompts it is for: those that were
--       taken or wait, 6 seq of the newest envelope, 7 how many turns the transcript keeps,
--       8 how many envelopes follow, 9.. envelopes, then as many entries of the transcript
-- Returns: "ok" | "moved"
if (redis.call('HGET', KEYS[2], 'seq') or '') ~= ARGV[3]
    or redis.call('LLEN', KEYS[4]) + redis.call('LLEN', KEYS[5]) ~= tonumber(ARGV[5]) then
  return 'moved'
end
local last = 8 + ARGV[8]
for i = 9, last do
  redis.call('RPUSH', KEYS[1], ARGV[i])
  redis.call('PUBLISH', ARGV[1], ARGV[i])
end
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
-- The container may have made something else of its transcript; the turns end all the same.
for i = last + 1, #ARGV do
  redis.pcall('RPUSH', KEYS[6], ARGV[i])
end
redis.pcall('LTRIM', KEYS[6], -tonumber(ARGV[7]), -1)
redis.call('SET', KEYS[3], ARGV[4])
-- No batch has a number above this: what the wrapper still had on the way does not count.
redis.call('HSET', KEYS[2], 'seq', ARGV[6], 'turn', '',
  'batch', '9007199254740991')
redis.call('DEL', KEYS[4], KEYS[5])
return 'ok'
