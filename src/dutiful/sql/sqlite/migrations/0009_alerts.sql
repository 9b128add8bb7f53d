-- Alerts: what was raised, and whom it reached.

-- What the verdict was when it was last kept, and since when it has been that.
CREATE TABLE dutiful_verdict (
    app   text NOT NULL PRIMARY KEY,
    state text NOT NULL,
    since integer NOT NULL,
    at    integer NOT NULL,
    CONSTRAINT verdict_state CHECK (state IN ('well', 'person', 'unknown'))
);

-- One for each thing that needs a person, by its key; open while cleared_at is null. "told" is its size when
-- it was last told of; it is told of again when it is twice that.
CREATE TABLE dutiful_alert (
    app        text NOT NULL,
    key        text NOT NULL,
    raised_at  integer NOT NULL,
    cleared_at integer,
    number     text NOT NULL,
    sentence   text NOT NULL,
    size       integer NOT NULL,
    told       integer NOT NULL,
    owner      text NOT NULL,
    seen       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (app, key, raised_at)
);

CREATE UNIQUE INDEX dutiful_alert_open ON dutiful_alert (app, key) WHERE cleared_at IS NULL;

-- What is to be sent to a channel, and what became of it. Due until it was sent, or is not worth sending any more.
CREATE TABLE dutiful_alert_message (
    id         text NOT NULL PRIMARY KEY,
    app        text NOT NULL,
    channel    text NOT NULL,
    event      text NOT NULL,
    key        text NOT NULL,
    made_at    integer NOT NULL,
    due_at     integer NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    sent_at    integer,
    dropped_at integer,
    error      text,
    body       text NOT NULL
);

CREATE INDEX dutiful_alert_message_due ON dutiful_alert_message (app, due_at) WHERE sent_at IS NULL AND dropped_at IS NULL;
CREATE INDEX dutiful_alert_message_made ON dutiful_alert_message (app, made_at);

-- The channels that workers' code declares: when one last said so, and when a message last came through.
CREATE TABLE dutiful_alert_channel (
    app       text NOT NULL,
    name      text NOT NULL,
    kind      text NOT NULL,
    seen_at   integer NOT NULL,
    proven_at integer,
    failed_at integer,
    error     text,
    PRIMARY KEY (app, name)
);

-- The span in which a job was enqueued, where one was active (a traceparent of W3C's).
CREATE TABLE dutiful_trace (
    job_id  text NOT NULL PRIMARY KEY,
    at      integer NOT NULL,
    context text NOT NULL
);

CREATE INDEX dutiful_trace_at ON dutiful_trace (at);
