-- name: running_heads
-- What runs, among the first :window jobs of each lane: what runs is at the front. The longest running first.
SELECT j.id::text, l.queue, j.task, j.claimed_at, w.host, w.pid
  FROM dutiful.lane AS l
 CROSS JOIN LATERAL (SELECT n.id, n.task, n.claimed_at, n.worker, n.state FROM dutiful.job AS n
                      WHERE n.lane = l.id AND n.ready_seq IS NOT NULL
                      ORDER BY n.ready_seq LIMIT :window) AS j
  LEFT JOIN dutiful.worker AS w ON w.id = j.worker
 WHERE l.app = :app AND j.state = 'running' ORDER BY j.claimed_at, j.id LIMIT :limit
