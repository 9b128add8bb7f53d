-- name: find_gates
-- The gates that are there as they are declared, and whether nobody has used them for :fresh: nothing is written.
SELECT g.kind, g.key, g.id, g.used_at < :now - :fresh
  FROM json_each(:rows) AS e
 CROSS JOIN dutiful.gate AS g ON g.app = :app AND g.kind = json_extract(e.value, '$.kind')
   AND g.key = json_extract(e.value, '$.key') AND g.slots = json_extract(e.value, '$.slots')
   AND g.passes = json_extract(e.value, '$.passes') AND g.per IS json_extract(e.value, '$.per')
   AND g.burst IS json_extract(e.value, '$.burst')

-- name: keep_gates
-- These gates are used.
UPDATE dutiful.gate SET used_at = :now WHERE id IN (SELECT e.value FROM json_each(:gates) AS e)
RETURNING kind, key, id

-- name: hold_stale_gates
-- The gates that were not used for longest, of those that nobody has used for :idle.
SELECT g.id FROM dutiful.gate AS g WHERE g.used_at < :now - :idle ORDER BY g.used_at LIMIT :limit

-- name: forget_gates
-- Forgets those of these gates at which nobody stands, of which no job knows that may come there, or come back to
-- life and come there, and whose bucket is full, as a new one is. The others are in use.
UPDATE dutiful.gate SET used_at = :now
 WHERE id IN (SELECT e.value FROM json_each(:gates) AS e)
   AND (id IN (SELECT p.gate FROM dutiful.place AS p)
     OR id IN (SELECT e.value FROM dutiful.job AS j, json_each(j.gates) AS e WHERE j.gates IS NOT NULL)
     OR id IN (SELECT e.value FROM dutiful.dead AS d, json_each(d.gates) AS e WHERE d.gates IS NOT NULL)
     OR id IN (SELECT e.value FROM dutiful.history AS h, json_each(h.gates) AS e
                WHERE h.gates IS NOT NULL AND (h.state = 'cancelled' OR h.outcome IN ('skipped', 'waived')))
     OR kind = 'rate' AND level + max(0, :now - level_at) * 1.0 / per < burst);
DELETE FROM dutiful.gate WHERE id IN (SELECT e.value FROM json_each(:gates) AS e) AND used_at < :now
RETURNING id

-- name: add_gates
-- Gates that are new, or declared otherwise than before. A new bucket is full. Fewer slots: whoever is in stays in.
INSERT INTO dutiful.gate (app, kind, key, slots, passes, per, burst, level, level_at, used_at)
SELECT :app, json_extract(e.value, '$.kind'), json_extract(e.value, '$.key'), json_extract(e.value, '$.slots'),
       json_extract(e.value, '$.passes'), json_extract(e.value, '$.per'), json_extract(e.value, '$.burst'),
       json_extract(e.value, '$.burst'), CASE WHEN json_extract(e.value, '$.kind') = 'rate' THEN :now END, :now
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, kind, key) DO UPDATE
   SET slots = excluded.slots, passes = excluded.passes, per = excluded.per, burst = excluded.burst,
       used_at = excluded.used_at,
       excused = CASE WHEN excluded.slots < slots THEN coalesce((SELECT max(p.seq) FROM dutiful.place AS p), 0)
                      ELSE excused END
RETURNING kind, key, id

-- name: come_to_gates
-- Jobs with gates whose time has come stand in line now, and are let through.
UPDATE dutiful.job SET gate_seq = -1, admitted = 1
 WHERE id IN (SELECT j.id FROM dutiful.job AS j
               WHERE j.gate IS NOT NULL AND j.gate_seq IS NULL AND j.state = 'ready' AND j.run_at <= :now
               ORDER BY j.run_at LIMIT :limit)
RETURNING id

-- name: find_jams
-- Gates behind :after at which somebody waits though a place is free. Only a change of a declaration makes one here.
SELECT g.id FROM dutiful.gate AS g
 WHERE g.id > :after AND g.kind <> 'rate' AND (
       SELECT (SELECT count(*) FROM dutiful.place AS q WHERE q.gate = p.gate AND q.seq < p.seq)
         FROM dutiful.place AS p CROSS JOIN dutiful.job AS j ON j.id = p.job_id
        WHERE p.gate = g.id AND j.gate = g.id AND j.gate_seq > 0 AND j.state = 'ready'
        ORDER BY p.seq LIMIT 1) < g.slots
 ORDER BY g.id LIMIT :limit

-- name: mend_gates
-- Whoever is among the first at these gates and waits there goes on.
UPDATE dutiful.job SET gate_seq = -2, admitted = 1
 WHERE gate_seq > 0 AND state = 'ready' AND id IN (
       SELECT p.job_id FROM json_each(:gates) AS e
        CROSS JOIN dutiful.gate AS g ON g.id = e.value AND g.kind <> 'rate'
        CROSS JOIN dutiful.place AS p ON p.gate = g.id
        WHERE p.due AND (SELECT count(*) FROM dutiful.place AS q WHERE q.gate = g.id AND q.seq < p.seq) < g.slots)
   AND gate IN (SELECT e.value FROM json_each(:gates) AS e);
