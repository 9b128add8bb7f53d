-- Deliveries: the ledger, effects, jobs whose outcome is unknown, and what looks at all that find.

-- What was done, begun or used up, in the transaction that did it; its key makes the work once. Also in
-- databases that hold no jobs (dutiful migrate --ledger). kind: "work" (exactly_once), "start" (at_most_once)
-- or "once" (dutiful.once, which names no run; request is a hash of what was asked for). No row is ever
-- changed after its transaction.
CREATE TABLE IF NOT EXISTS dutiful_ledger (
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
CREATE TRIGGER IF NOT EXISTS dutiful_ledger_kept
    AFTER UPDATE OF app, task, key, epoch, kind, at, run_no, job_id, token, request ON dutiful_ledger
    BEGIN SELECT RAISE(ABORT, 'a row of the ledger is never changed'); END;
CREATE TRIGGER IF NOT EXISTS dutiful_ledger_result AFTER UPDATE OF result ON dutiful_ledger WHEN OLD.result IS NOT NULL
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

ALTER TABLE dutiful_job ADD COLUMN doubt_at integer;
ALTER TABLE dutiful_job ADD COLUMN doubt text CONSTRAINT job_doubt CHECK
    ((state = 'in_doubt') = (doubt_at IS NOT NULL) AND (doubt_at IS NULL) = (doubt IS NULL));
CREATE INDEX dutiful_job_doubt ON dutiful_job (doubt_at) WHERE doubt_at IS NOT NULL;

ALTER TABLE dutiful_history ADD COLUMN reason text;
ALTER TABLE dutiful_history ADD COLUMN doubt text;

-- A constraint of a table changes on SQLite with the table.
CREATE TABLE dutiful_worker_2 (
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
INSERT INTO dutiful_worker_2 SELECT id, app, host, pid, parent, alone, release, lease, concurrency, started_at, beat_at, gone_at, gone_how, reaped_at, file, queues, tasks, marks FROM dutiful_worker;
DROP TABLE dutiful_worker;
ALTER TABLE dutiful_worker_2 RENAME TO dutiful_worker;
CREATE INDEX dutiful_worker_unreaped ON dutiful_worker (id) WHERE reaped_at IS NULL;
