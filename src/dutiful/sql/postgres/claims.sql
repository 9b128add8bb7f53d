-- name: claim_jobs
-- Claims up to :n due jobs, lane by lane in the order given, each from its mark. A HOT update: no
-- index names a column written here. The plan must have no Sort (it would lock rows it does not
-- take); the first column is the sequence's value, and there is always at least one row. A worker
-- that was marked gone claims nothing, for nobody would take it back. A queue that
-- is paused gives nothing: looked up once for each lane. A job is named by = ANY (ARRAY[id]), here and where jobs end, which is no
-- join by an index's order: statistics from when the table was emptied would have all jobs walked for each batch. With :promote, jobs whose time has come become claimable, for the next claim.
WITH due AS (
    SELECT j.id FROM dutiful.job AS j
     WHERE :promote::boolean AND j.ready_seq IS NULL AND j.gate IS NULL AND j.state = 'ready'
       AND j.run_at <= :now
     ORDER BY j.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE dutiful.job AS j SET ready_seq = nextval('dutiful.ready_seq')
      FROM due WHERE j.id = ANY (ARRAY[due.id])
    RETURNING 1
), taken AS MATERIALIZED (
    SELECT j.id
      FROM ROWS FROM (jsonb_to_recordset(:lanes::jsonb) AS (lane integer, mark bigint))
           WITH ORDINALITY AS w(lane, mark, place)
     CROSS JOIN LATERAL (
        SELECT j.id FROM dutiful.job AS j
         WHERE j.lane = w.lane AND j.ready_seq > w.mark AND j.state = 'ready' AND NOT j.suspect
           AND j.args_version <= (:known::jsonb -> j.task)::integer
         ORDER BY j.ready_seq LIMIT :n::integer FOR UPDATE SKIP LOCKED) AS j
     WHERE EXISTS (SELECT 1 FROM dutiful.worker AS o WHERE o.id = :worker AND o.gone_at IS NULL)
       AND NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = w.lane), false)
     ORDER BY w.place LIMIT :n::integer
), claimed AS (
    UPDATE dutiful.job AS j
       SET state = 'running', token = gen_random_uuid(), worker = :worker,
           run_no = j.run_no + 1, attempt = j.attempt + 1, claimed_at = :now
      FROM taken WHERE j.id = ANY (ARRAY[taken.id])
    RETURNING j.id, j.lane, j.ready_seq, j.token, j.run_no, j.attempt, j.crashes, j.epoch,
              j.args_version, j.task, j.key, j.args, coalesce(j.due_at, j.run_at) AS run_at, j.enqueued_at,
              j.delivery, j.deadline, j.cancel_at, j.claimed_at
)
SELECT s.last_value, (SELECT count(*) FROM promoted), c.id::text, c.lane, c.ready_seq,
       c.token::text, c.run_no, c.attempt, c.crashes, c.epoch, c.args_version, c.task, c.key,
       c.args, c.run_at, c.enqueued_at, c.delivery, c.deadline, c.cancel_at, c.claimed_at
  FROM dutiful.ready_seq AS s LEFT JOIN claimed AS c ON true

-- name: claim_suspect
-- Claims one suspect, for a child that holds nothing else. Few rows, an index of their own, no marks.
WITH taken AS MATERIALIZED (
    SELECT j.id FROM dutiful.job AS j
     WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'
       AND j.lane IN (SELECT e.value::integer FROM jsonb_array_elements_text(:lanes::jsonb) AS e(value))
       AND j.args_version <= (:known::jsonb -> j.task)::integer
       AND EXISTS (SELECT 1 FROM dutiful.worker AS o WHERE o.id = :worker AND o.gone_at IS NULL)
       AND NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = j.lane), false)
     ORDER BY j.ready_seq LIMIT 1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE dutiful.job AS j
       SET state = 'running', token = gen_random_uuid(), worker = :worker,
           run_no = j.run_no + 1, attempt = j.attempt + 1, claimed_at = :now
      FROM taken WHERE j.id = ANY (ARRAY[taken.id])
    RETURNING j.id, j.lane, j.ready_seq, j.token, j.run_no, j.attempt, j.crashes, j.epoch,
              j.args_version, j.task, j.key, j.args, coalesce(j.due_at, j.run_at) AS run_at, j.enqueued_at,
              j.delivery, j.deadline, j.cancel_at, j.claimed_at
)
SELECT 0, 0, c.id::text, c.lane, c.ready_seq, c.token::text, c.run_no, c.attempt, c.crashes,
       c.epoch, c.args_version, c.task, c.key, c.args, c.run_at, c.enqueued_at, c.delivery, c.deadline,
       c.cancel_at, c.claimed_at
  FROM claimed AS c

