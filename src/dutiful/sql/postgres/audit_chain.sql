-- name: lock_audit_chain
-- Whoever makes the chain longer does it alone.
SELECT c.chain_no, c.hash FROM dutiful.audit_chain AS c FOR UPDATE

-- name: chain_audits
-- Gives rows their places in the chain; a row that has one keeps it.
UPDATE dutiful.audit AS a SET chain_no = r.chain_no, hash = r.hash
  FROM jsonb_to_recordset(:rows::jsonb) AS r(id bigint, chain_no bigint, hash text)
 WHERE a.id = r.id AND a.chain_no IS NULL
RETURNING a.id
