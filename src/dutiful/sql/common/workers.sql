-- name: add_worker
-- A worker's row: its jobs' leases are this row's beat.
INSERT INTO dutiful.worker (app, host, pid, parent, alone, release, lease, concurrency,
       started_at, beat_at, file, queues, tasks)
VALUES (:app, :host, :pid, :parent, :alone, :release, :lease, :concurrency, :now, :now, :file,
        :queues, :tasks)
RETURNING id

-- name: due_workers
-- For the brake: how many workers are not yet gone, how many of them are due to be (a worker and its
-- children are one, for they fall silent together), and how many that are gone may still hold jobs:
-- lately gone ones (:fresh), and for a last look those that are gone for longer than a lease, in
-- which a claim that was under way then has surely ended. And since when somebody brakes.
SELECT count(DISTINCT CASE WHEN w.gone_at IS NULL THEN coalesce(w.parent, w.id) END),
       count(DISTINCT CASE WHEN w.gone_at IS NULL AND w.beat_at < :now - w.lease
                           THEN coalesce(w.parent, w.id) END),
       count(CASE WHEN w.gone_at > :now - :fresh OR w.gone_at < :now - w.lease THEN 1 END),
       (SELECT :now - c.last_at FROM dutiful.chore AS c WHERE c.name = 'brake')
  FROM dutiful.worker AS w WHERE w.reaped_at IS NULL

-- name: live_workers
-- Workers not yet gone, with what a newcomer and a liveness probe need.
SELECT w.id, w.app, w.host, w.pid, w.parent, w.alone, w.lease, w.concurrency, w.started_at,
       w.beat_at, w.file, w.queues, w.tasks, w.marks, w.release, :now
  FROM dutiful.worker AS w WHERE w.gone_at IS NULL AND w.reaped_at IS NULL ORDER BY w.id

-- name: unreaped_workers
-- Workers that are gone and whose jobs may not all have lapsed yet.
SELECT w.id, w.host, w.file FROM dutiful.worker AS w
 WHERE w.gone_at IS NOT NULL AND w.reaped_at IS NULL ORDER BY w.id

-- name: close_reaped
-- A worker that is gone for longer than a lease and holds nothing needs no further pass: a claim
-- that was under way when it was marked gone has ended by now, and a later one is refused.
UPDATE dutiful.worker AS w SET reaped_at = :now
 WHERE w.gone_at < :now - w.lease AND w.reaped_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.state = 'running' AND j.worker = w.id)

-- name: forget_workers
-- Rows of workers that were reaped long ago. While a doubt stands whose run one of them had, its row is the
-- proof that the run is dead.
DELETE FROM dutiful.worker
 WHERE reaped_at < :now - :keep
   AND id NOT IN (SELECT f.worker FROM dutiful.job AS j
                    JOIN dutiful.failure AS f ON f.job_id = j.id AND f.run_no = j.run_no
                   WHERE j.doubt_at IS NOT NULL AND f.worker IS NOT NULL)

-- name: chore_turn
-- One worker does a chore for all: the turn is taken by whoever finds it due first.
INSERT INTO dutiful.chore AS c (name, last_at) VALUES (:name, :now)
ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at
 WHERE c.last_at <= excluded.last_at - :period
RETURNING name

-- name: let_go_brake
-- The mass for which reapers braked was reaped, or is none any more: the next one is waited for anew.
DELETE FROM dutiful.chore WHERE name = 'brake'
