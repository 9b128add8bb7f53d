-- name: complete_jobs
-- Ends runs well: from the live table into the history. "same_as" names the job that did the duty,
-- where this one found it done. The token is the fence, alone (a state in the condition would let the
-- planner choose a partial index); a worker whose lease was taken over matches no row, and learns it.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING jsonb_to_recordset(:rows::jsonb) AS e(id uuid, token uuid, result text, outcome text, same_as uuid)
     WHERE j.id = e.id AND j.token = e.token
    RETURNING j.*, e.result, coalesce(e.outcome, 'performed') AS outcome, e.same_as
)
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       worker, last_token, same_as, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
       outcome, delivery, task, key, args, result)
SELECT g.id, :now, g.lane, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.worker, g.token,
       g.same_as, g.run_no, g.attempt, g.epoch, g.args_version, g.crashes, g.crashes_max, 'done',
       g.outcome, g.delivery, g.task, g.key, g.args, convert_to(g.result, 'UTF8')
  FROM gone AS g
RETURNING last_token::text

-- name: return_jobs
-- Ends runs that will be tried again: fail, snooze, release. "back" is the attempt given back,
-- "suspect" what is known of the job afterwards (null: as before).
WITH moved AS (
    UPDATE dutiful.job AS j
       SET state = 'ready', last_token = j.token, token = NULL, worker = NULL,
           attempt = j.attempt - e.back, suspect = coalesce(e.suspect, j.suspect),
           run_at = CASE WHEN e.delay IS NULL THEN j.run_at ELSE t.now + e.delay END,
           ready_seq = CASE WHEN coalesce(e.delay, 0) <= 0 THEN nextval('dutiful.ready_seq') END
      FROM jsonb_to_recordset(:rows::jsonb) AS e(id uuid, token uuid, delay bigint, back integer,
           suspect boolean, kind text, message text, traceback text), (SELECT :now AS now) AS t
     WHERE j.id = e.id AND j.token = e.token
    RETURNING j.id, j.last_token, j.run_no, j.attempt, e.kind, e.message, e.traceback, t.now
), noted AS (
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback)
    SELECT m.id, m.run_no, m.attempt, m.now, :worker, m.kind, m.message, m.traceback
      FROM moved AS m WHERE m.kind IS NOT NULL
)
SELECT m.last_token::text FROM moved AS m

-- name: bury_jobs
-- Ends runs that will not be tried again: they wait for a person, in the table of the dead.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING jsonb_to_recordset(:rows::jsonb)
        AS e(id uuid, token uuid, reason text, kind text, message text, traceback text)
     WHERE j.id = e.id AND j.token = e.token
    RETURNING j.*, e.reason, e.kind, e.message, e.traceback
), noted AS (
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback)
    SELECT g.id, g.run_no, g.attempt, :now, g.worker, g.kind, g.message, g.traceback
      FROM gone AS g WHERE g.kind IS NOT NULL
)
INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
       task, key, args)
SELECT g.id, g.lane, :now, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.worker, g.token,
       g.run_no, g.attempt, g.epoch, g.args_version, g.crashes, g.crashes_max, g.reason, g.delivery,
       g.task, g.key, g.args
  FROM gone AS g
RETURNING last_token::text

-- name: who_holds
-- Read-back by token: what became of runs whose ending got no answer. A lapse moves the token, too, so
-- it is told apart by what it says of the run.
SELECT r.id::text, r.token::text, j.state, j.token::text, j.last_token::text,
       (SELECT x.last_token::text FROM dutiful.dead AS x WHERE x.id = r.id), h.last_token::text, h.outcome,
       EXISTS (SELECT 1 FROM dutiful.failure AS f
                WHERE f.job_id = r.id AND f.run_no = r.run_no AND f.kind = 'WorkerLost')
  FROM jsonb_to_recordset(:rows::jsonb) AS r(id uuid, token uuid, run_no integer)
  LEFT JOIN dutiful.job AS j ON j.id = r.id
  LEFT JOIN LATERAL (SELECT h.last_token, h.outcome FROM dutiful.history AS h
                      WHERE h.id = r.id ORDER BY h.finished_at DESC LIMIT 1) AS h ON true
