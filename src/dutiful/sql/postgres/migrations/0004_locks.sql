-- Distributed locks for code outside of tasks.

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
