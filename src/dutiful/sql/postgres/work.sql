-- name: begin_work
-- First in the work transaction: the duty's key in the ledger. A second run of the duty waits here for
-- the first; no row says that the duty is done. The transaction's number is for the read-back.
INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)
VALUES (:app, :task, :key, :epoch, 'work', :now, :run_no, :id::uuid, :token::uuid)
ON CONFLICT (app, task, key, epoch) DO NOTHING
RETURNING pg_current_xact_id()::text, pg_backend_pid()

-- name: look_at_work
-- Why a completion matched no row: is the ledger row still there, does the run still own its job?
SELECT EXISTS (SELECT 1 FROM dutiful.ledger AS g
                WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch
                  AND g.token = :token::uuid),
       EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid)

-- name: finish_work
-- Last in the work transaction, in the queue's own database: the run's job is done, if it is still
-- this run's (the fence) and the ledger row is still there (else the body rolled its work back). Sets
-- the mark without which the commit is refused.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING dutiful.ledger AS g
     WHERE j.id = :id::uuid AND j.token = :token::uuid
       AND g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch AND g.token = :token::uuid
    RETURNING j.*
), kept AS (
    INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
           worker, last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
           outcome, delivery, task, key, args, result, gates)
    SELECT j.id, :now, j.lane, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker, j.token,
           j.run_no, j.attempt, j.epoch, j.args_version, j.crashes, j.crashes_max, 'done',
           'performed', 'exactly_once', j.task, j.key, j.args, :result::bytea, j.gates
      FROM gone AS j
    RETURNING last_token::text AS token
)
SELECT set_config('dutiful.settled',
                  coalesce(current_setting('dutiful.settled', true), '') || ' ' || k.token, true)
  FROM kept AS k

-- name: finish_work_elsewhere
-- The same in a database that does not hold the job: the result goes into the ledger, under the token.
WITH kept AS (
    UPDATE dutiful.ledger AS g SET result = :result::bytea
     WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch AND g.token = :token::uuid
    RETURNING g.token::text AS token
)
SELECT set_config('dutiful.settled',
                  coalesce(current_setting('dutiful.settled', true), '') || ' ' || k.token, true)
  FROM kept AS k

-- name: begin_works
-- The keys of a whole group's duties, in key order (else two groups deadlock). Who does not come back is
-- done already.
INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)
SELECT :app, r.task, r.key, r.epoch, 'work', t.now, r.run_no, r.id, r.token
  FROM (SELECT :now AS now) AS t,
       jsonb_to_recordset(:rows::jsonb)
       AS r(id uuid, token uuid, run_no integer, task text, key text, epoch integer)
 ORDER BY r.task, r.key, r.epoch
ON CONFLICT (app, task, key, epoch) DO NOTHING
RETURNING token::text, pg_current_xact_id()::text, pg_backend_pid()

-- name: forget_works
-- Takes duties out of a group whose bodies did not do them; they are settled in that nothing is kept.
WITH gone AS (
    DELETE FROM dutiful.ledger AS g
     WHERE g.ctid = ANY (ARRAY(
           SELECT mine.at
             FROM jsonb_to_recordset(:rows::jsonb) AS r(token uuid, task text, key text, epoch integer)
                  CROSS JOIN LATERAL
                  (SELECT l.ctid AS at FROM dutiful.ledger AS l
                    WHERE l.app = :app AND l.task = r.task AND l.key = r.key AND l.epoch = r.epoch
                      AND l.token = r.token LIMIT 1) AS mine))
    RETURNING g.token::text AS token
), marked AS MATERIALIZED (
    SELECT set_config('dutiful.settled',
                      coalesce(current_setting('dutiful.settled', true), '') || ' '
                      || string_agg(k.token, ' '), true) AS mark
      FROM gone AS k HAVING count(*) > 0
)
SELECT k.token FROM gone AS k, marked AS m WHERE m.mark IS NOT NULL

-- name: finish_works
-- As finish_work, for a group: every job whose run still owns it and whose ledger row is there. LIMIT
-- keeps the planner from reading the whole ledger into a hash (337 µs a job after 20,000, and growing).
WITH gone AS (
    DELETE FROM dutiful.job AS j
     USING jsonb_to_recordset(:rows::jsonb)
           AS r(id uuid, token uuid, task text, key text, epoch integer, result text)
           CROSS JOIN LATERAL
           (SELECT g.token FROM dutiful.ledger AS g
             WHERE g.app = :app AND g.task = r.task AND g.key = r.key AND g.epoch = r.epoch
               AND g.token = r.token LIMIT 1) AS mine
     WHERE j.id = ANY (ARRAY[r.id]) AND j.token = r.token
    RETURNING j.*, r.result
), kept AS (
    INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
           worker, last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
           outcome, delivery, task, key, args, result, gates)
    SELECT j.id, t.now, j.lane, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker, j.token,
           j.run_no, j.attempt, j.epoch, j.args_version, j.crashes, j.crashes_max, 'done',
           'performed', 'exactly_once', j.task, j.key, j.args, convert_to(j.result, 'UTF8'), j.gates
      FROM gone AS j, (SELECT :now AS now) AS t
    RETURNING last_token::text AS token
), marked AS MATERIALIZED (
    SELECT set_config('dutiful.settled',
                      coalesce(current_setting('dutiful.settled', true), '') || ' '
                      || string_agg(k.token, ' '), true) AS mark
      FROM kept AS k HAVING count(*) > 0
)
SELECT k.token FROM kept AS k, marked AS m WHERE m.mark IS NOT NULL

-- name: finish_works_elsewhere
-- As finish_work_elsewhere, for a group.
WITH kept AS (
    UPDATE dutiful.ledger AS g SET result = convert_to(r.result, 'UTF8')
      FROM jsonb_to_recordset(:rows::jsonb)
           AS r(token uuid, task text, key text, epoch integer, result text)
           CROSS JOIN LATERAL
           (SELECT l.ctid AS at FROM dutiful.ledger AS l
             WHERE l.app = :app AND l.task = r.task AND l.key = r.key AND l.epoch = r.epoch
               AND l.token = r.token LIMIT 1) AS mine
     WHERE g.ctid = mine.at
    RETURNING g.token::text AS token
), marked AS MATERIALIZED (
    SELECT set_config('dutiful.settled',
                      coalesce(current_setting('dutiful.settled', true), '') || ' '
                      || string_agg(k.token, ' '), true) AS mark
      FROM kept AS k HAVING count(*) > 0
)
SELECT k.token FROM kept AS k, marked AS m WHERE m.mark IS NOT NULL
