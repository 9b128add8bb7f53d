"""The scripts of locks in Redis: each is whole by itself, and goes by the server's clock alone.

A lock has five keys: a hash of its numbers, the holders and the waiters by when they lapse (microseconds),
the waiters by ticket, and what is known of each ask. They carry one hash tag, for clusters. Large numbers go
as text: JSON in a script keeps 14 digits.
"""

from __future__ import annotations

_BEGIN = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local lock, holders, alive, queue, about = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local function whole(n) return string.format('%.0f', n) end
local function forget(token)
  redis.call('ZREM', holders, token) redis.call('ZREM', alive, token)
  redis.call('ZREM', queue, token) redis.call('HDEL', about, token)
end
"""

ASK = (
    _BEGIN
    + """
local token, slots, lease, span = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local waits, who = ARGV[5] == '1', ARGV[6]
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', holders, '-inf', now)) do forget(gone) end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', now)) do forget(gone) end
local function known(one) return cjson.decode(redis.call('HGET', about, one) or '{}') end
if redis.call('ZSCORE', holders, token) then return {'held', known(token).grant_no} end
local waiting = redis.call('ZSCORE', queue, token)
local others = redis.call('ZCARD', holders) + redis.call('ZCARD', queue) - (waiting and 1 or 0)
local found = tonumber(redis.call('HGET', lock, 'slots') or slots)
if found ~= slots then
  if others > 0 then return {'differs', whole(found)} end
end
redis.call('HSET', lock, 'slots', slots)
local before = redis.call('ZCARD', queue)
if waiting then before = redis.call('ZRANK', queue, token) end
local free = slots - redis.call('ZCARD', holders) - before
if free < 1 then
  local listed = {}
  for _, one in ipairs(redis.call('ZRANGE', holders, 0, 9)) do
    local of = known(one)
    table.insert(listed, of.who) table.insert(listed, of.grant_no)
    table.insert(listed, of.granted_at) table.insert(listed, redis.call('ZSCORE', holders, one))
  end
  if waits and not waiting then
    redis.call('ZADD', queue, redis.call('HINCRBY', lock, 'ticket', 1), token)
    redis.call('ZADD', alive, whole(now + span), token)
    redis.call('HSET', about, token, cjson.encode({who = who, lease = span, asked_at = whole(now)}))
  end
  return {waits and 'waits' or 'busy', whole(now), unpack(listed)}
end
-- Never below the server's clock: a number stays greater than any that was lost with the data.
local number = math.max(tonumber(redis.call('HGET', lock, 'grant_no') or 0) + 1, now)
redis.call('HSET', lock, 'grant_no', whole(number))
redis.call('ZREM', queue, token) redis.call('ZREM', alive, token)
redis.call('ZADD', holders, whole(now + lease), token)
redis.call('HSET', about, token,
           cjson.encode({who = who, lease = lease, asked_at = whole(now), granted_at = whole(now),
                           grant_no = whole(number)}))
return {'held', whole(number)}
"""
)

RENEW = (
    _BEGIN
    + """
local kept = {}
for _, token in ipairs(ARGV) do
  for _, set in ipairs({holders, alive}) do
    local until_ = redis.call('ZSCORE', set, token)
    if until_ and tonumber(until_) > now then
      local of = cjson.decode(redis.call('HGET', about, token))
      redis.call('ZADD', set, whole(now + of.lease), token)
      table.insert(kept, token)
    end
  end
end
return kept
"""
)

TURNS = (
    _BEGIN
    + """
local held = redis.call('ZCOUNT', holders, '(' .. whole(now), '+inf')
local free = tonumber(redis.call('HGET', lock, 'slots') or 1) - held
local turns = {}
for _, token in ipairs(ARGV) do
  local before = 0
  for _, one in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    if one == token then break end
    if tonumber(redis.call('ZSCORE', alive, one) or 0) > now then before = before + 1 end
  end
  if free > before or not redis.call('ZSCORE', queue, token) then table.insert(turns, token) end
end
return turns
"""
)

RELEASE = (
    _BEGIN
    + """
local there = redis.call('ZSCORE', holders, ARGV[1]) or redis.call('ZSCORE', queue, ARGV[1])
forget(ARGV[1])
redis.call('PUBLISH', ARGV[2], '1')
return there and 1 or 0
"""
)

BREAK = (
    _BEGIN
    + """
local broken = {}
for _, token in ipairs(redis.call('ZRANGE', holders, 0, -1)) do
  local of = cjson.decode(redis.call('HGET', about, token))
  if ARGV[2] == '' or ARGV[2] == of.grant_no then
    table.insert(broken, of.grant_no) table.insert(broken, of.who)
    forget(token)
  end
end
redis.call('PUBLISH', ARGV[1], '1')
return broken
"""
)

LIST = (
    _BEGIN
    + """
local rows = {whole(now), redis.call('HGET', lock, 'slots') or '1'}
table.insert(rows, redis.call('HGET', lock, 'grant_no') or '0')
for _, set in ipairs({holders, alive}) do
  for _, token in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    table.insert(rows, redis.call('ZSCORE', set, token))
    table.insert(rows, redis.call('ZSCORE', queue, token) or '')
    table.insert(rows, redis.call('HGET', about, token))
  end
end
return rows
"""
)
