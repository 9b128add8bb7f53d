-- name: rolled_until
-- How far endings are rolled up, and now.
SELECT (SELECT c.last_at FROM dutiful.chore AS c WHERE c.name = 'rolled'), :now

-- name: put_rollups
-- Rollups as they are now known: made anew from what ended, never added to, so that twice is once.
INSERT INTO dutiful.rollup (app, grain, at, queue, task, done, failed, dead, cancelled, waits, runs)
SELECT json_extract(e.value, '$.app'), :grain, json_extract(e.value, '$.at'), json_extract(e.value, '$.queue'),
       json_extract(e.value, '$.task'), json_extract(e.value, '$.done'), json_extract(e.value, '$.failed'),
       json_extract(e.value, '$.dead'), json_extract(e.value, '$.cancelled'), json_extract(e.value, '$.waits'),
       json_extract(e.value, '$.runs')
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, grain, at, queue, task) DO UPDATE
   SET done = excluded.done, failed = excluded.failed, dead = excluded.dead, cancelled = excluded.cancelled,
       waits = excluded.waits, runs = excluded.runs
