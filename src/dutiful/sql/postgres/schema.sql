-- The tables of dutiful on PostgreSQL, as they are after all migrations.
-- Instants are whole microseconds since 1970, UTC. Every table has a primary key (a user's
-- publication would else make our DELETE fail).

CREATE SCHEMA dutiful;

CREATE TABLE dutiful.version (
    number     integer PRIMARY KEY,
    title      text NOT NULL,
    applied_at bigint NOT NULL
);

-- Every return to "ready" takes a new number, so that a claim can start at its mark.
CREATE SEQUENCE dutiful.ready_seq CACHE 1;

-- A lane is one (app, queue, priority). Never deleted, so its id may be remembered.
CREATE TABLE dutiful.lane (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app      text NOT NULL,
    queue    text NOT NULL,
    priority smallint NOT NULL CHECK (priority BETWEEN -100 AND 100),
    UNIQUE (app, queue, priority)
);

CREATE TABLE dutiful.queue (
    app    text NOT NULL,
    name   text NOT NULL,
    target bigint,
    paused_at bigint,
    PRIMARY KEY (app, name)
);

-- Open jobs only. No index, predicates included, names a column that a claim writes (state, token,
-- worker, run_no, attempt, claimed_at): the claim is a HOT update, and fillfactor leaves it room.
CREATE TABLE dutiful.job (
    id           uuid PRIMARY KEY,
    lane         integer NOT NULL,
    ready_seq    bigint DEFAULT nextval('dutiful.ready_seq'),
    run_at       bigint NOT NULL,
    enqueued_at  bigint NOT NULL,
    claimed_at   bigint,
    started_at   bigint,
    cancel_at    bigint,
    worker       bigint,
    token        uuid,
    last_token   uuid,
    gate         bigint,
    gate_seq     bigint,
    run_no       integer NOT NULL DEFAULT 0,
    attempt      integer NOT NULL DEFAULT 0,
    epoch        integer NOT NULL DEFAULT 1,
    args_version integer NOT NULL,
    crashes      smallint NOT NULL DEFAULT 0,
    crashes_max  smallint NOT NULL,
    losses       smallint NOT NULL DEFAULT 0,
    suspect      boolean NOT NULL DEFAULT false,
    admitted     boolean NOT NULL DEFAULT true,
    state        text NOT NULL DEFAULT 'ready',
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         bytea NOT NULL,
    doubt_at     bigint,
    doubt        text,
    CONSTRAINT job_state CHECK (state IN ('ready', 'running', 'in_doubt')),
    CONSTRAINT job_token CHECK ((state = 'running') = (token IS NOT NULL)),
    CONSTRAINT job_worker CHECK ((token IS NULL) = (worker IS NULL)),
    CONSTRAINT job_numbers CHECK (attempt BETWEEN 0 AND run_no),
    CONSTRAINT job_doubt CHECK
        ((state = 'in_doubt') = (doubt_at IS NOT NULL) AND (doubt_at IS NULL) = (doubt IS NULL))
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX job_ready ON dutiful.job (lane, ready_seq) WHERE ready_seq IS NOT NULL;
CREATE INDEX job_waiting ON dutiful.job (run_at) WHERE ready_seq IS NULL AND gate IS NULL;
CREATE INDEX job_suspect ON dutiful.job (ready_seq) WHERE suspect;
CREATE INDEX job_doubt ON dutiful.job (doubt_at) WHERE doubt_at IS NOT NULL;

-- Jobs that gave up. Never pruned: a person, or a lookup, takes them out.
CREATE TABLE dutiful.dead (
    id           uuid PRIMARY KEY,
    lane         integer NOT NULL,
    died_at      bigint NOT NULL,
    run_at       bigint NOT NULL,
    enqueued_at  bigint NOT NULL,
    claimed_at   bigint,
    started_at   bigint,
    worker       bigint,
    last_token   uuid,
    run_no       integer NOT NULL,
    attempt      integer NOT NULL,
    epoch        integer NOT NULL,
    args_version integer NOT NULL,
    crashes      smallint NOT NULL,
    crashes_max  smallint NOT NULL,
    reason       text NOT NULL,
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         bytea NOT NULL,
    CONSTRAINT dead_reason CHECK
        (reason IN ('error', 'exhausted', 'gave_up', 'poison', 'stale', 'changed'))
);

CREATE INDEX dead_died ON dutiful.dead (died_at, id);

-- The journal of endings, append-only, dropped by the day. It is its own count.
CREATE TABLE dutiful.history (
    id           uuid NOT NULL,
    finished_at  bigint NOT NULL,
    lane         integer NOT NULL,
    run_at       bigint NOT NULL,
    enqueued_at  bigint NOT NULL,
    claimed_at   bigint,
    started_at   bigint,
    worker       bigint,
    last_token   uuid,
    same_as      uuid,
    run_no       integer NOT NULL,
    attempt      integer NOT NULL,
    epoch        integer NOT NULL,
    args_version integer NOT NULL,
    crashes      smallint NOT NULL,
    crashes_max  smallint NOT NULL,
    state        text NOT NULL,
    outcome      text,
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         bytea NOT NULL,
    result       bytea,
    reason       text,
    doubt        text,
    PRIMARY KEY (id, finished_at),
    CONSTRAINT history_state CHECK (state IN ('done', 'cancelled')),
    CONSTRAINT history_outcome CHECK
        ((state = 'done') = (outcome IS NOT NULL AND outcome IN ('performed', 'duplicate', 'skipped', 'waived')))
) PARTITION BY RANGE (finished_at);

CREATE TABLE dutiful.history_rest PARTITION OF dutiful.history DEFAULT;

-- The row that makes a duty unique, taken at enqueue. Its job may be open, dead, or done; "turn"
-- grows whenever the duty changes hands or its job comes back to life (compare-and-set).
CREATE TABLE dutiful.duty (
    app       text NOT NULL,
    task      text NOT NULL,
    key       text NOT NULL,
    job_id    uuid NOT NULL,
    taken_at  bigint NOT NULL,
    remember  bigint NOT NULL,
    done_at   bigint,
    epoch     integer NOT NULL DEFAULT 1,
    turn      integer NOT NULL DEFAULT 1,
    args_hash text NOT NULL,
    PRIMARY KEY (app, task, key)
) WITH (fillfactor = 90);

-- One row per charged or lost try, with what it said.
CREATE TABLE dutiful.failure (
    job_id    uuid NOT NULL,
    run_no    integer NOT NULL,
    attempt   integer NOT NULL,
    failed_at bigint NOT NULL,
    worker    bigint,
    kind      text NOT NULL,
    message   text NOT NULL,
    traceback text NOT NULL DEFAULT '',
    PRIMARY KEY (job_id, run_no)
);

CREATE INDEX failure_failed ON dutiful.failure (failed_at);

-- One row per worker process; its jobs' leases are this row's. A child that runs one suspect or
-- isolated job at a time has a row of its own ("alone") and is beaten for by its parent.
CREATE TABLE dutiful.worker (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app         text NOT NULL,
    host        text NOT NULL,
    pid         integer NOT NULL,
    parent      bigint,
    alone       boolean NOT NULL DEFAULT false,
    release     text NOT NULL DEFAULT '',
    lease       bigint NOT NULL,
    concurrency integer NOT NULL,
    started_at  bigint NOT NULL,
    beat_at     bigint NOT NULL,
    gone_at     bigint,
    gone_how    text,
    reaped_at   bigint,
    file        text,
    queues      text NOT NULL,
    tasks       text NOT NULL,
    marks       text NOT NULL DEFAULT '{}',
    CONSTRAINT worker_gone CHECK ((gone_at IS NULL) = (gone_how IS NULL)),
    CONSTRAINT worker_how CHECK (gone_how IN ('left', 'lapsed', 'reported', 'died'))
) WITH (fillfactor = 50);

CREATE INDEX worker_unreaped ON dutiful.worker (id) WHERE reaped_at IS NULL;

-- When a chore that one worker does for all was last begun.
CREATE TABLE dutiful.chore (
    name    text PRIMARY KEY,
    last_at bigint NOT NULL
);

-- Who did what to which job, when and why.
CREATE TABLE dutiful.audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      bigint NOT NULL,
    actor   text NOT NULL,
    verb    text NOT NULL,
    app     text NOT NULL,
    subject text NOT NULL,
    before  text NOT NULL,
    after   text NOT NULL,
    reason  text NOT NULL
);

