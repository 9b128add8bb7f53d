-- name: beat
-- Says that these workers (one process and its children) live. Demands that nobody marked them
-- gone: who gets no row must stop and register anew. Tells whether suspects wait, whether lanes or limits are
-- others than before, and whether a run was asked to stop.
UPDATE dutiful.worker
   SET beat_at = :now, marks = coalesce(:marks, marks)
 WHERE id IN (SELECT e.value FROM json_each(:ids) AS e) AND gone_at IS NULL
RETURNING id, EXISTS (SELECT 1 FROM dutiful.job AS j
                       WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'),
          (SELECT count(*) FROM dutiful.lane AS l WHERE l.app = dutiful_worker.app)
          + (SELECT coalesce(sum(q.turn), 0) FROM dutiful.queue AS q WHERE q.app = dutiful_worker.app),
          EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.cancel_at IS NOT NULL AND j.worker = dutiful_worker.id)

-- name: mark_gone
-- Ends a worker's row: it left by itself, or its living parent reports its death.
UPDATE dutiful.worker SET gone_at = :now, gone_how = :how
 WHERE id = :id AND gone_at IS NULL
RETURNING id

-- name: bury_workers
-- Marks workers gone whose beat is older than their lease, or whose process is known to be dead
-- (:dead: the kernel freed its lock). Of those only it is proven that they do nothing any more, and not
-- of a child, whose row names its parent's lock: it ends a moment later.
UPDATE dutiful.worker
   SET gone_at = :now,
       gone_how = CASE WHEN NOT alone AND id IN (SELECT e.value FROM json_each(:dead) AS e)
                       THEN 'died' ELSE 'lapsed' END
 WHERE gone_at IS NULL
   AND ((:silent AND beat_at < :now - lease) OR id IN (SELECT e.value FROM json_each(:dead) AS e))
RETURNING id, host, file

-- name: lapse_started
-- Runs of gone workers whose at_most_once body had begun: in doubt, for nobody knows how it ended. No
-- suspects, and no crash is charged, for they are not run again. Whose death would prove that the body
-- does nothing any more, the failure keeps.
CREATE TEMP TABLE IF NOT EXISTS dutiful_cut (id TEXT PRIMARY KEY, run_no, attempt, worker, doubt);
DELETE FROM temp.dutiful_cut;
INSERT INTO temp.dutiful_cut
SELECT j.id, j.run_no, j.attempt - 1, j.worker, 'the body was cut off: '
       || CASE w.gone_how WHEN 'left' THEN 'its worker stopped' WHEN 'reported' THEN 'its process died'
          WHEN 'died' THEN 'its worker died' ELSE 'its worker fell silent' END
  FROM dutiful.job AS j LEFT JOIN dutiful.worker AS w ON w.id = j.worker
 WHERE j.state = 'running' AND j.started_at IS NOT NULL AND (w.id IS NULL OR w.gone_at IS NOT NULL)
   AND (:only IS NULL OR j.worker = :only)
 LIMIT 1000;
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message)
SELECT c.id, c.run_no, c.attempt, :now, c.worker, 'WorkerLost', c.doubt FROM temp.dutiful_cut AS c;
UPDATE dutiful.job AS j
   SET state = 'in_doubt', last_token = j.token, token = NULL, worker = NULL, ready_seq = NULL,
       doubt_at = :now, doubt = c.doubt,
       gate_seq = CASE WHEN j.gates IS NOT NULL THEN -1 END, admitted = j.gates IS NULL
  FROM temp.dutiful_cut AS c WHERE j.id = c.id
RETURNING id, run_no

-- name: lapse_jobs
-- Takes back running jobs of workers that are gone or have no row. A lapse in company charges nobody
-- and makes each begun job a suspect; alone and reported by its parent (or lost too often) it is a
-- crash, and the last one of the budget makes the job dead; who left took nothing down. :recorded are workers whose record of
-- begun jobs could be read, :begun the jobs in them: the others of those workers had not begun. Of
-- at_most_once bodies only what had not begun.
CREATE TEMP TABLE IF NOT EXISTS dutiful_lost (id TEXT PRIMARY KEY, run_no, attempt, charged, alone, begun, last, place);
DELETE FROM temp.dutiful_lost;
INSERT INTO temp.dutiful_lost
SELECT j.id, j.run_no, j.attempt - 1,
       coalesce(w.gone_how <> 'left' AND w.alone AND (w.gone_how = 'reported' OR j.losses >= 10), 0),
       coalesce(w.gone_how <> 'left' AND w.alone, 0),
       coalesce(w.gone_how, '') <> 'left' AND NOT (
         j.worker IN (SELECT e.value FROM json_each(:recorded) AS e)
         AND j.id NOT IN (SELECT e.value FROM json_each(:begun) AS e)),
       coalesce(w.gone_how <> 'left' AND w.alone AND (w.gone_how = 'reported' OR j.losses >= 10), 0)
         AND j.crashes + 1 >= j.crashes_max,
       row_number() OVER (ORDER BY j.ready_seq)
  FROM dutiful.job AS j LEFT JOIN dutiful.worker AS w ON w.id = j.worker
 WHERE j.state = 'running' AND j.started_at IS NULL AND (w.id IS NULL OR w.gone_at IS NOT NULL)
   AND (:only IS NULL OR j.worker = :only)
 LIMIT 1000;
UPDATE dutiful.ready_seq SET last_value = last_value + (SELECT count(*) FROM temp.dutiful_lost);
UPDATE dutiful.job AS j
   SET state = 'ready', last_token = j.token, token = NULL, worker = NULL,
       attempt = j.attempt - 1, suspect = j.suspect OR l.begun, crashes = j.crashes + l.charged,
       losses = j.losses + (l.alone AND NOT l.charged),
       ready_seq = CASE WHEN j.gates IS NULL THEN (SELECT last_value FROM dutiful.ready_seq) + l.place
             - (SELECT count(*) FROM temp.dutiful_lost) END,
       gate_seq = CASE WHEN j.gates IS NOT NULL THEN -1 END
  FROM temp.dutiful_lost AS l
 WHERE j.id = l.id AND NOT l.last;
INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
       task, key, args, gates, fingerprint)
SELECT j.id, j.lane, :now, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker, j.token,
       j.run_no, j.attempt - 1, j.epoch, j.args_version, j.crashes + 1, j.crashes_max, 'poison',
       j.delivery, j.task, j.key, j.args, j.gates, 'poison:' || j.task
  FROM temp.dutiful_lost AS l CROSS JOIN dutiful.job AS j ON j.id = l.id
 WHERE l.last;
DELETE FROM dutiful.job WHERE id IN (SELECT l.id FROM temp.dutiful_lost AS l WHERE l.last);
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, kind, message)
SELECT l.id, l.run_no, l.attempt, :now, 'WorkerLost', 'the worker died or fell silent in this run'
  FROM temp.dutiful_lost AS l WHERE l.begun OR l.last;
SELECT l.id, l.run_no, l.begun OR l.last, l.last FROM temp.dutiful_lost AS l
