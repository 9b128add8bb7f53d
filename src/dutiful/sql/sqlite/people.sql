-- name: find_job
-- One job wherever it is: live, dead, or its latest ending.
SELECT x.place, x.id, l.app, l.queue, l.priority, x.state, x.outcome, x.reason, x.task, x.key,
       x.args, x.args_version, x.epoch, x.run_no, x.attempt, x.crashes, x.losses, x.suspect,
       x.delivery, x.run_at, x.enqueued_at, x.claimed_at, x.ended_at, x.worker, x.ready_seq,
       x.gate, x.result, x.started_at, x.doubt_at, x.doubt, x.cancel_at, x.deadline, :now
  FROM (
    SELECT 1 AS place, j.id, j.lane, j.state, NULL AS outcome, NULL AS reason, j.task, j.key, j.args,
           j.args_version, j.epoch, j.run_no, j.attempt, j.crashes, j.losses, j.suspect, j.delivery,
           j.run_at, j.enqueued_at, j.claimed_at, NULL AS ended_at, j.worker, j.ready_seq,
           j.gate, NULL AS result, j.started_at, j.doubt_at, j.doubt, j.cancel_at,
           j.deadline
      FROM dutiful.job AS j WHERE j.id = :id
    UNION ALL
    SELECT 2, d.id, d.lane, 'dead', NULL, d.reason, d.task, d.key, d.args, d.args_version, d.epoch,
           d.run_no, d.attempt, d.crashes, 0, false, d.delivery, d.run_at, d.enqueued_at,
           d.claimed_at, d.died_at, d.worker, NULL, NULL, NULL, d.started_at, NULL, NULL, NULL,
           NULL
      FROM dutiful.dead AS d WHERE d.id = :id
    UNION ALL
    SELECT 3, h.id, h.lane, h.state, h.outcome, h.reason, h.task, h.key, h.args, h.args_version, h.epoch,
            h.run_no, h.attempt, h.crashes, 0, false, h.delivery, h.run_at, h.enqueued_at,
            h.claimed_at, h.finished_at, h.worker, NULL, NULL, h.result, h.started_at, NULL, h.doubt,
            NULL, NULL
       FROM dutiful.history AS h WHERE h.id = :id
        AND h.finished_at = (SELECT max(n.finished_at) FROM dutiful.history AS n WHERE n.id = :id)
  ) AS x JOIN dutiful.lane AS l ON l.id = x.lane
 ORDER BY x.place LIMIT 1

-- name: revive_dead
-- retry: a dead job is ready again, its tries counted anew, its run numbers going on. An at_most_once
-- body that had begun gets a new life: its start stands in the ledger for the old one. (Not RETURNING from
-- the DELETE: older SQLite takes a NULL there for none when it is asked with IS.)
UPDATE dutiful.ready_seq SET last_value = last_value + 1;
INSERT INTO dutiful.job (id, lane, ready_seq, gate_seq, run_at, enqueued_at, last_token, run_no, attempt, epoch,
       args_version, crashes, crashes_max, suspect, delivery, task, key, args, gates)
SELECT g.id, g.lane, CASE WHEN g.gates IS NULL THEN (SELECT last_value FROM dutiful.ready_seq) END,
       CASE WHEN g.gates IS NOT NULL THEN -1 END, :now, g.enqueued_at, g.last_token,
       g.run_no, 0, g.epoch + CASE WHEN g.started_at IS NULL THEN 0 ELSE 1 END,
       g.args_version, 0, g.crashes_max, g.reason = 'poison', g.delivery, g.task, g.key, g.args, g.gates
  FROM dutiful.dead AS g WHERE g.id = :id;
DELETE FROM dutiful.dead WHERE id = :id;
SELECT j.id, j.epoch FROM dutiful.job AS j WHERE j.id = :id AND changes() = 1

-- name: revive_ended
-- retry: a cancelled or skipped job gets a new live row; its ending stays in the history.
UPDATE dutiful.ready_seq SET last_value = last_value + 1;
INSERT INTO dutiful.job (id, lane, ready_seq, gate_seq, run_at, enqueued_at, last_token, run_no, attempt, epoch,
       args_version, crashes, crashes_max, delivery, task, key, args, gates)
