"""What a Python process does to the keys of the Ruby gem redis-semaphore: each step whole, in one script.

The gem keeps the tokens that are free in a list (AVAILABLE) and those taken in a hash by when (GRABBED).
Ours are besides in a hash of our own (DUTIFUL): token, then the ask, the stamp that we wrote into GRABBED,
and when our lease ends, in microseconds of the server. A token on its way to us lies in a list of its ask's
(BLMOVE), so that whoever dies on the way loses none. Before each step ``_HEAL`` puts right what can be seen
to be wrong.
"""

from __future__ import annotations

_HEAL = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local available, grabbed, exists, version, ours, asks, missing, numbers =
      KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local slots, stale, lost_after = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function whole(n) return string.format('%.0f', n) end
local function parts(text) return string.match(text or '', '^(%S+) (%S+) (%S+)$') end
local function stamp() return string.format('%d.%06d', t[1], t[2]) end
local function valid(token)
  local n = tonumber(token)
  return n and n >= 0 and n < slots and whole(n) == token
end
local function free(token)
  redis.call('LREM', available, 0, token)
  redis.call('LPUSH', available, token)
end

if redis.call('EXISTS', exists) == 0 then
  -- Nobody has made it yet, or it expired (the gem can make it do so) while tokens are taken: those stay so.
  redis.call('DEL', available)
  for n = 0, slots - 1 do redis.call('RPUSH', available, n) end
  redis.call('SET', exists, '1')
  redis.call('SET', version, '1')
