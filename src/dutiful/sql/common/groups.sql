-- name: list_groups
-- Causes of death, folded or not, with how many are dead of each now and how many ever were. The latest first;
-- with :fingerprint one of them alone.
SELECT x.fingerprint, max(x.task), max(x.reason), max(x.kind), max(x.title), min(x.first_at), max(x.last_at),
       max(x.first_release), max(x.last_release), sum(x.deaths), sum(x.n), max(x.job_id), :now
  FROM (
    SELECT g.fingerprint, g.task, g.reason, g.kind, g.title, g.first_at, g.last_at, g.first_release,
           g.last_release, g.deaths, g.n, CAST(g.job_id AS text) AS job_id
      FROM dutiful.failure_group AS g WHERE g.app = :app
    UNION ALL
    SELECT d.fingerprint, d.task, d.reason, '', '', d.at, d.at, '', '', CASE WHEN d.n > 0 THEN d.n ELSE 0 END, d.n, ''
      FROM dutiful.death AS d JOIN dutiful.lane AS l ON l.id = d.lane WHERE l.app = :app
  ) AS x
 WHERE (CAST(:fingerprint AS text) IS NULL OR x.fingerprint = :fingerprint)
   AND (CAST(:task AS text) IS NULL OR x.task = :task)
 GROUP BY x.fingerprint
HAVING :gone OR sum(x.n) > 0
 ORDER BY max(x.last_at) DESC, x.fingerprint LIMIT :limit

-- name: group_hours
-- How many of a cause died in each hour since :since, hours without any left out. Folded ones alone.
SELECT h.hour, h.deaths FROM dutiful.failure_hour AS h
 WHERE h.app = :app AND h.fingerprint = :fingerprint AND h.hour >= :since ORDER BY h.hour

-- name: forget_hours
-- Forgets hours of long ago.
DELETE FROM dutiful.failure_hour WHERE hour < :now - :keep

-- name: forget_groups
-- Forgets causes of which nobody is dead, and nobody has died for long.
DELETE FROM dutiful.failure_group WHERE n <= 0 AND last_at < :now - :keep
