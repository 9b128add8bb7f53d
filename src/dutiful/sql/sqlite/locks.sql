-- name: lock_lock
-- The lock as it is. SQLite has one writer, so whoever grants is alone.
SELECT l.slots, l.grant_no, l.ticket FROM dutiful.lock AS l WHERE l.app = :app AND l.name = :name

-- name: drop_lapsed_asks
-- Holders and waiters that were not heard of in time.
DELETE FROM dutiful.lock_ask WHERE app = :app AND name = :name AND until <= :now RETURNING grant_no, who

-- name: renew_asks
-- One statement for all that a process holds or waits for. What has lapsed is never brought back: another may
-- hold it.
UPDATE dutiful.lock_ask SET until = :now + lease
 WHERE token IN (SELECT e.value FROM json_each(:tokens) AS e) AND until > :now RETURNING token

-- name: lock_turns
-- For those that wait: how many slots are free for each when all before it have theirs. Only a hint.
SELECT a.token,
       l.slots - (SELECT count(*) FROM dutiful.lock_ask AS o
                   WHERE o.app = a.app AND o.name = a.name AND o.until > :now
                     AND (o.grant_no IS NOT NULL OR o.ticket < a.ticket))
  FROM dutiful.lock_ask AS a JOIN dutiful.lock AS l ON l.app = a.app AND l.name = a.name
 WHERE a.token IN (SELECT e.value FROM json_each(:tokens) AS e)
