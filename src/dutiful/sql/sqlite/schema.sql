-- The tables of dutiful on SQLite, as they are after all migrations.
-- Instants are whole microseconds since 1970, UTC.

CREATE TABLE dutiful_version (
    number     integer PRIMARY KEY,
    title      text NOT NULL,
    applied_at integer NOT NULL
);

-- Every return to "ready" takes a new number; SQLite has no sequences, so one row counts.
CREATE TABLE dutiful_ready_seq (
    one        integer PRIMARY KEY CHECK (one = 1),
    last_value integer NOT NULL
);

INSERT INTO dutiful_ready_seq (one, last_value) VALUES (1, 0);

-- A lane is one (app, queue, priority). Never deleted, so its id may be remembered.
CREATE TABLE dutiful_lane (
    id       integer PRIMARY KEY AUTOINCREMENT,
    app      text NOT NULL,
    queue    text NOT NULL,
    priority integer NOT NULL CHECK (priority BETWEEN -100 AND 100),
    UNIQUE (app, queue, priority)
);

CREATE TABLE dutiful_queue (
    app    text NOT NULL,
    name   text NOT NULL,
    target integer,
    paused_at integer,
    PRIMARY KEY (app, name)
);

-- Open jobs only.
CREATE TABLE dutiful_job (
    id           text PRIMARY KEY NOT NULL,
    lane         integer NOT NULL,
    ready_seq    integer,
    run_at       integer NOT NULL,
    enqueued_at  integer NOT NULL,
    claimed_at   integer,
    started_at   integer,
    cancel_at    integer,
    worker       integer,
    token        text,
    last_token   text,
    gate         integer,
    gate_seq     integer,
    run_no       integer NOT NULL DEFAULT 0,
    attempt      integer NOT NULL DEFAULT 0,
    epoch        integer NOT NULL DEFAULT 1,
    args_version integer NOT NULL,
    crashes      integer NOT NULL DEFAULT 0,
    crashes_max  integer NOT NULL,
    losses       integer NOT NULL DEFAULT 0,
    suspect      integer NOT NULL DEFAULT 0,
    admitted     integer NOT NULL DEFAULT 1,
    state        text NOT NULL DEFAULT 'ready',
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         blob NOT NULL,
    doubt_at     integer,
    doubt        text CONSTRAINT job_doubt CHECK
        ((state = 'in_doubt') = (doubt_at IS NOT NULL) AND (doubt_at IS NULL) = (doubt IS NULL)),
    CONSTRAINT job_state CHECK (state IN ('ready', 'running', 'in_doubt')),
    CONSTRAINT job_token CHECK ((state = 'running') = (token IS NOT NULL)),
    CONSTRAINT job_worker CHECK ((token IS NULL) = (worker IS NULL)),
    CONSTRAINT job_numbers CHECK (attempt BETWEEN 0 AND run_no)
);

CREATE INDEX dutiful_job_ready ON dutiful_job (lane, ready_seq) WHERE ready_seq IS NOT NULL;
CREATE INDEX dutiful_job_waiting ON dutiful_job (run_at) WHERE ready_seq IS NULL AND gate IS NULL;
CREATE INDEX dutiful_job_suspect ON dutiful_job (ready_seq) WHERE suspect;
CREATE INDEX dutiful_job_doubt ON dutiful_job (doubt_at) WHERE doubt_at IS NOT NULL;

-- Jobs that gave up. Never pruned: a person, or a lookup, takes them out.
CREATE TABLE dutiful_dead (
    id           text PRIMARY KEY NOT NULL,
    lane         integer NOT NULL,
    died_at      integer NOT NULL,
    run_at       integer NOT NULL,
    enqueued_at  integer NOT NULL,
    claimed_at   integer,
    started_at   integer,
    worker       integer,
    last_token   text,
    run_no       integer NOT NULL,
    attempt      integer NOT NULL,
    epoch        integer NOT NULL,
    args_version integer NOT NULL,
    crashes      integer NOT NULL,
    crashes_max  integer NOT NULL,
    reason       text NOT NULL,
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         blob NOT NULL,
    CONSTRAINT dead_reason CHECK
        (reason IN ('error', 'exhausted', 'gave_up', 'poison', 'stale', 'changed'))
);

