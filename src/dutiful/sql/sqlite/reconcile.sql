-- name: reconcile_jobs
-- What is in flight of these keys: who holds each duty, and how that job stands. Read before the evidence: a job
-- that ends in between is then seen done.
SELECT k.value, d.job_id, j.state, j.enqueued_at, j.deadline, x.reason
  FROM json_each(:tasks) AS t CROSS JOIN json_each(:keys) AS k
 CROSS JOIN dutiful.duty AS d ON d.app = :app AND d.task = t.value AND d.key = k.value
  LEFT JOIN dutiful.job AS j ON j.id = d.job_id
  LEFT JOIN dutiful.dead AS x ON x.id = d.job_id

-- name: reconcile_ledger
-- Of these keys, those whose work is in the ledger.
SELECT DISTINCT k.value
  FROM json_each(:tasks) AS t CROSS JOIN json_each(:keys) AS k
 CROSS JOIN dutiful.ledger AS l ON l.app = :app AND l.task = t.value AND l.key = k.value AND l.kind = 'work'

-- name: reconcile_ended
-- Of these keys, how the job that holds each duty ended, or (pruned meanwhile) when it was done.
SELECT k.value, d.job_id,
       coalesce((SELECT h.outcome FROM dutiful.history AS h
                  WHERE h.id = d.job_id ORDER BY h.finished_at DESC LIMIT 1),
                CASE WHEN d.done_at IS NOT NULL THEN 'performed' END),
       coalesce((SELECT max(h.finished_at) FROM dutiful.history AS h WHERE h.id = d.job_id), d.done_at)
  FROM json_each(:tasks) AS t CROSS JOIN json_each(:keys) AS k
 CROSS JOIN dutiful.duty AS d ON d.app = :app AND d.task = t.value AND d.key = k.value

-- name: close_changed_findings
-- Findings whose key is of another class now: that one begins anew.
UPDATE dutiful.reconcile_finding AS f SET closed_at = :now
 WHERE f.rowid IN (SELECT o.rowid FROM json_each(:rows) AS e
                   CROSS JOIN dutiful.reconcile_finding AS o
                      ON o.app = :app AND o.name = :name AND o.key = json_extract(e.value, '$.key')
                     AND o.closed_at IS NULL AND o.class <> json_extract(e.value, '$.class'))

-- name: note_findings
-- What a pass found. One that is open already grows older, and keeps the job that was made for it.
INSERT INTO dutiful.reconcile_finding (app, name, key, class, first_seen, last_seen, due, last_run, job_id, made, why)
SELECT :app, :name, json_extract(e.value, '$.key'), json_extract(e.value, '$.class'), :now, :now,
       json_extract(e.value, '$.due'), :run, json_extract(e.value, '$.job_id'), json_extract(e.value, '$.made'),
       json_extract(e.value, '$.why')
  FROM json_each(:rows) AS e
 WHERE true
ON CONFLICT (app, name, key) WHERE closed_at IS NULL DO UPDATE
   SET last_seen = excluded.last_seen, last_run = excluded.last_run, due = excluded.due, why = excluded.why,
       job_id = coalesce(excluded.job_id, job_id), made = made OR excluded.made

-- name: close_findings
-- These keys are well now, or are not expected any more.
UPDATE dutiful.reconcile_finding AS f SET closed_at = :now
 WHERE f.app = :app AND f.name = :name AND f.closed_at IS NULL AND f.last_run < :run
   AND f.key IN (SELECT k.value FROM json_each(:keys) AS k)
