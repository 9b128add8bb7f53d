-- name: complete_jobs
-- Ends runs well: from the live table into the history. "same_as" names the job that did the duty,
-- where this one found it done; "reason" says in which other database its work is. The token is the fence
-- (a state in the condition must not let the planner choose a partial index); a worker whose lease was
-- taken over matches no row, and learns it.
-- An at_most_once body that was given up and was alive after all closes the doubt, by the last token; the
-- reason says so, for no person did.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING jsonb_to_recordset(:rows::jsonb) AS e(id uuid, token uuid, result text, outcome text,
           same_as uuid, reason text)
     WHERE j.id = ANY (ARRAY[e.id]) AND (j.token = e.token
           OR j.state = 'in_doubt' AND j.started_at IS NOT NULL AND j.last_token = e.token)
       AND (j.started_at IS NULL OR e.outcome IS NULL)
    RETURNING j.*, e.result, coalesce(e.outcome, 'performed') AS outcome, e.same_as,
              CASE WHEN j.state = 'in_doubt' THEN 'reported' ELSE e.reason END AS reason
)
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       worker, last_token, same_as, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
       outcome, delivery, task, key, args, result, doubt, reason, gates)
SELECT g.id, :now, g.lane, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.worker,
       coalesce(g.token, g.last_token), g.same_as, g.run_no, g.attempt, g.epoch, g.args_version,
       g.crashes, g.crashes_max, 'done', g.outcome, g.delivery, g.task, g.key, g.args,
       convert_to(g.result, 'UTF8'), g.doubt, g.reason, g.gates
  FROM gone AS g
RETURNING last_token::text

-- name: return_jobs
-- Ends runs that will be tried again: fail, snooze, release. "back" is the attempt given back,
-- "suspect" what is known of the job afterwards (null: as before). A failure keeps when it was due first. Never a started at_most_once body. What leaves no
-- failure leaves an event.
WITH moved AS (
    UPDATE dutiful.job AS j
       SET state = 'ready', last_token = j.token, token = NULL, worker = NULL,
           attempt = j.attempt - e.back, suspect = coalesce(e.suspect, j.suspect),
           due_at = CASE WHEN e.delay IS NULL THEN j.due_at WHEN e.back = 0 THEN coalesce(j.due_at, j.run_at) END,
           run_at = CASE WHEN e.delay IS NULL THEN j.run_at ELSE t.now + e.delay END,
           ready_seq = CASE WHEN coalesce(e.delay, 0) <= 0 AND j.gates IS NULL THEN nextval('dutiful.ready_seq') END,
           gate_seq = CASE WHEN j.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END,
           admitted = j.gates IS NULL OR coalesce(e.delay, 0) <= 0
      FROM jsonb_to_recordset(:rows::jsonb) AS e(id uuid, token uuid, delay bigint, back integer,
           suspect boolean, kind text, message text, traceback text), (SELECT :now AS now) AS t
     WHERE j.id = ANY (ARRAY[e.id]) AND j.token = e.token AND j.started_at IS NULL
    RETURNING j.id, j.last_token, j.run_no, j.attempt, e.kind, e.message, e.traceback, e.delay, t.now
), noted AS (
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback)
    SELECT m.id, m.run_no, m.attempt, m.now, :worker, m.kind, m.message, m.traceback
      FROM moved AS m WHERE m.kind IS NOT NULL
), traced AS (
    INSERT INTO dutiful.event (job_id, run_no, at, worker, what, delay)
    SELECT m.id, m.run_no, m.now, :worker, CASE WHEN m.delay IS NULL THEN 'released' ELSE 'snoozed' END, m.delay
      FROM moved AS m WHERE m.kind IS NULL
    ON CONFLICT (job_id, run_no) DO NOTHING
)
SELECT m.last_token::text FROM moved AS m