-- name: waiting_jobs
-- Whether claim_jobs would find something, and whether jobs whose time has come wait to be promoted:
-- a look before a child is started that is to be claimed for.
SELECT s.last_value, EXISTS (
    SELECT 1 FROM jsonb_to_recordset(:lanes::jsonb) AS w(lane integer, mark bigint)
     CROSS JOIN LATERAL (
        SELECT 1 FROM dutiful.job AS j
         WHERE j.lane = w.lane AND j.ready_seq > w.mark AND j.state = 'ready' AND NOT j.suspect
           AND j.args_version <= (:known::jsonb -> j.task)::integer
         ORDER BY j.ready_seq LIMIT 1) AS j
     WHERE NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = w.lane), false)), EXISTS (
    SELECT 1 FROM dutiful.job AS j
     WHERE j.ready_seq IS NULL AND j.gate IS NULL AND j.state = 'ready' AND j.run_at <= :now)
  FROM dutiful.ready_seq AS s

-- name: waiting_suspect
-- Whether claim_suspect would find one.
SELECT 1 FROM dutiful.job AS j
 WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'
   AND j.lane IN (SELECT e.value::integer FROM jsonb_array_elements_text(:lanes::jsonb) AS e(value))
   AND j.args_version <= (:known::jsonb -> j.task)::integer
   AND NOT coalesce((SELECT q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true)
                             FROM dutiful.lane AS l JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
                            WHERE l.id = j.lane), false)
 LIMIT 1

-- name: sweep_ready
-- Ready rows below the marks were passed by (an enqueue that took long to commit, a lock at the
-- wrong moment): they get a new number and stand before every mark again. By one worker in a period, where :turn
-- names a turn (as chore_turn).
WITH turn AS (
    INSERT INTO dutiful.chore AS c (name, last_at) SELECT :turn::text, :now WHERE :turn::text IS NOT NULL
    ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at WHERE c.last_at <= excluded.last_at - :period
    RETURNING c.name
), passed AS MATERIALIZED (
    SELECT j.id
      FROM (SELECT 1 FROM turn UNION ALL SELECT 1 WHERE :turn::text IS NULL) AS t
     CROSS JOIN jsonb_to_recordset(:lanes::jsonb) AS w(lane integer, mark bigint)
     CROSS JOIN LATERAL (
        SELECT j.id FROM dutiful.job AS j
         WHERE j.lane = w.lane AND j.ready_seq <= w.mark AND j.state = 'ready' AND NOT j.suspect
           AND j.args_version <= (:known::jsonb -> j.task)::integer
         ORDER BY j.ready_seq LIMIT 1000 FOR UPDATE SKIP LOCKED) AS j
)
UPDATE dutiful.job AS j SET ready_seq = nextval('dutiful.ready_seq')
  FROM passed WHERE j.id = ANY (ARRAY[passed.id])
RETURNING j.id::text

-- name: sequence_value
-- How far the numbers are; lower than last seen means a restore or a failover.
SELECT last_value FROM dutiful.ready_seq

-- name: held_by
-- What a worker runs by the table, for one that lost the answer to a claim.
SELECT j.id::text, j.token::text, j.run_no FROM dutiful.job AS j
 WHERE j.state = 'running' AND j.worker = :worker