end
-- Ours whose lease is over: their process is gone, or lost.
for token, text in pairs((function(flat)
    local map = {} for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end return map
  end)(redis.call('HGETALL', ours))) do
  local _, mine, ends = parts(text)
  local seen = redis.call('HGET', grabbed, token)
  if tonumber(ends) <= now then
    redis.call('HDEL', ours, token)
    if seen == mine then redis.call('HDEL', grabbed, token) free(token) end
  elseif not seen then
    -- Somebody gave back what we hold (the gem's late signal): it is ours still.
    redis.call('HSET', grabbed, token, mine)
    redis.call('LREM', available, 0, token)
  end
end
-- Asks whose process is gone, with a token under way to it.
local waiting = redis.call('HGETALL', asks)
local under_way = {}
for i = 1, #waiting, 2 do
  local list = ours .. ':' .. waiting[i]
  for _, token in ipairs(redis.call('LRANGE', list, 0, -1)) do
    if tonumber(waiting[i + 1]) <= now then
      if not redis.call('HGET', grabbed, token) then free(token) end
    else under_way[token] = true end
  end
  if tonumber(waiting[i + 1]) <= now then
    redis.call('DEL', list)
    redis.call('HDEL', asks, waiting[i])
  end
end
-- A token twice (the gem's late signal), or one that is taken, or none of ours, is one holder too many.
local seen = {}
for _, token in ipairs(redis.call('LRANGE', available, 0, -1)) do
  if seen[token] == nil then
    seen[token] = true
    if not valid(token) or redis.call('HEXISTS', grabbed, token) == 1 or under_way[token] then
      redis.call('LREM', available, 0, token)
    else
      local times = 0
      for _, other in ipairs(redis.call('LRANGE', available, 0, -1)) do
        if other == token then times = times + 1 end
      end
      if times > 1 then redis.call('LREM', available, -(times - 1), token) end
    end
  end
end
if stale > 0 then
  local all = redis.call('HGETALL', grabbed)
  for i = 1, #all, 2 do
    if redis.call('HEXISTS', ours, all[i]) == 0 and tonumber(all[i + 1]) * 1000000 + stale < now then
      redis.call('HDEL', grabbed, all[i])
      free(all[i])
    end
  end
end
-- A token that is nowhere was lost by a gem that died between BLPOP and HSET, or is about to be put there.
local there = {}
for _, token in ipairs(redis.call('LRANGE', available, 0, -1)) do there[token] = true end
for n = 0, slots - 1 do
  local token = whole(n)
  if there[token] or under_way[token] or redis.call('HEXISTS', grabbed, token) == 1 then
    redis.call('HDEL', missing, token)
  else
    redis.call('HSETNX', missing, token, whole(now))
    if lost_after > 0 and tonumber(redis.call('HGET', missing, token)) + lost_after <= now then
      redis.call('HDEL', missing, token)
      free(token)
    end
  end
end
"""

ENTER = (
    """-- ARGV: slots, stale, lost_after, ask, span
local foreign = 0
for _, token in ipairs(redis.call('HKEYS', KEYS[2])) do
  local n = tonumber(token)
  if n and n >= tonumber(ARGV[1]) then foreign = math.max(foreign, n + 1) end
end
if foreign > 0 then return {'differs', tostring(foreign)} end
"""
    + _HEAL
    + """
redis.call('HSET', asks, ARGV[4], whole(now + tonumber(ARGV[5])))
return {'entered', tostring(redis.call('LLEN', available))}
"""
)
"""Says that somebody waits, for ``span``; before each wait."""

TAKE = (
    _HEAL
    + """
-- ARGV: slots, stale, lost_after, ask, lease; the token that was moved to us, if all is well, is in our list.
local list = ours .. ':' .. ARGV[4]
local token = redis.call('LPOP', list)
while token do
  if valid(token) and redis.call('HEXISTS', grabbed, token) == 0 and redis.call('HLEN', grabbed) < slots then
    redis.call('LREM', available, 0, token)
    redis.call('HDEL', missing, token)
    local mine = stamp()
    redis.call('HSET', grabbed, token, mine)
    redis.call('HSET', ours, token, ARGV[4] .. ' ' .. mine .. ' ' .. whole(now + tonumber(ARGV[5])))
    redis.call('HDEL', asks, ARGV[4])
    local number = math.max(tonumber(redis.call('GET', numbers) or 0) + 1, now)
    redis.call('SET', numbers, whole(number))
    for _, other in ipairs(redis.call('LRANGE', list, 0, -1)) do
      if redis.call('HEXISTS', grabbed, other) == 0 then free(other) end
    end
    redis.call('DEL', list)
    return {token, whole(number)}
  end
  token = redis.call('LPOP', list)
end
return {}
"""
)

RENEW = (
    _HEAL
    + """
-- ARGV: slots, stale, lost_after, lease, then asks
local kept = {}
local all = redis.call('HGETALL', ours)
for i = 1, #all, 2 do
  local ask, mine, ends = parts(all[i + 1])
  for n = 5, #ARGV do
    if ARGV[n] == ask and tonumber(ends) > now and redis.call('HGET', grabbed, all[i]) == mine then
      local again = stamp()
      redis.call('HSET', grabbed, all[i], again)
      redis.call('HSET', ours, all[i], ask .. ' ' .. again .. ' ' .. whole(now + tonumber(ARGV[4])))
      table.insert(kept, ask)
    end
  end
end
return kept
"""
)

RELEASE = (
    _HEAL
    + """
-- ARGV: slots, stale, lost_after, ask
local list = ours .. ':' .. ARGV[4]
for _, token in ipairs(redis.call('LRANGE', list, 0, -1)) do
  if redis.call('HEXISTS', grabbed, token) == 0 then free(token) end
end
redis.call('DEL', list)
redis.call('HDEL', asks, ARGV[4])
local all = redis.call('HGETALL', ours)
for i = 1, #all, 2 do
  local ask, mine = parts(all[i + 1])
  if ask == ARGV[4] then
    redis.call('HDEL', ours, all[i])
    if redis.call('HGET', grabbed, all[i]) ~= mine then return 0 end
    redis.call('HDEL', grabbed, all[i])
    free(all[i])
    return 1
  end
end
return 0
"""
)
