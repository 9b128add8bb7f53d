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
       outcome, delivery, task, key, args, result, gates)
SELECT j.id, :now, j.lane, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker, j.token,
       j.run_no, j.attempt, j.epoch, j.args_version, j.crashes, j.crashes_max, 'done',
       'performed', 'exactly_once', j.task, j.key, j.args, :result, j.gates
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

-- name: begin_works
-- The keys of a whole group's duties. Who does not come back is done already.
INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)
SELECT :app, json_extract(r.value, '$.task'), json_extract(r.value, '$.key'),
       json_extract(r.value, '$.epoch'), 'work', :now, json_extract(r.value, '$.run_no'),
       json_extract(r.value, '$.id'), json_extract(r.value, '$.token')
  FROM json_each(:rows) AS r
 WHERE true
ON CONFLICT (app, task, key, epoch) DO NOTHING
RETURNING token, '', 0

-- name: forget_works
-- Takes duties out of a group whose bodies did not do them.
DELETE FROM dutiful.ledger
 WHERE app = :app
   AND (task, key, epoch, token) IN (
       SELECT json_extract(r.value, '$.task'), json_extract(r.value, '$.key'),
              json_extract(r.value, '$.epoch'), json_extract(r.value, '$.token')
         FROM json_each(:rows) AS r)
RETURNING token

-- name: finish_works
-- As finish_work, for a group: every job whose run still owns it and whose ledger row is there.
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       worker, last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
       outcome, delivery, task, key, args, result, gates)
SELECT j.id, :now, j.lane, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker, j.token,
       j.run_no, j.attempt, j.epoch, j.args_version, j.crashes, j.crashes_max, 'done',
       'performed', 'exactly_once', j.task, j.key, j.args, CAST(json_extract(r.value, '$.result') AS blob),
       j.gates
  FROM json_each(:rows) AS r
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(r.value, '$.id')
 CROSS JOIN dutiful.ledger AS g ON g.app = :app AND g.task = json_extract(r.value, '$.task')
   AND g.key = json_extract(r.value, '$.key') AND g.epoch = json_extract(r.value, '$.epoch')
   AND g.token = json_extract(r.value, '$.token')
 WHERE j.token = json_extract(r.value, '$.token');
DELETE FROM dutiful.job
 WHERE (id, token) IN (
       SELECT json_extract(r.value, '$.id'), json_extract(r.value, '$.token')
         FROM json_each(:rows) AS r
        CROSS JOIN dutiful.ledger AS g ON g.app = :app AND g.task = json_extract(r.value, '$.task')
          AND g.key = json_extract(r.value, '$.key') AND g.epoch = json_extract(r.value, '$.epoch')
          AND g.token = json_extract(r.value, '$.token'))
RETURNING token

-- name: finish_works_elsewhere
-- As finish_work_elsewhere, for a group.
UPDATE dutiful.ledger AS g SET result = r.result
  FROM (SELECT json_extract(e.value, '$.task') AS task, json_extract(e.value, '$.key') AS key,
               json_extract(e.value, '$.epoch') AS epoch, json_extract(e.value, '$.token') AS token,
               CAST(json_extract(e.value, '$.result') AS blob) AS result
          FROM json_each(:rows) AS e) AS r
 WHERE g.app = :app AND g.task = r.task AND g.key = r.key AND g.epoch = r.epoch AND g.token = r.token
RETURNING token
