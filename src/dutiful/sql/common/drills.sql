-- name: add_drill
-- What came of a drill.
INSERT INTO dutiful.drill (app, task, at, by, code, version, engine, wanted, done, runs, took, outcome, why, findings,
                           played, mode)
VALUES (:app, :task, :now, :by, :code, :version, :engine, :wanted, :done, :runs, :took, :outcome, :why, :findings,
        :played, :mode)
RETURNING id

-- name: forget_drills
-- Of a task's drills only the last are kept.
DELETE FROM dutiful.drill
 WHERE app = :app AND task = :task
   AND id <= (SELECT o.id FROM dutiful.drill AS o WHERE o.app = :app AND o.task = :task
               ORDER BY o.id DESC LIMIT 1 OFFSET :keep)

-- name: list_drills
-- The drills of a task, or of all, the latest first.
SELECT d.id, d.task, d.at, d.by, d.code, d.version, d.engine, d.wanted, d.done, d.runs, d.took, d.outcome, d.why,
       d.findings, d.played, d.mode, :now
  FROM dutiful.drill AS d
 WHERE d.app = :app AND (CAST(:task AS text) IS NULL OR d.task = :task)
 ORDER BY d.id DESC LIMIT :limit

-- name: latest_drills
-- The last drill of each task.
SELECT d.id, d.task, d.at, d.by, d.code, d.version, d.engine, d.wanted, d.done, d.runs, d.took, d.outcome, d.why,
       d.findings, d.played, d.mode, :now
  FROM dutiful.drill AS d
 WHERE d.id IN (SELECT max(l.id) FROM dutiful.drill AS l
                 WHERE l.app = :app AND (CAST(:task AS text) IS NULL OR l.task = :task) GROUP BY l.task)
 ORDER BY d.task

-- name: list_waivers
-- What was waived, also what has lapsed.
SELECT w.task, w.line, w.owner, w.by, w.reason, w.made_at, w.until, :now
  FROM dutiful.waiver AS w
 WHERE w.app = :app AND (CAST(:task AS text) IS NULL OR w.task = :task)
 ORDER BY w.task, w.line

-- name: waive_line
-- A person answers a line by a reason, for so long.
INSERT INTO dutiful.waiver (app, task, line, owner, by, reason, made_at, until)
SELECT CAST(:app AS text), CAST(:task AS text), CAST(:line AS text), CAST(:owner AS text), CAST(:by AS text),
       CAST(:reason AS text), t.now, t.now + :span
  FROM (SELECT :now AS now) AS t
 WHERE true
ON CONFLICT (app, task, line) DO UPDATE
   SET owner = excluded.owner, by = excluded.by, reason = excluded.reason, made_at = excluded.made_at,
       until = excluded.until

-- name: end_waiver
-- The line is open again.
DELETE FROM dutiful.waiver WHERE app = :app AND task = :task AND line = :line RETURNING owner, until

-- name: forget_waivers
-- What lapsed long ago.
DELETE FROM dutiful.waiver WHERE app = :app AND until < :now - :keep

-- name: count_drilled
-- Of the tasks that are declared, how many were drilled clean when they were last drilled, and how many were not.
SELECT sum(CASE WHEN d.outcome = 'clean' THEN 1 ELSE 0 END), sum(CASE WHEN d.outcome = 'findings' THEN 1 ELSE 0 END)
  FROM (SELECT DISTINCT n.name FROM dutiful.task AS n WHERE n.app = :app) AS t
  JOIN dutiful.drill AS d ON d.id = (SELECT max(l.id) FROM dutiful.drill AS l WHERE l.app = :app AND l.task = t.name)
