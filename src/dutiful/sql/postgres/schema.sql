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
    paused_until bigint,
    paused_by text,
    pause_reason text,
    slots  integer,
    turn   integer NOT NULL DEFAULT 0,
    limit_slots integer,
    limited_at bigint,
    limited_by text,
    limit_reason text,
    PRIMARY KEY (app, name)
);

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
    due_at       bigint,
    deadline     bigint,
    gates        bigint[],
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
CREATE INDEX job_cancel ON dutiful.job (cancel_at) WHERE cancel_at IS NOT NULL;
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
    gates        bigint[],
    fingerprint  text NOT NULL DEFAULT '',
    CONSTRAINT dead_reason CHECK
        (reason IN ('error', 'exhausted', 'gave_up', 'poison', 'stale', 'changed'))
);

CREATE INDEX dead_died ON dutiful.dead (died_at, id);
CREATE INDEX dead_cause ON dutiful.dead (fingerprint, died_at, id);
CREATE INDEX dead_task ON dutiful.dead (task, died_at, id);

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
    gates        bigint[],
    PRIMARY KEY (id, finished_at),
    CONSTRAINT history_state CHECK (state IN ('done', 'cancelled')),
    CONSTRAINT history_outcome CHECK
        ((state = 'done') = (outcome IS NOT NULL AND outcome IN ('performed', 'duplicate', 'skipped', 'waived')))
) PARTITION BY RANGE (finished_at);

CREATE INDEX history_gated ON dutiful.history (finished_at)
    WHERE gates IS NOT NULL AND (state = 'cancelled' OR outcome IN ('skipped', 'waived'));

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
    fingerprint text,
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
    reason  text NOT NULL,
    how text,
    address text,
    action_id text,
    filter text,
    bound bigint,
    intended bigint,
    done bigint,
    skipped bigint,
    chain_no bigint,
    hash text
);

CREATE INDEX audit_subject ON dutiful.audit (subject, id);
CREATE UNIQUE INDEX audit_chained ON dutiful.audit (chain_no) WHERE chain_no IS NOT NULL;
CREATE INDEX audit_unchained ON dutiful.audit (id) WHERE chain_no IS NULL;
CREATE INDEX audit_action ON dutiful.audit (action_id) WHERE action_id IS NOT NULL;

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

-- A lock by name. grant_no grows with each grant, ticket with each ask; neither ever falls, so that the row
-- outlives its holders. Whoever grants holds the row's lock.
CREATE TABLE dutiful.lock (
    app      text NOT NULL,
    name     text NOT NULL,
    slots    integer NOT NULL,
    grant_no bigint NOT NULL DEFAULT 0,
    ticket   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (app, name),
    CONSTRAINT lock_slots CHECK (slots > 0)
);

-- One who asked for a lock: waits while it has no grant_no, in the order of tickets, and holds a slot of it
-- from then on. Until "until", which its process moves on; then it is passed by. No two hold one slot.
CREATE TABLE dutiful.lock_ask (
    token      text NOT NULL PRIMARY KEY,
    app        text NOT NULL,
    name       text NOT NULL,
    ticket     bigint NOT NULL,
    who        text NOT NULL,
    lease      bigint NOT NULL,
    asked_at   bigint NOT NULL,
    until      bigint NOT NULL,
    grant_no   bigint,
    slot       integer,
    granted_at bigint,
    CONSTRAINT lock_ask_ticket UNIQUE (app, name, ticket),
    CONSTRAINT lock_ask_slot UNIQUE (app, name, slot),
    CONSTRAINT lock_ask_grant UNIQUE (app, name, grant_no),
    CONSTRAINT lock_ask_granted CHECK
        ((grant_no IS NULL) = (slot IS NULL) AND (grant_no IS NULL) = (granted_at IS NULL)),
    CONSTRAINT lock_ask_slots CHECK (slot > 0)
);

-- A schedule as it was last declared: what decides when it fires (spec, which holds from changed_at on), up
-- to where its occurrences are in the ledger (covered_at, which only grows), and when the next one is due.
CREATE TABLE dutiful.schedule (
    app          text NOT NULL,
    name         text NOT NULL,
    task         text NOT NULL,
    spec         text NOT NULL,
    declared_at  bigint NOT NULL,
    changed_at   bigint NOT NULL,
    covered_at   bigint NOT NULL,
    next_at      bigint,
    gone_at      bigint,
    paused_at    bigint,
    paused_until bigint,
    paused_by    text,
    pause_reason text,
    PRIMARY KEY (app, name),
    CONSTRAINT schedule_pause CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    CONSTRAINT schedule_covered CHECK (covered_at >= changed_at)
);

-- Which worker's code declares which schedules, and how.
CREATE TABLE dutiful.declared (
    worker bigint NOT NULL,
    app    text NOT NULL,
    name   text NOT NULL,
    spec   text NOT NULL,
    PRIMARY KEY (worker, app, name)
);

-- The ledger of occurrences. A row is one occurrence with its job, or one that waits for a person, or some
-- in a row that were skipped, from the one at "at" to the one at "upto".
CREATE TABLE dutiful.occurrence (
    app      text NOT NULL,
    schedule text NOT NULL,
    at       bigint NOT NULL,
    skipped  boolean NOT NULL,
    upto     bigint NOT NULL,
    instants bigint NOT NULL,
    made_at  bigint NOT NULL,
    task     text NOT NULL,
    key      text NOT NULL,
    job_id   uuid,
    why      text,
    asked_by text,
    PRIMARY KEY (app, schedule, at, skipped),
    CONSTRAINT occurrence_span CHECK (upto >= at AND instants >= 1),
    CONSTRAINT occurrence_one CHECK (skipped OR (upto = at AND instants = 1)),
    CONSTRAINT occurrence_skip CHECK (NOT skipped OR (job_id IS NULL AND why IS NOT NULL))
);

