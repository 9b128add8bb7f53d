-- name: lane_heads
-- Of each lane the first :window jobs that stand ready, by task: what no worker takes stays there, and what is
-- late is at the front.
SELECT l.queue, j.task, j.args_version, count(*), min(j.run_at),
       count(CASE WHEN j.deadline < :now THEN 1 END), min(CASE WHEN j.deadline < :now THEN j.deadline END)
  FROM dutiful.lane AS l
 CROSS JOIN dutiful.job AS j ON j.id IN (
       SELECT n.id FROM dutiful.job AS n
        WHERE n.lane = l.id AND n.ready_seq IS NOT NULL AND n.state = 'ready'
        ORDER BY n.ready_seq LIMIT :window)
 WHERE l.app = :app AND j.run_at <= :now
 GROUP BY l.queue, j.task, j.args_version

-- name: held_by_silent
-- What these workers hold, among the first :window jobs of each lane: what runs is at the front.
SELECT j.worker, count(*), min(j.claimed_at)
  FROM dutiful.lane AS l
 CROSS JOIN dutiful.job AS j ON j.id IN (
       SELECT n.id FROM dutiful.job AS n
        WHERE n.lane = l.id AND n.ready_seq IS NOT NULL
        ORDER BY n.ready_seq LIMIT :window)
 WHERE l.app = :app AND j.state = 'running' AND j.worker IN (SELECT e.value FROM json_each(:ids) AS e)
 GROUP BY j.worker
