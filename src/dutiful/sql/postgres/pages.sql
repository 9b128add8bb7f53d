-- name: args_of_jobs
-- The arguments of the jobs of one page, for masking what is secret in them; larger ones are left out.
SELECT j.id::text, j.args FROM dutiful.job AS j
 WHERE j.id = ANY (ARRAY(SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e))
   AND length(j.args) <= :limit
UNION ALL
SELECT d.id::text, d.args FROM dutiful.dead AS d
 WHERE d.id = ANY (ARRAY(SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e))
   AND length(d.args) <= :limit
UNION ALL
SELECT h.id::text, h.args FROM dutiful.history AS h
 WHERE h.id = ANY (ARRAY(SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e))
   AND length(h.args) <= :limit

-- name: dead_by_ids
-- The dead jobs of these ids, with the last thing said: one page of a list whose filter another statement knows.
-- In no order: PostgreSQL would walk all the dead in that order, rather than sort a page.
SELECT d.id::text, 'dead', d.reason, d.task, l.queue, l.priority, d.key, d.attempt, d.enqueued_at,
       d.run_at, d.claimed_at, d.died_at, substr(d.args, 1, 800), :now,
       f.kind, left(f.message, 300), d.crashes
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE d.id = ANY (ARRAY(SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e))
