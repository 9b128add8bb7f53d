-- name: close_jobs
-- Ends runs whose body never began, or obeyed a request to cancel: skipped, or cancelled. The duty is free
-- again, and the try is given back where no body began. Never a started at_most_once body.
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state, outcome, delivery,
       task, key, args, reason, gates)
SELECT j.id, :now, j.lane, coalesce(j.due_at, j.run_at), j.enqueued_at, j.claimed_at, j.started_at, j.worker,
       j.token, j.run_no, j.attempt - json_extract(e.value, '$.back'), j.epoch, j.args_version, j.crashes,
       j.crashes_max, json_extract(e.value, '$.state'), json_extract(e.value, '$.outcome'), j.delivery,
       j.task, j.key, j.args, json_extract(e.value, '$.reason'), j.gates
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE j.token = json_extract(e.value, '$.token') AND j.started_at IS NULL
   AND (json_extract(e.value, '$.state') = 'done' OR j.cancel_at IS NOT NULL);
DELETE FROM dutiful.duty
 WHERE epoch = 1 AND (app, task, key, job_id) IN (
       SELECT l.app, j.task, j.key, j.id
         FROM json_each(:rows) AS e
        CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
         JOIN dutiful.lane AS l ON l.id = j.lane
        WHERE j.token = json_extract(e.value, '$.token') AND j.started_at IS NULL
          AND (json_extract(e.value, '$.state') = 'done' OR j.cancel_at IS NOT NULL));
DELETE FROM dutiful.job
 WHERE started_at IS NULL AND (id, token) IN (
       SELECT json_extract(e.value, '$.id'), json_extract(e.value, '$.token') FROM json_each(:rows) AS e
        WHERE json_extract(e.value, '$.state') = 'done' OR dutiful_job.cancel_at IS NOT NULL)
RETURNING token

-- name: expire_jobs
-- Ends runs whose job is too late to be begun, by policy: dead, with the reason stale. As above, no try.
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message)
SELECT j.id, j.run_no, j.attempt - 1, :now, j.worker, json_extract(e.value, '$.kind'),
       json_extract(e.value, '$.message')
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE j.token = json_extract(e.value, '$.token') AND j.started_at IS NULL;
INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
       task, key, args, gates, fingerprint)
SELECT j.id, j.lane, :now, coalesce(j.due_at, j.run_at), j.enqueued_at, j.claimed_at, j.started_at, j.worker,
       j.token, j.run_no, j.attempt - 1, j.epoch, j.args_version, j.crashes, j.crashes_max, 'stale',
       j.delivery, j.task, j.key, j.args, j.gates, 'stale:' || j.task
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE j.token = json_extract(e.value, '$.token') AND j.started_at IS NULL;
DELETE FROM dutiful.job
 WHERE started_at IS NULL AND (id, token) IN (
       SELECT json_extract(e.value, '$.id'), json_extract(e.value, '$.token') FROM json_each(:rows) AS e)
RETURNING token

-- name: set_deadlines
-- The instants after which these jobs, stored a moment ago, are too late: given, or counted from when due.
UPDATE dutiful.job AS j
   SET deadline = (SELECT coalesce(json_extract(e.value, '$.deadline'),
                                   j.run_at + json_extract(e.value, '$.within'))
                     FROM json_each(:rows) AS e WHERE json_extract(e.value, '$.id') = j.id)
 WHERE j.id IN (SELECT json_extract(e.value, '$.id') FROM json_each(:rows) AS e) AND j.state = 'ready'

-- name: request_cancel
-- Asks the run of a job to stop; whoever runs it, and whoever claims it next, obeys.
UPDATE dutiful.job SET cancel_at = coalesce(cancel_at, :now) WHERE id = :id AND state = 'running'
RETURNING id

-- name: asked_to_cancel
-- Runs of these workers that were asked to stop.
SELECT j.id, j.token FROM dutiful.job AS j
 WHERE j.cancel_at IS NOT NULL AND j.state = 'running'
   AND j.worker IN (SELECT e.value FROM json_each(:ids) AS e)
