-- Queues: paused by a person, and limited across all workers.

ALTER TABLE dutiful.queue ADD COLUMN paused_at bigint;
