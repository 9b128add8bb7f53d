-- name: rolled_until
-- How far endings are rolled up, and now. The minutes are found in the history by its BRIN index, which takes a
-- bitmap: our sessions have none, so until this transaction ends they do.
SELECT (SELECT c.last_at FROM dutiful.chore AS c WHERE c.name = 'rolled'), :now,
       set_config('enable_bitmapscan', 'on', true)

-- name: put_rollups
-- Rollups as they are now known: made anew from what ended, never added to, so that twice is once.
INSERT INTO dutiful.rollup (app, grain, at, queue, task, done, failed, dead, cancelled, waits, runs)
SELECT r.app, :grain, r.at, r.queue, r.task, r.done, r.failed, r.dead, r.cancelled, r.waits, r.runs
  FROM jsonb_to_recordset(:rows::jsonb) AS r(app text, at bigint, queue text, task text, done bigint,
       failed bigint, dead bigint, cancelled bigint, waits text, runs text)
 ORDER BY r.app, r.at, r.queue, r.task
ON CONFLICT (app, grain, at, queue, task) DO UPDATE
   SET done = excluded.done, failed = excluded.failed, dead = excluded.dead, cancelled = excluded.cancelled,
       waits = excluded.waits, runs = excluded.runs
