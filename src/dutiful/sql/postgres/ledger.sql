-- name: look_at_ledger
-- Whether the ledger is here, whole. A user who may not make it may still ask.
SELECT to_regclass('dutiful.ledger') IS NOT NULL
   AND to_regclass('dutiful.ledger_at') IS NOT NULL
   AND 3 = (SELECT count(*) FROM pg_catalog.pg_trigger AS t
             WHERE t.tgrelid = to_regclass('dutiful.ledger')
               AND t.tgname IN ('ledger_settled', 'ledger_kept', 'ledger_result'))

-- name: make_ledger
-- The ledger alone, for a database without jobs: as the schema has it (a house test compares them), and
-- harmless beside the schema or before it.
CREATE TABLE IF NOT EXISTS dutiful.ledger (
    app     text NOT NULL,
    task    text NOT NULL,
    key     text NOT NULL,
    epoch   integer NOT NULL,
    kind    text NOT NULL,
    at      bigint NOT NULL,
    run_no  integer,
    job_id  uuid,
    token   uuid,
    result  bytea,
    request text,
    PRIMARY KEY (app, task, key, epoch),
    CONSTRAINT ledger_kind CHECK (kind IN ('work', 'start', 'once')),
    CONSTRAINT ledger_run CHECK ((kind = 'once') = (token IS NULL))
)
