-- name: enqueue_job
-- One job without a declared key. No row comes back if its lane is missing or its id is live; else it is
-- accepted (I11).
WITH stored AS (
INSERT INTO dutiful.job
       (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max, task, args_version, args)
SELECT :id::uuid, l.id,
       CASE WHEN coalesce(:run_at::bigint, 0) <= t.now AND :delay::bigint <= 0
            THEN nextval('dutiful.ready_seq') END,
       coalesce(:run_at::bigint, t.now + :delay::bigint), t.now,
       :delivery, :crashes_max, :task, :args_version, :args::bytea
  FROM dutiful.lane AS l, (SELECT :now AS now) AS t
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority
ON CONFLICT (id) DO NOTHING
RETURNING id, lane, task
), accepted AS (
    INSERT INTO dutiful.delta (lane, task, n) SELECT s.lane, s.task, 1 FROM stored AS s
)
SELECT s.id::text FROM stored AS s

-- name: enqueue_keyed_job
-- One job with a declared key: the duty row is taken in the same statement, else no job is made, nor accepted.
WITH place AS (
    SELECT l.id AS lane, t.now
      FROM dutiful.lane AS l, (SELECT :now AS now) AS t
     WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority
), taken AS (
    INSERT INTO dutiful.duty (app, task, key, job_id, taken_at, remember, args_hash)
    SELECT :app, :task, :key, :id::uuid, p.now, :remember, :args_hash FROM place AS p
    ON CONFLICT (app, task, key) DO NOTHING
    RETURNING epoch
), stored AS (
INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max,
                         task, args_version, args, key, epoch)
SELECT :id::uuid, p.lane,
       CASE WHEN coalesce(:run_at::bigint, 0) <= p.now AND :delay::bigint <= 0
            THEN nextval('dutiful.ready_seq') END,
       coalesce(:run_at::bigint, p.now + :delay::bigint), p.now,
       :delivery, :crashes_max, :task, :args_version, :args::bytea, :key, d.epoch
  FROM place AS p, taken AS d
ON CONFLICT (id) DO NOTHING
RETURNING id, lane, task
), accepted AS (
    INSERT INTO dutiful.delta (lane, task, n) SELECT s.lane, s.task, 1 FROM stored AS s
)
SELECT s.id::text FROM stored AS s

-- name: enqueue_gated_job
-- One job with gates, with or without a declared key. No row comes back if one of its gates is not there as it is
-- declared, or was not used for :fresh; nor where enqueue_keyed_job has none. Then nothing is stored.
WITH place AS (
    SELECT l.id AS lane, t.now, f.gates
      FROM dutiful.lane AS l, (SELECT :now AS now) AS t,
           (SELECT array_agg(g.id ORDER BY r.place) AS gates
              FROM ROWS FROM (jsonb_to_recordset(:gates::jsonb) AS (kind text, key text)) WITH ORDINALITY AS r(kind, key, place)
              JOIN dutiful.find_gates(:app, :gates::jsonb, :now - :fresh::bigint) AS g ON g.kind = r.kind AND g.key = r.key
            HAVING count(*) = jsonb_array_length(:gates::jsonb) AND NOT bool_or(g.stale)) AS f
     WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority
), taken AS (
    INSERT INTO dutiful.duty (app, task, key, job_id, taken_at, remember, args_hash)
    SELECT :app, :task, :key::text, :id::uuid, p.now, :remember::bigint, :args_hash::text FROM place AS p
     WHERE :key::text IS NOT NULL
    ON CONFLICT (app, task, key) DO NOTHING
    RETURNING epoch
), stored AS (
INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max, task, args_version, args,
                         key, epoch, gates, gate_seq, admitted)
SELECT :id::uuid, p.lane, NULL, coalesce(:run_at::bigint, p.now + :delay::bigint), p.now, :delivery, :crashes_max, :task,
       :args_version, :args::bytea, :key::text, coalesce(d.epoch, 1), p.gates, -nextval('dutiful.gate_seq'),
       coalesce(:run_at::bigint, 0) <= p.now AND :delay::bigint <= 0
  FROM place AS p LEFT JOIN taken AS d ON true
 WHERE :key::text IS NULL OR d.epoch IS NOT NULL
