-- name: beat
-- Says that these workers (one process and its children) live. Demands that nobody marked them
-- gone: who gets no row must stop and register anew. Tells whether suspects wait, whether lanes or limits are
-- others than before, and whether a run was asked to stop. And what due_workers and people_left tell, and says
-- what beat_watcher does, for this process: that saves these statements.
WITH looked AS (
    INSERT INTO dutiful.watcher AS o (app, name, period, last_at, note)
    SELECT x.app, x.name, x.period, :now - x.ago, ''
      FROM jsonb_to_recordset(:looks::jsonb) AS x(app text, name text, period bigint, ago bigint)
    ON CONFLICT (app, name) DO UPDATE SET period = excluded.period, last_at = excluded.last_at, note = ''
     WHERE o.last_at < excluded.last_at
)
UPDATE dutiful.worker AS w
   SET beat_at = :now, marks = coalesce(:marks, w.marks)
 WHERE w.id IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:ids::jsonb) AS e(value))
   AND w.gone_at IS NULL
RETURNING w.id, EXISTS (SELECT 1 FROM dutiful.job AS j
                         WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'),
          (SELECT count(*) FROM dutiful.lane AS l WHERE l.app = w.app)
          + (SELECT coalesce(sum(q.turn), 0) FROM dutiful.queue AS q WHERE q.app = w.app),
          EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.cancel_at IS NOT NULL AND j.worker = w.id),
          (SELECT count(DISTINCT CASE WHEN a.gone_at IS NULL THEN coalesce(a.parent, a.id) END)
             FROM dutiful.worker AS a WHERE a.reaped_at IS NULL),
          (SELECT count(DISTINCT coalesce(a.parent, a.id)) FROM dutiful.worker AS a
            WHERE a.reaped_at IS NULL AND a.gone_at IS NULL AND a.beat_at < :now - a.lease),
          (SELECT count(*) FROM dutiful.worker AS a
            WHERE a.reaped_at IS NULL AND (a.gone_at > :now - :fresh OR a.gone_at < :now - a.lease)),
          (SELECT :now - c.last_at FROM dutiful.chore AS c WHERE c.name = 'brake'),
          EXISTS (SELECT 1 FROM dutiful.audit AS a WHERE a.chain_no IS NULL),
          EXISTS (SELECT 1 FROM dutiful.bulk AS b
                   WHERE b.app = w.app AND b.state = 'running' AND b.start_at <= :now
                     AND (b.walker IS NULL OR b.walked_until < :now)),
          EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.doubt_at IS NOT NULL)

-- name: mark_gone
-- Ends a worker's row: it left by itself, or its living parent reports its death.
UPDATE dutiful.worker SET gone_at = :now, gone_how = :how
 WHERE id = :id AND gone_at IS NULL
RETURNING id

-- name: bury_workers
-- Marks workers gone whose beat is older than their lease (unless the brake says not to: :silent is
-- false), or whose process is known to be dead (:dead): of those alone it is proven that they do nothing
-- any more, and not of a child, whose row names its parent's lock: it ends a moment later. Rows are taken with SKIP LOCKED and looked at again as they are now: a beat that commits
-- meanwhile saves its worker.
WITH due AS MATERIALIZED (
    SELECT w.id FROM dutiful.worker AS w
     WHERE w.gone_at IS NULL AND w.reaped_at IS NULL
       AND ((:silent::boolean AND w.beat_at < :now - w.lease)
            OR w.id IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:dead::jsonb) AS e(value)))
       FOR UPDATE SKIP LOCKED
)
UPDATE dutiful.worker AS w
   SET gone_at = :now,
       gone_how = CASE WHEN NOT w.alone AND w.id IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:dead::jsonb) AS e(value))
                       THEN 'died' ELSE 'lapsed' END
  FROM due
 WHERE w.id = due.id AND w.gone_at IS NULL
   AND ((:silent::boolean AND w.beat_at < :now - w.lease)
        OR w.id IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:dead::jsonb) AS e(value)))
RETURNING w.id, w.host, w.file

