-- name: remember_long
-- Before endings are forgotten: duties that are remembered for longer note when they were done.
UPDATE dutiful.duty AS d
   SET done_at = (SELECT max(h.finished_at) FROM dutiful.history AS h
                   WHERE h.id = d.job_id AND h.state = 'done')
 WHERE d.done_at IS NULL AND d.remember > :keep AND d.taken_at < :now - :keep
   AND EXISTS (SELECT 1 FROM dutiful.history AS h WHERE h.id = d.job_id AND h.state = 'done')
   AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = d.job_id)
   AND NOT EXISTS (SELECT 1 FROM dutiful.dead AS x WHERE x.id = d.job_id)