CREATE INDEX occurrence_made ON dutiful.occurrence (made_at);
CREATE INDEX occurrence_waiting ON dutiful.occurrence (app, schedule)
    WHERE job_id IS NULL AND NOT skipped;

-- One for each key of an order, a lock, a rate or a share. Its row is locked by whoever lets jobs
-- through, and never updated for a job: "low", below which no place is taken, moves once in a while. A lock and
-- a share let "slots" through at once, an order one, a rate none: its starts are granted by a chore, from a bucket
-- that holds at most "burst" and was at "level" at the instant "level_at". "passes": a dead job blocks no order.
-- "excused": places up to that one may have been taken when there were more slots. "used_at": when it was last made, declared
-- or found in use, to within hours; one that nobody used for longer is forgotten, and made anew when somebody asks for it.
CREATE TABLE dutiful.gate (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app      text NOT NULL,
    kind     text NOT NULL,
    key      text NOT NULL,
    slots    integer NOT NULL,
    low      bigint NOT NULL DEFAULT 0,
    excused  bigint NOT NULL DEFAULT 0,
    passes   boolean NOT NULL DEFAULT false,
    per      bigint,
    burst    integer,
    level    double precision,
    level_at bigint,
    used_at  bigint NOT NULL,
    UNIQUE (app, kind, key),
    CONSTRAINT gate_kind CHECK (kind IN ('order', 'lock', 'rate', 'fair')),
    CONSTRAINT gate_slots CHECK (CASE kind WHEN 'rate' THEN slots = 0 WHEN 'order' THEN slots = 1 ELSE slots > 0 END),
    CONSTRAINT gate_rate CHECK
        ((kind = 'rate') = (per IS NOT NULL AND burst IS NOT NULL AND level IS NOT NULL AND level_at IS NOT NULL))
) WITH (fillfactor = 50);

CREATE INDEX gate_used ON dutiful.gate (used_at);

CREATE SEQUENCE dutiful.gate_seq CACHE 1;

-- Who stands at a gate, in turn: the first "slots" are through and hold their places. In an order a place is
-- held until the job is closed, else until the job leaves "running". "due": its time had come when it came.
-- "granted": a start that the rate allows; it is counted until it is seen to have begun.
CREATE TABLE dutiful.place (
    gate    bigint NOT NULL,
    seq     bigint NOT NULL,
    job_id  uuid NOT NULL,
    due     boolean NOT NULL,
    rate    boolean NOT NULL DEFAULT false,
    granted bigint,
    PRIMARY KEY (gate, seq)
);

CREATE INDEX place_job ON dutiful.place (job_id, gate);
CREATE INDEX place_rate ON dutiful.place (gate, seq) WHERE rate;
CREATE INDEX place_granted ON dutiful.place (gate, seq) WHERE granted IS NOT NULL;

-- A job with gates ("gates", in the order of passing) stands at "gate" with the place "gate_seq", or comes there when it is due
-- ("gate_seq" null), or is through (both null). Below 0 it has just come, or come back, in a
-- transaction that has not ended yet; "admitted" then says whether it is due.

CREATE INDEX job_arriving ON dutiful.job (gate_seq) WHERE gate_seq < 0;
CREATE INDEX job_outside ON dutiful.job (run_at) WHERE gate IS NOT NULL AND gate_seq IS NULL;

-- The gates that are there as they are declared, and whether they were last used before an instant. By their index,
-- whatever the table was like when it was analysed.
CREATE FUNCTION dutiful.find_gates(which text, rows jsonb, since bigint)
RETURNS TABLE (kind text, key text, id bigint, stale boolean)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on AS $$
    SELECT g.kind, g.key, g.id, g.used_at < since
      FROM pg_catalog.jsonb_to_recordset(rows)
           AS r(kind text, key text, slots integer, passes boolean, per bigint, burst integer)
     CROSS JOIN LATERAL (SELECT g.* FROM dutiful.gate AS g
                          WHERE g.app = which AND g.kind = r.kind AND g.key = r.key LIMIT 1) AS g
     WHERE g.slots = r.slots AND g.passes = r.passes
       AND g.per IS NOT DISTINCT FROM r.per AND g.burst IS NOT DISTINCT FROM r.burst
$$;

-- What a transaction does to jobs with gates is noted as it happens, and done when it commits. Both notes die
-- with the transaction, or with a ROLLBACK TO.
CREATE FUNCTION dutiful.gate_noted() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    IF TG_OP = 'DELETE' THEN  -- (an assignment, which is no query of its own: 100 jobs end in one statement)
        said := pg_catalog.set_config('dutiful.leaving', pg_catalog.concat(
            pg_catalog.current_setting('dutiful.leaving', true), OLD.id, ' '), true);
    ELSIF coalesce(pg_catalog.current_setting('dutiful.arriving', true), '') = '' THEN
        said := pg_catalog.set_config('dutiful.arriving', NEW.gate_seq::text, true);
    END IF;
    RETURN NULL;
END $$;

