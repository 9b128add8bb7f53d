-- Schedules and their occurrences.

-- A schedule as it was last declared.
CREATE TABLE dutiful_schedule (
    app  text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (app, name)
) WITHOUT ROWID;
