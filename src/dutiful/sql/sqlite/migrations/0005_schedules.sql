-- Schedules and their occurrences.

-- A schedule as it was last declared: what decides when it fires (spec, which holds from changed_at on), up
-- to where its occurrences are in the ledger (covered_at, which only grows), and when the next one is due.
CREATE TABLE dutiful_schedule (
    app          text NOT NULL,
    name         text NOT NULL,
    task         text NOT NULL,
    spec         text NOT NULL,
    declared_at  integer NOT NULL,
    changed_at   integer NOT NULL,
    covered_at   integer NOT NULL,
    next_at      integer,
    gone_at      integer,
    paused_at    integer,
    paused_until integer,
    paused_by    text,
    pause_reason text,
    PRIMARY KEY (app, name),
    CONSTRAINT schedule_pause CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    CONSTRAINT schedule_covered CHECK (covered_at >= changed_at)
);

-- Which worker's code declares which schedules, and how.
CREATE TABLE dutiful_declared (
    worker integer NOT NULL,
    app    text NOT NULL,
    name   text NOT NULL,
    spec   text NOT NULL,
    PRIMARY KEY (worker, app, name)
);

-- The ledger of occurrences. A row is one occurrence with its job, or one that waits for a person, or some
-- in a row that were skipped, from the one at "at" to the one at "upto".
CREATE TABLE dutiful_occurrence (
    app      text NOT NULL,
    schedule text NOT NULL,
    at       integer NOT NULL,
    skipped  integer NOT NULL,
    upto     integer NOT NULL,
    instants integer NOT NULL,
    made_at  integer NOT NULL,
    task     text NOT NULL,
    key      text NOT NULL,
    job_id   text,
    why      text,
    asked_by text,
    PRIMARY KEY (app, schedule, at, skipped),
    CONSTRAINT occurrence_span CHECK (upto >= at AND instants >= 1),
    CONSTRAINT occurrence_one CHECK (skipped OR (upto = at AND instants = 1)),
    CONSTRAINT occurrence_skip CHECK (NOT skipped OR (job_id IS NULL AND why IS NOT NULL))
);

CREATE INDEX dutiful_occurrence_made ON dutiful_occurrence (made_at);
CREATE INDEX dutiful_occurrence_waiting ON dutiful_occurrence (app, schedule)
    WHERE job_id IS NULL AND NOT skipped;
