-- name: look_at_effect
-- An effect, whether the run that asks still owns its job, and what is known of the last caller: since
-- when it surely calls no more (its call came back, its worker ended, its body raised; a body that was
-- out of time may go on), and whether nothing will ever show that. One row in any case.
SELECT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id AND j.token = :token), t.now,
       e.state, e.request_hash, e.asked_at, e.sent_at, e.remembered, e.margin, e.tries, e.token,
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
-- Writes down the first call of an effect, before it is made, if the run still owns its job.
INSERT INTO dutiful.effect (app, task, duty, name, key, state, run_no, job_id, token, worker, asked_at,
       sent_at, remembered, margin, request_hash)
SELECT :app, :task, :duty, :name, :key, 'intended', j.run_no, j.id, j.token, j.worker, :now,
       :now, :remembered, :margin, :request_hash
  FROM dutiful.job AS j WHERE j.id = :id AND j.token = :token
ON CONFLICT (app, task, duty, name) DO NOTHING
RETURNING tries

-- name: resend_effect
-- Writes down one more call of an effect, as it was seen (its state and tries), under the same fence. A
-- fresh one is the only call that may have been applied.
UPDATE dutiful.effect AS e
   SET state = 'intended', tries = e.tries + 1, run_no = m.run_no, job_id = m.id, token = m.token,
       worker = m.worker, sent_at = :now,
       asked_at = CASE WHEN :fresh THEN :now ELSE e.asked_at END,
       calls_open = CASE WHEN :fresh THEN 1 ELSE e.calls_open + 1 END,
       calls_alive = CASE WHEN :fresh THEN 0 ELSE e.calls_alive + :alive END,
       remembered = :remembered, margin = :margin, request_hash = :request_hash,
       ended_at = NULL, settled_at = NULL, settled_by = NULL, error = NULL
  FROM (SELECT j.id, j.token, j.run_no, j.worker FROM dutiful.job AS j
         WHERE j.id = :id AND j.token = :token) AS m
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty AND e.name = :name
   AND e.state = :seen_state AND e.tries = :seen_tries
RETURNING tries

-- name: settle_effect
-- The call was answered. Only by the run that called last, also when it has lost its job meanwhile, and
-- only while the effect is open: what is settled is never changed.
UPDATE dutiful.effect
   SET state = 'done', settled_at = :now, settled_by = 'run', result = CAST(:result AS blob), error = :error
 WHERE app = :app AND task = :task AND duty = :duty AND name = :name
   AND token = :token AND tries = :tries AND state = 'intended'
RETURNING tries

-- name: settle_effect_found
-- A lookup found that the call was applied: written by the run that owns the job now, as it saw the row.
UPDATE dutiful.effect
   SET state = 'done', settled_at = :now, settled_by = 'lookup', result = CAST(:result AS blob), error = :error
 WHERE app = :app AND task = :task AND duty = :duty AND name = :name
   AND tries = :tries AND state = 'intended'
   AND EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id AND j.token = :token)
RETURNING tries

-- name: end_call
-- The last call came back without an answer, or with a refusal, which is of this call alone: the effect
-- is refused if no other call of it may have been applied. Once per call.
UPDATE dutiful.effect
   SET ended_at = :now, error = :error, calls_open = calls_open - :refused,
       state = CASE WHEN calls_open = :refused THEN 'refused' ELSE 'intended' END,
       settled_at = CASE WHEN calls_open = :refused THEN :now END,
       settled_by = CASE WHEN calls_open = :refused THEN 'run' END
 WHERE app = :app AND task = :task AND duty = :duty AND name = :name
   AND token = :token AND tries = :tries AND state = 'intended' AND ended_at IS NULL
RETURNING state

-- name: list_effects
-- The effects of a duty, in the order in which they were first called.
SELECT e.name, e.key, e.state, e.job_id, e.run_no, e.tries, e.calls_open, e.asked_at, e.sent_at,
       e.ended_at, e.settled_at, e.settled_by, e.remembered, e.margin, e.error, e.result
  FROM dutiful.effect AS e
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty
 ORDER BY e.asked_at, e.name