-- Raises where one of these gates was forgotten meanwhile: it was found an hour and more before this commits. Asked for jobs
-- that this transaction has stored, which have no "gate" yet.
CREATE FUNCTION dutiful.demand_gates(ids bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF (SELECT count(*) FROM dutiful.gate AS g WHERE g.id = ANY(ids)) < pg_catalog.cardinality(ids) THEN
        RAISE serialization_failure USING MESSAGE = 'an order, lock or rate of a job enqueued in this transaction was forgotten, as '
            'nobody used it for hours and the transaction took more than one',
            HINT = 'Run the transaction again; it should be shorter.';
    END IF;
END $$;

-- Lets through at once whoever came for the first time and finds room at each of its gates; whether that was
-- everybody. "arriving" as below. All gates are locked first, in order of id, rates only where nobody else is at
-- them, and looked at by a new statement. A start that a rate has to spare is counted as if all that it granted and
-- that were not seen began just now, which is the most that they can take. The instant is that of the enqueue: no clock is
-- asked here, and an earlier one allows less.
CREATE FUNCTION dutiful.pass_free(arriving bigint) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    came bigint;
    new bigint;
    stored boolean;
    locked bigint;
    ids bigint[];
    rates bigint[];
    let bigint;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE j.run_no = 0), pg_catalog.bool_or(j.gate IS NULL) INTO came, new, stored
      FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving;
    IF new = 0 THEN
        RETURN false;
    END IF;
    SELECT pg_catalog.array_agg(DISTINCT e.id) INTO ids
      FROM dutiful.job AS j, unnest(j.gates) AS e(id) WHERE j.gate_seq < 0 AND j.gate_seq <= arriving;
    WITH taken AS (
        SELECT g.id FROM dutiful.gate AS g WHERE g.id = ANY(ids) AND g.kind <> 'rate' ORDER BY g.id FOR NO KEY UPDATE
    )
    SELECT count(*) INTO locked FROM taken AS t;
    IF locked < pg_catalog.cardinality(ids) THEN
        IF stored THEN
            PERFORM dutiful.demand_gates(ids);
        END IF;
        SELECT pg_catalog.array_agg(g.id) INTO rates
          FROM (SELECT g.id FROM dutiful.gate AS g WHERE g.id = ANY(ids) AND g.kind = 'rate'
                 ORDER BY g.id FOR NO KEY UPDATE SKIP LOCKED) AS g;
    END IF;
    WITH these AS MATERIALIZED (
        SELECT j.id, j.gates, j.gate_seq, j.enqueued_at, j.run_no = 0 AND j.state = 'ready' AND j.admitted AS new
          FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving
    ), asked AS MATERIALIZED (
        SELECT e.id AS gate, count(*) AS n, min(t.enqueued_at) AS at, pg_catalog.array_agg(t.id ORDER BY t.gate_seq DESC) AS ids
          FROM these AS t, unnest(t.gates) AS e(id) GROUP BY e.id
    ), looked AS MATERIALIZED (
        SELECT a.gate, a.at, a.ids, g.kind = 'rate' AS rate,
               CASE WHEN g.kind = 'rate' THEN
                    g.id <> ALL(coalesce(rates, '{}'))
                    OR coalesce((SELECT p.granted IS NULL FROM dutiful.place AS p WHERE p.gate = g.id AND p.rate
                                  ORDER BY p.seq DESC LIMIT 1), false)
                    OR least(g.burst, g.level + greatest(0, a.at - g.level_at) / g.per::float8) - a.n
                       < (SELECT count(*) FROM (SELECT 1 FROM dutiful.place AS p
                                                 WHERE p.gate = g.id AND p.granted IS NOT NULL LIMIT g.burst) AS x)
                    ELSE a.n > g.slots - (SELECT count(*) FROM (SELECT 1 FROM dutiful.place AS p
                                           WHERE p.gate = g.id AND p.seq > g.low LIMIT g.slots) AS x) END AS busy
          FROM asked AS a CROSS JOIN LATERAL (SELECT g.* FROM dutiful.gate AS g WHERE g.id = a.gate LIMIT 1) AS g
    ), waits AS MATERIALIZED (
        SELECT e.id FROM looked AS l, unnest(l.ids) AS e(id) WHERE l.busy
        UNION ALL SELECT t.id FROM these AS t WHERE NOT t.new
    ), placed AS (
        INSERT INTO dutiful.place (gate, seq, job_id, due, rate, granted)
        SELECT l.gate, nextval('dutiful.gate_seq'), e.id, true, l.rate, CASE WHEN l.rate THEN l.at END
          FROM looked AS l, unnest(l.ids) AS e(id) WHERE e.id NOT IN (SELECT w.id FROM waits AS w)
    )
    UPDATE dutiful.job AS j SET gate = NULL, gate_seq = NULL, ready_seq = n.seq
      FROM (SELECT f.id, nextval('dutiful.ready_seq') AS seq
              FROM (SELECT t.id FROM these AS t WHERE t.id NOT IN (SELECT w.id FROM waits AS w)
                     ORDER BY t.gate_seq DESC) AS f) AS n
     WHERE j.id = ANY (ARRAY[n.id]);
    GET DIAGNOSTICS let = ROW_COUNT;
    RETURN let = came;
END $$;

-- Gives back the places of jobs that are gone for good, where nobody waits for them; false, and nothing done, where somebody
-- does. Looked at before the gates are locked, since those who go on need the locks of other gates, in order; and
-- again under the locks: who came meanwhile goes on, and comes to the next gate by itself. Whoever waits for a place stands
-- behind it. (Where the places lie does not change meanwhile: only a rate moves one, when it grants a start.)
CREATE FUNCTION dutiful.leave_free(leaving uuid[]) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ids bigint[];
    seqs bigint[];
    lies tid[];
    waited boolean;
    locked bigint;
    moves CONSTANT boolean := random() < 1.0 / 256;
