-- Queues: paused by a person until an instant, and limited across all workers ("slots"; "turn" grows when that
-- changes). Jobs: when they first became due, where a retry moved that, and after which instant running is too late.

ALTER TABLE dutiful.queue ADD COLUMN paused_at bigint;
ALTER TABLE dutiful.queue ADD COLUMN paused_until bigint;
ALTER TABLE dutiful.queue ADD COLUMN paused_by text;
ALTER TABLE dutiful.queue ADD COLUMN pause_reason text;
ALTER TABLE dutiful.queue ADD COLUMN slots integer;
ALTER TABLE dutiful.queue ADD COLUMN turn integer NOT NULL DEFAULT 0;
ALTER TABLE dutiful.job ADD COLUMN due_at bigint;
ALTER TABLE dutiful.job ADD COLUMN deadline bigint;
CREATE INDEX job_cancel ON dutiful.job (cancel_at) WHERE cancel_at IS NOT NULL;

-- How many of a limited queue's slots a worker holds, for itself and its children. The sum is never above the
-- queue's "slots": it is changed under a lock of the queue's row, and a row goes when its worker surely runs nothing.
-- "allowed": what the sum might be when this row was written. That is the limit, or more after it was lowered, while jobs
-- run that were begun under the higher one; null for no limit.
CREATE TABLE dutiful.queue_share (
    app    text NOT NULL,
    queue  text NOT NULL,
    worker bigint NOT NULL,
    slots  integer NOT NULL,
    allowed integer,
    PRIMARY KEY (app, queue, worker),
    CONSTRAINT share_slots CHECK (slots > 0)
);