INSERT INTO dutiful.gate_call (job_id) SELECT j.id FROM dutiful.job AS j WHERE j.gate_seq = -2;
SELECT count(*) FROM dutiful.job AS j WHERE j.gate_seq = -2

-- name: busy_rates
-- Rates behind :after for which starts wait or were granted.
SELECT DISTINCT p.gate FROM dutiful.place AS p WHERE p.rate AND p.gate > :after ORDER BY p.gate LIMIT :limit

-- name: lock_rate
-- A rate's bucket, and whether anybody waits.
SELECT g.per, g.burst, g.level, g.level_at,
       EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.gate = g.id AND p.rate AND p.granted IS NULL), :now
  FROM dutiful.gate AS g WHERE g.id = :gate AND g.kind = 'rate'

-- name: granted_starts
-- What became of the starts that this rate has granted: when each began (null: not yet), and whether its job can
-- still begin. One that was claimed, whatever happened then, has begun.
SELECT p.seq,
       CASE WHEN coalesce(j.claimed_at, (SELECT h.claimed_at FROM dutiful.history AS h WHERE h.id = p.job_id
                                          ORDER BY h.finished_at DESC LIMIT 1), d.claimed_at) >= p.granted
            THEN coalesce(j.claimed_at, (SELECT h.claimed_at FROM dutiful.history AS h WHERE h.id = p.job_id
                                          ORDER BY h.finished_at DESC LIMIT 1), d.claimed_at) END,
       j.id IS NOT NULL AND j.state = 'ready' AND j.ready_seq IS NOT NULL
  FROM dutiful.place AS p
  LEFT JOIN dutiful.job AS j ON j.id = p.job_id
  LEFT JOIN dutiful.dead AS d ON d.id = p.job_id
 WHERE p.gate = :gate AND p.granted IS NOT NULL

-- name: grant_starts
-- Lets the next :n through, forgets the starts that were seen, and keeps what is in the bucket.
DELETE FROM dutiful.place WHERE gate = :gate AND seq IN (SELECT e.value FROM json_each(:seen) AS e);
UPDATE dutiful.gate SET level = :level, level_at = max(level_at, :at) WHERE id = :gate;
UPDATE dutiful.ready_seq SET last_value = last_value + :n;
UPDATE dutiful.place SET granted = :now
 WHERE seq IN (SELECT p.seq FROM dutiful.place AS p JOIN dutiful.job AS j ON j.id = p.job_id
                WHERE p.gate = :gate AND p.rate AND p.granted IS NULL AND j.gate = :gate AND j.gate_seq = p.seq
                  AND j.state = 'ready'
                ORDER BY p.seq LIMIT :n);
UPDATE dutiful.job AS j SET gate = NULL, gate_seq = NULL, admitted = 1,
       ready_seq = (SELECT last_value FROM dutiful.ready_seq) - :n + n.place
  FROM (SELECT p.job_id, row_number() OVER (ORDER BY p.seq) AS place FROM dutiful.place AS p
         WHERE p.gate = :gate AND p.rate AND p.granted = :now) AS n
 WHERE j.id = n.job_id AND j.gate = :gate
RETURNING id

-- name: gate_of_job
-- The gate at which a job stands, with the place it has there, and what the bucket of a rate is.
SELECT g.id, g.kind, g.key, g.slots, g.low, g.per, g.burst, g.level, g.level_at, p.seq, :now
  FROM dutiful.place AS p JOIN dutiful.gate AS g ON g.id = p.gate
 WHERE p.job_id = :id AND p.gate = :gate AND p.granted IS NULL

-- name: hold_run
-- A run that is still its job's: when it was claimed.
SELECT j.claimed_at FROM dutiful.job AS j WHERE j.id = :id AND j.token = :token

-- name: hold_gates
-- What these gates are.
SELECT g.id, g.low, g.per, g.burst, g.level, g.level_at FROM dutiful.gate AS g
 WHERE g.id IN (SELECT e.value FROM json_each(:gates) AS e) ORDER BY g.id

-- name: take_places
-- A run's places at gates at which its job did not stand; a start of a rate is one that began at its claim. "gates" of
-- the job is not null from now on, so that the places are given back when it leaves "running".
UPDATE dutiful.job SET gates = coalesce(gates, '[]') WHERE id = :id;
INSERT INTO dutiful.place (gate, job_id, due, rate, granted)
SELECT json_extract(e.value, '$.gate'), :id, 1, json_extract(e.value, '$.granted') IS NOT NULL,
       json_extract(e.value, '$.granted')
  FROM json_each(:rows) AS e
