-- name: lane_heads
-- Of each lane the first :window jobs that stand ready, by task: what no worker takes stays there, and what is
-- late is at the front.
SELECT l.queue, j.task, j.args_version, count(*), min(j.run_at),
       count(CASE WHEN j.deadline < :now THEN 1 END), min(CASE WHEN j.deadline < :now THEN j.deadline END)
  FROM dutiful.lane AS l
 CROSS JOIN LATERAL (SELECT n.task, n.args_version, n.run_at, n.deadline FROM dutiful.job AS n
                      WHERE n.lane = l.id AND n.ready_seq IS NOT NULL AND n.state = 'ready'
                      ORDER BY n.ready_seq LIMIT :window) AS j
 WHERE l.app = :app AND j.run_at <= :now
 GROUP BY l.queue, j.task, j.args_version

-- name: held_by_silent
-- What these workers hold, among the first :window jobs of each lane: what runs is at the front.
SELECT j.worker, count(*), min(j.claimed_at)
  FROM dutiful.lane AS l
 CROSS JOIN LATERAL (SELECT n.worker, n.claimed_at, n.state FROM dutiful.job AS n
                      WHERE n.lane = l.id AND n.ready_seq IS NOT NULL
                      ORDER BY n.ready_seq LIMIT :window) AS j
 WHERE l.app = :app AND j.state = 'running'
   AND j.worker IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:ids::jsonb) AS e(value))
 GROUP BY j.worker
