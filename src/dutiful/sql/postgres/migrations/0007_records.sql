-- Records: what supervision counts on.

-- When each of those who watch last looked (bookkeeper, reaper, scheduler...). Older than three periods is silent.
CREATE TABLE dutiful.watcher (
    app     text NOT NULL,
    name    text NOT NULL,
    period  bigint NOT NULL,
    last_at bigint NOT NULL,
    note    text NOT NULL DEFAULT '',
    PRIMARY KEY (app, name)
);

-- What was accepted: a row for each statement that stored jobs, and lane and task. "revived": an ending that
-- was undone, so that its job ends once more. "pruned": endings that were forgotten. Nothing is updated here by
-- anybody who enqueues; the bookkeeper folds the rows into "balance".
CREATE TABLE dutiful.delta (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane integer NOT NULL,
    task text NOT NULL,
    kind text NOT NULL DEFAULT 'accepted',
    n    bigint NOT NULL,
    CONSTRAINT delta_kind CHECK (kind IN ('accepted', 'revived', 'pruned'))
) WITH (vacuum_index_cleanup = on);

-- The deltas' sums. "opened" is what was there when the books were opened.
CREATE TABLE dutiful.balance (
    app  text NOT NULL,
    task text NOT NULL,
    kind text NOT NULL,
    n    bigint NOT NULL,
    PRIMARY KEY (app, task, kind),
    CONSTRAINT balance_kind CHECK (kind IN ('opened', 'accepted', 'revived', 'pruned'))
);

-- An app's books when they were last read: what was accepted and what is there, in one look. Without a row
-- they are not open, and nothing is judged. An app has one from the first fold on.
CREATE TABLE dutiful.book (
    app          text NOT NULL PRIMARY KEY,
    opened_at    bigint NOT NULL,
    folded_at    bigint,
    counted_at   bigint,
    recounted_at bigint,
    accepted     bigint NOT NULL DEFAULT 0,
    revived      bigint NOT NULL DEFAULT 0,
    pruned       bigint NOT NULL DEFAULT 0,
    ready        bigint NOT NULL DEFAULT 0,
    running      bigint NOT NULL DEFAULT 0,
    in_doubt     bigint NOT NULL DEFAULT 0,
    dead         bigint NOT NULL DEFAULT 0,
    done         bigint NOT NULL DEFAULT 0,
    cancelled    bigint NOT NULL DEFAULT 0,
    missing      bigint NOT NULL DEFAULT 0,
    surplus      bigint NOT NULL DEFAULT 0,
    tasks        text NOT NULL DEFAULT '[]'
);

-- What a job died of, by cause: see "failure_group". Kept beside what its last run said, too, so that a
-- death that is restored keeps its cause.
ALTER TABLE dutiful.dead ADD COLUMN fingerprint text NOT NULL DEFAULT '';
ALTER TABLE dutiful.failure ADD COLUMN fingerprint text;
CREATE INDEX dead_cause ON dutiful.dead (fingerprint, died_at, id);
CREATE INDEX dead_task ON dutiful.dead (task, died_at, id);

-- Deaths (n above 0) and departures from the dead (below), folded into the groups by the bookkeeper.
CREATE TABLE dutiful.death (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane        integer NOT NULL,
    task        text NOT NULL,
    fingerprint text NOT NULL,
    reason      text NOT NULL,
    at          bigint NOT NULL,
    n           bigint NOT NULL,
    job_id      uuid NOT NULL,
    run_no      integer NOT NULL,
    worker      bigint
) WITH (vacuum_index_cleanup = on);

-- Deaths with one cause. "deaths" counts all there were, "n" those who are dead now.
CREATE TABLE dutiful.failure_group (
    app           text NOT NULL,
    fingerprint   text NOT NULL,
    task          text NOT NULL,
    reason        text NOT NULL,
    kind          text NOT NULL DEFAULT '',
    title         text NOT NULL DEFAULT '',
    first_at      bigint NOT NULL,
    last_at       bigint NOT NULL,
    first_release text NOT NULL DEFAULT '',
    last_release  text NOT NULL DEFAULT '',
    deaths        bigint NOT NULL,
    n             bigint NOT NULL,
    job_id        uuid,
    PRIMARY KEY (app, fingerprint)
);

-- How many of a group died in each hour.
CREATE TABLE dutiful.failure_hour (
    app         text NOT NULL,
    fingerprint text NOT NULL,
    hour        bigint NOT NULL,
    deaths      bigint NOT NULL,
    PRIMARY KEY (app, fingerprint, hour)
);

CREATE INDEX failure_hour_at ON dutiful.failure_hour (hour);

-- How many of a lane's jobs are dead, as far as deaths and departures are folded.
CREATE TABLE dutiful.dead_count (
    lane integer NOT NULL PRIMARY KEY,
    n    bigint NOT NULL
);

-- How a run ended that left no other trace: it was snoozed, or handed back.
CREATE TABLE dutiful.event (
    job_id uuid NOT NULL,
    run_no integer NOT NULL,
    at     bigint NOT NULL,
    worker bigint,
    what   text NOT NULL,
    delay  bigint,
    PRIMARY KEY (job_id, run_no),
    CONSTRAINT event_what CHECK (what IN ('snoozed', 'released'))
);

CREATE INDEX event_at ON dutiful.event (at);

