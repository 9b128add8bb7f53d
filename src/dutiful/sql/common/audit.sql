-- name: add_audit
-- Leaves the audit row of a person's verb, in the verb's own transaction.
INSERT INTO dutiful.audit (at, actor, verb, app, subject, before, after, reason)
VALUES (:now, :actor, :verb, :app, :subject, :before, :after, :reason)

-- name: list_audit
-- What was done to one job, oldest first.
SELECT a.at, a.actor, a.verb, a.before, a.after, a.reason
  FROM dutiful.audit AS a WHERE a.subject = :subject ORDER BY a.id
