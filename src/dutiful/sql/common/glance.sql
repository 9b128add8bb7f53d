-- name: recent_samples
-- How deep each queue of an app was in the last while, oldest first.
SELECT s.queue, s.at, s.depth FROM dutiful.sample AS s
 WHERE s.app = :app AND s.at > :now - :span ORDER BY s.queue, s.at LIMIT :limit
