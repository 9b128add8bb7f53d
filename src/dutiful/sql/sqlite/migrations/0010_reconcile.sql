-- A reconciliation as it was last declared, and how far it is. What is due before the watermark was found done when
-- it was moved there. "memory" is for how long it is known here that a duty was done (null: for ever), and no window
-- reaches further back (I10). "wants": why the whole window is to be looked at next. Whoever walks it holds the lease.
-- "attend": how long a duty may wait for a person. While it is paused no worker makes a pass.
CREATE TABLE dutiful_reconcile (
    app          text NOT NULL,
    name         text NOT NULL,
    task         text NOT NULL,
    spec         text NOT NULL,
    every        integer NOT NULL,
    reach        integer NOT NULL,
    memory       integer,
    whole        integer NOT NULL,
    declared_at  integer NOT NULL,
    changed_at   integer NOT NULL,
    next_at      integer NOT NULL,
    wants        text NOT NULL,
    place        text NOT NULL DEFAULT '',
    watermark    integer,
    looked_at    integer,
    whole_at     integer,
    stopped      integer,
    approved     integer,
    error        text,
    error_at     integer,
    walker       text,
    walked_until integer,
    gone_at      integer,
    attend       integer,
    paused_at    integer,
    paused_by    text,
    paused_until integer,
    pause_reason text,
    PRIMARY KEY (app, name),
    CONSTRAINT reconcile_memory CHECK (memory IS NULL OR reach <= memory),
    CONSTRAINT reconcile_error CHECK ((error IS NULL) = (error_at IS NULL)),
    CONSTRAINT reconcile_walker CHECK ((walker IS NULL) = (walked_until IS NULL)),
    CONSTRAINT reconcile_paused CHECK ((paused_at IS NULL) = (paused_by IS NULL))
);

-- One pass: what was expected in its window, of which class, and what was done about it. Written before anything is
-- enqueued; ended_at is null while it acts, and for ever if it was cut off. "findings" counts what it wrote down.
CREATE TABLE dutiful_reconcile_run (
    id          integer PRIMARY KEY AUTOINCREMENT,
    app         text NOT NULL,
    name        text NOT NULL,
    whole       integer NOT NULL,
    by          text NOT NULL,
    began_at    integer NOT NULL,
    ended_at    integer,
    since       integer NOT NULL,
    upto        integer NOT NULL,
    expected    integer NOT NULL,
    ok          integer NOT NULL,
    young       integer NOT NULL,
    waiting     integer NOT NULL,
    stuck       integer NOT NULL,
    people      integer NOT NULL,
    missing     integer NOT NULL,
    late        integer NOT NULL,
    surplus     integer NOT NULL,
    unexpected  integer NOT NULL,
    enqueued    integer NOT NULL DEFAULT 0,
    findings    integer NOT NULL DEFAULT 0,
    believed    integer NOT NULL,
    governor    text NOT NULL,
    approved_by text,
    approved_at integer,
    CONSTRAINT run_governor CHECK (governor IN ('', 'stopped', 'waiting', 'approved')),
    CONSTRAINT run_approved CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CONSTRAINT run_whole CHECK (expected = ok + young + waiting + stuck + people + missing + late + surplus - unexpected)
);

CREATE INDEX dutiful_reconcile_run_name ON dutiful_reconcile_run (app, name, id);

-- A duty that is not as it should be, from when it was first seen so; open while closed_at is null. "made": the job
-- was enqueued because of it.
CREATE TABLE dutiful_reconcile_finding (
    app        text NOT NULL,
    name       text NOT NULL,
    key        text NOT NULL,
    class      text NOT NULL,
    first_seen integer NOT NULL,
    last_seen  integer NOT NULL,
    closed_at  integer,
    due        integer,
    last_run   integer NOT NULL,
    job_id     text,
    made       integer NOT NULL DEFAULT 0,
    why        text NOT NULL DEFAULT '',
    PRIMARY KEY (app, name, key, first_seen),
    CONSTRAINT finding_class CHECK (class IN ('missing', 'late', 'surplus', 'stuck', 'people'))
);

CREATE UNIQUE INDEX dutiful_reconcile_finding_open ON dutiful_reconcile_finding (app, name, key) WHERE closed_at IS NULL;
CREATE INDEX dutiful_reconcile_finding_class ON dutiful_reconcile_finding (app, name, class, first_seen, key) WHERE closed_at IS NULL;
CREATE INDEX dutiful_reconcile_finding_closed ON dutiful_reconcile_finding (closed_at) WHERE closed_at IS NOT NULL;