BEGIN
    IF EXISTS (SELECT 1 FROM unnest(leaving) AS e(id)
                WHERE EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = ANY (ARRAY[e.id]))
                   OR EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = e.id)) THEN
        RETURN false;
    END IF;
    SELECT pg_catalog.array_agg(l.gate), pg_catalog.array_agg(l.seq), pg_catalog.array_agg(l.lies), pg_catalog.bool_or(EXISTS (
           SELECT 1 FROM (SELECT p.job_id FROM dutiful.place AS p
                           WHERE p.gate = l.gate AND p.seq > l.seq ORDER BY p.seq DESC LIMIT 1) AS p
             JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gate = l.gate))
      INTO ids, seqs, lies, waited FROM unnest(leaving) AS e(id)
     CROSS JOIN LATERAL (SELECT p.gate, p.seq, p.ctid AS lies FROM dutiful.place AS p
                          WHERE p.job_id = e.id AND p.granted IS NULL LIMIT 8) AS l;
    IF ids IS NULL THEN
        RETURN true;
    ELSIF waited THEN
        RETURN false;
    END IF;
    WITH taken AS (
        SELECT g.id FROM dutiful.gate AS g WHERE g.id = ANY(ids) ORDER BY g.id FOR NO KEY UPDATE
    )
    SELECT count(*) INTO locked FROM taken AS t;
    WITH mine AS MATERIALIZED (
        SELECT m.gate, m.seq, m.lies, EXISTS (
               SELECT 1 FROM (SELECT p.job_id FROM dutiful.place AS p
                               WHERE p.gate = m.gate AND p.seq > m.seq ORDER BY p.seq DESC LIMIT 1) AS p
                 JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gate = m.gate) AS waits
          FROM unnest(ids, seqs, lies) AS m(gate, seq, lies)
    ), gone AS (
        DELETE FROM dutiful.place AS p USING mine AS m
         WHERE p.ctid = m.lies AND p.gate = m.gate AND p.seq = m.seq AND p.granted IS NULL
    ), moved AS (
        UPDATE dutiful.gate AS g SET low = o.seq
          FROM (SELECT m.gate, max(m.seq) AS seq FROM mine AS m WHERE moves GROUP BY m.gate) AS o
         WHERE g.id = o.gate AND NOT EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                                                AND p.seq < o.seq AND p.seq NOT IN (SELECT n.seq FROM mine AS n))
    )
    SELECT pg_catalog.array_agg(DISTINCT m.gate) INTO ids FROM mine AS m WHERE m.waits;
    IF ids IS NOT NULL THEN
        PERFORM dutiful.pass_gates(NULL, '{}', ids);
    END IF;
    RETURN true;
END $$;

