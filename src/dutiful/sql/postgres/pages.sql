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
