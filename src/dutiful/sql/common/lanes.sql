-- name: list_lanes
-- The lanes of an app, so that a worker knows where to claim.
SELECT id, queue, priority FROM dutiful.lane WHERE app = :app ORDER BY id

-- name: set_queue
-- What a program declares about a queue; the target is how late its oldest due job may be.
INSERT INTO dutiful.queue (app, name, target) VALUES (:app, :name, :target)
ON CONFLICT (app, name) DO UPDATE SET target = excluded.target

