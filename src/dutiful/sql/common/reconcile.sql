-- name: look_at_reconciles
-- Every reconciliation of an app: whether a live worker declares it as it is stored, and whether one declares it
-- at all.
SELECT r.name, r.task, r.spec, r.every, r.reach, r.memory, r.whole, r.declared_at, r.changed_at, r.next_at, r.wants,
       r.place, r.watermark, r.looked_at, r.whole_at, r.stopped, r.approved, r.error, r.error_at, r.walker,
       r.walked_until, r.gone_at, r.attend, r.paused_at, r.paused_by, r.paused_until, r.pause_reason,
       EXISTS (SELECT 1 FROM dutiful.declared AS d JOIN dutiful.worker AS w ON w.id = d.worker
                WHERE d.app = r.app AND d.name = 'reconcile ' || r.name AND d.spec = r.spec AND w.gone_at IS NULL),
       EXISTS (SELECT 1 FROM dutiful.declared AS d JOIN dutiful.worker AS w ON w.id = d.worker
                WHERE d.app = r.app AND d.name = 'reconcile ' || r.name AND w.gone_at IS NULL), :now
  FROM dutiful.reconcile AS r WHERE r.app = :app ORDER BY r.name

-- name: declare_reconcile
-- This worker's code declares the reconciliation so.
INSERT INTO dutiful.declared (worker, app, name, spec) VALUES (:worker, :app, 'reconcile ' || :name, :spec)
ON CONFLICT (worker, app, name) DO UPDATE SET spec = excluded.spec

-- name: adopt_reconcile
-- It is declared so from now on. Another rule than before, or one that was gone, wants the whole window.
INSERT INTO dutiful.reconcile AS r
      (app, name, task, spec, every, reach, memory, whole, attend, declared_at, changed_at, next_at,
       wants)
SELECT CAST(:app AS text), CAST(:name AS text), CAST(:task AS text), CAST(:spec AS text), CAST(:every AS bigint),
       CAST(:reach AS bigint), CAST(:memory AS bigint), CAST(:whole AS bigint),
       CAST(:attend AS bigint), t.now, t.now, t.now, 'declared'
  FROM (SELECT :now AS now) AS t
 WHERE true
ON CONFLICT (app, name) DO UPDATE
   SET task = excluded.task, spec = excluded.spec, every = excluded.every, reach = excluded.reach,
       memory = excluded.memory, whole = excluded.whole, attend = excluded.attend, changed_at = excluded.changed_at,
       next_at = excluded.next_at, wants = 'changed', watermark = NULL, stopped = NULL, approved = NULL,
       error = NULL, error_at = NULL, gone_at = NULL
 WHERE r.spec <> excluded.spec OR r.gone_at IS NOT NULL
RETURNING changed_at

-- name: end_reconcile
-- No live worker declares it any more.
UPDATE dutiful.reconcile AS r SET gone_at = :now
 WHERE r.app = :app AND r.name = :name AND r.gone_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM dutiful.declared AS d JOIN dutiful.worker AS w ON w.id = d.worker
                    WHERE d.app = r.app AND d.name = 'reconcile ' || r.name AND w.gone_at IS NULL)
RETURNING name

-- name: take_reconcile
-- Whoever gets a row walks it until then, and no other does; that saves work, no more: a pass that is done by two
-- does no harm. A rule that is not as it was looked at is somebody else's.
UPDATE dutiful.reconcile SET walker = :walker, walked_until = :now + :lease
 WHERE app = :app AND name = :name AND spec = :spec
   AND (walker IS NULL OR walker = :walker OR walked_until < :now OR walked_until > :now + :lease)
RETURNING name

-- name: add_reconcile_run
-- What a pass found, before it does anything about it.
INSERT INTO dutiful.reconcile_run (app, name, whole, by, began_at, since, upto, expected, ok, young, waiting, stuck,
                                   people, missing, late, surplus, unexpected, believed, governor)
VALUES (:app, :name, :whole, :by, :began, :since, :upto, :expected, :ok, :young, :waiting, :stuck,
        :people, :missing, :late, :surplus, :unexpected, :believed, :governor)
