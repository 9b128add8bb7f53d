-- name: walk_dead
-- Dead jobs of an app, the latest death first, behind a cursor that is always given: so each page
-- begins at its place in the index, however deep. With the last thing said.
SELECT d.id::text, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at,
       d.run_at, d.claimed_at, d.died_at, substr(d.args, 1, 800), :now,
       f.kind, left(f.message, 300), d.crashes
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE l.app = :app AND (d.died_at, d.id) < (:after::bigint, :after_id::uuid)
   AND (:task::text IS NULL OR d.task = :task) AND (:queue::text IS NULL OR l.queue = :queue)
 ORDER BY d.died_at DESC, d.id DESC LIMIT :limit
