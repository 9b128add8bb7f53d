-- name: lock_ledger
-- One maker at a time, and none beside a migrator: held until the transaction ends.
SELECT pg_advisory_xact_lock(:class::integer, 1)

-- name: make_ledger_schema
-- What the ledger stands in.
CREATE SCHEMA IF NOT EXISTS dutiful

-- name: make_ledger_function
-- What the trigger asks; why, says the schema.
CREATE OR REPLACE FUNCTION dutiful.ledger_settled() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.strpos(coalesce(pg_catalog.current_setting('dutiful.settled', true), ''), NEW.token::text) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'DU001', MESSAGE = pg_catalog.concat('the work of job ', NEW.job_id,
              ' cannot be committed yet: dutiful commits it when the body has returned');
    END IF;
    RETURN NULL;
END $$

-- name: make_ledger_trigger
-- Work commits only if its run has settled it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS t
                    WHERE t.tgrelid = 'dutiful.ledger'::regclass AND t.tgname = 'ledger_settled') THEN
        CREATE CONSTRAINT TRIGGER ledger_settled AFTER INSERT ON dutiful.ledger
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind = 'work')
            EXECUTE FUNCTION dutiful.ledger_settled();
    END IF;
END $$

-- name: make_ledger_guard
-- What refuses a change; why, says the schema.
CREATE OR REPLACE FUNCTION dutiful.ledger_kept() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'DU002', MESSAGE = 'a row of the ledger is never changed';
END $$

-- name: make_ledger_guards
-- No row is changed once it is written.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS t
                    WHERE t.tgrelid = 'dutiful.ledger'::regclass AND t.tgname = 'ledger_result') THEN
        DROP TRIGGER IF EXISTS ledger_kept ON dutiful.ledger;
        CREATE TRIGGER ledger_kept AFTER UPDATE OF app, task, key, epoch, kind, at, run_no, job_id, token, request
            ON dutiful.ledger FOR EACH ROW EXECUTE FUNCTION dutiful.ledger_kept();
        CREATE TRIGGER ledger_result AFTER UPDATE OF result ON dutiful.ledger FOR EACH ROW
            WHEN (OLD.result IS NOT NULL) EXECUTE FUNCTION dutiful.ledger_kept();
    END IF;
END $$

-- name: make_ledger_index
-- For forgetting what is old.
CREATE INDEX IF NOT EXISTS ledger_at ON dutiful.ledger USING brin (at)