ON CONFLICT (id) DO NOTHING
RETURNING id, lane, task
), accepted AS (
    INSERT INTO dutiful.delta (lane, task, n) SELECT s.lane, s.task, 1 FROM stored AS s
)
SELECT s.id::text FROM stored AS s

-- name: take_duties
-- Takes the duty rows of many jobs, in key order so that two producers cannot deadlock; says which
-- were free.
INSERT INTO dutiful.duty (app, task, key, job_id, taken_at, remember, args_hash)
SELECT :app, r.task, r.key, r.id, :now, r.remember, r.args_hash
  FROM jsonb_to_recordset(:rows::jsonb)
       AS r(id uuid, task text, key text, remember bigint, args_hash text)
 ORDER BY r.task, r.key
ON CONFLICT (app, task, key) DO NOTHING
RETURNING job_id::text

-- name: enqueue_jobs
-- Many jobs whose duties, where they have any, are taken already. In the order given. Of which task how many
-- are accepted is given, too; the few that are not stored are taken off that in the same transaction.
WITH accepted AS (
    INSERT INTO dutiful.delta (lane, task, n)
    SELECT l.id, a.task, a.n FROM jsonb_to_recordset(:accepted::jsonb) AS a(queue text, priority smallint, task text, n bigint)
      JOIN dutiful.lane AS l ON l.app = :app AND l.queue = a.queue AND l.priority = a.priority
)
INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max,
                         task, args_version, args, key, epoch, gates, gate_seq, admitted)
SELECT r.id, l.id,
       CASE WHEN coalesce(r.run_at, 0) <= t.now AND r.delay <= 0 AND r.gates IS NULL
            THEN nextval('dutiful.ready_seq') END,
       coalesce(r.run_at, t.now + r.delay), t.now, r.delivery, r.crashes_max,
       r.task, r.args_version, convert_to(r.args, 'UTF8'), r.key, r.epoch, r.gates,
       CASE WHEN r.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END,
       r.gates IS NULL OR coalesce(r.run_at, 0) <= t.now AND r.delay <= 0
  FROM (SELECT :now AS now) AS t,
       ROWS FROM (jsonb_to_recordset(:rows::jsonb)
          AS (id uuid, queue text, priority smallint, run_at bigint, delay bigint, delivery text,
              crashes_max smallint, task text, args_version integer, args text, key text,
              epoch integer, gates bigint[])) WITH ORDINALITY
       AS r(id, queue, priority, run_at, delay, delivery, crashes_max, task, args_version, args,
            key, epoch, gates, place)
  JOIN dutiful.lane AS l ON l.app = :app AND l.queue = r.queue AND l.priority = r.priority
 ORDER BY r.place
ON CONFLICT (id) DO NOTHING
RETURNING id::text

-- name: look_at_duties
-- What became of the jobs that hold these duties: live, dead, the latest ending, or pruned.
SELECT d.task, d.key, d.job_id::text, d.epoch, d.turn, d.args_hash, d.remember, d.done_at,
       j.state, x.reason, h.outcome, h.finished_at, :now
  FROM jsonb_to_recordset(:rows::jsonb) AS r(task text, key text)
  JOIN dutiful.duty AS d ON d.app = :app AND d.task = r.task AND d.key = r.key
  LEFT JOIN dutiful.job AS j ON j.id = d.job_id
  LEFT JOIN dutiful.dead AS x ON x.id = d.job_id
  LEFT JOIN LATERAL (SELECT h.outcome, h.finished_at FROM dutiful.history AS h
                      WHERE h.id = d.job_id ORDER BY h.finished_at DESC LIMIT 1) AS h ON true

-- name: take_over_duty
-- Gives a duty to a new job, if it still is as it was seen (compare-and-set on turn).
UPDATE dutiful.duty
   SET job_id = :id::uuid, turn = turn + 1, epoch = epoch + :epochs, taken_at = :now,
       done_at = NULL, remember = :remember, args_hash = :args_hash
 WHERE app = :app AND task = :task AND key = :key AND turn = :turn
RETURNING epoch

