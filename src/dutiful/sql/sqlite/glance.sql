-- name: running_heads
-- What runs, among the first :window jobs of each lane: what runs is at the front. The longest running first.
SELECT j.id, l.queue, j.task, j.claimed_at, w.host, w.pid
  FROM dutiful.lane AS l
 CROSS JOIN dutiful.job AS j ON j.id IN (
       SELECT n.id FROM dutiful.job AS n
        WHERE n.lane = l.id AND n.ready_seq IS NOT NULL
        ORDER BY n.ready_seq LIMIT :window)
  LEFT JOIN dutiful.worker AS w ON w.id = j.worker
 WHERE l.app = :app AND j.state = 'running' ORDER BY j.claimed_at, j.id LIMIT :limit
