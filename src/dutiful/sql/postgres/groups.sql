-- name: next_deaths
-- The oldest deaths and departures that are not folded yet, with what is known of them. Two who fold at once
-- take different ones.
SELECT d.id, l.app, d.fingerprint, d.task, d.reason, d.at, d.n, d.job_id::text, w.release, f.kind,
       left(f.message, 1000), d.lane
  FROM (SELECT o.* FROM dutiful.death AS o ORDER BY o.id LIMIT :limit FOR UPDATE SKIP LOCKED) AS d
  JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.worker AS w ON w.id = d.worker
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.job_id AND f.run_no = d.run_no
 ORDER BY d.id

-- name: drop_deaths
-- Takes away what is folded, in the same transaction.
DELETE FROM dutiful.death
 WHERE id IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:ids::jsonb) AS e(value))

-- name: fold_groups
-- Adds deaths and departures to their groups. In the order of their names, so that two cannot deadlock.
INSERT INTO dutiful.failure_group AS g (app, fingerprint, task, reason, kind, title, first_at, last_at,
       first_release, last_release, deaths, n, job_id)
SELECT r.app, r.fingerprint, r.task, r.reason, r.kind, r.title, r.first_at, r.last_at, r.first_release,
       r.last_release, r.deaths, r.n, r.job_id
  FROM jsonb_to_recordset(:rows::jsonb) AS r(app text, fingerprint text, task text, reason text, kind text,
       title text, first_at bigint, last_at bigint, first_release text, last_release text, deaths bigint,
       n bigint, job_id uuid)
 ORDER BY r.app, r.fingerprint
ON CONFLICT (app, fingerprint) DO UPDATE
   SET deaths = g.deaths + excluded.deaths, n = g.n + excluded.n,
       kind = CASE WHEN g.kind = '' THEN excluded.kind ELSE g.kind END,
       title = CASE WHEN g.title = '' THEN excluded.title ELSE g.title END,
       last_release = CASE WHEN excluded.deaths > 0 AND excluded.last_at >= g.last_at AND excluded.last_release <> ''
                           THEN excluded.last_release ELSE g.last_release END,
       job_id = CASE WHEN excluded.deaths > 0 THEN excluded.job_id ELSE g.job_id END,
       last_at = CASE WHEN excluded.deaths > 0 THEN greatest(g.last_at, excluded.last_at) ELSE g.last_at END

-- name: fold_hours
-- Adds deaths to their hours.
INSERT INTO dutiful.failure_hour AS h (app, fingerprint, hour, deaths)
SELECT r.app, r.fingerprint, r.hour, r.deaths
  FROM jsonb_to_recordset(:rows::jsonb) AS r(app text, fingerprint text, hour bigint, deaths bigint)
 ORDER BY r.app, r.fingerprint, r.hour
ON CONFLICT (app, fingerprint, hour) DO UPDATE SET deaths = h.deaths + excluded.deaths

-- name: fold_lanes
-- Adds deaths and departures to the count of their lane.
INSERT INTO dutiful.dead_count AS c (lane, n)
SELECT r.lane, r.n FROM jsonb_to_recordset(:rows::jsonb) AS r(lane integer, n bigint) ORDER BY r.lane
ON CONFLICT (lane) DO UPDATE SET n = c.n + excluded.n

-- name: dead_of_group
-- A page of the dead of one cause, the latest first: by its index, as quick deep in a million as at its start.
SELECT d.id::text, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at, d.run_at,
       d.claimed_at, d.died_at, substr(d.args, 1, 800), :now, f.kind, left(f.message, 300), d.crashes
  FROM (SELECT x.* FROM dutiful.dead AS x
         WHERE x.fingerprint = :fingerprint
           AND (x.died_at, x.id) < (:after::bigint, :after_id::uuid)
           AND x.lane IN (SELECT o.id FROM dutiful.lane AS o WHERE o.app = :app)
         ORDER BY x.died_at DESC, x.id DESC LIMIT :limit) AS d
  JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 ORDER BY d.died_at DESC, d.id DESC

-- name: dead_of_task
-- The same of one task.
SELECT d.id::text, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at, d.run_at,
       d.claimed_at, d.died_at, substr(d.args, 1, 800), :now, f.kind, left(f.message, 300), d.crashes
  FROM (SELECT x.* FROM dutiful.dead AS x
         WHERE x.task = :task
           AND (x.died_at, x.id) < (:after::bigint, :after_id::uuid)
           AND x.lane IN (SELECT o.id FROM dutiful.lane AS o WHERE o.app = :app)
         ORDER BY x.died_at DESC, x.id DESC LIMIT :limit) AS d
  JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 ORDER BY d.died_at DESC, d.id DESC
