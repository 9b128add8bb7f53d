-- name: add_audit
-- Leaves the audit row of a person's verb, in the verb's own transaction.
INSERT INTO dutiful.audit (at, actor, verb, app, subject, before, after, reason, how, address, action_id,
       filter, bound, intended, done, skipped)
VALUES (:now, :actor, :verb, :app, :subject, :before, :after, :reason, :how, :address, :action_id,
        :filter, :bound, :intended, :done, :skipped)

-- name: list_audit
-- What was done to one job, oldest first.
SELECT a.at, a.actor, a.verb, a.before, a.after, a.reason
  FROM dutiful.audit AS a WHERE a.subject = :subject ORDER BY a.id

-- name: page_audit
-- What people did, the latest first, behind a cursor that is always given.
SELECT a.id, a.at, a.actor, a.verb, a.app, a.subject, a.before, a.after, a.reason, a.how, a.address, a.action_id,
       a.filter, a.bound, a.intended, a.done, a.skipped, a.chain_no, a.hash
  FROM dutiful.audit AS a
 WHERE a.id < :before AND (CAST(:app AS text) IS NULL OR a.app = :app)
   AND (CAST(:actor AS text) IS NULL OR a.actor = :actor) AND (CAST(:verb AS text) IS NULL OR a.verb = :verb)
   AND (CAST(:subject AS text) IS NULL OR a.subject = :subject)
   AND (CAST(:action_id AS text) IS NULL OR a.action_id = :action_id)
 ORDER BY a.id DESC LIMIT :limit

-- name: make_audit_chain
-- The chain begins.
INSERT INTO dutiful.audit_chain (one, chain_no, hash) VALUES (1, 0, '') ON CONFLICT (one) DO NOTHING

-- name: see_audit_chain
-- How far the chain is, for one who only looks.
SELECT c.chain_no, c.hash FROM dutiful.audit_chain AS c

-- name: unchained_audits
-- Rows that are not in the chain yet, in the order in which they were begun.
SELECT a.id, a.at, a.actor, a.verb, a.app, a.subject, a.before, a.after, a.reason, a.how, a.address, a.action_id,
       a.filter, a.bound, a.intended, a.done, a.skipped, a.chain_no, a.hash
  FROM dutiful.audit AS a WHERE a.chain_no IS NULL ORDER BY a.id LIMIT :limit

-- name: move_audit_chain
-- The chain is longer now.
UPDATE dutiful.audit_chain SET chain_no = :chain_no, hash = :hash WHERE one = 1

-- name: walk_audit_chain
-- Rows of the chain in its order, behind a cursor.
SELECT a.id, a.at, a.actor, a.verb, a.app, a.subject, a.before, a.after, a.reason, a.how, a.address, a.action_id,
       a.filter, a.bound, a.intended, a.done, a.skipped, a.chain_no, a.hash
  FROM dutiful.audit AS a WHERE a.chain_no > :after ORDER BY a.chain_no LIMIT :limit

-- name: count_unchained
-- How many rows are not in the chain yet, and since when.
SELECT count(*), min(a.at), :now FROM dutiful.audit AS a WHERE a.chain_no IS NULL
