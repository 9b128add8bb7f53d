-- name: enqueue_job
-- One job without a declared key. No row comes back if its lane is missing or its id is live; else it is
-- accepted (I11).
UPDATE dutiful.ready_seq SET last_value = last_value + 1;
INSERT INTO dutiful.job
       (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max, task, args_version, args)
SELECT :id, l.id,
       CASE WHEN coalesce(:run_at, 0) <= :now AND :delay <= 0
            THEN (SELECT last_value FROM dutiful.ready_seq) END,
       coalesce(:run_at, :now + :delay), :now, :delivery, :crashes_max, :task, :args_version, :args
  FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority
ON CONFLICT (id) DO NOTHING;
INSERT INTO dutiful.delta (lane, task, n)
SELECT l.id, :task, 1 FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority AND changes() = 1
RETURNING :id

-- name: enqueue_keyed_job
-- One job with a declared key: the duty row is taken first, else no job is made (changes() is 0), nor accepted.
UPDATE dutiful.ready_seq SET last_value = last_value + 1;
INSERT INTO dutiful.duty (app, task, key, job_id, taken_at, remember, args_hash)
SELECT :app, :task, :key, :id, :now, :remember, :args_hash
  FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority
ON CONFLICT (app, task, key) DO NOTHING;
INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max,
                         task, args_version, args, key)
SELECT :id, l.id,
       CASE WHEN coalesce(:run_at, 0) <= :now AND :delay <= 0
            THEN (SELECT last_value FROM dutiful.ready_seq) END,
       coalesce(:run_at, :now + :delay), :now, :delivery, :crashes_max, :task, :args_version,
       :args, :key
  FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority AND changes() = 1
ON CONFLICT (id) DO NOTHING;
INSERT INTO dutiful.delta (lane, task, n)
SELECT l.id, :task, 1 FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority AND changes() = 1
RETURNING :id

-- name: enqueue_gated_job
-- One job with gates, with or without a declared key. No row comes back if one of its gates is not there as it is
-- declared, or was not used for :fresh; nor where enqueue_keyed_job has none. Then nothing is stored.
UPDATE dutiful.ready_seq SET last_value = last_value + 1;
WITH f AS (
    SELECT g.id FROM json_each(:gates) AS e
     CROSS JOIN dutiful.gate AS g ON g.app = :app AND g.kind = json_extract(e.value, '$.kind')
       AND g.key = json_extract(e.value, '$.key') AND g.slots = json_extract(e.value, '$.slots')
       AND g.passes = json_extract(e.value, '$.passes') AND g.per IS json_extract(e.value, '$.per')
       AND g.burst IS json_extract(e.value, '$.burst') AND g.used_at >= :now - :fresh
     ORDER BY e.key
)
INSERT INTO dutiful.duty (app, task, key, job_id, taken_at, remember, args_hash)
SELECT :app, :task, :key, :id, :now, :remember, :args_hash
  FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority AND :key IS NOT NULL
   AND (SELECT count(*) FROM f) = json_array_length(:gates)
ON CONFLICT (app, task, key) DO NOTHING;
WITH f AS (
    SELECT g.id FROM json_each(:gates) AS e
     CROSS JOIN dutiful.gate AS g ON g.app = :app AND g.kind = json_extract(e.value, '$.kind')
       AND g.key = json_extract(e.value, '$.key') AND g.slots = json_extract(e.value, '$.slots')
       AND g.passes = json_extract(e.value, '$.passes') AND g.per IS json_extract(e.value, '$.per')
       AND g.burst IS json_extract(e.value, '$.burst') AND g.used_at >= :now - :fresh
     ORDER BY e.key
)
INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max, task, args_version, args,
                         key, gates, gate_seq, admitted)
