-- name: begin_work
-- First in the work transaction: the duty's key in the ledger. No row says that the duty is done.
INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)
VALUES (:app, :task, :key, :epoch, 'work', :now, :run_no, :id, :token)
ON CONFLICT (app, task, key, epoch) DO NOTHING
RETURNING '', 0

-- name: look_at_work
-- Why a completion matched no row: is the ledger row still there, does the run still own its job?
SELECT EXISTS (SELECT 1 FROM dutiful.ledger AS g
                WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch
                  AND g.token = :token),
       EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id AND j.token = :token)

-- name: finish_work
-- Last in the work transaction, in the queue's own file: the run's job is done, if it is still this
-- run's (the fence) and the ledger row is still there (else the body rolled its work back).
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       worker, last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
       outcome, delivery, task, key, args, result)
SELECT j.id, :now, j.lane, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker, j.token,
       j.run_no, j.attempt, j.epoch, j.args_version, j.crashes, j.crashes_max, 'done',
       'performed', j.delivery, j.task, j.key, j.args, :result
  FROM dutiful.job AS j
 WHERE j.id = :id AND j.token = :token
   AND EXISTS (SELECT 1 FROM dutiful.ledger AS g
                WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch
                  AND g.token = :token);
DELETE FROM dutiful.job
 WHERE id = :id AND token = :token
   AND EXISTS (SELECT 1 FROM dutiful.ledger AS g
                WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch
                  AND g.token = :token)
RETURNING token

-- name: finish_work_elsewhere
-- The same in a file that does not hold the job: the result goes into the ledger, under the token.
UPDATE dutiful.ledger SET result = :result
 WHERE app = :app AND task = :task AND key = :key AND epoch = :epoch AND token = :token
RETURNING token
