-- name: count_for_bulk
-- How many jobs a bulk operation would be about; changes nothing.
SELECT count(*)
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE l.app = :app AND d.died_at <= :bound
   AND (:ids::jsonb IS NULL OR d.id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)))
   AND (:task::text IS NULL OR d.task = :task) AND (:queue::text IS NULL OR l.queue = :queue)
   AND (:fingerprint::text IS NULL OR d.fingerprint = :fingerprint)
   AND (:error::text IS NULL OR position(lower(:error::text) IN lower(f.kind || ': ' || f.message)) > 0)
   AND (NOT :unseen OR NOT EXISTS (SELECT 1 FROM dutiful.ack AS a
         WHERE a.app = l.app AND a.thing = 'group:' || d.fingerprint AND a.until > :now
               AND NOT EXISTS (SELECT 1 FROM dutiful.failure_group AS g WHERE g.app = a.app AND g.fingerprint = d.fingerprint
                    AND (g.n >= 2 * a.count_then OR (g.last_release <> a.release_then AND g.last_at > a.acked_at)))))

-- name: last_failures
-- What a job's latest runs died of, the newest first.
SELECT f.run_no, f.attempt, f.failed_at, f.worker, f.kind, f.message, f.traceback
  FROM dutiful.failure AS f WHERE f.job_id = :id::uuid ORDER BY f.run_no DESC LIMIT :limit

-- name: holders_of_key
-- The jobs that hold a duty of this key, of whichever task: from task to task by the index.
WITH RECURSIVE t(task) AS (
  SELECT min(d.task) FROM dutiful.duty AS d WHERE d.app = :app
  UNION ALL
  SELECT (SELECT min(d.task) FROM dutiful.duty AS d WHERE d.app = :app AND d.task > t.task) FROM t WHERE t.task IS NOT NULL
)
SELECT d.job_id::text FROM t JOIN dutiful.duty AS d ON d.app = :app AND d.task = t.task AND d.key = :key
 ORDER BY d.taken_at DESC, d.job_id LIMIT :limit

-- name: chore_begun
-- When a chore that one worker does for all was last begun.
SELECT c.last_at FROM dutiful.chore AS c WHERE c.name = :name
