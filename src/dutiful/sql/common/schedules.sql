-- name: look_at_schedules
-- Every schedule of an app, whether a live worker declares it as it is stored, and whether one declares it
-- at all. What the workers ask every few seconds.
SELECT s.name, s.task, s.spec, s.declared_at, s.changed_at, s.covered_at, s.next_at, s.gone_at, s.paused_at,
       s.paused_until, s.paused_by, s.pause_reason,
       EXISTS (SELECT 1 FROM dutiful.declared AS d JOIN dutiful.worker AS w ON w.id = d.worker
                WHERE d.app = s.app AND d.name = s.name AND d.spec = s.spec AND w.gone_at IS NULL),
       EXISTS (SELECT 1 FROM dutiful.declared AS d JOIN dutiful.worker AS w ON w.id = d.worker
                WHERE d.app = s.app AND d.name = s.name AND w.gone_at IS NULL), :now
  FROM dutiful.schedule AS s WHERE s.app = :app ORDER BY s.name

-- name: add_schedule
-- A schedule that was not there: it begins now.
INSERT INTO dutiful.schedule (app, name, task, spec, declared_at, changed_at, covered_at)
SELECT CAST(:app AS text), CAST(:name AS text), CAST(:task AS text), CAST(:spec AS text), t.now, t.now, t.now
  FROM (SELECT :now AS now) AS t
 WHERE true
ON CONFLICT (app, name) DO NOTHING

-- name: declare_schedule
-- This worker's code declares the schedule so.
INSERT INTO dutiful.declared (worker, app, name, spec) VALUES (:worker, :app, :name, :spec)
ON CONFLICT (worker, app, name) DO UPDATE SET spec = excluded.spec

-- name: forget_declared
-- Declarations of workers that are gone.
DELETE FROM dutiful.declared
 WHERE NOT EXISTS (SELECT 1 FROM dutiful.worker AS w WHERE w.id = worker AND w.gone_at IS NULL)

-- name: move_schedule
-- All up to :covered is in the ledger. Demands that nobody moved it since it was seen, and that the rule is
-- the one by which it was judged: or an occurrence would be left out, or made twice.
UPDATE dutiful.schedule
   SET covered_at = :covered, next_at = :next
 WHERE app = :app AND name = :name AND covered_at = :seen AND spec = :spec AND :covered >= covered_at
RETURNING name

-- name: change_schedule
-- Another rule from now on, or the same one again after the schedule was gone.
UPDATE dutiful.schedule
   SET task = :task, spec = :spec, changed_at = :from, covered_at = :from, next_at = :next, gone_at = NULL
 WHERE app = :app AND name = :name AND covered_at = :seen
RETURNING name

-- name: end_schedule
-- No live worker declares it any more.
UPDATE dutiful.schedule AS s SET gone_at = :now, next_at = NULL
 WHERE s.app = :app AND s.name = :name AND s.gone_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM dutiful.declared AS d JOIN dutiful.worker AS w ON w.id = d.worker
                    WHERE d.app = s.app AND d.name = s.name AND w.gone_at IS NULL)
RETURNING name

-- name: pause_schedule
-- A person says: not until then (null: until somebody resumes it); with no person, it goes on.
UPDATE dutiful.schedule
   SET paused_at = :at, paused_until = :until, paused_by = :by, pause_reason = :reason, next_at = :next
 WHERE app = :app AND name = :name
RETURNING name

-- name: add_occurrence
-- An occurrence with its job, or (without one) one that waits for a person. The primary key makes it one.
INSERT INTO dutiful.occurrence (app, schedule, at, skipped, upto, instants, made_at, task, key, job_id, why,
                                asked_by)
VALUES (:app, :schedule, :at, false, :at, 1, :now, :task, :key, :job, :why, :by)
ON CONFLICT (app, schedule, at, skipped) DO NOTHING
RETURNING at

-- name: add_skip
-- Occurrences in a row that will not be made, and why.
INSERT INTO dutiful.occurrence (app, schedule, at, skipped, upto, instants, made_at, task, key, why, asked_by)
VALUES (:app, :schedule, :at, true, :upto, :instants, :now, :task, :key, :why, :by)
RETURNING at

-- name: extend_skip
-- The skip before it, for the same reason, goes on.
UPDATE dutiful.occurrence SET upto = :upto, instants = instants + :instants
 WHERE app = :app AND schedule = :schedule AND skipped AND why = :why AND upto <= :at
   AND at = (SELECT o.at FROM dutiful.occurrence AS o
              WHERE o.app = :app AND o.schedule = :schedule AND o.asked_by IS NULL ORDER BY o.at DESC LIMIT 1)
RETURNING at

-- name: give_occurrence_a_job
-- A person lets it be made that waited.
UPDATE dutiful.occurrence SET job_id = :job, asked_by = :by
 WHERE app = :app AND schedule = :schedule AND at = :at AND NOT skipped AND job_id IS NULL
RETURNING at

-- name: name_job_of_occurrence
-- The duty was known already: the job that has it is the occurrence's.
UPDATE dutiful.occurrence SET job_id = :job
 WHERE app = :app AND schedule = :schedule AND at = :at AND NOT skipped

-- name: skip_occurrence
-- A person lets it be that waited.
UPDATE dutiful.occurrence SET skipped = true, why = :why, asked_by = :by
 WHERE app = :app AND schedule = :schedule AND at = :at AND NOT skipped AND job_id IS NULL
RETURNING at

-- name: find_occurrence
-- What the ledger says of one instant: its own row first, then a skip that covers it.
SELECT o.at, o.upto, o.instants, o.skipped, o.made_at, o.key, CAST(o.job_id AS text), o.why, o.asked_by
  FROM dutiful.occurrence AS o
 WHERE o.app = :app AND o.schedule = :schedule AND o.at <= :at AND o.upto >= :at
 ORDER BY o.skipped, o.at DESC LIMIT 1

-- name: list_occurrences
-- The newest rows of the ledger of one schedule.
SELECT o.at, o.upto, o.instants, o.skipped, o.made_at, o.key, CAST(o.job_id AS text), o.why, o.asked_by
  FROM dutiful.occurrence AS o
 WHERE o.app = :app AND o.schedule = :schedule AND o.at < :before
 ORDER BY o.at DESC, o.skipped DESC LIMIT :limit

-- name: count_waiting_occurrences
-- How many wait for a person, by schedule, and since when.
SELECT o.schedule, count(*), min(o.at) FROM dutiful.occurrence AS o
 WHERE o.app = :app AND NOT o.skipped AND o.job_id IS NULL
 GROUP BY o.schedule

-- name: prune_occurrences
-- Forgets old rows, but none that waits. What is before a schedule's watermark is never made again.
DELETE FROM dutiful.occurrence
 WHERE app = :app AND upto < :now - :keep AND (skipped OR job_id IS NOT NULL)
