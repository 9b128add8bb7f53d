-- Records: what supervision counts on.

-- When each of those who watch last looked (bookkeeper, reaper, scheduler...). Older than three periods is silent.
CREATE TABLE dutiful_watcher (
    app     text NOT NULL,
    name    text NOT NULL,
    period  integer NOT NULL,
    last_at integer NOT NULL,
    note    text NOT NULL DEFAULT '',
    PRIMARY KEY (app, name)
);

-- What was accepted: a row for each statement that stored jobs, and lane and task. "revived": an ending that
-- was undone, so that its job ends once more. "pruned": endings that were forgotten. Nothing is updated here by
-- anybody who enqueues; the bookkeeper folds the rows into "balance".
CREATE TABLE dutiful_delta (
    id   integer PRIMARY KEY,
    lane integer NOT NULL,
    task text NOT NULL,
    kind text NOT NULL DEFAULT 'accepted',
    n    integer NOT NULL,
    CONSTRAINT delta_kind CHECK (kind IN ('accepted', 'revived', 'pruned'))
);

-- The deltas' sums. "opened" is what was there when the books were opened.
CREATE TABLE dutiful_balance (
    app  text NOT NULL,
    task text NOT NULL,
    kind text NOT NULL,
    n    integer NOT NULL,
    PRIMARY KEY (app, task, kind),
    CONSTRAINT balance_kind CHECK (kind IN ('opened', 'accepted', 'revived', 'pruned'))
);

-- An app's books when they were last read: what was accepted and what is there, in one look. Without a row
-- they are not open, and nothing is judged. An app has one from the first fold on.
CREATE TABLE dutiful_book (
    app          text NOT NULL PRIMARY KEY,
    opened_at    integer NOT NULL,
    folded_at    integer,
    counted_at   integer,
    recounted_at integer,
    accepted     integer NOT NULL DEFAULT 0,
    revived      integer NOT NULL DEFAULT 0,
    pruned       integer NOT NULL DEFAULT 0,
    ready        integer NOT NULL DEFAULT 0,
    running      integer NOT NULL DEFAULT 0,
    in_doubt     integer NOT NULL DEFAULT 0,
    dead         integer NOT NULL DEFAULT 0,
    done         integer NOT NULL DEFAULT 0,
    cancelled    integer NOT NULL DEFAULT 0,
    missing      integer NOT NULL DEFAULT 0,
    surplus      integer NOT NULL DEFAULT 0,
    tasks        text NOT NULL DEFAULT '[]'
);

-- What a job died of, by cause: see "failure_group". Kept beside what its last run said, too, so that a
-- death that is restored keeps its cause.
ALTER TABLE dutiful_dead ADD COLUMN fingerprint text NOT NULL DEFAULT '';
ALTER TABLE dutiful_failure ADD COLUMN fingerprint text;
CREATE INDEX dutiful_dead_cause ON dutiful_dead (fingerprint, died_at, id);
CREATE INDEX dutiful_dead_task ON dutiful_dead (task, died_at, id);

-- Deaths (n above 0) and departures from the dead (below), folded into the groups by the bookkeeper.
CREATE TABLE dutiful_death (
    id          integer PRIMARY KEY,
    lane        integer NOT NULL,
    task        text NOT NULL,
    fingerprint text NOT NULL,
    reason      text NOT NULL,
    at          integer NOT NULL,
    n           integer NOT NULL,
    job_id      text NOT NULL,
    run_no      integer NOT NULL,
    worker      integer
);

-- Deaths with one cause. "deaths" counts all there were, "n" those who are dead now.
CREATE TABLE dutiful_failure_group (
    app           text NOT NULL,
    fingerprint   text NOT NULL,
    task          text NOT NULL,
    reason        text NOT NULL,
    kind          text NOT NULL DEFAULT '',
    title         text NOT NULL DEFAULT '',
    first_at      integer NOT NULL,
    last_at       integer NOT NULL,
    first_release text NOT NULL DEFAULT '',
    last_release  text NOT NULL DEFAULT '',
    deaths        integer NOT NULL,
    n             integer NOT NULL,
    job_id        text,
    PRIMARY KEY (app, fingerprint)
);

