-- name: find_gates
-- The gates that are there as they are declared, and whether nobody has used them for :fresh: nothing is written,
-- and nothing locked.
SELECT f.kind, f.key, f.id, f.stale FROM dutiful.find_gates(:app, :rows::jsonb, :now - :fresh::bigint) AS f

-- name: keep_gates
-- Those of these gates that are there still, and shall be until this ends: shared, so that nobody but who forgets
-- gates waits. They are noted as used when it commits.
WITH kept AS MATERIALIZED (
    SELECT g.kind, g.key, g.id FROM dutiful.gate AS g
     WHERE g.id = ANY(ARRAY(SELECT e.value::bigint FROM jsonb_array_elements_text(:gates::jsonb) AS e(value)))
     ORDER BY g.id FOR KEY SHARE
)
SELECT k.kind, k.key, k.id,
       set_config('dutiful.kept', concat(current_setting('dutiful.kept', true), k.id, ':', :now, ' '), true)
  FROM kept AS k

-- name: hold_stale_gates
-- The gates that were not used for longest, of those that nobody has used for :idle; held against all who would
-- use them. Who is at one just now keeps it.
SELECT g.id FROM dutiful.gate AS g WHERE g.used_at < :now - :idle::bigint
 ORDER BY g.used_at LIMIT :limit FOR UPDATE SKIP LOCKED

-- name: forget_gates
-- Forgets those of these gates at which nobody stands, of which no job knows that may come there, or come back to
-- life and come there, and whose bucket is full, as a new one is. The others are in use. Looked at when they are locked.
WITH asked AS MATERIALIZED (
    SELECT e.value::bigint AS id FROM jsonb_array_elements_text(:gates::jsonb) AS e(value)
), named AS MATERIALIZED (
    SELECT DISTINCT e.id FROM (
        SELECT j.gates FROM dutiful.job AS j WHERE j.gates IS NOT NULL
        UNION ALL SELECT d.gates FROM dutiful.dead AS d WHERE d.gates IS NOT NULL
        UNION ALL SELECT h.gates FROM dutiful.history AS h
         WHERE h.gates IS NOT NULL AND (h.state = 'cancelled' OR h.outcome IN ('skipped', 'waived'))
    ) AS r, unnest(r.gates) AS e(id)
), idle AS MATERIALIZED (
    SELECT g.id FROM asked AS a JOIN dutiful.gate AS g ON g.id = a.id
     WHERE NOT EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.gate = g.id)
       AND g.id NOT IN (SELECT n.id FROM named AS n)
       AND (g.kind <> 'rate' OR g.level + greatest(0, :now - g.level_at) / g.per::float8 >= g.burst)
), used AS (
    UPDATE dutiful.gate AS g SET used_at = :now FROM asked AS a
     WHERE g.id = a.id AND NOT EXISTS (SELECT 1 FROM idle AS i WHERE i.id = g.id)
)
DELETE FROM dutiful.gate AS g USING idle AS i WHERE g.id = i.id
RETURNING g.id

-- name: add_gates
-- Gates that are new, or declared otherwise than before, in the order of their keys, so that two producers
-- cannot deadlock. A new bucket is full. Fewer slots: whoever is in stays in.
INSERT INTO dutiful.gate AS g (app, kind, key, slots, passes, per, burst, level, level_at, used_at)
SELECT :app, r.kind, r.key, r.slots, r.passes, r.per, r.burst, r.burst,
       CASE WHEN r.kind = 'rate' THEN :now END, :now
  FROM jsonb_to_recordset(:rows::jsonb)
       AS r(kind text, key text, slots integer, passes boolean, per bigint, burst integer)
 ORDER BY r.kind, r.key
ON CONFLICT (app, kind, key) DO UPDATE
   SET slots = excluded.slots, passes = excluded.passes, per = excluded.per, burst = excluded.burst,
       used_at = excluded.used_at, excused = CASE WHEN excluded.slots < g.slots THEN nextval('dutiful.gate_seq') ELSE g.excused END
RETURNING g.kind, g.key, g.id

-- name: come_to_gates
-- Jobs with gates whose time has come stand in line now: they are let through when this commits.
WITH due AS (
    SELECT j.id FROM dutiful.job AS j
     WHERE j.gate IS NOT NULL AND j.gate_seq IS NULL AND j.state = 'ready' AND j.run_at <= :now
     ORDER BY j.run_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE dutiful.job AS j SET gate_seq = -nextval('dutiful.gate_seq'), admitted = true
  FROM due WHERE j.id = ANY (ARRAY[due.id])
RETURNING j.id::text

-- name: find_jams
-- Gates behind :after at which somebody waits though a place is free: a transaction with a snapshot of its own left,
-- or a job that was locked when its turn came. One probe for each gate at which somebody stands.
WITH RECURSIVE busy(gate) AS (
    SELECT min(p.gate) FROM dutiful.place AS p WHERE p.gate > :after
    UNION ALL
    SELECT (SELECT min(p.gate) FROM dutiful.place AS p WHERE p.gate > b.gate) FROM busy AS b WHERE b.gate IS NOT NULL
)
SELECT DISTINCT g.id FROM busy AS b JOIN dutiful.gate AS g ON g.id = b.gate
 CROSS JOIN LATERAL (SELECT p.job_id FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                      ORDER BY p.seq LIMIT g.slots) AS p
  JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id])
 WHERE j.gate = g.id AND j.gate_seq > 0 AND j.state = 'ready'
 ORDER BY g.id LIMIT :limit

