-- Alerts: what was raised, and whom it reached.

-- One for each thing that needs a person, by its key; open while cleared_at is null.
CREATE TABLE dutiful.alert (
    app        text NOT NULL,
    key        text NOT NULL,
    raised_at  bigint NOT NULL,
    cleared_at bigint,
    sentence   text NOT NULL,
    PRIMARY KEY (app, key, raised_at)
);
