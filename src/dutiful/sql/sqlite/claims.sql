-- name: claim_jobs
-- Promotes, then claims up to :n due jobs, lane by lane in the order given. CROSS JOIN keeps that
-- order without a sort. There are no dead index entries here, so marks are always 0. A queue
-- that is paused gives nothing: looked up once for each lane.
UPDATE dutiful.ready_seq SET last_value = last_value + 1000
 WHERE :promote AND EXISTS (SELECT 1 FROM dutiful.job AS j
        WHERE j.ready_seq IS NULL AND j.gate IS NULL AND j.state = 'ready' AND j.run_at <= :now);
UPDATE dutiful.job AS j
   SET ready_seq = (SELECT last_value FROM dutiful.ready_seq) - 1000 + due.place
  FROM (SELECT d.id, row_number() OVER (ORDER BY d.run_at) AS place
          FROM dutiful.job AS d
         WHERE :promote AND d.ready_seq IS NULL AND d.gate IS NULL AND d.state = 'ready'
           AND d.run_at <= :now
         ORDER BY d.run_at LIMIT 1000) AS due
 WHERE j.id = due.id;
UPDATE dutiful.job
   SET state = 'running', token = lower(hex(randomblob(16))), worker = :worker,
       run_no = run_no + 1, attempt = attempt + 1, claimed_at = :now
 WHERE id IN (
    SELECT j.id
      FROM json_each(:lanes) AS w
     CROSS JOIN dutiful.job AS j ON j.lane = json_extract(w.value, '$.lane')
       AND j.ready_seq > json_extract(w.value, '$.mark')
     WHERE j.state = 'ready' AND NOT j.suspect
       AND NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = json_extract(w.value, '$.lane')), false)
       AND j.args_version <= json_extract(:known, '$."' || j.task || '"')
       AND EXISTS (SELECT 1 FROM dutiful.worker AS o WHERE o.id = :worker AND o.gone_at IS NULL)
     LIMIT :n)
RETURNING 0, 0, id, lane, ready_seq, token, run_no, attempt, crashes, epoch, args_version, task, key,
          args, coalesce(due_at, run_at), enqueued_at, delivery, deadline, cancel_at, claimed_at

-- name: claim_suspect
-- Claims one suspect, for a child that holds nothing else.
UPDATE dutiful.job
   SET state = 'running', token = lower(hex(randomblob(16))), worker = :worker,
       run_no = run_no + 1, attempt = attempt + 1, claimed_at = :now
 WHERE id = (
    SELECT j.id FROM dutiful.job AS j
     WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'
       AND NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = j.lane), false)
       AND j.lane IN (SELECT w.value FROM json_each(:lanes) AS w)
       AND j.args_version <= json_extract(:known, '$."' || j.task || '"')
       AND EXISTS (SELECT 1 FROM dutiful.worker AS o WHERE o.id = :worker AND o.gone_at IS NULL)
     ORDER BY j.ready_seq LIMIT 1)
RETURNING 0, 0, id, lane, ready_seq, token, run_no, attempt, crashes, epoch, args_version, task, key,
          args, coalesce(due_at, run_at), enqueued_at, delivery, deadline, cancel_at, claimed_at

-- name: waiting_jobs
-- Whether claim_jobs would find something, and whether jobs whose time has come wait to be promoted:
-- a look before a child is started that is to be claimed for.
SELECT 0, EXISTS (
    SELECT 1 FROM json_each(:lanes) AS w
     CROSS JOIN dutiful.job AS j ON j.lane = json_extract(w.value, '$.lane')
       AND j.ready_seq > json_extract(w.value, '$.mark')
     WHERE j.state = 'ready' AND NOT j.suspect
       AND NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = json_extract(w.value, '$.lane')), false)
       AND j.args_version <= json_extract(:known, '$."' || j.task || '"')), EXISTS (
    SELECT 1 FROM dutiful.job AS j
     WHERE j.ready_seq IS NULL AND j.gate IS NULL AND j.state = 'ready' AND j.run_at <= :now)

-- name: waiting_suspect
-- Whether claim_suspect would find one.
SELECT 1 FROM dutiful.job AS j
 WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'
   AND NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = j.lane), false)
   AND j.lane IN (SELECT w.value FROM json_each(:lanes) AS w)
   AND j.args_version <= json_extract(:known, '$."' || j.task || '"')
 LIMIT 1

-- name: sweep_ready
-- Nothing is ever passed by here: marks are 0. Kept, so that operations are the same.
SELECT id FROM dutiful.job WHERE false

-- name: sequence_value
-- How far the numbers are.
SELECT last_value FROM dutiful.ready_seq

-- name: held_by
-- What a worker runs by the table, for one that lost the answer to a claim.
SELECT j.id, j.token, j.run_no FROM dutiful.job AS j
 WHERE j.state = 'running' AND j.worker = :worker
