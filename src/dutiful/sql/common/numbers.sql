-- name: watched_workers
-- Workers of an app that live, or that were there a moment ago: who takes what, and who fell silent.
SELECT w.id, w.host, w.pid, w.alone, w.lease, w.beat_at, w.gone_at, w.reaped_at, w.queues, w.tasks, :now
  FROM dutiful.worker AS w
 WHERE w.app = :app AND (w.reaped_at IS NULL OR w.gone_at > :now - :lately) ORDER BY w.id

-- name: watched_queues
-- What was said of each queue of an app, and how deep it was when the sampler last looked.
SELECT n.name, q.target, CASE WHEN coalesce(q.paused_until > :now, true) THEN q.paused_at END, q.paused_by,
       q.pause_reason, s.depth, s.at
  FROM (SELECT p.name FROM dutiful.queue AS p WHERE p.app = :app
        UNION SELECT l.queue FROM dutiful.lane AS l WHERE l.app = :app) AS n
  LEFT JOIN dutiful.queue AS q ON q.app = :app AND q.name = n.name
  LEFT JOIN dutiful.sample AS s ON s.app = :app AND s.queue = n.name
        AND s.at = (SELECT max(x.at) FROM dutiful.sample AS x WHERE x.app = :app AND x.queue = n.name)
 ORDER BY n.name

-- name: due_unpromoted
-- Jobs whose time has come and which no worker has made claimable yet; the first :window of them.
SELECT l.queue, j.task, j.args_version, count(*), min(j.run_at),
       count(CASE WHEN j.deadline < :now THEN 1 END), min(CASE WHEN j.deadline < :now THEN j.deadline END)
  FROM (SELECT n.lane, n.task, n.args_version, n.run_at, n.deadline FROM dutiful.job AS n
         WHERE n.ready_seq IS NULL AND n.gate IS NULL AND n.run_at <= :now AND n.state = 'ready'
         ORDER BY n.run_at LIMIT :window) AS j
  JOIN dutiful.lane AS l ON l.id = j.lane
 WHERE l.app = :app
 GROUP BY l.queue, j.task, j.args_version

-- name: doubts_by_task
-- Jobs in doubt, by task, and since when: few rows, by an index of their own.
SELECT j.task, count(*), min(j.doubt_at) FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
 WHERE j.doubt_at IS NOT NULL AND l.app = :app
 GROUP BY j.task ORDER BY j.task

-- name: late_at_gates
-- Of the first gates at which somebody stands, those where the first who waits is beyond its queue's target.
WITH RECURSIVE busy(gate, n) AS (
    SELECT min(p.gate), 1 FROM dutiful.place AS p
    UNION ALL
    SELECT (SELECT min(p.gate) FROM dutiful.place AS p WHERE p.gate > b.gate), b.n + 1
      FROM busy AS b WHERE b.gate IS NOT NULL AND b.n < :limit
), waits AS (
    SELECT g.kind, g.key, g.id,
           (SELECT p.job_id FROM dutiful.place AS p JOIN dutiful.job AS o ON o.id = p.job_id AND o.gate = g.id
             WHERE p.gate = g.id AND p.seq > g.low AND p.granted IS NULL AND o.state = 'ready'
             ORDER BY p.seq LIMIT 1) AS job
      FROM busy AS b JOIN dutiful.gate AS g ON g.id = b.gate WHERE g.app = :app
)
SELECT w.kind, w.key, l.queue, j.task, j.run_at, q.target
  FROM waits AS w JOIN dutiful.job AS j ON j.id = w.job AND j.gate = w.id AND j.state = 'ready'
  JOIN dutiful.lane AS l ON l.id = j.lane
  JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
 WHERE q.target < :now - j.run_at
 ORDER BY j.run_at

-- name: read_watchers
-- When each of those who watch an app, or all apps, last looked.
SELECT w.name, w.period, :now - w.last_at, w.note FROM dutiful.watcher AS w WHERE w.app IN (:app, '') ORDER BY w.name

-- name: read_verdict
-- What the verdict was when it was last kept.
SELECT v.state, v.since, v.at, :now FROM dutiful.verdict AS v WHERE v.app = :app