-- Lets jobs through gates; returns how many are now to be claimed. "arriving" is the first of this transaction's numbers of jobs
-- that came (all have "gate_seq" at most that: others' are not visible), "leaving" are jobs that were closed,
-- "again" are gates to look at again ("leaving" empty: under locks that are held already, so no others are taken). All gates are locked first, in order of id, and only then looked at, by
-- new statements: so places are taken in the order of commits, and nobody lets two through at once. A snapshot
-- older than the lock (REPEATABLE READ) is not looked at: jobs take places in their orders, and come to the gates
-- a moment later, by a chore. (Its plans are made once, and by indexes: making them anew cost 3 ms a commit, and a
-- caller's connection has settings of its own.)
CREATE FUNCTION dutiful.pass_gates(arriving bigint, leaving uuid[], again bigint[]) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    fresh CONSTANT boolean := pg_catalog.current_setting('transaction_isolation') = 'read committed';
    held bigint[];
    freed bigint[];
    moving uuid[];
    undue uuid[];
    places integer[];
    next_ids uuid[];
    next_doors integer[];
    next_undue uuid[];
    doors integer := 0;
    let integer := 0;
BEGIN
    WITH mine AS (
        SELECT j.gates AS ids FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving
        UNION ALL SELECT ARRAY[p.gate] FROM dutiful.place AS p WHERE p.job_id = ANY(leaving)
        UNION ALL SELECT again
    ), these AS (SELECT DISTINCT e.id FROM mine AS m, unnest(m.ids) AS e(id)
    ), next AS (
        -- The gates that come next for those who are next: not to be waited for below, out of order.
        SELECT j.gates AS ids FROM these AS t JOIN dutiful.gate AS g ON g.id = t.id AND g.kind IN ('order', 'lock')
         CROSS JOIN LATERAL (SELECT p.job_id FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                              ORDER BY p.seq OFFSET g.slots LIMIT 1) AS p
          JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gates[pg_catalog.cardinality(j.gates)] <> g.id
         WHERE fresh AND (pg_catalog.cardinality(leaving) > 0 OR leaving IS NULL AND again IS NOT NULL)
    ), taken AS (
        SELECT g.id FROM dutiful.gate AS g
         WHERE g.kind <> 'rate' AND g.id IN (SELECT t.id FROM these AS t
                                              UNION SELECT e.id FROM next AS n, unnest(n.ids) AS e(id))
         ORDER BY g.id FOR NO KEY UPDATE
    )
    SELECT pg_catalog.array_agg(t.id) INTO held FROM taken AS t;

    -- Who was closed leaves, but a dead head that blocks its order; who comes back leaves all but its order.
    IF leaving IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM dutiful.place AS p USING dutiful.gate AS g
             WHERE p.job_id = ANY(leaving) AND g.id = p.gate AND p.granted IS NULL
               AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = ANY (ARRAY[p.job_id]))
               AND NOT (g.kind = 'order' AND NOT g.passes
                        AND EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = p.job_id))
            RETURNING p.gate
        )
        SELECT pg_catalog.array_agg(x.gate), pg_catalog.array_agg(x.n) INTO freed, places
          FROM (SELECT o.gate, count(*)::integer AS n FROM gone AS o GROUP BY o.gate) AS x;
    END IF;
    IF arriving IS NOT NULL THEN
        WITH back AS (
            DELETE FROM dutiful.place AS p USING dutiful.gate AS g, dutiful.job AS j
             WHERE j.gate_seq < 0 AND j.gate_seq <= arriving AND j.run_no > 0 AND p.job_id = j.id
               AND g.id = p.gate AND g.kind <> 'order' AND p.granted IS NULL
            RETURNING p.gate
        ), all_left AS (
            SELECT f.gate, f.n FROM unnest(freed, places) AS f(gate, n)
            UNION ALL SELECT b.gate, 1 FROM back AS b
        )
        SELECT pg_catalog.array_agg(x.gate), pg_catalog.array_agg(x.n) INTO freed, places
          FROM (SELECT o.gate, sum(o.n)::integer AS n FROM all_left AS o GROUP BY o.gate) AS x;
        -- Places in orders are taken by all, due or not, in doubt or not.
        UPDATE dutiful.place AS p SET due = j.admitted FROM dutiful.job AS j
         WHERE j.gate_seq < 0 AND j.gate_seq <= arriving AND j.run_no > 0 AND p.job_id = j.id AND p.gate = j.gates[1]
           AND p.granted IS NULL AND p.due <> j.admitted;
        INSERT INTO dutiful.place (gate, seq, job_id, due)
        SELECT n.gate, nextval('dutiful.gate_seq'), n.id, n.due
          FROM (SELECT j.id, g.id AS gate, j.admitted AS due FROM dutiful.job AS j JOIN dutiful.gate AS g ON g.id = j.gates[1]
                 WHERE j.gate_seq < 0 AND j.gate_seq <= arriving AND g.kind = 'order'
                   AND NOT EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.job_id = j.id AND p.gate = g.id)
                 ORDER BY j.gate_seq DESC) AS n;
        UPDATE dutiful.job AS j
           SET gate = CASE WHEN j.state = 'ready' THEN j.gates[1] END, gate_seq = NULL, admitted = false
         WHERE j.gate_seq < 0 AND j.gate_seq <= arriving
           AND (NOT fresh OR j.state <> 'ready' OR NOT j.admitted AND NOT EXISTS (
                   SELECT 1 FROM dutiful.gate AS g WHERE g.id = j.gates[1] AND g.kind = 'order'));
        SELECT pg_catalog.array_agg(j.id ORDER BY j.gate_seq DESC), max(pg_catalog.cardinality(j.gates)),
               pg_catalog.array_agg(j.id) FILTER (WHERE NOT j.admitted)
          INTO moving, doors, undue FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving;
    END IF;
    IF NOT fresh THEN
        RETURN 0;
    END IF;

    -- Those for whom a place became free: of the first "slots" the last so many. (All of them, asked again.)
    IF freed IS NOT NULL OR again IS NOT NULL THEN
        SELECT pg_catalog.array_agg(m.id ORDER BY m.seq), pg_catalog.array_agg(m.door ORDER BY m.seq),
               pg_catalog.array_agg(m.id) FILTER (WHERE NOT m.due), greatest(doors, max(m.last))
          INTO next_ids, next_doors, next_undue, doors FROM (
            SELECT j.id, p.seq, p.due, pg_catalog.cardinality(j.gates) AS last, pg_catalog.array_position(j.gates, g.id) AS door
              FROM (SELECT f.gate, f.n FROM unnest(freed, places) AS f(gate, n)
                    UNION ALL SELECT a.gate, 1000000 FROM unnest(again) AS a(gate)) AS f
              JOIN dutiful.gate AS g ON g.id = f.gate AND g.id IN (SELECT unnest(held))
             CROSS JOIN LATERAL (SELECT p.job_id, p.seq, p.due FROM dutiful.place AS p
                                  WHERE p.gate = g.id AND p.seq > g.low
                                  ORDER BY p.seq OFFSET greatest(g.slots - f.n, 0) LIMIT least(f.n, g.slots)) AS p
              JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gate = g.id AND j.gate_seq > 0 AND j.state = 'ready'
               FOR NO KEY UPDATE OF j SKIP LOCKED) AS m;
    END IF;

    FOR door IN 1 .. coalesce(doors, 0) LOOP
        IF door > 1 AND (undue IS NOT NULL OR next_ids IS NOT NULL) AND moving IS NOT NULL THEN
            -- Who is not due comes to the other gates later, as does who would have to wait for a lock here.
            WITH late AS (
                UPDATE dutiful.job AS j SET gate = j.gates[door], gate_seq = NULL, ready_seq = NULL,
                       admitted = j.gates[door] IS NULL
                 WHERE j.id = ANY(moving) AND (j.id IN (SELECT unnest(undue)) OR j.gates[door] IS NOT NULL
                       AND j.gates[door] NOT IN (SELECT unnest(held)) AND NOT EXISTS (
                           SELECT 1 FROM dutiful.gate AS g WHERE g.id = j.gates[door] AND g.kind = 'rate'))
                RETURNING j.id
            )
            SELECT pg_catalog.array_agg(m.id ORDER BY m.place) INTO moving
              FROM unnest(moving) WITH ORDINALITY AS m(id, place) WHERE m.id NOT IN (SELECT l.id FROM late AS l);
            undue := NULL;
        END IF;
        IF moving IS NOT NULL THEN
            INSERT INTO dutiful.place (gate, seq, job_id, due, rate)
            SELECT n.gate, nextval('dutiful.gate_seq'), n.id, true, n.rate
              FROM (SELECT j.id, g.id AS gate, g.kind = 'rate' AS rate FROM unnest(moving) WITH ORDINALITY AS m(id, place)
                      JOIN dutiful.job AS j ON j.id = ANY (ARRAY[m.id]) JOIN dutiful.gate AS g ON g.id = j.gates[door]
                     WHERE g.kind <> 'order'
                     ORDER BY m.place) AS n;
            WITH doors AS (
                SELECT DISTINCT j.gates[door] AS gate FROM dutiful.job AS j
                 WHERE j.id = ANY(moving) AND j.gates[door] IS NOT NULL
            ), through AS (
                SELECT p.job_id FROM doors AS d JOIN dutiful.gate AS g ON g.id = d.gate
                 CROSS JOIN LATERAL (SELECT p.job_id FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                                      ORDER BY p.seq LIMIT g.slots) AS p
            ), stays AS (
                UPDATE dutiful.job AS j SET gate = p.gate, gate_seq = p.seq, ready_seq = NULL, admitted = false
                  FROM dutiful.place AS p
                 WHERE j.id = ANY(moving) AND p.job_id = j.id AND p.gate = j.gates[door] AND p.granted IS NULL
                   AND j.id NOT IN (SELECT t.job_id FROM through AS t)
                RETURNING j.id
            )
            SELECT pg_catalog.array_agg(m.id ORDER BY m.place) INTO moving
              FROM unnest(moving) WITH ORDINALITY AS m(id, place) WHERE m.id NOT IN (SELECT s.id FROM stays AS s);
        END IF;
        IF next_ids IS NOT NULL THEN
            SELECT moving || pg_catalog.array_agg(n.id ORDER BY n.place) INTO moving
              FROM unnest(next_ids, next_doors) WITH ORDINALITY AS n(id, at, place) WHERE n.at = door;
            IF door = 1 THEN
                undue := undue || next_undue;
            END IF;
        END IF;
    END LOOP;
    IF moving IS NOT NULL THEN
        UPDATE dutiful.job AS j SET gate = NULL, gate_seq = NULL, admitted = true,
               ready_seq = CASE WHEN n.due THEN n.seq END
          FROM (SELECT m.id, nextval('dutiful.ready_seq') AS seq, m.id NOT IN (SELECT unnest(undue)) AS due
                  FROM (SELECT * FROM unnest(moving) WITH ORDINALITY AS m(id, place) ORDER BY m.place) AS m) AS n
         WHERE j.id = ANY (ARRAY[n.id]);
        GET DIAGNOSTICS let = ROW_COUNT;
    END IF;
    IF freed IS NOT NULL AND random() < 1.0 / 256 THEN
        UPDATE dutiful.gate AS g SET low = m.seq - 1
          FROM unnest(freed) AS f(gate)
         CROSS JOIN LATERAL (SELECT p.seq FROM dutiful.place AS p WHERE p.gate = f.gate ORDER BY p.seq LIMIT 1) AS m
         WHERE g.id = f.gate AND g.id IN (SELECT unnest(held)) AND m.seq - 1 > g.low;
    END IF;
    RETURN let;
