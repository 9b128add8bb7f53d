-- name: set_rolled
-- They are, up to here.
INSERT INTO dutiful.chore (name, last_at) VALUES ('rolled', :until)
ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at

-- name: ended_between
-- What ended from :since to before :until, by minute, queue, task and how; with the buckets of its last wait and
-- run (model/histograms.py), where it ran.
SELECT l.app, l.queue, x.task, x.at, x.what, x.wait, x.ran, sum(x.n)
  FROM (
    SELECT h.lane, h.task, h.finished_at - h.finished_at % 60000000 AS at,
           CASE WHEN h.state = 'done' AND h.outcome = 'performed' THEN 'done'
                WHEN h.state = 'cancelled' THEN 'cancelled' ELSE 'other' END AS what,
           CASE WHEN h.outcome = 'performed' AND h.claimed_at >= h.run_at
                THEN length(CAST(h.claimed_at - h.run_at AS text)) * 100
                     + CAST(substr(CAST(h.claimed_at - h.run_at AS text), 1, 2) AS integer) END AS wait,
           CASE WHEN h.outcome = 'performed' AND h.finished_at >= h.claimed_at
                THEN length(CAST(h.finished_at - h.claimed_at AS text)) * 100
                     + CAST(substr(CAST(h.finished_at - h.claimed_at AS text), 1, 2) AS integer) END AS ran,
           count(*) AS n
      FROM dutiful.history AS h WHERE h.finished_at >= :since AND h.finished_at < :until
     GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT d.lane, d.task, d.died_at - d.died_at % 60000000, 'dead', NULL, NULL, count(*)
      FROM dutiful.dead AS d WHERE d.died_at >= :since AND d.died_at < :until
     GROUP BY 1, 2, 3
  ) AS x JOIN dutiful.lane AS l ON l.id = x.lane
 GROUP BY l.app, l.queue, x.task, x.at, x.what, x.wait, x.ran

-- name: failed_between
-- Runs that failed from :since to before :until, by minute, queue and task: of jobs that are somewhere still.
SELECT l.app, l.queue, x.task, x.at, count(*)
  FROM (
    SELECT f.failed_at - f.failed_at % 60000000 AS at,
           coalesce(j.lane, d.lane, (SELECT h.lane FROM dutiful.history AS h WHERE h.id = f.job_id LIMIT 1)) AS lane,
           coalesce(j.task, d.task, (SELECT h.task FROM dutiful.history AS h WHERE h.id = f.job_id LIMIT 1)) AS task
      FROM dutiful.failure AS f
      LEFT JOIN dutiful.job AS j ON j.id = f.job_id
      LEFT JOIN dutiful.dead AS d ON d.id = f.job_id
     WHERE f.failed_at >= :since AND f.failed_at < :until
  ) AS x JOIN dutiful.lane AS l ON l.id = x.lane
 GROUP BY l.app, l.queue, x.task, x.at

-- name: rolled_sums
-- The sums over the tasks of a queue (or, for the queue '', over all queues) in a span.
SELECT r.app, r.at, r.queue, r.task, r.done, r.failed, r.dead, r.cancelled, r.waits, r.runs
  FROM dutiful.rollup AS r
 WHERE r.app = :app AND r.grain = :grain AND r.queue = :queue AND r.task = '' AND r.at >= :since AND r.at < :until
 ORDER BY r.at

-- name: rolled
-- The rollups of one grain in a span, for one app or all; for one queue or task or all.
SELECT r.app, r.at, r.queue, r.task, r.done, r.failed, r.dead, r.cancelled, r.waits, r.runs
  FROM dutiful.rollup AS r
 WHERE r.grain = :grain AND r.at >= :since AND r.at < :until
   AND (CAST(:app AS text) IS NULL OR r.app = :app) AND (CAST(:queue AS text) IS NULL OR r.queue = :queue)
   AND (CAST(:task AS text) IS NULL OR r.task = :task)
 ORDER BY r.at, r.queue, r.task

-- name: forget_rollups
-- Forgets rollups of one grain that are older than it is kept.
DELETE FROM dutiful.rollup WHERE grain = :grain AND at < :now - :keep

-- name: take_samples
-- How much is due in each queue, and since when the oldest. Once a minute.
INSERT INTO dutiful.sample (app, queue, at, depth, oldest)
SELECT l.app, l.queue, t.at, count(j.id), min(j.run_at)
  FROM (SELECT :now - :now % 60000000 AS at) AS t CROSS JOIN dutiful.lane AS l
  LEFT JOIN dutiful.job AS j ON j.lane = l.id AND j.state = 'ready' AND j.run_at <= :now
 GROUP BY l.app, l.queue, t.at
ON CONFLICT (app, queue, at) DO NOTHING

-- name: list_samples
-- An app's samples in a span, oldest first.
SELECT s.queue, s.at, s.depth, s.at - s.oldest FROM dutiful.sample AS s
 WHERE s.app = :app AND s.at >= :since AND s.at < :until AND (CAST(:queue AS text) IS NULL OR s.queue = :queue)
 ORDER BY s.at, s.queue

-- name: forget_samples
-- Forgets samples that are older than they are kept.
DELETE FROM dutiful.sample WHERE at < :now - :keep