CREATE INDEX audit_subject ON dutiful.audit (subject, id);

-- What the workers' looks at the invariants found (dutiful verify): a row per check. What was found stays,
-- with its instant, until something newer is found, or nothing in every row.
CREATE TABLE dutiful.checked (
    app       text NOT NULL,
    name      text NOT NULL,
    invariant text NOT NULL,
    at        bigint NOT NULL,
    found_at  bigint,
    count     bigint NOT NULL,
    jobs      text,
    PRIMARY KEY (app, name),
    CONSTRAINT checked_found CHECK ((found_at IS NULL) = (jobs IS NULL))
);

-- What was done, begun or used up, in the transaction that did it; its key makes the work once. Also in
-- databases that hold no jobs (dutiful migrate --ledger). kind: "work" (exactly_once), "start" (at_most_once)
-- or "once" (dutiful.once, which names no run; request is a hash of what was asked for). No row is ever
-- changed after its transaction.
CREATE TABLE dutiful.ledger (
    app     text NOT NULL,
    task    text NOT NULL,
    key     text NOT NULL,
    epoch   integer NOT NULL,
    kind    text NOT NULL,
    at      bigint NOT NULL,
    run_no  integer,
    job_id  uuid,
    token   uuid,
    result  bytea,
    request text,
    PRIMARY KEY (app, task, key, epoch),
    CONSTRAINT ledger_kind CHECK (kind IN ('work', 'start', 'once')),
    CONSTRAINT ledger_run CHECK ((kind = 'once') = (token IS NULL))
);