-- How many of a group died in each hour.
CREATE TABLE dutiful_failure_hour (
    app         text NOT NULL,
    fingerprint text NOT NULL,
    hour        integer NOT NULL,
    deaths      integer NOT NULL,
    PRIMARY KEY (app, fingerprint, hour)
);

CREATE INDEX dutiful_failure_hour_at ON dutiful_failure_hour (hour);

-- How many of a lane's jobs are dead, as far as deaths and departures are folded.
CREATE TABLE dutiful_dead_count (
    lane integer NOT NULL PRIMARY KEY,
    n    integer NOT NULL
);

-- How a run ended that left no other trace: it was snoozed, or handed back.
CREATE TABLE dutiful_event (
    job_id text NOT NULL,
    run_no integer NOT NULL,
    at     integer NOT NULL,
    worker integer,
    what   text NOT NULL,
    delay  integer,
    PRIMARY KEY (job_id, run_no),
    CONSTRAINT event_what CHECK (what IN ('snoozed', 'released'))
);

CREATE INDEX dutiful_event_at ON dutiful_event (at);

-- What became of jobs in a minute, ten minutes, or an hour ("grain"), by queue and task. Waits and run times as
-- counts by bucket (see operations/metrics.py), which can be added up. The sums have no task, those of all queues no
-- queue either.
CREATE TABLE dutiful_rollup (
    app       text NOT NULL,
    grain     integer NOT NULL,
    at        integer NOT NULL,
    queue     text NOT NULL,
    task      text NOT NULL,
    done      integer NOT NULL DEFAULT 0,
    failed    integer NOT NULL DEFAULT 0,
    dead      integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    waits     text NOT NULL DEFAULT '{}',
    runs      text NOT NULL DEFAULT '{}',
    PRIMARY KEY (app, grain, at, queue, task)
);

CREATE INDEX dutiful_rollup_at ON dutiful_rollup (grain, at);
CREATE INDEX dutiful_rollup_sum ON dutiful_rollup (app, grain, queue, at) WHERE task = '';

-- How much was due in a queue, and for how long the oldest, once a minute.
CREATE TABLE dutiful_sample (
    app    text NOT NULL,
    queue  text NOT NULL,
    at     integer NOT NULL,
    depth  integer NOT NULL,
    oldest integer,
    PRIMARY KEY (app, queue, at)
);

CREATE INDEX dutiful_sample_at ON dutiful_sample (at);

-- What workers said of their tasks: one row for each release that ran it.
CREATE TABLE dutiful_task (
    app      text NOT NULL,
    name     text NOT NULL,
    release  text NOT NULL,
    version  integer NOT NULL,
    queue    text NOT NULL,
    priority integer NOT NULL,
    owner    text NOT NULL,
    delivery text NOT NULL,
    declared text NOT NULL,
    first_at integer NOT NULL,
    seen_at  integer NOT NULL,
    PRIMARY KEY (app, name, release)
);

-- Whoever moves jobs to the dead, or away, writes down so here.
CREATE TRIGGER dutiful_deaths_came AFTER INSERT ON dutiful_dead BEGIN
    INSERT INTO dutiful_death (lane, task, fingerprint, reason, at, n, job_id, run_no, worker)
    VALUES (NEW.lane, NEW.task, NEW.fingerprint, NEW.reason, NEW.died_at, 1, NEW.id, NEW.run_no, NEW.worker);
END;
CREATE TRIGGER dutiful_deaths_left AFTER DELETE ON dutiful_dead BEGIN
    INSERT INTO dutiful_death (lane, task, fingerprint, reason, at, n, job_id, run_no, worker)
    VALUES (OLD.lane, OLD.task, OLD.fingerprint, OLD.reason, OLD.died_at, -1, OLD.id, OLD.run_no, OLD.worker);
END;

-- Deaths from before have the reason as their cause.
UPDATE dutiful_dead SET fingerprint = reason || ':' || task;
INSERT INTO dutiful_death (lane, task, fingerprint, reason, at, n, job_id, run_no)
SELECT d.lane, d.task, d.fingerprint, d.reason, max(d.died_at), count(*), min(d.id), max(d.run_no)
  FROM dutiful_dead AS d GROUP BY d.lane, d.task, d.fingerprint, d.reason;
