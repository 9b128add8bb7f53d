-- name: add_lanes
-- Lanes are made by whoever needs one first; the unique key makes it one.
INSERT INTO dutiful.lane (app, queue, priority)
SELECT :app, r.queue, r.priority
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue text, priority smallint)
 ORDER BY r.queue, r.priority
ON CONFLICT (app, queue, priority) DO NOTHING

-- name: lock_queue
-- Whoever changes shares of a limited queue's slots holds its row until the end; no job's transaction does.
SELECT coalesce(q.limit_slots, q.slots) FROM dutiful.queue AS q WHERE q.app = :app AND q.name = :queue FOR NO KEY UPDATE

-- name: oldest_ready
-- Per lane when the first ready job behind its mark became due; a look in a while, against starvation.
SELECT w.lane, j.run_at, :now
  FROM jsonb_to_recordset(:lanes::jsonb) AS w(lane integer, mark bigint)
 CROSS JOIN LATERAL (
    SELECT j.run_at FROM dutiful.job AS j
     WHERE j.lane = w.lane AND j.ready_seq > w.mark AND j.state = 'ready' AND NOT j.suspect
       AND j.args_version <= (:known::jsonb -> j.task)::integer
     ORDER BY j.ready_seq LIMIT 1) AS j