-- Work commits only if its run has settled it: the mark dies with the transaction, or with a ROLLBACK TO.
-- A stray COMMIT, and a run that is over, keep nothing. Reads no table.
CREATE FUNCTION dutiful.ledger_settled() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.strpos(coalesce(pg_catalog.current_setting('dutiful.settled', true), ''), NEW.token::text) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'DU001', MESSAGE = pg_catalog.concat('the work of job ', NEW.job_id,
              ' cannot be committed yet: dutiful commits it when the body has returned');
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_settled AFTER INSERT ON dutiful.ledger
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind = 'work')
    EXECUTE FUNCTION dutiful.ledger_settled();

-- No row of the ledger is changed once it is written (I16); a result is added to it once, in its transaction.
CREATE FUNCTION dutiful.ledger_kept() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'DU002', MESSAGE = 'a row of the ledger is never changed';
END $$;

CREATE TRIGGER ledger_kept AFTER UPDATE OF app, task, key, epoch, kind, at, run_no, job_id, token, request
    ON dutiful.ledger FOR EACH ROW EXECUTE FUNCTION dutiful.ledger_kept();
CREATE TRIGGER ledger_result AFTER UPDATE OF result ON dutiful.ledger FOR EACH ROW
    WHEN (OLD.result IS NOT NULL) EXECUTE FUNCTION dutiful.ledger_kept();

CREATE INDEX ledger_at ON dutiful.ledger USING brin (at);

