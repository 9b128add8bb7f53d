-- name: remember_long
-- Before endings are forgotten: duties that are remembered for longer note when they were done.
UPDATE dutiful.duty AS d
   SET done_at = (SELECT max(h.finished_at) FROM dutiful.history AS h
                   WHERE h.id = d.job_id AND h.state = 'done')
 WHERE d.done_at IS NULL AND d.remember > :keep AND d.taken_at < :now - :keep
   AND EXISTS (SELECT 1 FROM dutiful.history AS h WHERE h.id = d.job_id AND h.state = 'done')
   AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = d.job_id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS x WHERE x.id = d.job_id)

-- name: failures_until
-- The end of a piece of what runs died of long ago, from :after on: when the next one behind it failed.
SELECT o.failed_at FROM dutiful.failure AS o
 WHERE o.failed_at > :after AND o.failed_at < :now - :keep
 ORDER BY o.failed_at LIMIT 1 OFFSET :limit

-- name: prune_failures
-- What runs died of is kept as long as their jobs are: dead ones for good.
DELETE FROM dutiful.failure
 WHERE failed_at > :after AND failed_at <= :until AND failed_at < :now - :keep
   AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = job_id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = job_id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.history AS h WHERE h.id = job_id)

-- name: events_until
-- The same of how runs ended.
SELECT o.at FROM dutiful.event AS o
 WHERE o.at > :after AND o.at < :now - :keep
 ORDER BY o.at LIMIT 1 OFFSET :limit

-- name: prune_events
-- How runs ended is kept as long as their jobs are.
DELETE FROM dutiful.event
 WHERE at > :after AND at <= :until AND at < :now - :keep
   AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = job_id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = job_id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.history AS h WHERE h.id = job_id)
