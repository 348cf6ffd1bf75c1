-- Reads a page of a session's buffer. The numbers of its envelopes rise by one, so the place of
-- each follows from the first.
-- KEYS: 1 output_buffer
-- ARGV: 1 read what comes after this seq, or "" for everything, 2 most envelopes, 3 bytes after
--       which a page ends
-- Returns: {1 if there is more or 0, {envelopes}}
local head = redis.call('LINDEX', KEYS[1], 0)
if not head then
  return {0, {}}
end
local at = 0
if ARGV[1] ~= '' then
  local first = tonumber(string.match(head, '^{"seq":(%d+)'))
  if first then
    at = math.max(0, tonumber(ARGV[1]) + 1 - first)
  end
end
local length = redis.call('LLEN', KEYS[1])
local most, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local page = {}
while at < length and #page < most and bytes > 0 do
  local some = redis.call('LRANGE', KEYS[1], at, math.min(at + 31, at + most - #page - 1))
  for _, envelope in ipairs(some) do
    if bytes <= 0 then
      break
    end
    page[#page + 1] = envelope
    bytes = bytes - #envelope
    at = at + 1
  end
end
return {at < length and 1 or 0, page}
