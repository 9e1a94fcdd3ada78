-- A replica says that it is there, and what it has met at providers; it learns how many replicas are there, what they have met,
-- and when the engine began to know them: another time means that it has lost everything.
--
-- KEYS: all replicas by the time at which they count as gone, this one's own key, what was met at providers by the time at which
-- it ends, and the engine's birth. ARGV: its id, what it says of itself; then for each limit its name and for how long it lasts,
-- in us.
local clock = redis.call('TIME')
local now = (clock[1] - 1735689600) * 1000000 + clock[2]
redis.call('ZADD', KEYS[1], string.format('%.0f', now + 15000000), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now))
redis.call('PEXPIRE', KEYS[1], 60000)
redis.call('SET', KEYS[2], ARGV[2], 'PX', 15000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now))
for i = 3, #ARGV, 2 do
  local ends = now + tonumber(ARGV[i + 1])
  local known = redis.call('ZSCORE', KEYS[3], ARGV[i])
  -- The longest holds.
  if not known or tonumber(known) < ends then redis.call('ZADD', KEYS[3], string.format('%.0f', ends), ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[3], 3600000)
local born = redis.call('GET', KEYS[4])
if not born then
  born = string.format('%.0f', now)
  redis.call('SET', KEYS[4], born)
end
local answer = {now, redis.call('ZCARD', KEYS[1]), born}
local limits = redis.call('ZREVRANGE', KEYS[3], 0, 999, 'WITHSCORES')
for i = 1, #limits, 2 do
  table.insert(answer, limits[i])
  table.insert(answer, string.format('%.0f', tonumber(limits[i + 1]) - now))
end
return answer
