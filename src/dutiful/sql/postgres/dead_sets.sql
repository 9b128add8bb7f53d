-- name: judge_dead
-- What is known of dead jobs that somebody wants to bring back: who holds the duty of each, who did it, and
-- which of its effects has no known outcome. Nobody else takes them away meanwhile, or asks the same. (Joined with
-- the list instead, all the dead are walked in the order of their ids: our sessions avoid sorts.)
SELECT d.id::text, d.run_no, d.task, l.queue, d.key, d.delivery, d.started_at IS NOT NULL, d.epoch, d.reason,
       d.died_at, d.fingerprint, u.job_id::text,
       coalesce((SELECT j.state FROM dutiful.job AS j WHERE j.id = u.job_id),
                (SELECT 'dead' FROM dutiful.dead AS x WHERE x.id = u.job_id),
                (SELECT coalesce(h.outcome, h.state) FROM dutiful.history AS h WHERE h.id = u.job_id
                  ORDER BY h.finished_at DESC LIMIT 1)),
       (SELECT g.job_id::text FROM dutiful.ledger AS g
         WHERE g.app = l.app AND g.task = d.task AND g.key = coalesce(d.key, d.id::text)
           AND g.epoch = d.epoch AND g.kind = 'work'),
       (SELECT min(e.name) FROM dutiful.effect AS e
         WHERE e.app = l.app AND e.task = d.task AND e.duty = coalesce(d.key, d.id::text) AND e.state = 'intended'),
       :now
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.duty AS u ON u.app = l.app AND u.task = d.task AND u.key = d.key AND u.job_id <> d.id
 WHERE l.app = :app
   AND d.id = ANY(ARRAY(SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)))
 ORDER BY d.id FOR UPDATE OF d

-- name: look_at_dead
-- The same, for a look: nothing is locked.
SELECT d.id::text, d.run_no, d.task, l.queue, d.key, d.delivery, d.started_at IS NOT NULL, d.epoch, d.reason,
       d.died_at, d.fingerprint, u.job_id::text,
       coalesce((SELECT j.state FROM dutiful.job AS j WHERE j.id = u.job_id),
                (SELECT 'dead' FROM dutiful.dead AS x WHERE x.id = u.job_id),
                (SELECT coalesce(h.outcome, h.state) FROM dutiful.history AS h WHERE h.id = u.job_id
                  ORDER BY h.finished_at DESC LIMIT 1)),
       (SELECT g.job_id::text FROM dutiful.ledger AS g
         WHERE g.app = l.app AND g.task = d.task AND g.key = coalesce(d.key, d.id::text)
           AND g.epoch = d.epoch AND g.kind = 'work'),
       (SELECT min(e.name) FROM dutiful.effect AS e
         WHERE e.app = l.app AND e.task = d.task AND e.duty = coalesce(d.key, d.id::text) AND e.state = 'intended'),
       :now
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.duty AS u ON u.app = l.app AND u.task = d.task AND u.key = d.key AND u.job_id <> d.id
 WHERE l.app = :app
   AND d.id = ANY(ARRAY(SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)))
 ORDER BY d.id

-- name: places_of
-- Where jobs are that are not dead (any more).
SELECT e.value, coalesce((SELECT j.state FROM dutiful.job AS j WHERE j.id = e.value::uuid),
       (SELECT coalesce(h.outcome, h.state) FROM dutiful.history AS h WHERE h.id = e.value::uuid
         ORDER BY h.finished_at DESC LIMIT 1))
  FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)

-- name: regain_duties
-- Jobs that come back to life take their duties again, where nobody else holds them. In the order of keys.
INSERT INTO dutiful.duty AS d (app, task, key, job_id, taken_at, remember, epoch, args_hash)
SELECT :app, r.task, r.key, r.id, :now, :remember, r.epoch, ''
  FROM jsonb_to_recordset(:rows::jsonb) AS r(id uuid, task text, key text, epoch integer)
 ORDER BY r.task, r.key
