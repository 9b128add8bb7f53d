-- name: bound_wait
-- On a caller's connection: no wait for a lock without an end, unless the caller has chosen one. Ends with
-- the savepoint, if that is rolled back; a row says that unbound_wait is due.
SELECT set_config('lock_timeout', :wait, true) WHERE current_setting('lock_timeout') = '0'

-- name: unbound_wait
-- As the caller had it.
SELECT set_config('lock_timeout', '0', true)