END $$;

CREATE FUNCTION dutiful.gate_done() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    fresh boolean;
    arriving text;
    leaving text;
    kept text;
BEGIN
    IF coalesce(pg_catalog.current_setting('dutiful.leaving', true), '') = ''
       AND coalesce(pg_catalog.current_setting('dutiful.arriving', true), '') = ''
       AND coalesce(pg_catalog.current_setting('dutiful.kept', true), '') = '' THEN
        RETURN NULL;  -- all was done for another row
    END IF;
    fresh := pg_catalog.current_setting('transaction_isolation') = 'read committed';
    arriving := nullif(pg_catalog.current_setting('dutiful.arriving', true), '');
    leaving := nullif(pg_catalog.current_setting('dutiful.leaving', true), '');
    kept := nullif(pg_catalog.current_setting('dutiful.kept', true), '');
    IF arriving IS NOT NULL OR leaving IS NOT NULL THEN
        PERFORM pg_catalog.set_config('dutiful.arriving', '', true), pg_catalog.set_config('dutiful.leaving', '', true);
        IF fresh AND leaving IS NULL AND dutiful.pass_free(arriving::bigint) THEN
            NULL;
        ELSIF fresh AND arriving IS NULL
              AND dutiful.leave_free(pg_catalog.string_to_array(pg_catalog.rtrim(leaving), ' ')::uuid[]) THEN
            NULL;
        ELSE
            IF arriving IS NOT NULL THEN
                PERFORM dutiful.demand_gates(ARRAY(
                    SELECT DISTINCT e.id FROM dutiful.job AS j, unnest(j.gates) AS e(id)
                     WHERE j.gate_seq < 0 AND j.gate_seq <= arriving::bigint AND j.gate IS NULL AND j.run_no = 0));
            END IF;
            PERFORM dutiful.pass_gates(arriving::bigint,
                pg_catalog.string_to_array(pg_catalog.rtrim(leaving), ' ')::uuid[], NULL);
        END IF;
    END IF;
    IF fresh AND kept IS NOT NULL THEN
        -- At last, and only those that are locked already or free: locks are taken in order.
        PERFORM pg_catalog.set_config('dutiful.kept', '', true);
        WITH used AS (
            SELECT g.id, k.at FROM (SELECT pg_catalog.split_part(e.word, ':', 1)::bigint AS gate,
                                           max(pg_catalog.split_part(e.word, ':', 2)::bigint) AS at
                                      FROM unnest(pg_catalog.string_to_array(pg_catalog.rtrim(kept), ' ')) AS e(word)
                                     GROUP BY 1) AS k
              JOIN dutiful.gate AS g ON g.id = k.gate AND g.used_at < k.at FOR NO KEY UPDATE OF g SKIP LOCKED
        )
        UPDATE dutiful.gate AS g SET used_at = u.at FROM used AS u WHERE g.id = u.id;
    END IF;
    RETURN NULL;
END $$;

-- Jobs without gates fire none of these.
CREATE TRIGGER gates_came AFTER INSERT OR UPDATE OF gate_seq ON dutiful.job FOR EACH ROW
    WHEN (NEW.gate_seq < 0) EXECUTE FUNCTION dutiful.gate_noted();
CREATE TRIGGER gates_left AFTER DELETE ON dutiful.job FOR EACH ROW
    WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_noted();
CREATE TRIGGER gates_left AFTER DELETE ON dutiful.dead FOR EACH ROW
    WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_noted();
CREATE CONSTRAINT TRIGGER gates_in AFTER INSERT OR UPDATE OF gate_seq ON dutiful.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.gate_seq < 0) EXECUTE FUNCTION dutiful.gate_done();
CREATE CONSTRAINT TRIGGER gates_out AFTER DELETE ON dutiful.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_done();
CREATE CONSTRAINT TRIGGER gates_out AFTER DELETE ON dutiful.dead
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_done();

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

-- A person's action by its one-time id: the second time its outcome is told, and nothing done.
CREATE TABLE dutiful.action (
    id      text NOT NULL PRIMARY KEY,
    app     text NOT NULL,
    actor   text NOT NULL,
    verb    text NOT NULL,
    at      bigint NOT NULL,
    outcome text NOT NULL
);

