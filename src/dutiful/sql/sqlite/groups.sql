-- name: next_deaths
-- The oldest deaths and departures that are not folded yet, with what is known of them.
SELECT d.id, l.app, d.fingerprint, d.task, d.reason, d.at, d.n, d.job_id, w.release, f.kind,
       substr(f.message, 1, 1000), d.lane
  FROM (SELECT o.* FROM dutiful.death AS o ORDER BY o.id LIMIT :limit) AS d
  JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.worker AS w ON w.id = d.worker
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.job_id AND f.run_no = d.run_no
 ORDER BY d.id

-- name: drop_deaths
-- Takes away what is folded, in the same transaction.
DELETE FROM dutiful.death
 WHERE id IN (SELECT e.value FROM json_each(:ids) AS e)

-- name: fold_groups
-- Adds deaths and departures to their groups.
INSERT INTO dutiful.failure_group (app, fingerprint, task, reason, kind, title, first_at, last_at,
       first_release, last_release, deaths, n, job_id)
SELECT json_extract(e.value, '$.app'), json_extract(e.value, '$.fingerprint'), json_extract(e.value, '$.task'),
       json_extract(e.value, '$.reason'), json_extract(e.value, '$.kind'), json_extract(e.value, '$.title'),
       json_extract(e.value, '$.first_at'), json_extract(e.value, '$.last_at'),
       json_extract(e.value, '$.first_release'), json_extract(e.value, '$.last_release'),
       json_extract(e.value, '$.deaths'), json_extract(e.value, '$.n'), json_extract(e.value, '$.job_id')
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, fingerprint) DO UPDATE
   SET deaths = deaths + excluded.deaths, n = n + excluded.n,
       kind = CASE WHEN kind = '' THEN excluded.kind ELSE kind END,
       title = CASE WHEN title = '' THEN excluded.title ELSE title END,
       last_release = CASE WHEN excluded.deaths > 0 AND excluded.last_at >= last_at AND excluded.last_release <> ''
                           THEN excluded.last_release ELSE last_release END,
       job_id = CASE WHEN excluded.deaths > 0 THEN excluded.job_id ELSE job_id END,
       last_at = CASE WHEN excluded.deaths > 0 THEN max(last_at, excluded.last_at) ELSE last_at END

-- name: fold_hours
-- Adds deaths to their hours.
INSERT INTO dutiful.failure_hour (app, fingerprint, hour, deaths)
SELECT json_extract(e.value, '$.app'), json_extract(e.value, '$.fingerprint'), json_extract(e.value, '$.hour'),
       json_extract(e.value, '$.deaths')
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, fingerprint, hour) DO UPDATE SET deaths = deaths + excluded.deaths

-- name: fold_lanes
-- Adds deaths and departures to the count of their lane.
INSERT INTO dutiful.dead_count (lane, n)
SELECT json_extract(e.value, '$.lane'), json_extract(e.value, '$.n') FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (lane) DO UPDATE SET n = n + excluded.n

-- name: dead_of_group
-- A page of the dead of one cause, the latest first: by its index, as quick deep in a million as at its start.
SELECT d.id, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at, d.run_at,
       d.claimed_at, d.died_at, substr(d.args, 1, 800), :now, f.kind, substr(f.message, 1, 300), d.crashes
  FROM (SELECT x.* FROM dutiful.dead AS x
         WHERE x.fingerprint = :fingerprint
           AND (x.died_at, x.id) < (:after, :after_id)
           AND x.lane IN (SELECT o.id FROM dutiful.lane AS o WHERE o.app = :app)
         ORDER BY x.died_at DESC, x.id DESC LIMIT :limit) AS d
  JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 ORDER BY d.died_at DESC, d.id DESC

-- name: dead_of_task
-- The same of one task.
SELECT d.id, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at, d.run_at,
       d.claimed_at, d.died_at, substr(d.args, 1, 800), :now, f.kind, substr(f.message, 1, 300), d.crashes
  FROM (SELECT x.* FROM dutiful.dead AS x
         WHERE x.task = :task
           AND (x.died_at, x.id) < (:after, :after_id)
           AND x.lane IN (SELECT o.id FROM dutiful.lane AS o WHERE o.app = :app)
         ORDER BY x.died_at DESC, x.id DESC LIMIT :limit) AS d
  JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 ORDER BY d.died_at DESC, d.id DESC