RETURNING id

-- name: count_reconcile_run
-- So many more were written down, and enqueued: in the transaction that did it.
UPDATE dutiful.reconcile_run SET enqueued = enqueued + :enqueued, findings = findings + :findings WHERE id = :run

-- name: end_reconcile_run
-- A pass is through.
UPDATE dutiful.reconcile_run SET ended_at = :now WHERE id = :run

-- name: finish_reconcile
-- A pass was made, and how far it is known now that all is done.
UPDATE dutiful.reconcile
   SET watermark = :watermark, looked_at = :now, whole_at = CASE WHEN :whole THEN :now ELSE whole_at END,
       wants = CASE WHEN :whole THEN '' ELSE wants END, place = :place, next_at = :now + :pause,
       stopped = CASE WHEN :governor = 'stopped' THEN :run WHEN :governor = 'waiting' THEN stopped END,
       approved = CASE WHEN :governor IN ('stopped', 'waiting') THEN approved END,
       error = NULL, error_at = NULL, walker = NULL, walked_until = NULL
 WHERE app = :app AND name = :name

-- name: fail_reconcile
-- A pass could not be made, and why; it is tried again then.
UPDATE dutiful.reconcile
   SET error = :error, error_at = :now, next_at = :now + :pause, walker = NULL, walked_until = NULL
 WHERE app = :app AND name = :name

-- name: missing_before
-- How many were missing in the passes before, the latest first; those that were stopped say nothing of what is usual.
SELECT u.missing FROM dutiful.reconcile_run AS u
 WHERE u.app = :app AND u.name = :name AND u.ended_at IS NOT NULL AND u.governor IN ('', 'approved')
 ORDER BY u.id DESC LIMIT :limit

-- name: oldest_missing
-- Since when the oldest duty is due that was found missing and still is: it is not to fall out of the window.
SELECT min(f.due) FROM dutiful.reconcile_finding AS f
 WHERE f.app = :app AND f.name = :name AND f.closed_at IS NULL AND f.class IN ('missing', 'late')

-- name: approve_run
-- A person says that so many may be missing; the pass after it enqueues them.
UPDATE dutiful.reconcile_run AS u SET approved_by = :by, approved_at = :now
 WHERE u.id = :run AND u.app = :app AND u.governor IN ('stopped', 'waiting') AND u.approved_by IS NULL
   AND u.id >= (SELECT r.stopped FROM dutiful.reconcile AS r WHERE r.app = u.app AND r.name = u.name)
RETURNING name, missing, enqueued

-- name: approve_reconcile
-- The number that was approved, for the pass that comes next, now.
UPDATE dutiful.reconcile SET approved = :missing, next_at = :now, wants = 'approved'
 WHERE app = :app AND name = :name

-- name: ask_for_pass
-- A person wants a pass now; of the whole window, if nothing else wanted that already.
UPDATE dutiful.reconcile SET next_at = :now, wants = CASE WHEN :whole AND wants = '' THEN 'asked' ELSE wants END
 WHERE app = :app AND name = :name AND gone_at IS NULL

-- name: pause_reconcile
-- No worker makes a pass, until then or until it is resumed.
UPDATE dutiful.reconcile SET paused_at = coalesce(paused_at, :now), paused_by = :by, paused_until = :until,
       pause_reason = :reason
 WHERE app = :app AND name = :name

-- name: resume_reconcile
-- The pause is over, and a pass is due.
UPDATE dutiful.reconcile SET paused_at = NULL, paused_by = NULL, paused_until = NULL, pause_reason = NULL, next_at = :now
 WHERE app = :app AND name = :name AND paused_at IS NOT NULL
RETURNING name

