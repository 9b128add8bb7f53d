-- Deliveries: the ledger, effects, jobs whose outcome is unknown, and what looks at all that find.

-- What was done, begun or used up, in the transaction that did it; its key makes the work once. Also in
-- databases that hold no jobs (dutiful migrate --ledger). kind: "work" (exactly_once), "start" (at_most_once)
-- or "once" (dutiful.once, which names no run; request is a hash of what was asked for). No row is ever
-- changed after its transaction.
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
);

-- Work commits only if its run has settled it: the mark dies with the transaction, or with a ROLLBACK TO.
-- A stray COMMIT, and a run that is over, keep nothing. Reads no table.
CREATE OR REPLACE FUNCTION dutiful.ledger_settled() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.strpos(coalesce(pg_catalog.current_setting('dutiful.settled', true), ''), NEW.token::text) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'DU001', MESSAGE = pg_catalog.concat('the work of job ', NEW.job_id,
              ' cannot be committed yet: dutiful commits it when the body has returned');
    END IF;
    RETURN NULL;
END $$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS t
                    WHERE t.tgrelid = 'dutiful.ledger'::regclass AND t.tgname = 'ledger_settled') THEN
        CREATE CONSTRAINT TRIGGER ledger_settled AFTER INSERT ON dutiful.ledger
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind = 'work')
            EXECUTE FUNCTION dutiful.ledger_settled();
    END IF;
END $$;

-- No row of the ledger is changed once it is written (I16); a result is added to it once, in its transaction.
CREATE OR REPLACE FUNCTION dutiful.ledger_kept() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'DU002', MESSAGE = 'a row of the ledger is never changed';
END $$;

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
END $$;

CREATE INDEX IF NOT EXISTS ledger_at ON dutiful.ledger USING brin (at);

-- One call to the world outside: named by duty and name, its key the same for every run, job and epoch.
-- "intended" is committed before the call, so that no call is ever unknown to us; asked_at is when the
-- provider may first have seen the key, ended_at when the last call came back without an outcome.
-- calls_open counts the calls that may have been applied, for all that is known; calls_alive the earlier
-- callers of whom nothing showed that they were dead when the next one called.
CREATE TABLE dutiful.effect (
    app          text NOT NULL,
    task         text NOT NULL,
    duty         text NOT NULL,
    name         text NOT NULL,
    key          text NOT NULL,
    state        text NOT NULL,
    run_no       integer NOT NULL,
    tries        integer NOT NULL DEFAULT 1,
    calls_open   integer NOT NULL DEFAULT 1,
    calls_alive  integer NOT NULL DEFAULT 0,
    job_id       uuid NOT NULL,
    token        uuid NOT NULL,
    worker       bigint,
    asked_at     bigint NOT NULL,
    sent_at      bigint NOT NULL,
    ended_at     bigint,
    settled_at   bigint,
    remembered   bigint,
    margin       bigint NOT NULL,
    request_hash text NOT NULL,
    settled_by   text,
    error        text,
    result       bytea,
    PRIMARY KEY (app, task, duty, name),
    CONSTRAINT effect_state CHECK (state IN ('intended', 'done', 'refused')),
    CONSTRAINT effect_settled CHECK ((state = 'intended') = (settled_at IS NULL))
);

CREATE INDEX effect_open ON dutiful.effect (sent_at) WHERE state = 'intended';

-- What the workers' looks at the invariants found (dutiful verify): a row per check. What was found stays,
-- with its instant, until something newer is found, or nothing in every row.
CREATE TABLE dutiful.checked (
    app       text NOT NULL,
    name      text NOT NULL,
    invariant text NOT NULL,
    at        bigint NOT NULL,
    found_at  bigint,
    count     bigint NOT NULL,
    jobs      text,
    PRIMARY KEY (app, name),
    CONSTRAINT checked_found CHECK ((found_at IS NULL) = (jobs IS NULL))
);

ALTER TABLE dutiful.job ADD COLUMN doubt_at bigint, ADD COLUMN doubt text;
ALTER TABLE dutiful.job ADD CONSTRAINT job_doubt CHECK
    ((state = 'in_doubt') = (doubt_at IS NOT NULL) AND (doubt_at IS NULL) = (doubt IS NULL));
CREATE INDEX job_doubt ON dutiful.job (doubt_at) WHERE doubt_at IS NOT NULL;

ALTER TABLE dutiful.history ADD COLUMN reason text, ADD COLUMN doubt text;

ALTER TABLE dutiful.worker DROP CONSTRAINT worker_how;
ALTER TABLE dutiful.worker ADD CONSTRAINT worker_how CHECK (gone_how IN ('left', 'lapsed', 'reported', 'died'));
