-- name: add_lanes
-- Lanes are made by whoever needs one first; the unique key makes it one.
INSERT INTO dutiful.lane (app, queue, priority)
SELECT :app, r.queue, r.priority
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue text, priority smallint)
 ORDER BY r.queue, r.priority
ON CONFLICT (app, queue, priority) DO NOTHING