-- name: mend_gates
-- Looks at these gates again; how many jobs went through.
SELECT dutiful.pass_gates(NULL, NULL, ARRAY(SELECT e.value::bigint FROM jsonb_array_elements_text(:gates::jsonb) AS e(value)))

-- name: busy_rates
-- Rates behind :after for which starts wait, one probe each, with what their buckets are.
WITH RECURSIVE busy(gate) AS (
    SELECT min(p.gate) FROM dutiful.place AS p WHERE p.rate AND p.gate > :after
    UNION ALL
    SELECT (SELECT min(p.gate) FROM dutiful.place AS p WHERE p.rate AND p.gate > b.gate)
      FROM busy AS b WHERE b.gate IS NOT NULL
)
SELECT b.gate FROM busy AS b WHERE b.gate IS NOT NULL LIMIT :limit

-- name: lock_rate
-- A rate's bucket, for whoever grants starts now, and whether anybody waits; no row while somebody else does.
SELECT g.per, g.burst, g.level, g.level_at,
       EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.gate = g.id AND p.rate AND p.granted IS NULL), :now
  FROM dutiful.gate AS g
 WHERE g.id = :gate AND g.kind = 'rate' FOR NO KEY UPDATE SKIP LOCKED

-- name: granted_starts
-- What became of the starts that this rate has granted: when each began (null: not yet), and whether its job can
-- still begin. One that was claimed, whatever happened then, has begun.
SELECT p.seq,
       CASE WHEN coalesce(j.claimed_at, h.claimed_at, d.claimed_at) >= p.granted
            THEN coalesce(j.claimed_at, h.claimed_at, d.claimed_at) END,
       j.id IS NOT NULL AND j.state = 'ready' AND j.ready_seq IS NOT NULL
  FROM dutiful.place AS p
  LEFT JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id])
  LEFT JOIN LATERAL (SELECT h.claimed_at FROM dutiful.history AS h WHERE j.id IS NULL AND h.id = p.job_id
                      ORDER BY h.finished_at DESC LIMIT 1) AS h ON true
  LEFT JOIN dutiful.dead AS d ON j.id IS NULL AND d.id = p.job_id
 WHERE p.gate = :gate AND p.granted IS NOT NULL

-- name: grant_starts
-- Lets the next :n through, forgets the starts that were seen, and keeps what is in the bucket. Places are
-- told by where they lie: by their gate alone a plan would walk all who wait for each.
WITH seen AS (
    DELETE FROM dutiful.place AS p
     USING (SELECT q.ctid AS lies FROM jsonb_array_elements_text(:seen::jsonb) AS e(value)
             CROSS JOIN LATERAL (SELECT q.ctid FROM dutiful.place AS q
                                  WHERE q.gate = :gate AND q.seq = e.value::bigint LIMIT 1) AS q) AS s
     WHERE p.ctid = s.lies
), kept AS (
    UPDATE dutiful.gate SET level = :level, level_at = greatest(level_at, :at::bigint) WHERE id = :gate
), next AS (
    SELECT c.lies, j.id
      FROM (SELECT p.ctid AS lies, p.seq, p.job_id FROM dutiful.place AS p
             WHERE p.gate = :gate AND p.rate AND p.granted IS NULL ORDER BY p.seq LIMIT :n) AS c
      JOIN dutiful.job AS j ON j.id = ANY (ARRAY[c.job_id])
     WHERE j.gate = :gate AND j.gate_seq = c.seq AND j.state = 'ready' FOR NO KEY UPDATE OF j SKIP LOCKED
), noted AS (
    UPDATE dutiful.place AS p SET granted = :now FROM next AS n WHERE p.ctid = n.lies
)
UPDATE dutiful.job AS j SET gate = NULL, gate_seq = NULL, admitted = true, ready_seq = nextval('dutiful.ready_seq')
  FROM next AS n WHERE j.id = ANY (ARRAY[n.id])
RETURNING j.id::text

-- name: gate_of_job
-- The gate at which a job stands, with the place it has there, and what the bucket of a rate is.
SELECT g.id, g.kind, g.key, g.slots, g.low, g.per, g.burst, g.level, g.level_at, p.seq, :now
  FROM dutiful.place AS p JOIN dutiful.gate AS g ON g.id = p.gate
 WHERE p.job_id = :id::uuid AND p.gate = :gate AND p.granted IS NULL

-- name: hold_run
-- A run that is still its job's, held until this commits: when it was claimed.
SELECT j.claimed_at FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.token = :token::uuid FOR NO KEY UPDATE

-- name: hold_gates
-- Locks these gates, in the order of their ids; what they are is read under the locks.
SELECT g.id, g.low, g.per, g.burst, g.level, g.level_at FROM dutiful.gate AS g
 WHERE g.id = ANY(ARRAY(SELECT e.value::bigint FROM jsonb_array_elements_text(:gates::jsonb) AS e(value)))
 ORDER BY g.id FOR NO KEY UPDATE

-- name: take_places
-- A run's places at gates at which its job did not stand; a start of a rate is one that began at its claim. "gates" of
-- the job is not null from now on, so that the places are given back when it leaves "running".
WITH marked AS (
    UPDATE dutiful.job AS j SET gates = coalesce(j.gates, '{}') WHERE j.id = :id::uuid
)
INSERT INTO dutiful.place (gate, seq, job_id, due, rate, granted)
SELECT r.gate, nextval('dutiful.gate_seq'), :id::uuid, true, r.granted IS NOT NULL, r.granted
  FROM jsonb_to_recordset(:rows::jsonb) AS r(gate bigint, granted bigint)
