-- name: fate_of_transaction
-- What became of a transaction whose commit got no answer: committed, aborted, "in progress", or null
-- where it is too old to be known.
SELECT pg_xact_status(:xid::text::xid8)

-- name: end_backend
-- Ends the session in which a transaction is still under way that nobody will answer for; only ours.
SELECT pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity AS a
 WHERE a.pid = :pid AND a.backend_xid = :xid::text::xid
