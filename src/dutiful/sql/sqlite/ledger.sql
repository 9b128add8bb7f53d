-- name: look_at_ledger
-- Whether the ledger is here.
SELECT EXISTS (SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'dutiful_ledger')

-- name: make_ledger
-- The ledger alone, for a file without jobs: as the schema has it (a house test compares them), and
-- harmless beside the schema or before it.
CREATE TABLE IF NOT EXISTS dutiful.ledger (
    app     text NOT NULL,
    task    text NOT NULL,
    key     text NOT NULL,
    epoch   integer NOT NULL,
    kind    text NOT NULL,
    at      integer NOT NULL,
    run_no  integer,
    job_id  text,
    token   text,
    result  blob,
    request text,
    PRIMARY KEY (app, task, key, epoch),
    CONSTRAINT ledger_kind CHECK (kind IN ('work', 'start', 'once')),
    CONSTRAINT ledger_run CHECK ((kind = 'once') = (token IS NULL))
) WITHOUT ROWID
