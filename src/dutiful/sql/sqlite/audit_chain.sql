-- name: lock_audit_chain
-- Whoever makes the chain longer does it alone: SQLite has one writer at a time.
SELECT c.chain_no, c.hash FROM dutiful.audit_chain AS c

-- name: chain_audits
-- Gives rows their places in the chain; a row that has one keeps it.
UPDATE dutiful.audit
   SET chain_no = json_extract(e.value, '$.chain_no'), hash = json_extract(e.value, '$.hash')
  FROM json_each(:rows) AS e
 WHERE dutiful_audit.id = json_extract(e.value, '$.id') AND chain_no IS NULL
RETURNING 1
