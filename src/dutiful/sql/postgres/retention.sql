-- name: add_history_days
-- Partitions of the history from today on, so that no ending ever waits for one to be made.
SELECT dutiful.add_history_days(:now, :days::integer)

-- name: prune_history
-- Drops a whole day that is older than :keep, or what lies so old in the default partition; whether more is left.
SELECT dutiful.drop_history_before(:now - :keep::bigint)

-- name: prune_duties
-- Forgets duties whose job ended longer ago than they are remembered; walks the key from a cursor,
-- a bounded piece at a time. The last row says where it came to.
WITH piece AS (
    SELECT d.app, d.task, d.key, d.job_id, d.remember, d.taken_at, d.done_at, d.turn
      FROM dutiful.duty AS d WHERE (d.app, d.task, d.key) > (:app::text, :task::text, :key::text)
     ORDER BY d.app, d.task, d.key LIMIT :limit
), ended AS (
    SELECT p.*, coalesce(p.done_at, (SELECT max(h.finished_at) FROM dutiful.history AS h
                                      WHERE h.id = p.job_id)) AS ended_at
      FROM piece AS p
     WHERE p.taken_at < :now - p.remember
       AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = p.job_id)
       AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS x WHERE x.id = p.job_id)
), gone AS (
    DELETE FROM dutiful.duty AS d USING ended AS e
     WHERE d.app = e.app AND d.task = e.task AND d.key = e.key AND d.turn = e.turn
       AND coalesce(e.ended_at, 0) < :now - e.remember
    RETURNING 1
)
SELECT p.app, p.task, p.key, (SELECT count(*) FROM gone)
  FROM piece AS p ORDER BY p.app DESC, p.task DESC, p.key DESC LIMIT 1
