-- name: list_apps
-- The apps that share this database.
SELECT l.app FROM dutiful.lane AS l UNION SELECT q.app FROM dutiful.queue AS q ORDER BY 1

-- name: find_worker
-- The worker of a running job, gone or not.
SELECT w.id, w.app, w.host, w.pid, w.parent, w.alone, w.lease, w.concurrency, w.started_at,
       w.beat_at, w.file, w.queues, w.tasks, w.marks, w.release, :now, w.gone_how
  FROM dutiful.worker AS w WHERE w.id = :id

-- name: due_by_task
-- What stands due, by queue, task and version of the arguments: who could take it?
SELECT l.queue, j.task, j.args_version, count(*), min(j.run_at)
  FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
 WHERE l.app = :app AND j.state = 'ready' AND j.run_at <= :now
 GROUP BY l.queue, j.task, j.args_version
 ORDER BY l.queue, j.task, j.args_version

-- name: now
-- The clock that all leases go by.
SELECT :now