-- name: list_reconcile_runs
-- The passes of one reconciliation, or of all, the latest first; or only those of the whole window.
SELECT u.id, u.name, u.whole, u.by, u.began_at, u.ended_at, u.since, u.upto, u.expected, u.ok, u.young, u.waiting,
       u.stuck, u.people, u.missing, u.late, u.surplus, u.unexpected, u.enqueued, u.findings, u.believed, u.governor,
       u.approved_by, u.approved_at, :now
  FROM dutiful.reconcile_run AS u
 WHERE u.app = :app AND (CAST(:name AS text) IS NULL OR u.name = :name) AND u.id < :before
   AND (u.whole OR NOT :whole)
 ORDER BY u.id DESC LIMIT :limit

-- name: list_findings
-- What is not as it should be, the oldest first; or also what was, and is closed.
SELECT f.name, f.key, f.class, f.first_seen, f.last_seen, f.closed_at, f.due, f.last_run, CAST(f.job_id AS text),
       f.made, f.why, :now
  FROM dutiful.reconcile_finding AS f
 WHERE f.app = :app AND (CAST(:name AS text) IS NULL OR f.name = :name)
   AND (f.closed_at IS NULL OR :everything)
 ORDER BY f.first_seen, f.name, f.key LIMIT :limit

-- name: count_findings
-- What is open, by reconciliation and class: how many, since when the oldest, and how many were enqueued again.
SELECT f.name, f.class, count(*), min(f.first_seen), sum(CASE WHEN f.made THEN 1 ELSE 0 END)
  FROM dutiful.reconcile_finding AS f
 WHERE f.app = :app AND f.closed_at IS NULL
 GROUP BY f.name, f.class

-- name: page_of_findings
-- A page of what is open of one class, the oldest first.
SELECT f.name, f.key, f.class, f.first_seen, f.last_seen, f.closed_at, f.due, f.last_run, CAST(f.job_id AS text),
       f.made, f.why, :now
  FROM dutiful.reconcile_finding AS f
 WHERE f.app = :app AND f.name = :name AND f.class = :class AND f.closed_at IS NULL
   AND (f.first_seen, f.key) > (:at, :key)
 ORDER BY f.first_seen, f.key LIMIT :limit

-- name: page_of_closed_findings
-- A page of what is well again, the latest first.
SELECT f.name, f.key, f.class, f.first_seen, f.last_seen, f.closed_at, f.due, f.last_run, CAST(f.job_id AS text),
       f.made, f.why, :now
  FROM dutiful.reconcile_finding AS f
 WHERE f.app = :app AND f.name = :name AND f.closed_at IS NOT NULL
   AND (f.closed_at, f.key) < (:at, :key)
 ORDER BY f.closed_at DESC, f.key DESC LIMIT :limit

-- name: open_findings
-- A piece of those that are open, by their keys, for the pass that closes what is well now.
SELECT f.key, f.class, f.due FROM dutiful.reconcile_finding AS f
 WHERE f.app = :app AND f.name = :name AND f.closed_at IS NULL AND f.key > :after
 ORDER BY f.key LIMIT :limit

-- name: forget_findings
-- What was closed long ago.
DELETE FROM dutiful.reconcile_finding WHERE closed_at < :now - :keep

-- name: forget_reconcile_runs
-- Passes of long ago, but for those in which a finding that is open was last seen.
DELETE FROM dutiful.reconcile_run
 WHERE began_at < :now - :keep
   AND NOT EXISTS (SELECT 1 FROM dutiful.reconcile_finding AS f WHERE f.last_run = id AND f.closed_at IS NULL)

