-- Distributed locks for code outside of tasks.

-- A lock by name. grant_no grows with each grant, and never falls.
CREATE TABLE dutiful_lock (
    app      text NOT NULL,
    name     text NOT NULL,
    slots    integer NOT NULL,
    grant_no integer NOT NULL DEFAULT 0,
    PRIMARY KEY (app, name)
) WITHOUT ROWID;
