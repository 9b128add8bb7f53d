-- name: start_job
-- The point of no return of an at_most_once run, before the first line of its body: under the fence, the
-- duty's key in the ledger and, with it, started_at. Said twice by one run it is said once. Its commit
-- waits for the disk, and for a synchronous standby, where the session's would not; a stronger setting
-- is left alone.
WITH mine AS MATERIALIZED (
    SELECT j.id, j.run_no, j.epoch,
           CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
                THEN set_config('synchronous_commit', 'on', true) END AS durable
      FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid FOR NO KEY UPDATE
), nonce AS (
    INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)
    SELECT :app, :task, :key, m.epoch, 'start', :now, m.run_no, m.id, :token::uuid FROM mine AS m
    ON CONFLICT (app, task, key, epoch) DO NOTHING
    RETURNING token
), own AS (
    SELECT n.token FROM nonce AS n
    UNION ALL
    SELECT g.token FROM dutiful.ledger AS g JOIN mine AS m ON g.epoch = m.epoch
     WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.token = :token::uuid
)
UPDATE dutiful.job AS j
   SET started_at = coalesce(j.started_at, :now), delivery = 'at_most_once'
  FROM mine AS m, own AS o
 WHERE j.id = ANY (ARRAY[m.id]) AND j.token = o.token
RETURNING j.id::text

-- name: look_at_start
-- Why a start matched no row: whether the run still owns its job, and whose the duty is.
SELECT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid),
       g.job_id::text, g.token::text
  FROM (SELECT 1) AS t LEFT JOIN dutiful.ledger AS g
    ON g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch
