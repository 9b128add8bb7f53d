-- name: list_doubts
-- Jobs in doubt of an app, the latest first, behind a cursor; with what is known of the run that left each
-- of them, and of the worker whose death would prove that it does nothing any more.
SELECT j.id::text, j.task, j.queue, j.key, j.delivery, j.epoch, j.run_no, j.attempt, j.claimed_at,
       j.started_at, j.doubt_at, j.doubt, j.args, f.kind, f.failed_at, f.worker, w.host, w.file,
       w.gone_how, w.gone_at, :now
  FROM (SELECT o.*, l.queue FROM dutiful.job AS o JOIN dutiful.lane AS l ON l.id = o.lane
         WHERE l.app = :app AND o.doubt_at IS NOT NULL AND (:task::text IS NULL OR o.task = :task)
           AND (:queue::text IS NULL OR l.queue = :queue)
           AND (:after::bigint IS NULL OR (o.doubt_at, o.id) < (:after::bigint, :after_id::uuid))
         ORDER BY o.doubt_at DESC, o.id DESC LIMIT :limit) AS j
  LEFT JOIN dutiful.failure AS f ON f.job_id = j.id AND f.run_no = j.run_no
  LEFT JOIN dutiful.worker AS w ON w.id = f.worker
 ORDER BY j.doubt_at DESC, j.id DESC

-- name: find_doubt
-- The same of one job.
SELECT j.id::text, j.task, l.queue, j.key, j.delivery, j.epoch, j.run_no, j.attempt, j.claimed_at,
       j.started_at, j.doubt_at, j.doubt, j.args, f.kind, f.failed_at, f.worker, w.host, w.file,
       w.gone_how, w.gone_at, :now
  FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = j.id AND f.run_no = j.run_no
  LEFT JOIN dutiful.worker AS w ON w.id = f.worker
 WHERE j.id = :id::uuid AND l.app = :app AND j.state = 'in_doubt'

-- name: open_effects
-- The effects of a duty that have no known outcome; with what is known of the last caller of each.
SELECT e.name, e.key, e.tries, e.run_no, e.calls_alive, e.asked_at, e.sent_at,
       CASE WHEN e.ended_at IS NOT NULL THEN 'Ended' ELSE f.kind END, coalesce(e.ended_at, f.failed_at),
       e.worker, w.host, w.gone_how, w.gone_at
  FROM dutiful.effect AS e LEFT JOIN dutiful.worker AS w ON w.id = e.worker
  LEFT JOIN dutiful.failure AS f ON f.job_id = e.job_id AND f.run_no = e.run_no
 WHERE e.app = :app AND e.task = :task AND e.duty = :duty AND e.state = 'intended'
 ORDER BY e.asked_at, e.name

-- name: settle_effect_by_hand
-- A person says what became of an effect's call, as it was seen: done with this result, or refused, and
-- then perhaps to be sent under a new key.
UPDATE dutiful.effect
   SET state = :state, settled_at = :now, settled_by = :by, result = :result::bytea,
       key = coalesce(:new_key, key),
       calls_open = CASE WHEN :state = 'refused' THEN 0 ELSE calls_open END,
       calls_alive = CASE WHEN :state = 'refused' THEN 0 ELSE calls_alive END
 WHERE app = :app AND task = :task AND duty = :duty AND name = :name AND tries = :tries AND state = 'intended'
RETURNING key

-- name: close_doubt
-- confirm, waive: a job in doubt is done; what was not known of it is kept.
WITH gone AS (
    DELETE FROM dutiful.job AS j
     WHERE j.id = :id::uuid AND j.state = 'in_doubt' AND j.run_no = :run_no
    RETURNING j.*
)
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state, outcome, delivery,
       task, key, args, result, doubt, gates)
SELECT g.id, :now, g.lane, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.last_token, g.run_no,
       g.attempt, g.epoch, g.args_version, g.crashes, g.crashes_max, 'done', :outcome, g.delivery,
       g.task, g.key, g.args, :result::bytea, g.doubt, g.gates
  FROM gone AS g
RETURNING id::text

-- name: waive_dead
-- waive: a dead job is done, given up by a person; what it died of is kept.
WITH gone AS (
    DELETE FROM dutiful.dead AS d WHERE d.id = :id::uuid AND d.run_no = :run_no RETURNING d.*
)
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state, outcome, delivery,
       task, key, args, reason, gates)
SELECT g.id, :now, g.lane, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.worker, g.last_token,
       g.run_no, g.attempt, g.epoch, g.args_version, g.crashes, g.crashes_max, 'done', 'waived',
       g.delivery, g.task, g.key, g.args, g.reason, g.gates
  FROM gone AS g
RETURNING id::text

-- name: reopen_doubt
-- resume, refute: a job in doubt is ready. With another epoch its body may begin once more; else it goes on
-- where it was. The run that left the doubt costs no try.
UPDATE dutiful.job AS j
   SET state = 'ready', ready_seq = CASE WHEN j.gates IS NULL THEN nextval('dutiful.ready_seq') END,
       gate_seq = CASE WHEN j.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END, admitted = true, doubt_at = NULL, doubt = NULL,
       started_at = NULL, epoch = :epoch, attempt = greatest(j.attempt - 1, 0)
 WHERE j.id = :id::uuid AND j.state = 'in_doubt' AND j.run_no = :run_no
RETURNING j.id::text

-- name: unwaive_dead
-- unwaive: a job that was waived when it was dead is dead again. Its ending stays in the history.
WITH back AS (
INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
       task, key, args, gates, fingerprint)
SELECT h.id, h.lane, :now, h.run_at, h.enqueued_at, h.claimed_at, h.started_at, h.worker, h.last_token,
       h.run_no, h.attempt, h.epoch, h.args_version, h.crashes, h.crashes_max, h.reason, h.delivery,
       h.task, h.key, h.args, h.gates,
       coalesce((SELECT f.fingerprint FROM dutiful.failure AS f WHERE f.job_id = h.id AND f.run_no = h.run_no),
                h.reason || ':' || h.task)
  FROM dutiful.history AS h
 WHERE h.id = :id::uuid AND h.finished_at = :ended_at AND h.outcome = 'waived' AND h.doubt IS NULL
   AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = h.id)
ON CONFLICT (id) DO NOTHING
RETURNING id, lane, task
), counted AS (
    INSERT INTO dutiful.delta (lane, task, kind, n) SELECT b.lane, b.task, 'revived', 1 FROM back AS b
)
SELECT b.id::text FROM back AS b

-- name: unwaive_doubt
-- unwaive: one that was in doubt is in doubt again, under its last token.
WITH back AS (
INSERT INTO dutiful.job (id, lane, ready_seq, gate_seq, gates, admitted, run_at, enqueued_at, claimed_at, started_at, last_token, run_no,
       attempt, epoch, args_version, crashes, crashes_max, state, delivery, task, key, args, doubt_at, doubt)
SELECT h.id, h.lane, NULL, CASE WHEN h.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END, h.gates, h.gates IS NULL,
       h.run_at, h.enqueued_at, h.claimed_at, h.started_at, h.last_token, h.run_no,
       h.attempt, h.epoch, h.args_version, h.crashes, h.crashes_max, 'in_doubt', h.delivery,
       h.task, h.key, h.args, :now, h.doubt
  FROM dutiful.history AS h
 WHERE h.id = :id::uuid AND h.finished_at = :ended_at AND h.outcome = 'waived' AND h.doubt IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = h.id)
ON CONFLICT (id) DO NOTHING
RETURNING id, lane, task
), counted AS (
    INSERT INTO dutiful.delta (lane, task, kind, n) SELECT b.lane, b.task, 'revived', 1 FROM back AS b
)
SELECT b.id::text FROM back AS b

-- name: unproven_workers
-- Workers that fell silent and that left doubts: whoever can prove that they are dead may say so.
SELECT DISTINCT w.id, w.host, w.file
  FROM dutiful.job AS j JOIN dutiful.failure AS f ON f.job_id = j.id AND f.run_no = j.run_no
  JOIN dutiful.worker AS w ON w.id = f.worker
 WHERE j.doubt_at IS NOT NULL AND w.gone_how = 'lapsed' AND w.file IS NOT NULL AND NOT w.alone

-- name: prove_dead
-- Of a worker that was only silent it is known now that it is dead; since when, nobody knows: since now.
UPDATE dutiful.worker SET gone_how = 'died', gone_at = :now WHERE id = :id AND gone_how = 'lapsed'
RETURNING id