-- name: lapse_started
-- Runs of gone workers whose at_most_once body had begun: in doubt, for nobody knows how it ended. No
-- suspects, and no crash is charged, for they are not run again. Whose death would prove that the body
-- does nothing any more, the failure keeps. Taken by token, as below.
WITH held AS MATERIALIZED (
    SELECT j.id, j.token, j.worker, CASE w.gone_how WHEN 'left' THEN 'its worker stopped'
           WHEN 'reported' THEN 'its process died' WHEN 'died' THEN 'its worker died'
           ELSE 'its worker fell silent' END AS why
      FROM dutiful.job AS j LEFT JOIN dutiful.worker AS w ON w.id = j.worker
     WHERE j.state = 'running' AND j.started_at IS NOT NULL AND (w.id IS NULL OR w.gone_at IS NOT NULL)
       AND (:only::bigint IS NULL OR j.worker = :only::bigint)
     LIMIT 1000
), lost AS MATERIALIZED (
    SELECT h.* FROM held AS h JOIN dutiful.job AS j ON j.id = ANY (ARRAY[h.id]) AND j.token = h.token
       FOR UPDATE OF j SKIP LOCKED
), moved AS (
    UPDATE dutiful.job AS j
       SET state = 'in_doubt', last_token = j.token, token = NULL, worker = NULL, ready_seq = NULL,
           doubt_at = t.now, doubt = 'the body was cut off: ' || l.why,
           gate_seq = CASE WHEN j.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END
      FROM lost AS l, (SELECT :now AS now) AS t
     WHERE j.id = ANY (ARRAY[l.id])
    RETURNING j.id, j.run_no, j.attempt, l.worker, j.doubt, t.now
), noted AS (
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message)
    SELECT m.id, m.run_no, m.attempt - 1, m.now, m.worker, 'WorkerLost', m.doubt FROM moved AS m
)
SELECT m.id::text, m.run_no FROM moved AS m

-- name: lapse_jobs
-- Takes back running jobs of workers that are gone or have no row. A lapse in company charges nobody
-- and makes each begun job a suspect; alone and reported by its parent (or lost too often) it is a
-- crash, and the last one of the budget makes the job dead; who left took nothing down. :recorded are workers whose record of
-- begun jobs could be read, :begun the jobs in them: the others of those workers had not begun.
-- :only is one worker, or null for all. A run is taken back by its token: a row that was lapsed and
-- claimed again while this statement waited for it is another worker's, whom it has not looked at. Of
-- at_most_once bodies only what had not begun, as the row says when it is locked.
WITH held AS MATERIALIZED (
    SELECT j.id, j.token, w.gone_how <> 'left' AND w.alone IS TRUE AS alone, w.gone_how <> 'left' AND
           w.alone IS TRUE AND (w.gone_how = 'reported' OR j.losses >= 10) AS charged,
           w.gone_how IS DISTINCT FROM 'left' AND NOT coalesce(
             j.worker IN (SELECT e.value::bigint FROM jsonb_array_elements_text(:recorded::jsonb) AS e(value))
             AND j.id NOT IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:begun::jsonb) AS e(value)),
             false) AS begun
      FROM dutiful.job AS j LEFT JOIN dutiful.worker AS w ON w.id = j.worker
     WHERE j.state = 'running' AND j.started_at IS NULL AND (w.id IS NULL OR w.gone_at IS NOT NULL)
       AND (:only::bigint IS NULL OR j.worker = :only::bigint)
     LIMIT 1000
), lost AS MATERIALIZED (
    SELECT h.* FROM held AS h
      JOIN dutiful.job AS j ON j.id = ANY (ARRAY[h.id]) AND j.token = h.token AND j.started_at IS NULL
       FOR UPDATE OF j SKIP LOCKED
), back AS (
    UPDATE dutiful.job AS j
       SET state = 'ready', last_token = j.token, token = NULL, worker = NULL,
           attempt = j.attempt - 1, suspect = j.suspect OR l.begun,
           crashes = j.crashes + l.charged::integer, losses = j.losses + (l.alone AND NOT l.charged)::integer,
           ready_seq = CASE WHEN j.gates IS NULL THEN nextval('dutiful.ready_seq') END,
           gate_seq = CASE WHEN j.gates IS NOT NULL THEN -nextval('dutiful.gate_seq') END
      FROM lost AS l
     WHERE j.id = ANY (ARRAY[l.id]) AND NOT (l.charged AND j.crashes + 1 >= j.crashes_max)
    RETURNING j.id, j.run_no, j.attempt, l.begun, false AS last
), gone AS (
    DELETE FROM dutiful.job AS j USING lost AS l
     WHERE j.id = ANY (ARRAY[l.id]) AND l.charged AND j.crashes + 1 >= j.crashes_max
    RETURNING j.*
), buried AS (
    INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
           last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
           task, key, args, gates, fingerprint)
    SELECT g.id, g.lane, :now, g.run_at, g.enqueued_at, g.claimed_at, g.started_at, g.worker, g.token, g.run_no, g.attempt - 1, g.epoch, g.args_version, g.crashes + 1, g.crashes_max,
           'poison', g.delivery, g.task, g.key, g.args, g.gates, 'poison:' || g.task
      FROM gone AS g
    RETURNING id, run_no, attempt, true AS begun, true AS last
), noted AS (
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, kind, message)
    SELECT x.id, x.run_no, x.attempt, :now, 'WorkerLost', 'the worker died or fell silent in this run'
      FROM (SELECT * FROM back UNION ALL SELECT * FROM buried) AS x WHERE x.begun
)
SELECT x.id::text, x.run_no, x.begun, x.last
  FROM (SELECT * FROM back UNION ALL SELECT * FROM buried) AS x
