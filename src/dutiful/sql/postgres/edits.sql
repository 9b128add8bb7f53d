-- name: edit_dead
-- A dead job's arguments, as it was seen.
UPDATE dutiful.dead SET args = :args::bytea, args_version = :args_version WHERE id = :id::uuid AND run_no = :run_no
RETURNING run_no
