-- name: look_at_ledger
-- Whether the ledger is here, whole.
SELECT 3 = (SELECT count(*) FROM main.sqlite_master
             WHERE name IN ('dutiful_ledger', 'dutiful_ledger_kept', 'dutiful_ledger_result'))

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

-- name: make_ledger_guard
-- No row is changed once it is written.
CREATE TRIGGER IF NOT EXISTS dutiful_ledger_kept
    AFTER UPDATE OF app, task, key, epoch, kind, at, run_no, job_id, token, request ON dutiful_ledger
    BEGIN SELECT RAISE(ABORT, 'a row of the ledger is never changed'); END

-- name: make_ledger_guards
-- Nor is a result.
CREATE TRIGGER IF NOT EXISTS dutiful_ledger_result AFTER UPDATE OF result ON dutiful_ledger
    WHEN OLD.result IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a row of the ledger is never changed'); END
