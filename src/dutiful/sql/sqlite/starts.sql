-- name: start_job
-- The point of no return of an at_most_once run, before the first line of its body: under the fence, the
-- duty's key in the ledger and, with it, started_at. Said twice by one run it is said once. (The engine
-- makes the commit wait for the disk.)
INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)
SELECT :app, :task, :key, j.epoch, 'start', :now, j.run_no, j.id, j.token
  FROM dutiful.job AS j WHERE j.id = :id AND j.token = :token
ON CONFLICT (app, task, key, epoch) DO NOTHING;
UPDATE dutiful.job AS j
   SET started_at = coalesce(j.started_at, :now), delivery = 'at_most_once'
 WHERE j.id = :id AND j.token = :token
   AND EXISTS (SELECT 1 FROM dutiful.ledger AS g
                WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = j.epoch
                  AND g.token = :token)
RETURNING id

-- name: look_at_start
-- Why a start matched no row: whether the run still owns its job, and whose the duty is.
SELECT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id AND j.token = :token), g.job_id, g.token
  FROM (SELECT 1) AS t LEFT JOIN dutiful.ledger AS g
    ON g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch
