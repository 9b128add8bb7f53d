-- name: add_history_days
-- SQLite has no partitions.
SELECT 0

-- name: prune_history
-- Forgets endings that are older than :keep, a bounded piece at a time, and counts them (I11); whether more is left.
INSERT INTO dutiful.delta (lane, task, kind, n)
SELECT o.lane, o.task, 'pruned', count(*)
  FROM (SELECT h.lane, h.task FROM dutiful.history AS h
         WHERE h.finished_at < :now - :keep ORDER BY h.finished_at, h.id LIMIT :limit) AS o
 GROUP BY o.lane, o.task;
DELETE FROM dutiful.history
 WHERE (id, finished_at) IN (SELECT h.id, h.finished_at FROM dutiful.history AS h
                              WHERE h.finished_at < :now - :keep ORDER BY h.finished_at, h.id LIMIT :limit);
SELECT changes() = :limit

-- name: prune_duties
-- Forgets duties whose job ended longer ago than they are remembered; walks the key from a cursor,
-- a bounded piece at a time. The last row says where it came to.
CREATE TEMP TABLE IF NOT EXISTS dutiful_piece (app, task, key, job_id, remember, taken_at, done_at);
DELETE FROM temp.dutiful_piece;
INSERT INTO temp.dutiful_piece
SELECT d.app, d.task, d.key, d.job_id, d.remember, d.taken_at, d.done_at
  FROM dutiful.duty AS d WHERE (d.app, d.task, d.key) > (:app, :task, :key)
 ORDER BY d.app, d.task, d.key LIMIT :limit;
DELETE FROM dutiful.duty
 WHERE (app, task, key) IN (
    SELECT p.app, p.task, p.key FROM temp.dutiful_piece AS p
     WHERE p.taken_at < :now - p.remember
       AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = p.job_id)
       AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS x WHERE x.id = p.job_id)
       AND coalesce(p.done_at, (SELECT max(h.finished_at) FROM dutiful.history AS h
                                 WHERE h.id = p.job_id), 0) < :now - p.remember);
SELECT p.app, p.task, p.key, changes()
  FROM temp.dutiful_piece AS p ORDER BY p.app DESC, p.task DESC, p.key DESC LIMIT 1