CREATE INDEX action_at ON dutiful.action (at);

-- The chain over the audit's rows: how far it is, and the hash of the last row in it.
CREATE TABLE dutiful.audit_chain (
    one      integer NOT NULL PRIMARY KEY CHECK (one = 1),
    chain_no bigint NOT NULL,
    hash     text NOT NULL
);

-- What people were told of a thing that needs one ("group:" and a fingerprint, or a key of another kind): who
-- took it, who acknowledged it, until when, and how it was then.
CREATE TABLE dutiful.ack (
    app        text NOT NULL,
    thing      text NOT NULL,
    owner      text,
    taken_at   bigint,
    acked_by   text,
    acked_at   bigint,
    note       text,
    until      bigint,
    count_then bigint,
    release_then text,
    PRIMARY KEY (app, thing),
    CONSTRAINT ack_whole CHECK ((acked_at IS NULL) = (until IS NULL) AND (acked_at IS NULL) = (acked_by IS NULL))
);

-- A verb over many jobs. Which ones is a list, made in one statement when it began, so that it is exactly what
-- was counted then; whoever holds the lease walks it.
CREATE TABLE dutiful.bulk (
    id          text NOT NULL PRIMARY KEY,
    app         text NOT NULL,
    verb        text NOT NULL,
    state       text NOT NULL,
    actor       text NOT NULL,
    how         text NOT NULL,
    address     text NOT NULL,
    reason      text NOT NULL,
    filter      text NOT NULL,
    wanted      text NOT NULL,
    choice      text NOT NULL,
    bound       bigint NOT NULL,
    began_at    bigint NOT NULL,
    start_at    bigint NOT NULL,
    paced_from  bigint NOT NULL,
    pace        bigint,
    intended    bigint NOT NULL,
    done        bigint NOT NULL DEFAULT 0,
    skipped     bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    paced       bigint NOT NULL DEFAULT 0,
    last_no     bigint NOT NULL DEFAULT 0,
    walker      text,
    walked_until bigint,
    moved_at    bigint,
    ended_at    bigint,
    undoes      text,
    CONSTRAINT bulk_state CHECK (state IN ('running', 'paused', 'aborted', 'done')),
    CONSTRAINT bulk_verb CHECK (verb IN ('retry', 'discard', 'undo')),
    CONSTRAINT bulk_counts CHECK (done + skipped + failed <= intended),
    CONSTRAINT bulk_done CHECK (state <> 'done' OR done + skipped + failed = intended)
);

CREATE INDEX bulk_began ON dutiful.bulk (app, began_at);
CREATE INDEX bulk_open ON dutiful.bulk (app) WHERE state = 'running';

CREATE TABLE dutiful.bulk_item (
    bulk   text NOT NULL,
    no     bigint NOT NULL,
    job_id uuid NOT NULL,
    run_no integer NOT NULL,
    state  text NOT NULL DEFAULT 'waiting',
    at     bigint,
    why    text,
    PRIMARY KEY (bulk, no),
    CONSTRAINT item_state CHECK (state IN ('waiting', 'done', 'duplicate', 'skipped', 'failed')),
    CONSTRAINT item_at CHECK ((state = 'waiting') = (at IS NULL))
);

CREATE INDEX bulk_item_left ON dutiful.bulk_item (bulk, no) WHERE state NOT IN ('waiting', 'done');

-- What the verdict was when it was last kept, and since when it has been that.
CREATE TABLE dutiful.verdict (
    app   text NOT NULL PRIMARY KEY,
    state text NOT NULL,
    since bigint NOT NULL,
    at    bigint NOT NULL,
    CONSTRAINT verdict_state CHECK (state IN ('well', 'person', 'unknown'))
);

-- One for each thing that needs a person, by its key; open while cleared_at is null. "told" is its size when
-- it was last told of; it is told of again when it is twice that.
CREATE TABLE dutiful.alert (
    app        text NOT NULL,
    key        text NOT NULL,
    raised_at  bigint NOT NULL,
    cleared_at bigint,
    number     text NOT NULL,
    sentence   text NOT NULL,
    size       bigint NOT NULL,
    told       bigint NOT NULL,
    owner      text NOT NULL,
    seen       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (app, key, raised_at)
);

CREATE UNIQUE INDEX alert_open ON dutiful.alert (app, key) WHERE cleared_at IS NULL;

-- What is to be sent to a channel, and what became of it. Due until it was sent, or is not worth sending any more.
CREATE TABLE dutiful.alert_message (
    id         text NOT NULL PRIMARY KEY,
    app        text NOT NULL,
    channel    text NOT NULL,
    event      text NOT NULL,
    key        text NOT NULL,
    made_at    bigint NOT NULL,
    due_at     bigint NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    sent_at    bigint,
    dropped_at bigint,
    error      text,
    body       text NOT NULL
);

CREATE INDEX alert_message_due ON dutiful.alert_message (app, due_at) WHERE sent_at IS NULL AND dropped_at IS NULL;
CREATE INDEX alert_message_made ON dutiful.alert_message (app, made_at);

-- The channels that workers' code declares: when one last said so, and when a message last came through.
CREATE TABLE dutiful.alert_channel (
    app       text NOT NULL,
    name      text NOT NULL,
    kind      text NOT NULL,
    seen_at   bigint NOT NULL,
    proven_at bigint,
    failed_at bigint,
    error     text,
    PRIMARY KEY (app, name)
);

