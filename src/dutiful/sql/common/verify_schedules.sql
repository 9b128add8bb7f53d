-- name: verify_occurrences
-- I14: an occurrence has one duty, and that one job: the job that its row names has its key, no other row
-- names that job, and its duty is no other job's while the job is open or has done it.
WITH made AS (
    SELECT o.app, o.schedule, o.at, o.task, o.key, o.job_id FROM dutiful.occurrence AS o
     WHERE o.job_id IS NOT NULL ORDER BY o.made_at DESC LIMIT :window
), seen AS (
    SELECT o.*, j.id AS live, coalesce(j.key, x.key, h.key) AS has, h.outcome, d.job_id AS holder, d.epoch,
           count(*) OVER (PARTITION BY o.job_id) AS named
      FROM made AS o LEFT JOIN dutiful.job AS j ON j.id = o.job_id
      LEFT JOIN dutiful.dead AS x ON x.id = o.job_id
      LEFT JOIN dutiful.history AS h ON h.id = o.job_id AND h.outcome = 'performed'
      LEFT JOIN dutiful.duty AS d ON d.app = o.app AND d.task = o.task AND d.key = o.key
), wrong AS (
    SELECT s.app, s.key, s.job_id,
           CASE WHEN s.named > 1 THEN 'shares its job with another'
                WHEN s.has <> s.key THEN 'its job has another duty'
                WHEN s.holder <> s.job_id AND s.epoch = 1 AND (s.live IS NOT NULL OR s.outcome IS NOT NULL)
                THEN 'a second job has its duty' END AS problem
      FROM seen AS s
)
SELECT count(*) OVER (), w.key, 'occurrence', w.problem, 'job ' || CAST(w.job_id AS text)
  FROM wrong AS w
 WHERE w.problem IS NOT NULL AND (CAST(:app AS text) IS NULL OR w.app = :app)
 LIMIT :rows

-- name: verify_windows
-- I14: what the ledger says of each schedule since its rule holds. Which instants should be in it only the
-- rule can tell: these rows are judged by it.
WITH recent AS (
    SELECT o.app, o.schedule, o.at, o.upto, o.skipped, o.asked_by
      FROM dutiful.occurrence AS o ORDER BY o.made_at DESC, o.at DESC LIMIT :window / 4
)
SELECT s.app, s.name, s.spec, s.changed_at, s.covered_at, :now, r.at, r.upto, r.skipped, r.asked_by,
       (SELECT count(*) FROM recent AS a) >= :window / 4
  FROM dutiful.schedule AS s LEFT JOIN recent AS r ON r.app = s.app AND r.schedule = s.name
 WHERE CAST(:app AS text) IS NULL OR s.app = :app
 ORDER BY s.app, s.name, r.at
