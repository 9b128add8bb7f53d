-- name: find_queue
-- What people and programs said of a queue; a queue is known by a row, or by a lane.
SELECT n.name, q.target, coalesce(q.limit_slots, q.slots),
       CASE WHEN coalesce(q.paused_until > :now, true) THEN q.paused_at END,
       q.paused_until, q.paused_by, q.pause_reason, :now, q.slots, q.limit_slots, q.limited_at, q.limited_by,
       q.limit_reason
  FROM (SELECT p.name FROM dutiful.queue AS p WHERE p.app = :app AND p.name = :name
        UNION SELECT l.queue FROM dutiful.lane AS l WHERE l.app = :app AND l.queue = :name) AS n
  LEFT JOIN dutiful.queue AS q ON q.app = :app AND q.name = n.name

-- name: pause_queue
-- No claim takes from it while it is paused: until an instant by the database's clock, or until resumed.
INSERT INTO dutiful.queue AS q (app, name, paused_at, paused_until, paused_by, pause_reason)
VALUES (:app, :name, :now, CASE WHEN CAST(:span AS bigint) IS NULL THEN CAST(:until AS bigint)
        ELSE :now + CAST(:span AS bigint) END, :actor, :reason)
ON CONFLICT (app, name) DO UPDATE
   SET paused_at = excluded.paused_at, paused_until = excluded.paused_until,
       paused_by = excluded.paused_by, pause_reason = excluded.pause_reason

-- name: resume_queue
-- The end of a pause.
UPDATE dutiful.queue SET paused_at = NULL, paused_until = NULL, paused_by = NULL, pause_reason = NULL
 WHERE app = :app AND name = :name

-- name: limit_queue
-- So many of its jobs may run at a time, whatever the program declares. Workers learn of it by "turn".
INSERT INTO dutiful.queue AS q (app, name, turn, limit_slots, limited_at, limited_by, limit_reason)
VALUES (:app, :name, 1, :slots, :now, :actor, :reason)
ON CONFLICT (app, name) DO UPDATE
   SET turn = q.turn + 1, limit_slots = excluded.limit_slots, limited_at = excluded.limited_at,
       limited_by = excluded.limited_by, limit_reason = excluded.limit_reason

-- name: unlimit_queue
-- What the program declares holds again.
UPDATE dutiful.queue
   SET turn = turn + 1, limit_slots = NULL, limited_at = NULL, limited_by = NULL, limit_reason = NULL
 WHERE app = :app AND name = :name AND limit_slots IS NOT NULL

-- name: other_shares
-- What others hold of a limited queue's slots: asked under the lock of its row, in a statement after it.
SELECT coalesce(sum(s.slots), 0) FROM dutiful.queue_share AS s
 WHERE s.app = :app AND s.queue = :queue AND s.worker <> :worker

-- name: set_share
-- What a worker holds from now on. One row of its own, changed only under the lock of the queue's row.
INSERT INTO dutiful.queue_share (app, queue, worker, slots, allowed) VALUES (:app, :queue, :worker, :slots, :allowed)
ON CONFLICT (app, queue, worker) DO UPDATE SET slots = excluded.slots, allowed = excluded.allowed

-- name: verify_shares
-- I13: workers never hold more of a limited queue than was allowed when one of them took its slots: each change is
-- within what is allowed at it, whoever leaves takes from the sum, and nobody else changes what the others hold.
SELECT count(*) OVER (), s.queue, 'queue', 'its workers hold more slots than its limit has',
       sum(s.slots) || ' held by ' || count(*) || ', ' || max(s.allowed) || ' allowed'
  FROM dutiful.queue_share AS s
 WHERE CAST(:app AS text) IS NULL OR s.app = :app
 GROUP BY s.app, s.queue
HAVING count(s.allowed) = count(*) AND sum(s.slots) > max(s.allowed)
 LIMIT :rows

-- name: drop_share
-- A worker gives all its slots of a queue back.
DELETE FROM dutiful.queue_share WHERE app = :app AND queue = :queue AND worker = :worker

-- name: drop_shares_of_gone
-- Slots of workers that surely run nothing any more: they and their children were marked gone and held nothing
-- at a look a lease later, in which whatever claim was under way has ended.
DELETE FROM dutiful.queue_share AS s
 WHERE s.app = :app AND s.queue = :queue
   AND NOT EXISTS (SELECT 1 FROM dutiful.worker AS w
                    WHERE (w.id = s.worker OR w.parent = s.worker) AND w.reaped_at IS NULL)

-- name: late_counts
-- Per queue, of what ended since an instant: skipped, begun later than the queue's target, and dead as stale.
SELECT x.queue, sum(x.skipped), sum(x.over), sum(x.stale)
  FROM (SELECT l.queue, CASE WHEN h.outcome = 'skipped' THEN 1 ELSE 0 END AS skipped,
               CASE WHEN h.outcome = 'performed' AND h.claimed_at - h.run_at > q.target THEN 1 ELSE 0 END AS over,
               0 AS stale
          FROM dutiful.history AS h JOIN dutiful.lane AS l ON l.id = h.lane
          LEFT JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
         WHERE l.app = :app AND h.finished_at >= :now - :span
        UNION ALL
        SELECT l.queue, 0, 0, 1 FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
         WHERE l.app = :app AND d.reason = 'stale' AND d.died_at >= :now - :span) AS x
 GROUP BY x.queue ORDER BY x.queue
