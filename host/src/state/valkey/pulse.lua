-- A replica says that it is there, and learns how many are.
--
-- KEYS: all replicas by the time at which they count as gone, and this one's own key. ARGV: its id.
local clock = redis.call('TIME')
local now = (clock[1] - 1735689600) * 1000000 + clock[2]
redis.call('ZADD', KEYS[1], string.format('%.0f', now + 15000000), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now))
redis.call('PEXPIRE', KEYS[1], 60000)
redis.call('SET', KEYS[2], '1', 'PX', 15000)
return {now, redis.call('ZCARD', KEYS[1])}
