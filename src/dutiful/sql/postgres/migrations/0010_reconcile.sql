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