SELECT :id, l.id,
       CASE WHEN coalesce(:run_at, 0) <= :now AND :delay <= 0
            THEN (SELECT last_value FROM dutiful.ready_seq) END,
       coalesce(:run_at, :now + :delay), :now, :delivery, :crashes_max, :task, :args_version, :args, :key,
       (SELECT json_group_array(f.id) FROM f), -1, coalesce(:run_at, 0) <= :now AND :delay <= 0
  FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority AND (:key IS NULL OR changes() = 1)
   AND (SELECT count(*) FROM f) = json_array_length(:gates)
ON CONFLICT (id) DO NOTHING;
INSERT INTO dutiful.delta (lane, task, n)
SELECT l.id, :task, 1 FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority AND changes() = 1
RETURNING :id

-- name: take_duties
-- Takes the duty rows of many jobs; says which were free.
INSERT INTO dutiful.duty (app, task, key, job_id, taken_at, remember, args_hash)
SELECT :app, json_extract(e.value, '$.task'), json_extract(e.value, '$.key'),
       json_extract(e.value, '$.id'), :now, json_extract(e.value, '$.remember'),
       json_extract(e.value, '$.args_hash')
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, task, key) DO NOTHING
RETURNING job_id

-- name: enqueue_jobs
-- Many jobs whose duties, where they have any, are taken already. In the order given. Of which task how many
-- are accepted is given, too; the few that are not stored are taken off that in the same transaction.
UPDATE dutiful.ready_seq SET last_value = last_value + json_array_length(:rows);
INSERT INTO dutiful.delta (lane, task, n)
SELECT l.id, json_extract(a.value, '$.task'), json_extract(a.value, '$.n')
  FROM json_each(:accepted) AS a
 CROSS JOIN dutiful.lane AS l ON l.app = :app AND l.queue = json_extract(a.value, '$.queue')
            AND l.priority = json_extract(a.value, '$.priority');
INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, delivery, crashes_max,
                         task, args_version, args, key, epoch, gates, gate_seq, admitted)
SELECT json_extract(e.value, '$.id'), l.id,
       CASE WHEN coalesce(json_extract(e.value, '$.run_at'), 0) <= :now
             AND json_extract(e.value, '$.delay') <= 0
            THEN (SELECT last_value FROM dutiful.ready_seq) - json_array_length(:rows) + e.key + 1 END,
       coalesce(json_extract(e.value, '$.run_at'), :now + json_extract(e.value, '$.delay')), :now,
       json_extract(e.value, '$.delivery'), json_extract(e.value, '$.crashes_max'),
       json_extract(e.value, '$.task'), json_extract(e.value, '$.args_version'),
       CAST(json_extract(e.value, '$.args') AS blob), json_extract(e.value, '$.key'),
       json_extract(e.value, '$.epoch'), json_extract(e.value, '$.gates'),
       CASE WHEN json_extract(e.value, '$.gates') IS NOT NULL THEN -1 END,
       json_extract(e.value, '$.gates') IS NULL OR (coalesce(json_extract(e.value, '$.run_at'), 0) <= :now
                                                    AND json_extract(e.value, '$.delay') <= 0)
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.lane AS l ON l.app = :app AND l.queue = json_extract(e.value, '$.queue')
            AND l.priority = json_extract(e.value, '$.priority')
 WHERE true
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: look_at_duties
-- What became of the jobs that hold these duties: live, dead, the latest ending, or pruned.
SELECT d.task, d.key, d.job_id, d.epoch, d.turn, d.args_hash, d.remember, d.done_at,
       j.state, x.reason,
       (SELECT h.outcome FROM dutiful.history AS h
         WHERE h.id = d.job_id ORDER BY h.finished_at DESC LIMIT 1),
       (SELECT max(h.finished_at) FROM dutiful.history AS h WHERE h.id = d.job_id), :now
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.duty AS d ON d.app = :app AND d.task = json_extract(e.value, '$.task')
            AND d.key = json_extract(e.value, '$.key')
  LEFT JOIN dutiful.job AS j ON j.id = d.job_id
  LEFT JOIN dutiful.dead AS x ON x.id = d.job_id

