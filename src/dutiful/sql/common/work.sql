-- name: find_ledger_row
-- Who did this duty (or used this key) in this database; no row says nobody.
SELECT CAST(g.job_id AS text), CAST(g.token AS text), g.kind, g.run_no, g.at, g.result
  FROM dutiful.ledger AS g
 WHERE g.app = :app AND g.task = :task AND g.key = :key AND g.epoch = :epoch
