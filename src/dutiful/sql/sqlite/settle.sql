-- name: complete_jobs
-- Ends runs well: from the live table into the history. "same_as" names the job that did the duty,
-- where this one found it done; "reason" says in which other database its work is. The token is the
-- fence; a worker whose lease was taken over matches no row, and learns it. An at_most_once body that was
-- given up and was alive after all closes the doubt, by the last token; the reason says so, for no person did.
INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       worker, last_token, same_as, run_no, attempt, epoch, args_version, crashes, crashes_max, state,
       outcome, delivery, task, key, args, result, doubt, reason, gates)
SELECT j.id, :now, j.lane, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker,
       json_extract(e.value, '$.token'), json_extract(e.value, '$.same_as'), j.run_no, j.attempt, j.epoch,
       j.args_version, j.crashes, j.crashes_max, 'done',
       coalesce(json_extract(e.value, '$.outcome'), 'performed'), j.delivery, j.task, j.key, j.args,
       CAST(json_extract(e.value, '$.result') AS blob), j.doubt,
       CASE WHEN j.state = 'in_doubt' THEN 'reported' ELSE json_extract(e.value, '$.reason') END, j.gates
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE json_extract(e.value, '$.token') =
       CASE WHEN j.state = 'in_doubt' AND j.started_at IS NOT NULL THEN j.last_token ELSE j.token END
   AND (j.started_at IS NULL OR json_extract(e.value, '$.outcome') IS NULL);
DELETE FROM dutiful.job
 WHERE (id, CASE WHEN state = 'in_doubt' AND started_at IS NOT NULL THEN last_token ELSE token END) IN (
       SELECT json_extract(e.value, '$.id'), json_extract(e.value, '$.token') FROM json_each(:rows) AS e)
   AND (started_at IS NULL OR id NOT IN (SELECT json_extract(e.value, '$.id') FROM json_each(:rows) AS e
                                          WHERE json_extract(e.value, '$.outcome') IS NOT NULL))
RETURNING coalesce(token, last_token)

-- name: return_jobs
-- Ends runs that will be tried again: fail, snooze, release. "back" is the attempt given back,
-- "suspect" what is known of the job afterwards (null: as before). A failure keeps when it was due first. Never a started at_most_once body. What leaves no
-- failure leaves an event.
UPDATE dutiful.ready_seq SET last_value = last_value + json_array_length(:rows);
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback)
SELECT j.id, j.run_no, j.attempt - json_extract(e.value, '$.back'), :now, :worker,
       json_extract(e.value, '$.kind'), json_extract(e.value, '$.message'),
       json_extract(e.value, '$.traceback')
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE j.token = json_extract(e.value, '$.token') AND json_extract(e.value, '$.kind') IS NOT NULL
   AND j.started_at IS NULL;
INSERT INTO dutiful.event (job_id, run_no, at, worker, what, delay)
SELECT j.id, j.run_no, :now, :worker, CASE WHEN json_extract(e.value, '$.delay') IS NULL THEN 'released' ELSE 'snoozed' END,
       json_extract(e.value, '$.delay')
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE j.token = json_extract(e.value, '$.token') AND json_extract(e.value, '$.kind') IS NULL
   AND j.started_at IS NULL
ON CONFLICT (job_id, run_no) DO NOTHING;
UPDATE dutiful.job AS j
   SET state = 'ready', last_token = j.token, token = NULL, worker = NULL,
       attempt = j.attempt - e.back, suspect = coalesce(e.suspect, j.suspect),
       due_at = CASE WHEN e.delay IS NULL THEN j.due_at WHEN e.back = 0 THEN coalesce(j.due_at, j.run_at) END,
       run_at = CASE WHEN e.delay IS NULL THEN j.run_at ELSE :now + e.delay END,
       ready_seq = CASE WHEN coalesce(e.delay, 0) <= 0 AND j.gates IS NULL THEN e.seq END,
       gate_seq = CASE WHEN j.gates IS NOT NULL THEN -1 END,
       admitted = j.gates IS NULL OR coalesce(e.delay, 0) <= 0
  FROM (SELECT json_extract(e.value, '$.id') AS id, json_extract(e.value, '$.token') AS token,
               json_extract(e.value, '$.delay') AS delay, json_extract(e.value, '$.back') AS back,
               json_extract(e.value, '$.suspect') AS suspect,
               (SELECT last_value FROM dutiful.ready_seq) - json_array_length(:rows) + e.key + 1 AS seq
          FROM json_each(:rows) AS e) AS e
 WHERE j.id = e.id AND j.token = e.token AND j.started_at IS NULL
