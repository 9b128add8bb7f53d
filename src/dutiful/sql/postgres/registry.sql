-- name: register_tasks
-- A worker says what its release knows of its tasks.
INSERT INTO dutiful.task (app, name, release, version, queue, priority, owner, delivery, declared, first_at, seen_at)
SELECT :app, r.name, :release, r.version, r.queue, r.priority, r.owner, r.delivery, r.declared, t.now, t.now
  FROM (SELECT :now AS now) AS t, jsonb_to_recordset(:rows::jsonb) AS r(name text, version integer, queue text,
       priority integer, owner text, delivery text, declared text)
 ORDER BY r.name
ON CONFLICT (app, name, release) DO UPDATE
   SET version = excluded.version, queue = excluded.queue, priority = excluded.priority, owner = excluded.owner,
       delivery = excluded.delivery, declared = excluded.declared, seen_at = excluded.seen_at
