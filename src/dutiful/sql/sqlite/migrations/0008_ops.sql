-- People's work: actions, acknowledgements, bulk operations.

-- A person's action by its one-time id: the second time its outcome is told, and nothing done.
CREATE TABLE dutiful_action (
    id      text NOT NULL PRIMARY KEY,
    app     text NOT NULL,
    actor   text NOT NULL,
    verb    text NOT NULL,
    at      integer NOT NULL,
    outcome text NOT NULL
);

CREATE INDEX dutiful_action_at ON dutiful_action (at);

-- A limit that a person has set: it wins over what the program declares ("slots") until it is removed.
ALTER TABLE dutiful_queue ADD COLUMN limit_slots integer;
ALTER TABLE dutiful_queue ADD COLUMN limited_at integer;
ALTER TABLE dutiful_queue ADD COLUMN limited_by text;
ALTER TABLE dutiful_queue ADD COLUMN limit_reason text;

-- How somebody came to act, on how many, and the place in the chain that shows whether the row was changed.
ALTER TABLE dutiful_audit ADD COLUMN how text;
ALTER TABLE dutiful_audit ADD COLUMN address text;
ALTER TABLE dutiful_audit ADD COLUMN action_id text;
ALTER TABLE dutiful_audit ADD COLUMN filter text;
ALTER TABLE dutiful_audit ADD COLUMN bound integer;
ALTER TABLE dutiful_audit ADD COLUMN intended integer;
ALTER TABLE dutiful_audit ADD COLUMN done integer;
ALTER TABLE dutiful_audit ADD COLUMN skipped integer;
ALTER TABLE dutiful_audit ADD COLUMN chain_no integer;
ALTER TABLE dutiful_audit ADD COLUMN hash text;

CREATE UNIQUE INDEX dutiful_audit_chained ON dutiful_audit (chain_no) WHERE chain_no IS NOT NULL;
CREATE INDEX dutiful_audit_unchained ON dutiful_audit (id) WHERE chain_no IS NULL;
CREATE INDEX dutiful_audit_action ON dutiful_audit (action_id) WHERE action_id IS NOT NULL;

-- The chain over the audit's rows: how far it is, and the hash of the last row in it.
CREATE TABLE dutiful_audit_chain (
    one      integer NOT NULL PRIMARY KEY CHECK (one = 1),
    chain_no integer NOT NULL,
    hash     text NOT NULL
);

-- What people were told of a thing that needs one ("group:" and a fingerprint, or a key of another kind): who
-- took it, who acknowledged it, until when, and how it was then.
CREATE TABLE dutiful_ack (
    app        text NOT NULL,
    thing      text NOT NULL,
    owner      text,
    taken_at   integer,
    acked_by   text,
    acked_at   integer,
    note       text,
    until      integer,
    count_then integer,
    release_then text,
    PRIMARY KEY (app, thing),
    CONSTRAINT ack_whole CHECK ((acked_at IS NULL) = (until IS NULL) AND (acked_at IS NULL) = (acked_by IS NULL))
);

-- A verb over many jobs. Which ones is a list, made in one statement when it began, so that it is exactly what
-- was counted then; whoever holds the lease walks it.
CREATE TABLE dutiful_bulk (
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
    bound       integer NOT NULL,
    began_at    integer NOT NULL,
    start_at    integer NOT NULL,
    paced_from  integer NOT NULL,
    pace        integer,
    intended    integer NOT NULL,
    done        integer NOT NULL DEFAULT 0,
    skipped     integer NOT NULL DEFAULT 0,
    failed      integer NOT NULL DEFAULT 0,
    paced       integer NOT NULL DEFAULT 0,
    last_no     integer NOT NULL DEFAULT 0,
    walker      text,
    walked_until integer,
    moved_at    integer,
    ended_at    integer,
    undoes      text,
    CONSTRAINT bulk_state CHECK (state IN ('running', 'paused', 'aborted', 'done')),
    CONSTRAINT bulk_verb CHECK (verb IN ('retry', 'discard', 'undo')),
    CONSTRAINT bulk_counts CHECK (done + skipped + failed <= intended),
    CONSTRAINT bulk_done CHECK (state <> 'done' OR done + skipped + failed = intended)
);

CREATE INDEX dutiful_bulk_began ON dutiful_bulk (app, began_at);
CREATE INDEX dutiful_bulk_open ON dutiful_bulk (app) WHERE state = 'running';

CREATE TABLE dutiful_bulk_item (
    bulk   text NOT NULL,
    no     integer NOT NULL,
    job_id text NOT NULL,
    run_no integer NOT NULL,
    state  text NOT NULL DEFAULT 'waiting',
    at     integer,
    why    text,
    PRIMARY KEY (bulk, no),
    CONSTRAINT item_state CHECK (state IN ('waiting', 'done', 'duplicate', 'skipped', 'failed')),
    CONSTRAINT item_at CHECK ((state = 'waiting') = (at IS NULL))
) WITHOUT ROWID;

CREATE INDEX dutiful_bulk_item_left ON dutiful_bulk_item (bulk, no) WHERE state NOT IN ('waiting', 'done');
