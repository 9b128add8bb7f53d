-- name: register_tasks
-- A worker says what its release knows of its tasks.
INSERT INTO dutiful.task (app, name, release, version, queue, priority, owner, delivery, declared, first_at, seen_at)
SELECT :app, json_extract(e.value, '$.name'), :release, json_extract(e.value, '$.version'),
       json_extract(e.value, '$.queue'), json_extract(e.value, '$.priority'), json_extract(e.value, '$.owner'),
       json_extract(e.value, '$.delivery'), json_extract(e.value, '$.declared'), :now, :now
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, name, release) DO UPDATE
   SET version = excluded.version, queue = excluded.queue, priority = excluded.priority, owner = excluded.owner,
       delivery = excluded.delivery, declared = excluded.declared, seen_at = excluded.seen_at
