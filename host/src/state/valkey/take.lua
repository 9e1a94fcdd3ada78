-- One round of one owner's limits: what was used is counted, and more is granted for all of them or for none.
--
-- KEYS[1] is the owner's session, the others are its limits; all have the same hash tag. ARGV: the replica, the number of the
-- round, the engine's birth as the replica knows it, for how long what it holds stays its own (ms), the number of the latest
-- round whose answer it has, 1 if the engine has lost values since, and 1 if this round was sent before; then for each limit its kind (rate, budget, slots),
-- amount, time (us; of a budget how long its value is needed), delta, holding, want, least, value last seen, and when the use of the
-- delta began, by this engine's clock (us): it may have been sent long before it is followed.
--
-- The answer is one text, so that it can be kept: the number of the round, 1 or 0 for refused, 1 if values were lost, the birth,
-- the time, and for each limit what was granted or, when refused, the wait in us (-1: until others give back), and its value. A
-- round that comes a second time changes nothing and gets the same answer.
local clock = redis.call('TIME')
local now = (clock[1] - 1735689600) * 1000000 + clock[2]
local session, replica, round, known, stays = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]) * 1000
local answered = tonumber(ARGV[5])
local last = redis.call('HGET', session, 'r:' .. replica)
local followed = last and tonumber(string.match(last, '^%d+')) or 0
if followed >= round then return last end
local born = redis.call('HGET', session, 'born')
if not born then
  born = string.format('%.0f', now)
  redis.call('HSET', session, 'born', born)
end
-- The engine has lost values since the replica has last seen them: all of them, or what came after a copy was made of which
-- it was started.
local lost = known ~= '' and (known ~= born or followed < answered)
local restores = lost or ARGV[6] == '1'
-- It may have been followed before that, and be in what others have seen: then it is not added a second time.
local merges = lost and ARGV[7] == '1'
local limits, refused = {}, false
for i = 2, #KEYS do
  local at = 7 + (i - 2) * 9
  local kind, amount, time = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local delta, holds = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local want, least, seen = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  local since = math.min(tonumber(ARGV[at + 9]), now)
  local value, free = 0, 0
  if kind == 'r' then
    value = tonumber(redis.call('GET', KEYS[i]) or '0')
    if restores and seen > value then value = seen end
    if delta > 0 and value < since then value = since end
    if merges and delta > 0 then
      value = math.max(value, seen + delta * time / amount)
    else
      value = value + delta * time / amount
    end
    if value < now then value = now end
    free = math.floor((now + time - value) * amount / time + 0.000001)
  else
    if kind == 'b' then
      value = tonumber(redis.call('HGET', KEYS[i], 'spent') or '0')
      if restores and seen > value then value = seen end
      if merges then value = math.max(value, seen + delta) else value = value + delta end
    end
    free = amount - value - holds
    local fields = redis.call('HGETALL', KEYS[i])
    for f = 1, #fields, 2 do
      local other = string.match(fields[f], '^h:(.+)$')
      if other and other ~= replica then
        local much, expires = string.match(fields[f + 1], '^(%d+) (%d+)$')
        if tonumber(expires) < now then redis.call('HDEL', KEYS[i], fields[f]) else free = free - tonumber(much) end
      end
    end
  end
  local grant, wait = 0, 0
  if least > 0 and free < least then
    refused = true
    if kind == 'r' then wait = math.ceil((least - free) * time / amount) else wait = -1 end
  else
    grant = math.max(least, math.min(want, math.floor(free / 2)), 0)
  end
  limits[i] = {kind = kind, amount = amount, time = time, value = value, holds = holds, grant = grant, wait = wait}
end
local answer = {string.format('%d %d %d %s %.0f', round, refused and 0 or 1, lost and 1 or 0, born, now)}
for i = 2, #KEYS do
  local limit = limits[i]
  local grant = refused and 0 or limit.grant
  if limit.kind == 'r' then
    limit.value = limit.value + grant * limit.time / limit.amount
    local rest = math.ceil((limit.value - now) / 1000) + 60000
    redis.call('SET', KEYS[i], string.format('%.3f', limit.value), 'PX', string.format('%.0f', rest))
  else
    local holds = limit.holds + grant
    if limit.kind == 'b' then redis.call('HSET', KEYS[i], 'spent', string.format('%.0f', limit.value)) end
    if holds > 0 then
      redis.call('HSET', KEYS[i], 'h:' .. replica, string.format('%.0f %.0f', holds, now + stays))
    else
      redis.call('HDEL', KEYS[i], 'h:' .. replica)
    end
    redis.call('PEXPIRE', KEYS[i], string.format('%.0f', math.min(math.ceil(limit.time / 1000), 4000000000000)))
  end
  table.insert(answer, string.format('%.0f %.3f', refused and limit.wait or grant, limit.value))
end
local text = table.concat(answer, ' ')
redis.call('HSET', session, 'r:' .. replica, text)
redis.call('PEXPIRE', session, 86400000)
if redis.call('HLEN', session) > 66 then
  -- Of replicas that have gone.
  local fields = redis.call('HGETALL', session)
  for f = 1, #fields, 2 do
    local then_at = string.match(fields[f + 1], '^%d+ %d+ %d+ %d+ (%d+)')
    if then_at and tonumber(then_at) < now - 3600000000 then redis.call('HDEL', session, fields[f]) end
  end
end
return text