-- One call to the world outside: named by duty and name, its key the same for every run, job and epoch.
-- "intended" is committed before the call, so that no call is ever unknown to us; asked_at is when the
-- provider may first have seen the key, ended_at when the last call came back without an outcome.
-- calls_open counts the calls that may have been applied, for all that is known; calls_alive the earlier
-- callers of whom nothing showed that they were dead when the next one called.
CREATE TABLE dutiful.effect (
    app          text NOT NULL,
    task         text NOT NULL,
    duty         text NOT NULL,
    name         text NOT NULL,
    key          text NOT NULL,
    state        text NOT NULL,
    run_no       integer NOT NULL,
    tries        integer NOT NULL DEFAULT 1,
    calls_open   integer NOT NULL DEFAULT 1,
    calls_alive  integer NOT NULL DEFAULT 0,
    job_id       uuid NOT NULL,
    token        uuid NOT NULL,
    worker       bigint,
    asked_at     bigint NOT NULL,
    sent_at      bigint NOT NULL,
    ended_at     bigint,
    settled_at   bigint,
    remembered   bigint,
    margin       bigint NOT NULL,
    request_hash text NOT NULL,
    settled_by   text,
    error        text,
    result       bytea,
    PRIMARY KEY (app, task, duty, name),
    CONSTRAINT effect_state CHECK (state IN ('intended', 'done', 'refused')),
    CONSTRAINT effect_settled CHECK ((state = 'intended') = (settled_at IS NULL))
);

CREATE INDEX effect_open ON dutiful.effect (sent_at) WHERE state = 'intended';

-- Makes the partitions of the history for today and the days to come. Attaching takes no lock on
-- the whole history that would stop readers or writers; a day that lies already in the default
-- partition is left there.
CREATE FUNCTION dutiful.add_history_days(now_us bigint, days integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    day_us CONSTANT bigint := 86400000000;
    from_us bigint;
    part text;
    made integer := 0;
BEGIN
    FOR i IN 0 .. days - 1 LOOP
        from_us := (now_us / day_us + i) * day_us;
        part := 'history_' || to_char(to_timestamp(from_us / 1000000) AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF to_regclass('dutiful.' || part) IS NULL
           AND NOT EXISTS (SELECT 1 FROM dutiful.history_rest AS r
                            WHERE r.finished_at >= from_us AND r.finished_at < from_us + day_us) THEN
            EXECUTE format('CREATE TABLE dutiful.%I (LIKE dutiful.history INCLUDING DEFAULTS'
                           ' INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
            EXECUTE format('ALTER TABLE dutiful.history ATTACH PARTITION dutiful.%I'
                           ' FOR VALUES FROM (%s) TO (%s)', part, from_us, from_us + day_us);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Drops the days that ended before an instant, and what is older in the default partition.
CREATE FUNCTION dutiful.drop_history_before(before_us bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    day_us CONSTANT bigint := 86400000000;
    last_day text := to_char(to_timestamp((before_us / day_us - 1) * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD');
    part text;
    dropped integer := 0;
BEGIN
    FOR part IN
        SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'dutiful.history'::regclass AND c.relname ~ '^history_\d{8}$'
           AND right(c.relname, 8) <= last_day
         ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE dutiful.history DETACH PARTITION dutiful.%I', part);
        EXECUTE format('DROP TABLE dutiful.%I', part);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM dutiful.history_rest WHERE finished_at < before_us;
    RETURN dropped;
END $$;

-- A lock by name. grant_no grows with each grant, and never falls.
CREATE TABLE dutiful.lock (
    app      text NOT NULL,
    name     text NOT NULL,
    slots    integer NOT NULL,
    grant_no bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (app, name)
);

-- A schedule as it was last declared.
CREATE TABLE dutiful.schedule (
    app  text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (app, name)
);

-- One for each key of an order, a lock, a rate or a share.
CREATE TABLE dutiful.gate (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app  text NOT NULL,
    kind text NOT NULL,
    key  text NOT NULL,
    UNIQUE (app, kind, key)
);
