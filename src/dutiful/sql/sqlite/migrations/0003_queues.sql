-- Queues: paused by a person, and limited across all workers.

ALTER TABLE dutiful_queue ADD COLUMN paused_at integer;
