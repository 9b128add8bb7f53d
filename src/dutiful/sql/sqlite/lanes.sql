-- name: add_lanes
-- Lanes are made by whoever needs one first; the unique key makes it one.
INSERT INTO dutiful.lane (app, queue, priority)
SELECT :app, json_extract(e.value, '$.queue'), json_extract(e.value, '$.priority')
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, queue, priority) DO NOTHING

-- name: lock_queue
-- Who writes here is alone, so that nothing is to be locked.
SELECT coalesce(q.limit_slots, q.slots) FROM dutiful.queue AS q WHERE q.app = :app AND q.name = :queue

-- name: oldest_ready
-- Per lane when the first ready job behind its mark became due; a look in a while, against starvation.
SELECT json_extract(w.value, '$.lane') AS lane, j.run_at, :now
  FROM json_each(:lanes) AS w
  JOIN dutiful.job AS j ON j.id = (
    SELECT n.id FROM dutiful.job AS n
     WHERE n.lane = json_extract(w.value, '$.lane') AND n.ready_seq > json_extract(w.value, '$.mark')
       AND n.state = 'ready' AND NOT n.suspect
       AND n.args_version <= json_extract(:known, '$."' || n.task || '"')
     ORDER BY n.ready_seq LIMIT 1)
