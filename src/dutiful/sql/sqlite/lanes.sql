-- name: add_lanes
-- Lanes are made by whoever needs one first; the unique key makes it one.
INSERT INTO dutiful.lane (app, queue, priority)
SELECT :app, json_extract(e.value, '$.queue'), json_extract(e.value, '$.priority')
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, queue, priority) DO NOTHING
