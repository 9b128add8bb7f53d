-- People's work: actions, acknowledgements, bulk operations.

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

-- A limit that a person has set: it wins over what the program declares ("slots") until it is removed.
ALTER TABLE dutiful.queue ADD COLUMN limit_slots integer;
ALTER TABLE dutiful.queue ADD COLUMN limited_at bigint;
ALTER TABLE dutiful.queue ADD COLUMN limited_by text;
ALTER TABLE dutiful.queue ADD COLUMN limit_reason text;

-- How somebody came to act, on how many, and the place in the chain that shows whether the row was changed.
ALTER TABLE dutiful.audit ADD COLUMN how text;
ALTER TABLE dutiful.audit ADD COLUMN address text;
ALTER TABLE dutiful.audit ADD COLUMN action_id text;
ALTER TABLE dutiful.audit ADD COLUMN filter text;
ALTER TABLE dutiful.audit ADD COLUMN bound bigint;
ALTER TABLE dutiful.audit ADD COLUMN intended bigint;
ALTER TABLE dutiful.audit ADD COLUMN done bigint;
ALTER TABLE dutiful.audit ADD COLUMN skipped bigint;
ALTER TABLE dutiful.audit ADD COLUMN chain_no bigint;
ALTER TABLE dutiful.audit ADD COLUMN hash text;

CREATE UNIQUE INDEX audit_chained ON dutiful.audit (chain_no) WHERE chain_no IS NOT NULL;
CREATE INDEX audit_unchained ON dutiful.audit (id) WHERE chain_no IS NULL;
CREATE INDEX audit_action ON dutiful.audit (action_id) WHERE action_id IS NOT NULL;

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