ON CONFLICT (app, task, key) DO UPDATE
   SET turn = d.turn + 1, done_at = NULL, epoch = greatest(d.epoch, excluded.epoch)
 WHERE d.job_id = excluded.job_id
RETURNING job_id::text

-- name: revive_dead_set
-- retry of many: see "revive_dead".
WITH gone AS (
    DELETE FROM dutiful.dead AS d
     WHERE d.id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)) RETURNING d.*
)
INSERT INTO dutiful.job (id, lane, ready_seq, gate_seq, run_at, enqueued_at, worker, last_token, run_no, attempt, epoch,
       args_version, crashes, crashes_max, suspect, delivery, task, key, args, gates)
SELECT g.id, g.lane, CASE WHEN g.gates IS NULL THEN nextval('dutiful.ready_seq') END,
       CASE WHEN g.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END, :now, g.enqueued_at, NULL, g.last_token, g.run_no, 0,
       g.epoch + CASE WHEN g.started_at IS NULL THEN 0 ELSE 1 END, g.args_version, 0, g.crashes_max,
       g.reason = 'poison', g.delivery, g.task, g.key, g.args, g.gates
  FROM (SELECT * FROM gone ORDER BY died_at, id) AS g
RETURNING id::text

-- name: close_dead_set
-- waive of many, or the end of those whose duty was done by another job ("duplicate"): what they died of is kept.
WITH gone AS (
    DELETE FROM dutiful.dead AS d
     USING jsonb_to_recordset(:rows::jsonb) AS r(id uuid, same_as uuid) WHERE d.id = r.id RETURNING d.*, r.same_as
)
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, same_as, run_no, attempt, epoch, args_version, crashes, crashes_max, state, outcome, delivery,
       task, key, args, reason, gates)
SELECT g.id, :now, g.lane, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.worker, g.last_token,
       g.same_as, g.run_no, g.attempt, g.epoch, g.args_version, g.crashes, g.crashes_max, 'done', :outcome,
       g.delivery, g.task, g.key, g.args, g.reason, g.gates
  FROM gone AS g
RETURNING id::text

-- name: judge_waived
-- Of these jobs, those that were waived when they were dead, and are so still.
SELECT h.id::text, h.run_no, h.task, l.queue, h.key, h.epoch, h.finished_at
  FROM dutiful.history AS h JOIN dutiful.lane AS l ON l.id = h.lane
 WHERE h.id = ANY(ARRAY(SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)))
   AND l.app = :app AND h.outcome = 'waived' AND h.doubt IS NULL
   AND h.finished_at = (SELECT max(n.finished_at) FROM dutiful.history AS n WHERE n.id = h.id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = h.id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = h.id)
 ORDER BY h.id

-- name: unwaive_dead_set
-- unwaive of many: see "unwaive_dead".
WITH back AS (
    INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
           last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
           task, key, args, gates, fingerprint)
    SELECT h.id, h.lane, :now, h.run_at, h.enqueued_at, h.claimed_at, h.started_at, h.worker, h.last_token,
           h.run_no, h.attempt, h.epoch, h.args_version, h.crashes, h.crashes_max, h.reason, h.delivery,
           h.task, h.key, h.args, h.gates,
           coalesce((SELECT f.fingerprint FROM dutiful.failure AS f WHERE f.job_id = h.id AND f.run_no = h.run_no),
                    h.reason || ':' || h.task)
      FROM jsonb_to_recordset(:rows::jsonb) AS r(id uuid, ended_at bigint)
      JOIN dutiful.history AS h ON h.id = r.id AND h.finished_at = r.ended_at
    ON CONFLICT (id) DO NOTHING
    RETURNING id, lane, task
), counted AS (
    INSERT INTO dutiful.delta (lane, task, kind, n)
    SELECT b.lane, b.task, 'revived', count(*) FROM back AS b GROUP BY b.lane, b.task
)
SELECT b.id::text FROM back AS b
