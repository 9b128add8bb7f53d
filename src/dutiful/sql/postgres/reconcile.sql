-- name: reconcile_jobs
-- What is in flight of these keys: who holds each duty, and how that job stands. Read before the evidence: a job
-- that ends in between is then seen done.
SELECT k.value, d.job_id::text, j.state, j.enqueued_at, j.deadline, x.reason
  FROM jsonb_array_elements_text(:tasks::jsonb) AS t(value)
 CROSS JOIN jsonb_array_elements_text(:keys::jsonb) AS k(value)
  JOIN dutiful.duty AS d ON d.app = :app AND d.task = t.value AND d.key = k.value
  LEFT JOIN dutiful.job AS j ON j.id = d.job_id
  LEFT JOIN dutiful.dead AS x ON x.id = d.job_id

-- name: reconcile_ledger
-- Of these keys, those whose work is in the ledger.
SELECT DISTINCT k.value
  FROM jsonb_array_elements_text(:tasks::jsonb) AS t(value)
 CROSS JOIN jsonb_array_elements_text(:keys::jsonb) AS k(value)
  JOIN dutiful.ledger AS l ON l.app = :app AND l.task = t.value AND l.key = k.value AND l.kind = 'work'

-- name: reconcile_ended
-- Of these keys, how the job that holds each duty ended, or (pruned meanwhile) when it was done.
SELECT k.value, d.job_id::text, coalesce(h.outcome, CASE WHEN d.done_at IS NOT NULL THEN 'performed' END),
       coalesce(h.finished_at, d.done_at)
  FROM jsonb_array_elements_text(:tasks::jsonb) AS t(value)
 CROSS JOIN jsonb_array_elements_text(:keys::jsonb) AS k(value)
  JOIN dutiful.duty AS d ON d.app = :app AND d.task = t.value AND d.key = k.value
  LEFT JOIN LATERAL (SELECT h.outcome, h.finished_at FROM dutiful.history AS h
                      WHERE h.id = d.job_id AND h.finished_at >= d.taken_at - 86400000000
                      ORDER BY h.finished_at DESC LIMIT 1) AS h ON true

-- name: close_changed_findings
-- Findings whose key is of another class now: that one begins anew.
UPDATE dutiful.reconcile_finding AS f SET closed_at = :now
  FROM jsonb_to_recordset(:rows::jsonb) AS r(key text, class text)
 WHERE f.app = :app AND f.name = :name AND f.key = r.key AND f.closed_at IS NULL AND f.class <> r.class

-- name: note_findings
-- What a pass found. One that is open already grows older, and keeps the job that was made for it.
INSERT INTO dutiful.reconcile_finding AS f
      (app, name, key, class, first_seen, last_seen, due, last_run, job_id, made, why)
SELECT :app, :name, r.key, r.class, t.now, t.now, r.due, :run, r.job_id, r.made, r.why
  FROM (SELECT :now AS now) AS t,
       jsonb_to_recordset(:rows::jsonb) AS r(key text, class text, due bigint, job_id uuid, made boolean, why text)
 ORDER BY r.key
ON CONFLICT (app, name, key) WHERE closed_at IS NULL DO UPDATE
   SET last_seen = excluded.last_seen, last_run = excluded.last_run, due = excluded.due, why = excluded.why,
       job_id = coalesce(excluded.job_id, f.job_id),
       made = f.made OR excluded.made

-- name: close_findings
-- These keys are well now, or are not expected any more.
UPDATE dutiful.reconcile_finding AS f SET closed_at = :now
 WHERE f.app = :app AND f.name = :name AND f.closed_at IS NULL AND f.last_run < :run
   AND f.key IN (SELECT k.value FROM jsonb_array_elements_text(:keys::jsonb) AS k(value))
