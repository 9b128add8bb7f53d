-- name: list_lanes
-- The lanes of an app, so that a worker knows where to claim; with what a beat is compared with.
SELECT l.id, l.queue, l.priority,
       (SELECT count(*) FROM dutiful.lane AS n WHERE n.app = :app)
       + (SELECT coalesce(sum(n.turn), 0) FROM dutiful.queue AS n WHERE n.app = :app),
       coalesce(q.limit_slots, q.slots), q.target
  FROM dutiful.lane AS l LEFT JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
 WHERE l.app = :app ORDER BY l.id

-- name: set_queue
-- What a program declares about a queue; the target is how late its oldest due job may be, the slots how many
-- of its jobs may run at a time. Workers learn of a new limit by "turn".
INSERT INTO dutiful.queue AS q (app, name, target, slots, turn)
VALUES (:app, :name, :target, :slots, CASE WHEN CAST(:slots AS integer) IS NULL THEN 0 ELSE 1 END)
ON CONFLICT (app, name) DO UPDATE
   SET target = excluded.target, slots = excluded.slots,
       turn = q.turn + CASE WHEN coalesce(q.slots, 0) = coalesce(excluded.slots, 0) THEN 0 ELSE 1 END

