-- name: note_checked
-- Keeps what looks found. A look at every row (:full) that finds nothing takes back what was found before.
INSERT INTO dutiful.checked AS c (app, name, invariant, at, found_at, count, jobs)
SELECT :app, e.name, e.invariant, t.now, CASE WHEN e.count > 0 THEN t.now END, e.count, e.jobs
  FROM jsonb_to_recordset(:rows::jsonb) AS e(name text, invariant text, count bigint, jobs text),
       (SELECT :now AS now) AS t
ON CONFLICT (app, name) DO UPDATE
   SET at = excluded.at, invariant = excluded.invariant,
       found_at = CASE WHEN excluded.count > 0 OR :full::boolean THEN excluded.found_at ELSE c.found_at END,
       count = CASE WHEN excluded.count > 0 OR :full::boolean THEN excluded.count ELSE c.count END,
       jobs = CASE WHEN excluded.count > 0 OR :full::boolean THEN excluded.jobs ELSE c.jobs END