RETURNING last_token

-- name: bury_jobs
-- Ends runs that will not be tried again: they wait for a person, in the table of the dead. As above, an
-- at_most_once body that was given up closes the doubt; what it says replaces what was noted of it.
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback, fingerprint)
SELECT j.id, j.run_no, j.attempt, :now, j.worker, json_extract(e.value, '$.kind'),
       json_extract(e.value, '$.message'), json_extract(e.value, '$.traceback'), json_extract(e.value, '$.fingerprint')
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE json_extract(e.value, '$.token') =
       CASE WHEN j.state = 'in_doubt' AND j.started_at IS NOT NULL THEN j.last_token ELSE j.token END
   AND json_extract(e.value, '$.kind') IS NOT NULL
ON CONFLICT (job_id, run_no) DO UPDATE
   SET attempt = excluded.attempt, failed_at = excluded.failed_at, kind = excluded.kind,
       message = excluded.message, traceback = excluded.traceback,
       fingerprint = excluded.fingerprint;
INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery,
       task, key, args, gates, fingerprint)
SELECT j.id, j.lane, :now, j.run_at, j.enqueued_at, j.claimed_at, j.started_at, j.worker,
       json_extract(e.value, '$.token'), j.run_no, j.attempt, j.epoch, j.args_version, j.crashes,
       j.crashes_max, json_extract(e.value, '$.reason'), j.delivery, j.task, j.key, j.args, j.gates,
       coalesce(json_extract(e.value, '$.fingerprint'), json_extract(e.value, '$.reason') || ':' || j.task)
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE json_extract(e.value, '$.token') =
       CASE WHEN j.state = 'in_doubt' AND j.started_at IS NOT NULL THEN j.last_token ELSE j.token END;
DELETE FROM dutiful.job
 WHERE (id, CASE WHEN state = 'in_doubt' AND started_at IS NOT NULL THEN last_token ELSE token END) IN (
       SELECT json_extract(e.value, '$.id'), json_extract(e.value, '$.token') FROM json_each(:rows) AS e)
RETURNING coalesce(token, last_token)

-- name: doubt_jobs
-- Ends runs of which nobody knows what they did: in doubt, until a person, a lookup or a late report by
-- the last token decides. A run that was cut off ("cut") is in doubt only if its body had begun for good.
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback)
SELECT j.id, j.run_no, j.attempt - 1, :now, j.worker, json_extract(e.value, '$.kind'),
       json_extract(e.value, '$.message'), json_extract(e.value, '$.traceback')
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.job AS j ON j.id = json_extract(e.value, '$.id')
 WHERE j.token = json_extract(e.value, '$.token')
   AND (NOT json_extract(e.value, '$.cut') OR j.started_at IS NOT NULL);
UPDATE dutiful.job AS j
   SET state = 'in_doubt', last_token = j.token, token = NULL, worker = NULL, ready_seq = NULL,
       doubt_at = :now, doubt = e.doubt,
       gate_seq = CASE WHEN j.gates IS NOT NULL THEN -1 END, admitted = j.gates IS NULL
  FROM (SELECT json_extract(e.value, '$.id') AS id, json_extract(e.value, '$.token') AS token,
               json_extract(e.value, '$.cut') AS cut, json_extract(e.value, '$.doubt') AS doubt
          FROM json_each(:rows) AS e) AS e
 WHERE j.id = e.id AND j.token = e.token AND (NOT e.cut OR j.started_at IS NOT NULL)
RETURNING last_token

-- name: who_holds
-- Read-back by token: what became of runs whose ending got no answer. A lapse moves the token, too, so
-- it is told apart by what it says of the run.
SELECT r.id, r.token, j.state, j.token, j.last_token,
       (SELECT x.last_token FROM dutiful.dead AS x WHERE x.id = r.id), h.last_token, h.outcome,
       EXISTS (SELECT 1 FROM dutiful.failure AS f
                WHERE f.job_id = r.id AND f.run_no = r.run_no AND f.kind = 'WorkerLost')
  FROM (SELECT json_extract(e.value, '$.id') AS id, json_extract(e.value, '$.token') AS token,
               json_extract(e.value, '$.run_no') AS run_no FROM json_each(:rows) AS e) AS r
  LEFT JOIN dutiful.job AS j ON j.id = r.id
  LEFT JOIN dutiful.history AS h ON h.id = r.id AND h.finished_at =
       (SELECT max(n.finished_at) FROM dutiful.history AS n WHERE n.id = r.id)
