-- name: look_at_effect
-- An effect, whether the run that asks still owns its job, and what is known of the last caller: since
-- when it surely calls no more (its call came back, its worker ended, its body raised; a body that was
-- out of time may go on), and whether nothing will ever show that. One row in any case.
SELECT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid), t.now,
       e.state, e.request_hash, e.asked_at, e.sent_at, e.remembered, e.margin, e.tries, e.token::text,
       e.calls_open, e.calls_alive,
       coalesce(e.ended_at,
                CASE WHEN w.gone_how IN ('left', 'reported', 'died') THEN w.gone_at END,
                (SELECT f.failed_at FROM dutiful.failure AS f
                  WHERE f.job_id = e.job_id AND f.run_no = e.run_no
                    AND f.kind NOT IN ('CutOff', 'TimedOut', 'WorkerLost'))),
       w.id IS NULL OR w.gone_at IS NOT NULL, e.result, e.error, e.key
  FROM (SELECT :now AS now) AS t
  LEFT JOIN dutiful.effect AS e
    ON e.app = :app AND e.task = :task AND e.duty = :duty AND e.name = :name
  LEFT JOIN dutiful.worker AS w ON w.id = e.worker

-- name: intend_effect
-- Writes down the first call of an effect, before it is made. The job's row is locked, so that its token
-- cannot change while this commits; and the commit is on disk before anybody is called.
WITH mine AS MATERIALIZED (
    SELECT j.id, j.token, j.run_no, j.worker,
           CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
                THEN set_config('synchronous_commit', 'on', true) END AS durable
      FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid FOR NO KEY UPDATE
)
INSERT INTO dutiful.effect (app, task, duty, name, key, state, run_no, job_id, token, worker, asked_at,
       sent_at, remembered, margin, request_hash)
SELECT :app, :task, :duty, :name, :key, 'intended', m.run_no, m.id, m.token, m.worker, t.now,
       t.now, :remembered::bigint, :margin, :request_hash
  FROM mine AS m, (SELECT :now AS now) AS t
ON CONFLICT (app, task, duty, name) DO NOTHING
RETURNING tries

-- name: resend_effect
-- Writes down one more call of an effect, as it was seen (its state and tries), under the same fence. A
-- fresh one is the only call that may have been applied.
WITH mine AS MATERIALIZED (
    SELECT j.id, j.token, j.run_no, j.worker,
           CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
                THEN set_config('synchronous_commit', 'on', true) END AS durable
      FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid FOR NO KEY UPDATE
)
UPDATE dutiful.effect AS e
   SET state = 'intended', tries = e.tries + 1, run_no = m.run_no, job_id = m.id, token = m.token,
       worker = m.worker, sent_at = t.now,
       asked_at = CASE WHEN :fresh::boolean THEN t.now ELSE e.asked_at END,
       calls_open = CASE WHEN :fresh::boolean THEN 1 ELSE e.calls_open + 1 END,
       calls_alive = CASE WHEN :fresh::boolean THEN 0 ELSE e.calls_alive + :alive::integer END,
       remembered = :remembered::bigint, margin = :margin, request_hash = :request_hash,
       ended_at = NULL, settled_at = NULL, settled_by = NULL, error = NULL
  FROM mine AS m, (SELECT :now AS now) AS t
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty AND e.name = :name
   AND e.state = :seen_state AND e.tries = :seen_tries
RETURNING e.tries

-- name: settle_effect
-- The call was answered. Only by the run that called last, also when it has lost its job meanwhile, and
-- only while the effect is open: what is settled is never changed.
UPDATE dutiful.effect AS e
   SET state = 'done', settled_at = :now, settled_by = 'run', result = :result::bytea, error = :error::text
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty AND e.name = :name
   AND e.token = :token::uuid AND e.tries = :tries AND e.state = 'intended'
RETURNING e.tries

-- name: settle_effect_found
-- A lookup found that the call was applied: written by the run that owns the job now, as it saw the row.
WITH mine AS MATERIALIZED (
    SELECT j.id FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid FOR NO KEY UPDATE
)
UPDATE dutiful.effect AS e
   SET state = 'done', settled_at = :now, settled_by = 'lookup', result = :result::bytea, error = :error::text
  FROM mine AS m
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty AND e.name = :name
   AND e.tries = :tries AND e.state = 'intended'
RETURNING e.tries

-- name: end_call
-- The last call came back without an answer, or with a refusal, which is of this call alone: the effect
-- is refused if no other call of it may have been applied. Once per call.
UPDATE dutiful.effect AS e
   SET ended_at = t.now, error = :error::text, calls_open = e.calls_open - :refused::integer,
       state = CASE WHEN e.calls_open = :refused::integer THEN 'refused' ELSE 'intended' END,
       settled_at = CASE WHEN e.calls_open = :refused::integer THEN t.now END,
       settled_by = CASE WHEN e.calls_open = :refused::integer THEN 'run' END
  FROM (SELECT :now AS now) AS t
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty AND e.name = :name
   AND e.token = :token::uuid AND e.tries = :tries AND e.state = 'intended' AND e.ended_at IS NULL
RETURNING e.state

-- name: list_effects
-- The effects of a duty, in the order in which they were first called.
SELECT e.name, e.key, e.state, e.job_id::text, e.run_no, e.tries, e.calls_open, e.asked_at, e.sent_at,
       e.ended_at, e.settled_at, e.settled_by, e.remembered, e.margin, e.error, e.result
  FROM dutiful.effect AS e
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty
 ORDER BY e.asked_at, e.name
