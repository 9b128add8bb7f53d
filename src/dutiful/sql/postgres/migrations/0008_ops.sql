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
