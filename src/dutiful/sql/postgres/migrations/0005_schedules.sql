-- Schedules and their occurrences.

-- A schedule as it was last declared.
CREATE TABLE dutiful.schedule (
    app  text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (app, name)
);