CREATE INDEX dutiful_dead_died ON dutiful_dead (died_at, id);

-- The journal of endings, append-only.
CREATE TABLE dutiful_history (
    id           text NOT NULL,
    finished_at  integer NOT NULL,
    lane         integer NOT NULL,
    run_at       integer NOT NULL,
    enqueued_at  integer NOT NULL,
    claimed_at   integer,
    started_at   integer,
    worker       integer,
    last_token   text,
    same_as      text,
    run_no       integer NOT NULL,
    attempt      integer NOT NULL,
    epoch        integer NOT NULL,
    args_version integer NOT NULL,
    crashes      integer NOT NULL,
    crashes_max  integer NOT NULL,
    state        text NOT NULL,
    outcome      text,
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         blob NOT NULL,
    result       blob,
    reason       text,
    doubt        text,
    PRIMARY KEY (id, finished_at),
    CONSTRAINT history_state CHECK (state IN ('done', 'cancelled')),
    CONSTRAINT history_outcome CHECK
        ((state = 'done') = (outcome IS NOT NULL AND outcome IN ('performed', 'duplicate', 'skipped', 'waived')))
) WITHOUT ROWID;

CREATE INDEX dutiful_history_finished ON dutiful_history (finished_at);

-- The row that makes a duty unique, taken at enqueue. Its job may be open, dead, or done; "turn"
-- grows whenever the duty changes hands or its job comes back to life (compare-and-set).
CREATE TABLE dutiful_duty (
    app       text NOT NULL,
    task      text NOT NULL,
    key       text NOT NULL,
    job_id    text NOT NULL,
    taken_at  integer NOT NULL,
    remember  integer NOT NULL,
    done_at   integer,
    epoch     integer NOT NULL DEFAULT 1,
    turn      integer NOT NULL DEFAULT 1,
    args_hash text NOT NULL,
    PRIMARY KEY (app, task, key)
) WITHOUT ROWID;

-- One row per charged or lost try, with what it said.
CREATE TABLE dutiful_failure (
    job_id    text NOT NULL,
    run_no    integer NOT NULL,
    attempt   integer NOT NULL,
    failed_at integer NOT NULL,
    worker    integer,
    kind      text NOT NULL,
    message   text NOT NULL,
    traceback text NOT NULL DEFAULT '',
    PRIMARY KEY (job_id, run_no)
) WITHOUT ROWID;

CREATE INDEX dutiful_failure_failed ON dutiful_failure (failed_at);

-- One row per worker process; its jobs' leases are this row's. A child that runs one suspect or
-- isolated job at a time has a row of its own ("alone") and is beaten for by its parent.
CREATE TABLE dutiful_worker (
    id          integer PRIMARY KEY AUTOINCREMENT,
    app         text NOT NULL,
    host        text NOT NULL,
    pid         integer NOT NULL,
    parent      integer,
    alone       integer NOT NULL DEFAULT 0,
    release     text NOT NULL DEFAULT '',
    lease       integer NOT NULL,
    concurrency integer NOT NULL,
    started_at  integer NOT NULL,
    beat_at     integer NOT NULL,
    gone_at     integer,
    gone_how    text,
    reaped_at   integer,
    file        text,
    queues      text NOT NULL,
    tasks       text NOT NULL,
    marks       text NOT NULL DEFAULT '{}',
    CONSTRAINT worker_gone CHECK ((gone_at IS NULL) = (gone_how IS NULL)),
    CONSTRAINT worker_how CHECK (gone_how IN ('left', 'lapsed', 'reported', 'died'))
);

CREATE INDEX dutiful_worker_unreaped ON dutiful_worker (id) WHERE reaped_at IS NULL;

-- When a chore that one worker does for all was last begun.
CREATE TABLE dutiful_chore (
    name    text PRIMARY KEY NOT NULL,
    last_at integer NOT NULL
);

-- Who did what to which job, when and why.
CREATE TABLE dutiful_audit (
    id      integer PRIMARY KEY AUTOINCREMENT,
    at      integer NOT NULL,
    actor   text NOT NULL,
    verb    text NOT NULL,
    app     text NOT NULL,
    subject text NOT NULL,
    before  text NOT NULL,
    after   text NOT NULL,
    reason  text NOT NULL
);