-- name: keep_verdict
-- What the verdict is now. "since" moves only when it is another one.
INSERT INTO dutiful.verdict AS v (app, state, since, at) VALUES (:app, :state, :now, :now)
ON CONFLICT (app) DO UPDATE
   SET since = CASE WHEN v.state = excluded.state THEN v.since ELSE excluded.since END,
       state = excluded.state, at = excluded.at

-- name: read_book
-- An app's books as the bookkeeper last read them.
SELECT b.accepted + b.revived, b.missing, b.surplus, b.counted_at, b.recounted_at,
       b.ready + b.running + b.in_doubt + b.dead + b.done + b.cancelled + b.pruned, b.dead
  FROM dutiful.book AS b WHERE b.app = :app

-- name: unseen_groups
-- Causes of death that nobody acknowledged, or whose acknowledgement lapsed: by time, when it grew twofold, or
-- because it came again in another release. The first of them, and how many there are, with how many jobs. What
-- the bookkeeper has not counted yet counts too: who retried the last one is not told that it is dead. Not where
-- that is more than :fresh deaths and departures: of a part of them the departures might hide what died.
WITH moved AS (
    SELECT e.lane, e.fingerprint, e.n FROM dutiful.death AS e ORDER BY e.id DESC LIMIT :fresh
), since AS (
    SELECT m.fingerprint, CAST(sum(m.n) AS bigint) AS n FROM moved AS m JOIN dutiful.lane AS l ON l.id = m.lane
     WHERE l.app = :app AND (SELECT count(*) FROM moved) < :fresh
     GROUP BY m.fingerprint
), cause AS (
    SELECT g.fingerprint, g.task, g.reason, g.kind, g.n + coalesce(s.n, 0) AS n, g.first_at, g.last_at, g.last_release
      FROM dutiful.failure_group AS g LEFT JOIN since AS s ON s.fingerprint = g.fingerprint
     WHERE g.app = :app AND g.n > 0
)
SELECT g.fingerprint, g.task, g.reason, g.kind, g.n, g.first_at, g.last_at,
       count(*) OVER (), sum(g.n) OVER (), CASE WHEN k.acked_at IS NULL THEN 0 ELSE 1 END
  FROM cause AS g
  LEFT JOIN dutiful.ack AS k ON k.app = :app AND k.thing = 'group:' || g.fingerprint
 WHERE g.n > 0
   AND (k.acked_at IS NULL OR k.until <= :now OR g.n >= 2 * k.count_then
        OR (g.last_release <> k.release_then AND g.last_at > k.acked_at))
 ORDER BY g.first_at, g.fingerprint LIMIT :limit

-- name: fresh_deaths
-- Deaths that the bookkeeper has not counted yet, by cause; the newest of them, of causes that it does not know
-- or knew of none dead, and that nobody has acknowledged.
SELECT d.fingerprint, min(d.task), min(d.reason), sum(d.n), min(d.at)
  FROM (SELECT e.lane, e.fingerprint, e.task, e.reason, e.n, e.at FROM dutiful.death AS e
         ORDER BY e.id DESC LIMIT :limit) AS d
  JOIN dutiful.lane AS l ON l.id = d.lane
 WHERE l.app = :app
   AND NOT EXISTS (SELECT 1 FROM dutiful.failure_group AS g
                    WHERE g.app = :app AND g.fingerprint = d.fingerprint AND g.n > 0)
   AND NOT EXISTS (SELECT 1 FROM dutiful.ack AS k
                    WHERE k.app = :app AND k.thing = 'group:' || d.fingerprint AND k.until > :now)
 GROUP BY d.fingerprint HAVING sum(d.n) > 0

-- name: count_seen
-- Causes that somebody has acknowledged and that are still there, with their jobs; and which of these lapse soon.
SELECT count(*), coalesce(sum(g.n), 0), coalesce(sum(CASE WHEN k.until < :now + :soon THEN 1 ELSE 0 END), 0)
  FROM dutiful.failure_group AS g JOIN dutiful.ack AS k ON k.app = g.app AND k.thing = 'group:' || g.fingerprint
 WHERE g.app = :app AND g.n > 0 AND k.until > :now

-- name: task_owners
-- Who owns which task, and what else is declared of it, as the newest release that ran it says.
SELECT t.name, t.owner, t.declared FROM dutiful.task AS t
 WHERE t.app = :app AND t.seen_at = (SELECT max(o.seen_at) FROM dutiful.task AS o WHERE o.app = t.app AND o.name = t.name)
 ORDER BY t.name
