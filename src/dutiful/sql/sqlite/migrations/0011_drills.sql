-- One drill of a task, and what came of it. "code" is a hash of the body and what it calls of the project ('': it could
-- not be read); "findings" are JSON. Of each task the last ones are kept.
CREATE TABLE dutiful_drill (
    id       integer PRIMARY KEY AUTOINCREMENT,
    app      text NOT NULL,
    task     text NOT NULL,
    at       integer NOT NULL,
    by       text NOT NULL,
    code     text NOT NULL,
    version  text NOT NULL,
    engine   text NOT NULL,
    wanted   integer NOT NULL,
    done     integer NOT NULL,
    runs     integer NOT NULL,
    took     integer NOT NULL,
    outcome  text NOT NULL,
    why      text NOT NULL,
    findings text NOT NULL,
    played   text NOT NULL,
    mode     text NOT NULL,
    CONSTRAINT drill_outcome CHECK (outcome IN ('clean', 'findings', 'not comparable')),
    CONSTRAINT drill_why CHECK ((outcome = 'not comparable') = (why <> '')),
    CONSTRAINT drill_done CHECK (done BETWEEN 0 AND wanted)
);

CREATE INDEX dutiful_drill_task ON dutiful_drill (app, task, id);

-- A line of the checklist that a person has answered for a task by a reason, until then; after that it is open again.
CREATE TABLE dutiful_waiver (
    app     text NOT NULL,
    task    text NOT NULL,
    line    text NOT NULL,
    owner   text NOT NULL,
    by      text NOT NULL,
    reason  text NOT NULL,
    made_at integer NOT NULL,
    until   integer NOT NULL,
    PRIMARY KEY (app, task, line),
    CONSTRAINT waiver_until CHECK (until > made_at),
    CONSTRAINT waiver_said CHECK (owner <> '' AND reason <> '')
);