-- What became of jobs in a minute, ten minutes, or an hour ("grain"), by queue and task. Waits and run times as
-- counts by bucket (see operations/metrics.py), which can be added up. The sums have no task, those of all queues no
-- queue either.
CREATE TABLE dutiful.rollup (
    app       text NOT NULL,
    grain     bigint NOT NULL,
    at        bigint NOT NULL,
    queue     text NOT NULL,
    task      text NOT NULL,
    done      bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    dead      bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    waits     text NOT NULL DEFAULT '{}',
    runs      text NOT NULL DEFAULT '{}',
    PRIMARY KEY (app, grain, at, queue, task)
);

CREATE INDEX rollup_at ON dutiful.rollup (grain, at);
CREATE INDEX rollup_sum ON dutiful.rollup (app, grain, queue, at) WHERE task = '';

-- Endings by when they ended: of an append-only table the places are enough, which cost next to nothing.
CREATE INDEX history_finished ON dutiful.history USING brin (finished_at)
    WITH (pages_per_range = 32, autosummarize = on);

-- How much was due in a queue, and for how long the oldest, once a minute.
CREATE TABLE dutiful.sample (
    app    text NOT NULL,
    queue  text NOT NULL,
    at     bigint NOT NULL,
    depth  bigint NOT NULL,
    oldest bigint,
    PRIMARY KEY (app, queue, at)
);

CREATE INDEX sample_at ON dutiful.sample (at);

-- What workers said of their tasks: one row for each release that ran it.
CREATE TABLE dutiful.task (
    app      text NOT NULL,
    name     text NOT NULL,
    release  text NOT NULL,
    version  integer NOT NULL,
    queue    text NOT NULL,
    priority integer NOT NULL,
    owner    text NOT NULL,
    delivery text NOT NULL,
    declared text NOT NULL,
    first_at bigint NOT NULL,
    seen_at  bigint NOT NULL,
    PRIMARY KEY (app, name, release)
);

-- Whoever moves jobs to the dead, or away, writes down so here.
CREATE FUNCTION dutiful.death_noted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO dutiful.death (lane, task, fingerprint, reason, at, n, job_id, run_no, worker)
        SELECT c.lane, c.task, c.fingerprint, c.reason, c.died_at, 1, c.id, c.run_no, c.worker FROM rows AS c;
    ELSE
        INSERT INTO dutiful.death (lane, task, fingerprint, reason, at, n, job_id, run_no, worker)
        SELECT c.lane, c.task, c.fingerprint, c.reason, c.died_at, -1, c.id, c.run_no, c.worker FROM rows AS c;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER deaths_came AFTER INSERT ON dutiful.dead REFERENCING NEW TABLE AS rows
    FOR EACH STATEMENT EXECUTE FUNCTION dutiful.death_noted();
CREATE TRIGGER deaths_left AFTER DELETE ON dutiful.dead REFERENCING OLD TABLE AS rows
    FOR EACH STATEMENT EXECUTE FUNCTION dutiful.death_noted();

DROP FUNCTION dutiful.drop_history_before(bigint);

-- Drops the oldest of the days that ended before an instant, or what is older in the default partition; true: a day
-- was dropped, and there may be more. What is forgotten is counted in the same transaction, once nobody can add to
-- that day any more; the whole history is locked after that, for the moment of a DETACH. While somebody waits for
-- that lock nobody ends a job: so not for long (55P03).
CREATE FUNCTION dutiful.drop_history_before(before_us bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    day_us CONSTANT bigint := 86400000000;
    last_day text := to_char(to_timestamp((before_us / day_us - 1) * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD');
    part text;
BEGIN
    SELECT c.relname INTO part
      FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'dutiful.history'::regclass AND c.relname ~ '^history_\d{8}$'
       AND right(c.relname, 8) <= last_day
     ORDER BY c.relname LIMIT 1;
    IF part IS NOT NULL THEN
        PERFORM set_config('lock_timeout', '200ms', true);
        EXECUTE format('LOCK TABLE dutiful.%I IN SHARE MODE', part);
        EXECUTE format('INSERT INTO dutiful.delta (lane, task, kind, n)'
                       ' SELECT h.lane, h.task, ''pruned'', count(*) FROM dutiful.%I AS h GROUP BY h.lane, h.task', part);
        EXECUTE format('ALTER TABLE dutiful.history DETACH PARTITION dutiful.%I', part);
        EXECUTE format('DROP TABLE dutiful.%I', part);
        RETURN true;
    END IF;
    WITH gone AS (
        DELETE FROM dutiful.history_rest WHERE finished_at < before_us RETURNING lane, task
    )
    INSERT INTO dutiful.delta (lane, task, kind, n)
    SELECT g.lane, g.task, 'pruned', count(*) FROM gone AS g GROUP BY g.lane, g.task;
    RETURN false;
END $$;

-- Deaths from before have the reason as their cause.
UPDATE dutiful.dead SET fingerprint = reason || ':' || task;
INSERT INTO dutiful.death (lane, task, fingerprint, reason, at, n, job_id, run_no)
SELECT d.lane, d.task, d.fingerprint, d.reason, max(d.died_at), count(*), (array_agg(d.id))[1], max(d.run_no)
  FROM dutiful.dead AS d GROUP BY d.lane, d.task, d.fingerprint, d.reason;
