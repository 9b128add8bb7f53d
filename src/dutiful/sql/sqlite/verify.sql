-- name: note_checked
-- Keeps what looks found. A look at every row (:full) that finds nothing takes back what was found before.
INSERT INTO dutiful.checked AS c (app, name, invariant, at, found_at, count, jobs)
SELECT :app, json_extract(e.value, '$.name'), json_extract(e.value, '$.invariant'), :now,
       CASE WHEN json_extract(e.value, '$.count') > 0 THEN :now END, json_extract(e.value, '$.count'),
       json_extract(e.value, '$.jobs')
  FROM json_each(:rows) AS e WHERE true
ON CONFLICT (app, name) DO UPDATE
   SET at = excluded.at, invariant = excluded.invariant,
       found_at = CASE WHEN excluded.count > 0 OR :full THEN excluded.found_at ELSE c.found_at END,
       count = CASE WHEN excluded.count > 0 OR :full THEN excluded.count ELSE c.count END,
       jobs = CASE WHEN excluded.count > 0 OR :full THEN excluded.jobs ELSE c.jobs END