SELECT h.id, h.lane, CASE WHEN h.gates IS NULL THEN (SELECT last_value FROM dutiful.ready_seq) END,
       CASE WHEN h.gates IS NOT NULL THEN -1 END, :now, h.enqueued_at, h.last_token,
       h.run_no, 0, h.epoch, h.args_version, 0, h.crashes_max, h.delivery, h.task, h.key, h.args, h.gates
  FROM dutiful.history AS h
 WHERE h.id = :id AND h.finished_at = :ended_at AND (h.state = 'cancelled' OR h.outcome = 'skipped')
   AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = h.id)
ON CONFLICT (id) DO NOTHING;
INSERT INTO dutiful.delta (lane, task, kind, n)
SELECT j.lane, j.task, 'revived', 1 FROM dutiful.job AS j WHERE j.id = :id AND changes() = 1
RETURNING :id, (SELECT j.epoch FROM dutiful.job AS j WHERE j.id = :id)

-- name: regain_duty
-- A job that comes back to life takes its duty again, if nobody else holds it.
INSERT INTO dutiful.duty AS d (app, task, key, job_id, taken_at, remember, epoch, args_hash)
VALUES (:app, :task, :key, :id, :now, :remember, :epoch, :args_hash)
ON CONFLICT (app, task, key) DO UPDATE
   SET turn = d.turn + 1, done_at = NULL, epoch = max(d.epoch, excluded.epoch)
  WHERE d.job_id = excluded.job_id
RETURNING job_id

-- name: cancel_ready
-- cancel: a job that nobody has begun moves to the history.
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       worker, last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
       delivery, task, key, args, gates)
SELECT g.id, :now, g.lane, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, NULL, g.last_token,
       g.run_no, g.attempt, g.epoch, g.args_version, g.crashes, g.crashes_max, 'cancelled',
       g.delivery, g.task, g.key, g.args, g.gates
  FROM dutiful.job AS g WHERE g.id = :id AND g.state = 'ready';
DELETE FROM dutiful.job WHERE id = :id AND state = 'ready'
RETURNING id

-- name: list_failures
-- What a job's runs died of, oldest first.
SELECT f.run_no, f.attempt, f.failed_at, f.worker, f.kind, f.message, f.traceback
  FROM dutiful.failure AS f WHERE f.job_id = :id ORDER BY f.run_no

-- name: list_open
-- Live jobs of an app, newest id first, behind a cursor that is always given.
SELECT j.id, j.state, NULL, j.task, l.queue, l.priority, j.key, j.attempt, j.enqueued_at,
       j.run_at, j.claimed_at, NULL, substr(j.args, 1, 800), :now
  FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
 WHERE l.app = :app AND (:state IS NULL OR j.state = :state)
   AND (:task IS NULL OR j.task = :task) AND (:queue IS NULL OR l.queue = :queue)
   AND j.id < :after
 ORDER BY j.id DESC LIMIT :limit

-- name: list_ended
-- Endings of an app, newest id first, behind a cursor that is always given.
SELECT h.id, h.state, h.outcome, h.task, l.queue, l.priority, h.key, h.attempt, h.enqueued_at,
       h.run_at, h.claimed_at, h.finished_at, substr(h.args, 1, 800), :now
  FROM dutiful.history AS h JOIN dutiful.lane AS l ON l.id = h.lane
 WHERE l.app = :app AND (:state IS NULL OR h.state = :state)
   AND (:task IS NULL OR h.task = :task) AND (:queue IS NULL OR l.queue = :queue)
   AND h.id < :after
 ORDER BY h.id DESC LIMIT :limit

-- name: list_dead
-- Dead jobs of an app, the latest death first, behind a cursor that is always given; with the last thing said.
SELECT d.id, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at,
       d.run_at, d.claimed_at, d.died_at, substr(d.args, 1, 800), :now,
       f.kind, substr(f.message, 1, 300), d.crashes
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE l.app = :app AND (:task IS NULL OR d.task = :task)
   AND (:queue IS NULL OR l.queue = :queue)
   AND (d.died_at, d.id) < (:after, :after_id)
 ORDER BY d.died_at DESC, d.id DESC LIMIT :limit