-- name: reconcile_numbers
-- For the verdict: each reconciliation that is at work, its findings by class, and what its last pass left undone.
-- A missing one that was enqueued is at work again: it counts when two passes did not help it. One that waits for a
-- person counts once it has waited for longer than was declared.
SELECT r.name, r.task, r.every, r.whole, r.declared_at, r.looked_at, r.whole_at, r.error, r.error_at, r.stopped,
       f.class, coalesce(f.n, 0), f.since, u.missing, u.enqueued, u.id, coalesce(f.repaired, 0), r.attend
  FROM dutiful.reconcile AS r
  LEFT JOIN (
       SELECT o.app, o.name, o.class, sum(CASE WHEN o.counts THEN 1 ELSE 0 END) AS n,
              sum(CASE WHEN o.counts OR o.class <> 'missing' THEN 0 ELSE 1 END) AS repaired,
              min(CASE WHEN o.counts THEN o.first_seen END) AS since
         FROM (SELECT g.app, g.name, g.class, g.first_seen,
                      CASE g.class WHEN 'missing' THEN NOT g.made OR g.first_seen < :now - 2 * q.every
                                   WHEN 'people' THEN q.attend IS NOT NULL AND g.first_seen < :now - q.attend
                                   ELSE true END AS counts
                 FROM dutiful.reconcile_finding AS g
                 JOIN dutiful.reconcile AS q ON q.app = g.app AND q.name = g.name
                WHERE g.app = :app AND g.closed_at IS NULL) AS o
        GROUP BY o.app, o.name, o.class) AS f ON f.app = r.app AND f.name = r.name
  LEFT JOIN dutiful.reconcile_run AS u ON u.id =
       (SELECT max(l.id) FROM dutiful.reconcile_run AS l
         WHERE l.app = r.app AND l.name = r.name AND l.governor IN ('stopped', 'waiting') AND r.stopped IS NOT NULL)
 WHERE r.app = :app AND r.gone_at IS NULL
 ORDER BY r.name, f.class

-- name: verify_horizon
-- I10: nothing is reconciled beyond what is remembered: no window reaches further back than it is known here that
-- a duty was done, and no duty was enqueued anew that was due before that.
WITH wrong AS (
    SELECT r.app, 'reconcile ' || r.name AS id, 'reaches further back than what was done is remembered' AS problem,
           'window ' || CAST(r.reach AS text) || ', memory ' || CAST(r.memory AS text) AS seen
      FROM dutiful.reconcile AS r WHERE r.gone_at IS NULL AND r.reach > r.memory
    UNION ALL
    SELECT f.app, 'reconcile ' || f.name || ' ' || f.key, 'was enqueued anew, though it was due before all that is'
           || ' remembered', 'due ' || CAST(f.due AS text) || ', found ' || CAST(f.first_seen AS text)
      FROM (SELECT o.* FROM dutiful.reconcile_finding AS o ORDER BY o.first_seen DESC LIMIT :window) AS f
      JOIN dutiful.reconcile AS r ON r.app = f.app AND r.name = f.name
     WHERE f.made AND f.first_seen >= r.changed_at AND f.due < f.first_seen - r.memory
)
SELECT count(*) OVER (), w.id, 'reconcile', w.problem, w.seen FROM wrong AS w
 WHERE CAST(:app AS text) IS NULL OR w.app = :app
 LIMIT :rows

-- name: verify_reconciled
-- L2: what a pass expected is of one class each, and what it did not find in order it wrote down: nothing falls out.
WITH last AS (
    SELECT u.* FROM dutiful.reconcile_run AS u
     WHERE u.id IN (SELECT max(l.id) FROM dutiful.reconcile_run AS l WHERE l.ended_at IS NOT NULL GROUP BY l.app, l.name)
), wrong AS (
    SELECT u.app, u.name, u.id, 'expected more or fewer than it found' AS problem,
           CAST(u.expected AS text) || ' expected' AS seen
      FROM (SELECT o.* FROM dutiful.reconcile_run AS o ORDER BY o.id DESC LIMIT :window) AS u
     WHERE u.expected <> u.ok + u.young + u.waiting + u.stuck + u.people + u.missing + u.late + u.surplus - u.unexpected
    UNION ALL
    SELECT u.app, u.name, u.id, 'found duties that are neither in order nor written down',
           CAST(u.findings AS text) || ' findings'
      FROM last AS u
     WHERE u.findings > (SELECT count(*) FROM dutiful.reconcile_finding AS f
                          WHERE f.app = u.app AND f.name = u.name AND f.last_run >= u.id)
)
SELECT count(*) OVER (), 'reconcile ' || w.name || ' pass ' || CAST(w.id AS text), 'reconcile', w.problem, w.seen
  FROM wrong AS w
 WHERE CAST(:app AS text) IS NULL OR w.app = :app
 LIMIT :rows