-- name: bury_jobs
-- Ends runs that will not be tried again: they wait for a person, in the table of the dead. As above, an
-- at_most_once body that was given up closes the doubt; what it says replaces what was noted of it.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING jsonb_to_recordset(:rows::jsonb)
        AS e(id uuid, token uuid, reason text, kind text, message text, traceback text,
              fingerprint text)
     WHERE j.id = ANY (ARRAY[e.id]) AND (j.token = e.token
           OR j.state = 'in_doubt' AND j.started_at IS NOT NULL AND j.last_token = e.token)
    RETURNING j.*, e.reason, e.kind, e.message, e.traceback, e.fingerprint
), noted AS (
    INSERT INTO dutiful.failure AS f (job_id, run_no, attempt, failed_at, worker, kind, message, traceback, fingerprint)
    SELECT g.id, g.run_no, g.attempt, :now, g.worker, g.kind, g.message, g.traceback, g.fingerprint
      FROM gone AS g WHERE g.kind IS NOT NULL
    ON CONFLICT (job_id, run_no) DO UPDATE
       SET attempt = excluded.attempt, failed_at = excluded.failed_at, kind = excluded.kind,
           message = excluded.message, traceback = excluded.traceback,
           fingerprint = excluded.fingerprint
)
INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
       task, key, args, gates, fingerprint)
SELECT g.id, g.lane, :now, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.worker,
       coalesce(g.token, g.last_token), g.run_no, g.attempt, g.epoch, g.args_version, g.crashes,
       g.crashes_max, g.reason, g.delivery, g.task, g.key, g.args, g.gates,
       coalesce(g.fingerprint, g.reason || ':' || g.task)
  FROM gone AS g
RETURNING last_token::text

-- name: doubt_jobs
-- Ends runs of which nobody knows what they did: in doubt, until a person, a lookup or a late report by
-- the last token decides. A run that was cut off ("cut") is in doubt only if its body had begun for good.
WITH moved AS (
    UPDATE dutiful.job AS j
       SET state = 'in_doubt', last_token = j.token, token = NULL, worker = NULL, ready_seq = NULL,
           doubt_at = t.now, doubt = e.doubt, gate_seq = CASE WHEN j.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END
      FROM jsonb_to_recordset(:rows::jsonb) AS e(id uuid, token uuid, cut boolean, doubt text, kind text,
           message text, traceback text)
      JOIN dutiful.job AS o ON o.id = ANY (ARRAY[e.id]) AND o.token = e.token, (SELECT :now AS now) AS t
     WHERE j.id = ANY (ARRAY[e.id]) AND j.token = e.token AND (NOT e.cut OR j.started_at IS NOT NULL)
    RETURNING j.id, j.last_token, j.run_no, j.attempt, o.worker, e.kind, e.message, e.traceback, t.now
), noted AS (
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback)
    SELECT m.id, m.run_no, m.attempt - 1, m.now, m.worker, m.kind, m.message, m.traceback FROM moved AS m
)
SELECT m.last_token::text FROM moved AS m

-- name: who_holds
-- Read-back by token: what became of runs whose ending got no answer. A lapse moves the token, too, so
-- it is told apart by what it says of the run.
SELECT r.id::text, r.token::text, j.state, j.token::text, j.last_token::text,
       (SELECT x.last_token::text FROM dutiful.dead AS x WHERE x.id = r.id), h.last_token::text, h.outcome,
       EXISTS (SELECT 1 FROM dutiful.failure AS f
                WHERE f.job_id = r.id AND f.run_no = r.run_no AND f.kind = 'WorkerLost')
  FROM jsonb_to_recordset(:rows::jsonb) AS r(id uuid, token uuid, run_no integer)
  LEFT JOIN dutiful.job AS j ON j.id = ANY (ARRAY[r.id])
  LEFT JOIN LATERAL (SELECT h.last_token, h.outcome FROM dutiful.history AS h
                      WHERE h.id = r.id ORDER BY h.finished_at DESC LIMIT 1) AS h ON true