-- name: list_dead_by_id
-- Dead jobs of an app, newest id first, behind a cursor that is always given; with the last thing said.
SELECT d.id, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at,
       d.run_at, d.claimed_at, d.died_at, substr(d.args, 1, 800), :now,
       f.kind, substr(f.message, 1, 300), d.crashes
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE l.app = :app AND (:task IS NULL OR d.task = :task)
   AND (:queue IS NULL OR l.queue = :queue)
   AND d.id < :after
 ORDER BY d.id DESC LIMIT :limit

-- name: queue_stats
-- Per queue of an app: due and later jobs, running, in doubt, dead, the oldest due, the target. The dead, who may
-- be a million, are not counted but added up from the deaths.
WITH live AS (
    SELECT l.queue, count(*) FILTER (WHERE j.state = 'ready' AND j.run_at <= :now) AS due,
           count(*) FILTER (WHERE j.state = 'ready' AND j.run_at > :now) AS later,
           count(*) FILTER (WHERE j.state = 'running') AS running,
           count(*) FILTER (WHERE j.state = 'in_doubt') AS in_doubt,
           min(j.run_at) FILTER (WHERE j.state = 'ready' AND j.run_at <= :now) AS oldest
      FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
     WHERE l.app = :app GROUP BY l.queue
), buried AS (
    SELECT l.queue, CAST(sum(x.n) AS bigint) AS dead
      FROM (SELECT c.lane, c.n FROM dutiful.dead_count AS c UNION ALL SELECT d.lane, d.n FROM dutiful.death AS d) AS x
      JOIN dutiful.lane AS l ON l.id = x.lane
     WHERE l.app = :app GROUP BY l.queue
), names AS (
    SELECT l.queue FROM dutiful.lane AS l WHERE l.app = :app
    UNION SELECT q.name FROM dutiful.queue AS q WHERE q.app = :app
)
SELECT n.queue, coalesce(v.due, 0), coalesce(v.later, 0), coalesce(v.running, 0),
       coalesce(v.in_doubt, 0), coalesce(b.dead, 0), v.oldest, q.target, :now, coalesce(q.limit_slots, q.slots),
       (SELECT coalesce(sum(s.slots), 0) FROM dutiful.queue_share AS s WHERE s.app = :app AND s.queue = n.queue),
       CASE WHEN coalesce(q.paused_until > :now, true) THEN q.paused_at END, q.paused_until, q.paused_by, q.pause_reason,
       q.slots, q.limit_slots, q.limited_at, q.limited_by, q.limit_reason
  FROM names AS n LEFT JOIN live AS v ON v.queue = n.queue LEFT JOIN buried AS b ON b.queue = n.queue
  LEFT JOIN dutiful.queue AS q ON q.app = :app AND q.name = n.queue
 ORDER BY n.queue

-- name: unfinished
-- Whether anything in these queues is still to be done: for --until-empty. Not what waits in a paused one.
SELECT count(*) FILTER (WHERE j.state = 'ready'), count(*) FILTER (WHERE j.state = 'running'),
       min(j.run_at) FILTER (WHERE j.state = 'ready'), :now
  FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
 WHERE l.app = :app AND l.queue IN (SELECT e.value FROM json_each(:queues) AS e)
   AND json_extract(:known, '$."' || j.task || '"') IS NOT NULL
   AND (j.state = 'running' OR NOT EXISTS (
        SELECT 1 FROM dutiful.queue AS q WHERE q.app = l.app AND q.name = l.queue AND q.paused_at IS NOT NULL
           AND coalesce(q.paused_until > :now, true)))

-- name: holder_of_duty
-- Who holds a duty, for a refusal that names it.
SELECT d.job_id FROM dutiful.duty AS d WHERE d.app = :app AND d.task = :task AND d.key = :key
