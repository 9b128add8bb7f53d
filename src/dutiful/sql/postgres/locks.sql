-- name: lock_lock
-- Whoever grants holds this row, so that holders are counted by one at a time (P11). What it counts it must
-- ask for in later statements, which see what the one before has committed.
SELECT l.slots, l.grant_no, l.ticket FROM dutiful.lock AS l
 WHERE l.app = :app AND l.name = :name FOR UPDATE

-- name: drop_lapsed_asks
-- Holders and waiters that were not heard of in time. One that is being renewed at this moment is let be: it
-- is alive, and goes on to count; nobody waits for anybody here.
DELETE FROM dutiful.lock_ask AS a
 USING (SELECT o.token FROM dutiful.lock_ask AS o
         WHERE o.app = :app AND o.name = :name AND o.until <= :now FOR UPDATE SKIP LOCKED) AS gone
 WHERE a.token = gone.token RETURNING a.grant_no, a.who

-- name: renew_asks
-- One statement for all that a process holds or waits for. What has lapsed is never brought back: another may
-- hold it. In the order of tokens, so that two of these cannot lock each other out.
UPDATE dutiful.lock_ask AS a SET until = :now + a.lease
  FROM (SELECT o.token FROM dutiful.lock_ask AS o
         WHERE o.token IN (SELECT e.value FROM jsonb_array_elements_text(:tokens::jsonb) AS e(value))
         ORDER BY o.token FOR UPDATE) AS mine
 WHERE a.token = mine.token AND a.until > :now RETURNING a.token

-- name: lock_turns
-- For those that wait: how many slots are free for each when all before it have theirs. Counts what is
-- committed and not lapsed; only a hint, the grant decides.
SELECT a.token,
       l.slots - (SELECT count(*) FROM dutiful.lock_ask AS o
                   WHERE o.app = a.app AND o.name = a.name AND o.until > :now
                     AND (o.grant_no IS NOT NULL OR o.ticket < a.ticket))
  FROM dutiful.lock_ask AS a JOIN dutiful.lock AS l ON l.app = a.app AND l.name = a.name
 WHERE a.token IN (SELECT e.value FROM jsonb_array_elements_text(:tokens::jsonb) AS e(value))
