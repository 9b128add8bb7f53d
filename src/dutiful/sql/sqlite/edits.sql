-- name: edit_dead
-- A dead job's arguments, as it was seen.
UPDATE dutiful.dead SET args = :args, args_version = :args_version WHERE id = :id AND run_no = :run_no
RETURNING run_no