CREATE INDEX dutiful_audit_subject ON dutiful_audit (subject, id);

-- What the workers' looks at the invariants found (dutiful verify): a row per check. What was found stays,
-- with its instant, until something newer is found, or nothing in every row.
CREATE TABLE dutiful_checked (
    app       text NOT NULL,
    name      text NOT NULL,
    invariant text NOT NULL,
    at        integer NOT NULL,
    found_at  integer,
    count     integer NOT NULL,
    jobs      text,
    PRIMARY KEY (app, name),
    CONSTRAINT checked_found CHECK ((found_at IS NULL) = (jobs IS NULL))
) WITHOUT ROWID;

-- What was done, begun or used up, in the transaction that did it; its key makes the work once. Also in
-- databases that hold no jobs (dutiful migrate --ledger). kind: "work" (exactly_once), "start" (at_most_once)
-- or "once" (dutiful.once, which names no run; request is a hash of what was asked for). No row is ever
-- changed after its transaction.
CREATE TABLE dutiful_ledger (
    app     text NOT NULL,
    task    text NOT NULL,
    key     text NOT NULL,
    epoch   integer NOT NULL,
    kind    text NOT NULL,
    at      integer NOT NULL,
    run_no  integer,
    job_id  text,
    token   text,
    result  blob,
    request text,
    PRIMARY KEY (app, task, key, epoch),
    CONSTRAINT ledger_kind CHECK (kind IN ('work', 'start', 'once')),
    CONSTRAINT ledger_run CHECK ((kind = 'once') = (token IS NULL))
) WITHOUT ROWID;

-- No row of the ledger is changed once it is written (I16); a result is added to it once, in its transaction.
CREATE TRIGGER dutiful_ledger_kept
    AFTER UPDATE OF app, task, key, epoch, kind, at, run_no, job_id, token, request ON dutiful_ledger
    BEGIN SELECT RAISE(ABORT, 'a row of the ledger is never changed'); END;
CREATE TRIGGER dutiful_ledger_result AFTER UPDATE OF result ON dutiful_ledger WHEN OLD.result IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a row of the ledger is never changed'); END;

-- One call to the world outside: named by duty and name, its key the same for every run, job and epoch.
-- "intended" is committed before the call, so that no call is ever unknown to us; asked_at is when the
-- provider may first have seen the key, ended_at when the last call came back without an outcome.
-- calls_open counts the calls that may have been applied, for all that is known; calls_alive the earlier
-- callers of whom nothing showed that they were dead when the next one called.
CREATE TABLE dutiful_effect (
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
    job_id       text NOT NULL,
    token        text NOT NULL,
    worker       integer,
    asked_at     integer NOT NULL,
    sent_at      integer NOT NULL,
    ended_at     integer,
    settled_at   integer,
    remembered   integer,
    margin       integer NOT NULL,
    request_hash text NOT NULL,
    settled_by   text,
    error        text,
    result       blob,
    PRIMARY KEY (app, task, duty, name),
    CONSTRAINT effect_state CHECK (state IN ('intended', 'done', 'refused')),
    CONSTRAINT effect_settled CHECK ((state = 'intended') = (settled_at IS NULL))
) WITHOUT ROWID;

CREATE INDEX dutiful_effect_open ON dutiful_effect (sent_at) WHERE state = 'intended';

-- A lock by name. grant_no grows with each grant, and never falls.
CREATE TABLE dutiful_lock (
    app      text NOT NULL,
    name     text NOT NULL,
    slots    integer NOT NULL,
    grant_no integer NOT NULL DEFAULT 0,
    PRIMARY KEY (app, name)
) WITHOUT ROWID;

-- A schedule as it was last declared.
CREATE TABLE dutiful_schedule (
    app  text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (app, name)
) WITHOUT ROWID;

-- One for each key of an order, a lock, a rate or a share.
CREATE TABLE dutiful_gate (
    id   integer PRIMARY KEY,
    app  text NOT NULL,
    kind text NOT NULL,
    key  text NOT NULL,
    UNIQUE (app, kind, key)
);