-- The span in which a job was enqueued, where one was active (a traceparent of W3C's).
CREATE TABLE dutiful.trace (
    job_id  uuid NOT NULL PRIMARY KEY,
    at      bigint NOT NULL,
    context text NOT NULL
);

CREATE INDEX trace_at ON dutiful.trace (at);

-- A reconciliation as it was last declared, and how far it is. What is due before the watermark was found done when
-- it was moved there. "memory" is for how long it is known here that a duty was done (null: for ever), and no window
-- reaches further back (I10). "wants": why the whole window is to be looked at next. Whoever walks it holds the lease.
-- "attend": how long a duty may wait for a person. While it is paused no worker makes a pass.
CREATE TABLE dutiful.reconcile (
    app          text NOT NULL,
    name         text NOT NULL,
    task         text NOT NULL,
    spec         text NOT NULL,
    every        bigint NOT NULL,
    reach        bigint NOT NULL,
    memory       bigint,
    whole        bigint NOT NULL,
    declared_at  bigint NOT NULL,
    changed_at   bigint NOT NULL,
    next_at      bigint NOT NULL,
    wants        text NOT NULL,
    place        text NOT NULL DEFAULT '',
    watermark    bigint,
    looked_at    bigint,
    whole_at     bigint,
    stopped      bigint,
    approved     bigint,
    error        text,
    error_at     bigint,
    walker       text,
    walked_until bigint,
    gone_at      bigint,
    attend       bigint,
    paused_at    bigint,
    paused_by    text,
    paused_until bigint,
    pause_reason text,
    PRIMARY KEY (app, name),
    CONSTRAINT reconcile_memory CHECK (memory IS NULL OR reach <= memory),
    CONSTRAINT reconcile_error CHECK ((error IS NULL) = (error_at IS NULL)),
    CONSTRAINT reconcile_walker CHECK ((walker IS NULL) = (walked_until IS NULL)),
    CONSTRAINT reconcile_paused CHECK ((paused_at IS NULL) = (paused_by IS NULL))
);

-- One pass: what was expected in its window, of which class, and what was done about it. Written before anything is
-- enqueued; ended_at is null while it acts, and for ever if it was cut off. "findings" counts what it wrote down.
CREATE TABLE dutiful.reconcile_run (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app         text NOT NULL,
    name        text NOT NULL,
    whole       boolean NOT NULL,
    by          text NOT NULL,
    began_at    bigint NOT NULL,
    ended_at    bigint,
    since       bigint NOT NULL,
    upto        bigint NOT NULL,
    expected    bigint NOT NULL,
    ok          bigint NOT NULL,
    young       bigint NOT NULL,
    waiting     bigint NOT NULL,
    stuck       bigint NOT NULL,
    people      bigint NOT NULL,
    missing     bigint NOT NULL,
    late        bigint NOT NULL,
    surplus     bigint NOT NULL,
    unexpected  bigint NOT NULL,
    enqueued    bigint NOT NULL DEFAULT 0,
    findings    bigint NOT NULL DEFAULT 0,
    believed    bigint NOT NULL,
    governor    text NOT NULL,
    approved_by text,
    approved_at bigint,
    CONSTRAINT run_governor CHECK (governor IN ('', 'stopped', 'waiting', 'approved')),
    CONSTRAINT run_approved CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CONSTRAINT run_whole CHECK (expected = ok + young + waiting + stuck + people + missing + late + surplus - unexpected)
);

CREATE INDEX reconcile_run_name ON dutiful.reconcile_run (app, name, id);

-- A duty that is not as it should be, from when it was first seen so; open while closed_at is null. "made": the job
-- was enqueued because of it.
CREATE TABLE dutiful.reconcile_finding (
    app        text NOT NULL,
    name       text NOT NULL,
    key        text NOT NULL,
    class      text NOT NULL,
    first_seen bigint NOT NULL,
    last_seen  bigint NOT NULL,
    closed_at  bigint,
    due        bigint,
    last_run   bigint NOT NULL,
    job_id     uuid,
    made       boolean NOT NULL DEFAULT false,
    why        text NOT NULL DEFAULT '',
    PRIMARY KEY (app, name, key, first_seen),
    CONSTRAINT finding_class CHECK (class IN ('missing', 'late', 'surplus', 'stuck', 'people'))
);

CREATE UNIQUE INDEX reconcile_finding_open ON dutiful.reconcile_finding (app, name, key) WHERE closed_at IS NULL;
CREATE INDEX reconcile_finding_class ON dutiful.reconcile_finding (app, name, class, first_seen, key) WHERE closed_at IS NULL;
CREATE INDEX reconcile_finding_closed ON dutiful.reconcile_finding (closed_at) WHERE closed_at IS NOT NULL;

-- One drill of a task, and what came of it. "code" is a hash of the body and what it calls of the project ('': it could
-- not be read); "findings" are JSON. Of each task the last ones are kept.
CREATE TABLE dutiful.drill (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app      text NOT NULL,
    task     text NOT NULL,
    at       bigint NOT NULL,
    by       text NOT NULL,
    code     text NOT NULL,
    version  text NOT NULL,
    engine   text NOT NULL,
    wanted   integer NOT NULL,
    done     integer NOT NULL,
    runs     integer NOT NULL,
    took     bigint NOT NULL,
    outcome  text NOT NULL,
    why      text NOT NULL,
    findings text NOT NULL,
    played   text NOT NULL,
    mode     text NOT NULL,
    CONSTRAINT drill_outcome CHECK (outcome IN ('clean', 'findings', 'not comparable')),
    CONSTRAINT drill_why CHECK ((outcome = 'not comparable') = (why <> '')),
    CONSTRAINT drill_done CHECK (done BETWEEN 0 AND wanted)
);

CREATE INDEX drill_task ON dutiful.drill (app, task, id);

-- A line of the checklist that a person has answered for a task by a reason, until then; after that it is open again.
CREATE TABLE dutiful.waiver (
    app     text NOT NULL,
    task    text NOT NULL,
    line    text NOT NULL,
    owner   text NOT NULL,
    by      text NOT NULL,
    reason  text NOT NULL,
    made_at bigint NOT NULL,
    until   bigint NOT NULL,
    PRIMARY KEY (app, task, line),
    CONSTRAINT waiver_until CHECK (until > made_at),
    CONSTRAINT waiver_said CHECK (owner <> '' AND reason <> '')
);
