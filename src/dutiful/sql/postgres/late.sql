-- name: close_jobs
-- Ends runs whose body never began, or obeyed a request to cancel: skipped, or cancelled. The duty is free
-- again, and the try is given back where no body began. Never a started at_most_once body.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING jsonb_to_recordset(:rows::jsonb)
        AS e(id uuid, token uuid, state text, outcome text, back integer, reason text)
     WHERE j.id = ANY (ARRAY[e.id]) AND j.token = e.token AND j.started_at IS NULL
       AND (e.state = 'done' OR j.cancel_at IS NOT NULL)
    RETURNING j.*, e.state AS ended, e.outcome, e.back, e.reason
), freed AS (
    DELETE FROM dutiful.duty AS d USING gone AS g, dutiful.lane AS l
     WHERE l.id = g.lane AND d.app = l.app AND d.task = g.task AND d.key = g.key AND d.job_id = g.id
       AND d.epoch = 1
)
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state, outcome, delivery,
       task, key, args, reason, gates)
SELECT g.id, :now, g.lane, coalesce(g.due_at, g.run_at), g.enqueued_at, g.claimed_at, g.started_at,
       g.worker, g.token, g.run_no, g.attempt - g.back, g.epoch, g.args_version, g.crashes, g.crashes_max,
       g.ended, g.outcome, g.delivery, g.task, g.key, g.args, g.reason, g.gates
  FROM gone AS g
RETURNING last_token::text

-- name: expire_jobs
-- Ends runs whose job is too late to be begun, by policy: dead, with the reason stale. As above, no try.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING jsonb_to_recordset(:rows::jsonb) AS e(id uuid, token uuid, kind text, message text)
     WHERE j.id = ANY (ARRAY[e.id]) AND j.token = e.token AND j.started_at IS NULL
    RETURNING j.*, e.kind, e.message
), noted AS (
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message)
    SELECT g.id, g.run_no, g.attempt - 1, :now, g.worker, g.kind, g.message FROM gone AS g
)
INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
       task, key, args, gates, fingerprint)
SELECT g.id, g.lane, :now, coalesce(g.due_at, g.run_at), g.enqueued_at, g.claimed_at, g.started_at,
       g.worker, g.token, g.run_no, g.attempt - 1, g.epoch, g.args_version, g.crashes, g.crashes_max,
       'stale', g.delivery, g.task, g.key, g.args, g.gates, 'stale:' || g.task
  FROM gone AS g
RETURNING last_token::text

-- name: set_deadlines
-- The instants after which these jobs, stored a moment ago, are too late: given, or counted from when due.
UPDATE dutiful.job AS j SET deadline = coalesce(r.deadline, j.run_at + r.within)
  FROM jsonb_to_recordset(:rows::jsonb) AS r(id uuid, deadline bigint, within bigint)
 WHERE j.id = ANY (ARRAY[r.id]) AND j.state = 'ready'

-- name: request_cancel
-- Asks the run of a job to stop; whoever runs it, and whoever claims it next, obeys.
UPDATE dutiful.job SET cancel_at = coalesce(cancel_at, :now) WHERE id = :id::uuid AND state = 'running'
RETURNING id::text

-- name: asked_to_cancel
-- Runs of these workers that were asked to stop.
SELECT j.id::text, j.token::text FROM dutiful.job AS j
 WHERE j.cancel_at IS NOT NULL AND j.state = 'running'
   AND j.worker IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:ids::jsonb) AS e(value))