-- name: touch_duty
-- Says that a duty's job was looked at or changed: whoever saw the old turn must look again.
UPDATE dutiful.duty SET turn = turn + 1, args_hash = coalesce(:args_hash, args_hash)
 WHERE app = :app AND task = :task AND key = :key AND job_id = :id::uuid
RETURNING epoch

-- name: free_duty
-- The job was cancelled or skipped: its duty is open to others again. In a later epoch the row stays,
-- and the next job takes it over: without it the epochs would begin anew, and what was done in one, or
-- stands in the ledger, would be asked for once more under its number.
DELETE FROM dutiful.duty
 WHERE app = :app AND task = :task AND key = :key AND job_id = :id::uuid AND epoch = 1

-- name: replace_args
-- Rewrites the arguments of a job that nobody has begun.
UPDATE dutiful.job SET args = :args::bytea, args_version = :args_version
 WHERE id = :id::uuid AND state = 'ready'
RETURNING id::text

-- name: change_gates
-- A ready job whose arguments make other gates comes to those, as if for the first time. Its old places are
-- somebody's who is gone from now on, and are given back with the gates' locks, when this commits. A start that
-- a rate had granted it is seen not to begin.
WITH other AS MATERIALIZED (
    SELECT j.id, w.gates, gen_random_uuid() AS gone
      FROM (SELECT ARRAY(SELECT e.value::bigint FROM jsonb_array_elements_text(:gates::jsonb) WITH ORDINALITY AS e(value, place)
                          ORDER BY e.place) AS gates) AS w
      JOIN dutiful.job AS j ON j.id = :id::uuid AND j.state = 'ready' AND coalesce(j.gates, '{}') <> w.gates
), left_there AS (
    UPDATE dutiful.place AS p SET job_id = o.gone FROM other AS o WHERE p.job_id = o.id RETURNING p.gate
), noted AS (
    SELECT count(set_config('dutiful.leaving', concat(current_setting('dutiful.leaving', true), o.gone, ' '), true))
      FROM other AS o WHERE EXISTS (SELECT 1 FROM left_there)
)
UPDATE dutiful.job AS j SET gates = o.gates, gate = NULL, gate_seq = -nextval('dutiful.gate_seq'), ready_seq = NULL,
       admitted = j.run_at <= :now
  FROM other AS o, noted AS n WHERE j.id = o.id
RETURNING j.id::text

-- name: find_ended
-- Which of these ids are dead or in the history: a repeated enqueue must not run them again.
SELECT x.id::text FROM dutiful.dead AS x
 WHERE x.id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value))
UNION
SELECT h.id::text FROM dutiful.history AS h
 WHERE h.id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value))

-- name: take_back
-- Takes back rows that this very transaction inserted, because their ids had ended before; with the
-- duties it took for them (turn 1), which would else be held by jobs that are over. They were not accepted.
WITH back AS (
    DELETE FROM dutiful.job
     WHERE id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value))
    RETURNING id, lane, task, key
), uncounted AS (
    INSERT INTO dutiful.delta (lane, task, n) SELECT b.lane, b.task, -count(*) FROM back AS b GROUP BY b.lane, b.task
)
DELETE FROM dutiful.duty AS d USING back AS b, dutiful.lane AS l
 WHERE l.id = b.lane AND d.app = l.app AND d.task = b.task AND d.key = b.key AND d.job_id = b.id
   AND d.turn = 1

-- name: place_of_lane
-- The lane's id and the database's time, for a bulk load.
SELECT l.id, :now FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority

-- name: copy_jobs
-- A bulk load of jobs that are due now and have no declared key; ready_seq comes by its default.
COPY dutiful.job (id, lane, run_at, enqueued_at, delivery, crashes_max, task, args_version, args)
FROM STDIN

-- name: count_accepted
-- So many jobs more are accepted: what a bulk load has stored; or fewer: what was not stored after all.
INSERT INTO dutiful.delta (lane, task, n)
SELECT l.id, a.task, a.n FROM jsonb_to_recordset(:accepted::jsonb) AS a(queue text, priority smallint, task text, n bigint)
  JOIN dutiful.lane AS l ON l.app = :app AND l.queue = a.queue AND l.priority = a.priority
