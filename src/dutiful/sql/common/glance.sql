-- name: recent_samples
-- How deep each queue of an app was in the last while, oldest first.
SELECT s.queue, s.at, s.depth FROM dutiful.sample AS s
 WHERE s.app = :app AND s.at > :now - :span ORDER BY s.queue, s.at LIMIT :limit

-- name: recent_rollups
-- What left each queue of an app in the last minutes that are rolled up, and how long it had waited.
SELECT r.queue, r.done + r.dead + r.cancelled, r.waits, (SELECT c.last_at FROM dutiful.chore AS c WHERE c.name = 'rolled'), :now
  FROM dutiful.rollup AS r
 WHERE r.app = :app AND r.grain = 60000000 AND r.queue <> '' AND r.task = '' AND r.at >= :now - :span
 ORDER BY r.queue, r.at LIMIT :limit
