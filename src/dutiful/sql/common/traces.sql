-- name: forget_traces
-- Spans of jobs that were enqueued long ago.
DELETE FROM dutiful.trace WHERE at < :now - :keep