-- name: take_over_duty
-- Gives a duty to a new job, if it still is as it was seen (compare-and-set on turn).
UPDATE dutiful.duty
   SET job_id = :id, turn = turn + 1, epoch = epoch + :epochs, taken_at = :now,
       done_at = NULL, remember = :remember, args_hash = :args_hash
 WHERE app = :app AND task = :task AND key = :key AND turn = :turn
RETURNING epoch

-- name: touch_duty
-- Says that a duty's job was looked at or changed: whoever saw the old turn must look again.
UPDATE dutiful.duty SET turn = turn + 1, args_hash = coalesce(:args_hash, args_hash)
 WHERE app = :app AND task = :task AND key = :key AND job_id = :id
RETURNING epoch

-- name: free_duty
-- The job was cancelled or skipped: its duty is open to others again. In a later epoch the row stays,
-- and the next job takes it over: without it the epochs would begin anew, and what was done in one, or
-- stands in the ledger, would be asked for once more under its number.
DELETE FROM dutiful.duty
 WHERE app = :app AND task = :task AND key = :key AND job_id = :id AND epoch = 1

-- name: replace_args
-- Rewrites the arguments of a job that nobody has begun.
UPDATE dutiful.job SET args = :args, args_version = :args_version
 WHERE id = :id AND state = 'ready'
RETURNING id

-- name: change_gates
-- A ready job whose arguments make other gates comes to those, as if for the first time; its old places are given
-- back, and with them a start that a rate had granted it. (0 marks it between these statements.)
UPDATE dutiful.job SET gates = json(:gates), gate = NULL, gate_seq = 0, ready_seq = NULL
 WHERE id = :id AND state = 'ready' AND coalesce(gates, '[]') <> json(:gates);
DELETE FROM dutiful.place
 WHERE job_id = :id AND EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = :id AND j.gate_seq = 0);
UPDATE dutiful.job SET gate_seq = -1, admitted = run_at <= :now WHERE id = :id AND gate_seq = 0
RETURNING id

-- name: find_ended
-- Which of these ids are dead or in the history: a repeated enqueue must not run them again.
SELECT x.id FROM dutiful.dead AS x WHERE x.id IN (SELECT e.value FROM json_each(:ids) AS e)
UNION
SELECT h.id FROM dutiful.history AS h WHERE h.id IN (SELECT e.value FROM json_each(:ids) AS e)

-- name: take_back
-- Takes back rows that this very transaction inserted, because their ids had ended before; with the
-- duties it took for them (turn 1), which would else be held by jobs that are over. They were not accepted.
DELETE FROM dutiful.duty
 WHERE turn = 1 AND (app, task, key, job_id) IN
       (SELECT l.app, j.task, j.key, j.id FROM json_each(:ids) AS e
         CROSS JOIN dutiful.job AS j ON j.id = e.value JOIN dutiful.lane AS l ON l.id = j.lane);
INSERT INTO dutiful.delta (lane, task, n)
SELECT j.lane, j.task, -count(*) FROM dutiful.job AS j
 WHERE j.id IN (SELECT e.value FROM json_each(:ids) AS e) GROUP BY j.lane, j.task;
DELETE FROM dutiful.job WHERE id IN (SELECT e.value FROM json_each(:ids) AS e)

-- name: place_of_lane
-- The lane's id and the time, for a bulk load.
SELECT l.id, :now FROM dutiful.lane AS l
 WHERE l.app = :app AND l.queue = :queue AND l.priority = :priority

-- name: count_accepted
-- So many jobs more are accepted: what a bulk load has stored; or fewer: what was not stored after all.
INSERT INTO dutiful.delta (lane, task, n)
SELECT l.id, json_extract(a.value, '$.task'), json_extract(a.value, '$.n')
  FROM json_each(:accepted) AS a
 CROSS JOIN dutiful.lane AS l ON l.app = :app AND l.queue = json_extract(a.value, '$.queue')
            AND l.priority = json_extract(a.value, '$.priority')
