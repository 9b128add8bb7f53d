-- name: args_of_jobs
-- The arguments of the jobs of one page, for masking what is secret in them; larger ones are left out.
SELECT j.id, j.args FROM dutiful.job AS j
 WHERE j.id IN (SELECT e.value FROM json_each(:ids) AS e) AND length(j.args) <= :limit
UNION ALL
SELECT d.id, d.args FROM dutiful.dead AS d
 WHERE d.id IN (SELECT e.value FROM json_each(:ids) AS e) AND length(d.args) <= :limit
UNION ALL
SELECT h.id, h.args FROM dutiful.history AS h
 WHERE h.id IN (SELECT e.value FROM json_each(:ids) AS e) AND length(h.args) <= :limit
