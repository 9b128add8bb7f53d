-- The tables of dutiful on SQLite, as they are after all migrations.
-- Instants are whole microseconds since 1970, UTC.

CREATE TABLE dutiful_version (
    number     integer PRIMARY KEY,
    title      text NOT NULL,
    applied_at integer NOT NULL
);

-- Every return to "ready" takes a new number; SQLite has no sequences, so one row counts.
CREATE TABLE dutiful_ready_seq (
    one        integer PRIMARY KEY CHECK (one = 1),
    last_value integer NOT NULL
);

INSERT INTO dutiful_ready_seq (one, last_value) VALUES (1, 0);

-- A lane is one (app, queue, priority). Never deleted, so its id may be remembered.
CREATE TABLE dutiful_lane (
    id       integer PRIMARY KEY AUTOINCREMENT,
    app      text NOT NULL,
    queue    text NOT NULL,
    priority integer NOT NULL CHECK (priority BETWEEN -100 AND 100),
    UNIQUE (app, queue, priority)
);

CREATE TABLE dutiful_queue (
    app    text NOT NULL,
    name   text NOT NULL,
    target integer,
    paused_at integer,
    paused_until integer,
    paused_by text,
    pause_reason text,
    slots  integer,
    turn   integer NOT NULL DEFAULT 0,
    limit_slots integer,
    limited_at integer,
    limited_by text,
    limit_reason text,
    PRIMARY KEY (app, name)
);

-- How many of a limited queue's slots a worker holds, for itself and its children. The sum is never above the
-- queue's "slots": it is changed under a lock of the queue's row, and a row goes when its worker surely runs nothing.
-- "allowed": what the sum might be when this row was written. That is the limit, or more after it was lowered, while jobs
-- run that were begun under the higher one; null for no limit.
CREATE TABLE dutiful_queue_share (
    app    text NOT NULL,
    queue  text NOT NULL,
    worker integer NOT NULL,
    slots  integer NOT NULL,
    allowed integer,
    PRIMARY KEY (app, queue, worker),
    CONSTRAINT share_slots CHECK (slots > 0)
);

-- Open jobs only.
CREATE TABLE dutiful_job (
    id           text PRIMARY KEY NOT NULL,
    lane         integer NOT NULL,
    ready_seq    integer,
    run_at       integer NOT NULL,
    enqueued_at  integer NOT NULL,
    claimed_at   integer,
    started_at   integer,
    cancel_at    integer,
    worker       integer,
    token        text,
    last_token   text,
    gate         integer,
    gate_seq     integer,
    run_no       integer NOT NULL DEFAULT 0,
    attempt      integer NOT NULL DEFAULT 0,
    epoch        integer NOT NULL DEFAULT 1,
    args_version integer NOT NULL,
    crashes      integer NOT NULL DEFAULT 0,
    crashes_max  integer NOT NULL,
    losses       integer NOT NULL DEFAULT 0,
    suspect      integer NOT NULL DEFAULT 0,
    admitted     integer NOT NULL DEFAULT 1,
    state        text NOT NULL DEFAULT 'ready',
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         blob NOT NULL,
    doubt_at     integer,
    doubt        text CONSTRAINT job_doubt CHECK
        ((state = 'in_doubt') = (doubt_at IS NOT NULL) AND (doubt_at IS NULL) = (doubt IS NULL)),
    due_at       integer,
    deadline     integer,
    gates        text,
    CONSTRAINT job_state CHECK (state IN ('ready', 'running', 'in_doubt')),
    CONSTRAINT job_token CHECK ((state = 'running') = (token IS NOT NULL)),
    CONSTRAINT job_worker CHECK ((token IS NULL) = (worker IS NULL)),
    CONSTRAINT job_numbers CHECK (attempt BETWEEN 0 AND run_no)
);

CREATE INDEX dutiful_job_ready ON dutiful_job (lane, ready_seq) WHERE ready_seq IS NOT NULL;
CREATE INDEX dutiful_job_waiting ON dutiful_job (run_at) WHERE ready_seq IS NULL AND gate IS NULL;
CREATE INDEX dutiful_job_suspect ON dutiful_job (ready_seq) WHERE suspect;
CREATE INDEX dutiful_job_cancel ON dutiful_job (cancel_at) WHERE cancel_at IS NOT NULL;
CREATE INDEX dutiful_job_doubt ON dutiful_job (doubt_at) WHERE doubt_at IS NOT NULL;

-- Jobs that gave up. Never pruned: a person, or a lookup, takes them out.
CREATE TABLE dutiful_dead (
    id           text PRIMARY KEY NOT NULL,
    lane         integer NOT NULL,
    died_at      integer NOT NULL,
    run_at       integer NOT NULL,
    enqueued_at  integer NOT NULL,
    claimed_at   integer,
    started_at   integer,
    worker       integer,
    last_token   text,
    run_no       integer NOT NULL,
    attempt      integer NOT NULL,
    epoch        integer NOT NULL,
    args_version integer NOT NULL,
    crashes      integer NOT NULL,
    crashes_max  integer NOT NULL,
    reason       text NOT NULL,
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         blob NOT NULL,
    gates        text,
    fingerprint  text NOT NULL DEFAULT '',
    CONSTRAINT dead_reason CHECK
        (reason IN ('error', 'exhausted', 'gave_up', 'poison', 'stale', 'changed'))
);

CREATE INDEX dutiful_dead_died ON dutiful_dead (died_at, id);
CREATE INDEX dutiful_dead_cause ON dutiful_dead (fingerprint, died_at, id);
CREATE INDEX dutiful_dead_task ON dutiful_dead (task, died_at, id);

-- The journal of endings, append-only.
CREATE TABLE dutiful_history (
    id           text NOT NULL,
    finished_at  integer NOT NULL,
    lane         integer NOT NULL,
    run_at       integer NOT NULL,
    enqueued_at  integer NOT NULL,
    claimed_at   integer,
    started_at   integer,
    worker       integer,
    last_token   text,
    same_as      text,
    run_no       integer NOT NULL,
    attempt      integer NOT NULL,
    epoch        integer NOT NULL,
    args_version integer NOT NULL,
    crashes      integer NOT NULL,
    crashes_max  integer NOT NULL,
    state        text NOT NULL,
    outcome      text,
    delivery     text NOT NULL,
    task         text NOT NULL,
    key          text,
    args         blob NOT NULL,
    result       blob,
    reason       text,
    doubt        text,
    gates        text,
    PRIMARY KEY (id, finished_at),
    CONSTRAINT history_state CHECK (state IN ('done', 'cancelled')),
    CONSTRAINT history_outcome CHECK
        ((state = 'done') = (outcome IS NOT NULL AND outcome IN ('performed', 'duplicate', 'skipped', 'waived')))
) WITHOUT ROWID;

CREATE INDEX dutiful_history_finished ON dutiful_history (finished_at);
CREATE INDEX dutiful_history_gated ON dutiful_history (finished_at)
    WHERE gates IS NOT NULL AND (state = 'cancelled' OR outcome IN ('skipped', 'waived'));

-- The row that makes a duty unique, taken at enqueue. Its job may be open, dead, or done; "turn"
-- grows whenever the duty changes hands or its job comes back to life (compare-and-set).
CREATE TABLE dutiful_duty (
    app       text NOT NULL,
    task      text NOT NULL,
    key       text NOT NULL,
    job_id    text NOT NULL,
    taken_at  integer NOT NULL,
    remember  integer NOT NULL,
    done_at   integer,
    epoch     integer NOT NULL DEFAULT 1,
    turn      integer NOT NULL DEFAULT 1,
    args_hash text NOT NULL,
    PRIMARY KEY (app, task, key)
) WITHOUT ROWID;

-- One row per charged or lost try, with what it said.
CREATE TABLE dutiful_failure (
    job_id    text NOT NULL,
    run_no    integer NOT NULL,
    attempt   integer NOT NULL,
    failed_at integer NOT NULL,
    worker    integer,
    kind      text NOT NULL,
    message   text NOT NULL,
    traceback text NOT NULL DEFAULT '',
    fingerprint text,
    PRIMARY KEY (job_id, run_no)
) WITHOUT ROWID;

CREATE INDEX dutiful_failure_failed ON dutiful_failure (failed_at);

-- One row per worker process; its jobs' leases are this row's. A child that runs one suspect or
-- isolated job at a time has a row of its own ("alone") and is beaten for by its parent.
CREATE TABLE dutiful_worker (
    id          integer PRIMARY KEY AUTOINCREMENT,
    app         text NOT NULL,
    host        text NOT NULL,
    pid         integer NOT NULL,
    parent      integer,
    alone       integer NOT NULL DEFAULT 0,
    release     text NOT NULL DEFAULT '',
    lease       integer NOT NULL,
    concurrency integer NOT NULL,
    started_at  integer NOT NULL,
    beat_at     integer NOT NULL,
    gone_at     integer,
    gone_how    text,
    reaped_at   integer,
    file        text,
    queues      text NOT NULL,
    tasks       text NOT NULL,
    marks       text NOT NULL DEFAULT '{}',
    CONSTRAINT worker_gone CHECK ((gone_at IS NULL) = (gone_how IS NULL)),
    CONSTRAINT worker_how CHECK (gone_how IN ('left', 'lapsed', 'reported', 'died'))
);

CREATE INDEX dutiful_worker_unreaped ON dutiful_worker (id) WHERE reaped_at IS NULL;

-- When a chore that one worker does for all was last begun.
CREATE TABLE dutiful_chore (
    name    text PRIMARY KEY NOT NULL,
    last_at integer NOT NULL
);

-- Who did what to which job, when and why.
CREATE TABLE dutiful_audit (
    id      integer PRIMARY KEY AUTOINCREMENT,
    at      integer NOT NULL,
    actor   text NOT NULL,
    verb    text NOT NULL,
    app     text NOT NULL,
    subject text NOT NULL,
    before  text NOT NULL,
    after   text NOT NULL,
    reason  text NOT NULL,
    how text,
    address text,
    action_id text,
    filter text,
    bound integer,
    intended integer,
    done integer,
    skipped integer,
    chain_no integer,
    hash text
);

CREATE INDEX dutiful_audit_subject ON dutiful_audit (subject, id);
CREATE UNIQUE INDEX dutiful_audit_chained ON dutiful_audit (chain_no) WHERE chain_no IS NOT NULL;
CREATE INDEX dutiful_audit_unchained ON dutiful_audit (id) WHERE chain_no IS NULL;
CREATE INDEX dutiful_audit_action ON dutiful_audit (action_id) WHERE action_id IS NOT NULL;

-- What the workers' looks at the invariants found (dutiful verify): a row per check. What was found stays,
-- with its instant, until something newer is found, or nothing in every row.
CREATE TABLE dutiful_checked (
    app       text NOT NULL,
    name      text NOT NULL,
    invariant text NOT NULL,
    at        integer NOT NULL,
    found_at  integer,
    count     integer NOT NULL,
    jobs      text,
    PRIMARY KEY (app, name),
    CONSTRAINT checked_found CHECK ((found_at IS NULL) = (jobs IS NULL))
) WITHOUT ROWID;

-- What was done, begun or used up, in the transaction that did it; its key makes the work once. Also in
-- databases that hold no jobs (dutiful migrate --ledger). kind: "work" (exactly_once), "start" (at_most_once)
-- or "once" (dutiful.once, which names no run; request is a hash of what was asked for). No row is ever
-- changed after its transaction.
CREATE TABLE dutiful_ledger (
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
) WITHOUT ROWID;

-- No row of the ledger is changed once it is written (I16); a result is added to it once, in its transaction.
CREATE TRIGGER dutiful_ledger_kept
    AFTER UPDATE OF app, task, key, epoch, kind, at, run_no, job_id, token, request ON dutiful_ledger
    BEGIN SELECT RAISE(ABORT, 'a row of the ledger is never changed'); END;
CREATE TRIGGER dutiful_ledger_result AFTER UPDATE OF result ON dutiful_ledger WHEN OLD.result IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a row of the ledger is never changed'); END;

-- One call to the world outside: named by duty and name, its key the same for every run, job and epoch.
-- "intended" is committed before the call, so that no call is ever unknown to us; asked_at is when the
-- provider may first have seen the key, ended_at when the last call came back without an outcome.
-- calls_open counts the calls that may have been applied, for all that is known; calls_alive the earlier
-- callers of whom nothing showed that they were dead when the next one called.
CREATE TABLE dutiful_effect (
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
    job_id       text NOT NULL,
    token        text NOT NULL,
    worker       integer,
    asked_at     integer NOT NULL,
    sent_at      integer NOT NULL,
    ended_at     integer,
    settled_at   integer,
    remembered   integer,
    margin       integer NOT NULL,
    request_hash text NOT NULL,
    settled_by   text,
    error        text,
    result       blob,
    PRIMARY KEY (app, task, duty, name),
    CONSTRAINT effect_state CHECK (state IN ('intended', 'done', 'refused')),
    CONSTRAINT effect_settled CHECK ((state = 'intended') = (settled_at IS NULL))
) WITHOUT ROWID;

CREATE INDEX dutiful_effect_open ON dutiful_effect (sent_at) WHERE state = 'intended';

-- A lock by name. grant_no grows with each grant, ticket with each ask; neither ever falls, so that the row
-- outlives its holders. Whoever grants holds the row's lock.
CREATE TABLE dutiful_lock (
    app      text NOT NULL,
    name     text NOT NULL,
    slots    integer NOT NULL,
    grant_no integer NOT NULL DEFAULT 0,
    ticket   integer NOT NULL DEFAULT 0,
    PRIMARY KEY (app, name),
    CONSTRAINT lock_slots CHECK (slots > 0)
) WITHOUT ROWID;

-- One who asked for a lock: waits while it has no grant_no, in the order of tickets, and holds a slot of it
-- from then on. Until "until", which its process moves on; then it is passed by. No two hold one slot.
CREATE TABLE dutiful_lock_ask (
    token      text NOT NULL PRIMARY KEY,
    app        text NOT NULL,
    name       text NOT NULL,
    ticket     integer NOT NULL,
    who        text NOT NULL,
    lease      integer NOT NULL,
    asked_at   integer NOT NULL,
    until      integer NOT NULL,
    grant_no   integer,
    slot       integer,
    granted_at integer,
    CONSTRAINT lock_ask_ticket UNIQUE (app, name, ticket),
    CONSTRAINT lock_ask_slot UNIQUE (app, name, slot),
    CONSTRAINT lock_ask_grant UNIQUE (app, name, grant_no),
    CONSTRAINT lock_ask_granted CHECK
        ((grant_no IS NULL) = (slot IS NULL) AND (grant_no IS NULL) = (granted_at IS NULL)),
    CONSTRAINT lock_ask_slots CHECK (slot > 0)
) WITHOUT ROWID;

-- A schedule as it was last declared: what decides when it fires (spec, which holds from changed_at on), up
-- to where its occurrences are in the ledger (covered_at, which only grows), and when the next one is due.
CREATE TABLE dutiful_schedule (
    app          text NOT NULL,
    name         text NOT NULL,
    task         text NOT NULL,
    spec         text NOT NULL,
    declared_at  integer NOT NULL,
    changed_at   integer NOT NULL,
    covered_at   integer NOT NULL,
    next_at      integer,
    gone_at      integer,
    paused_at    integer,
    paused_until integer,
    paused_by    text,
    pause_reason text,
    PRIMARY KEY (app, name),
    CONSTRAINT schedule_pause CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    CONSTRAINT schedule_covered CHECK (covered_at >= changed_at)
);

-- Which worker's code declares which schedules, and how.
CREATE TABLE dutiful_declared (
    worker integer NOT NULL,
    app    text NOT NULL,
    name   text NOT NULL,
    spec   text NOT NULL,
    PRIMARY KEY (worker, app, name)
);

-- The ledger of occurrences. A row is one occurrence with its job, or one that waits for a person, or some
-- in a row that were skipped, from the one at "at" to the one at "upto".
CREATE TABLE dutiful_occurrence (
    app      text NOT NULL,
    schedule text NOT NULL,
    at       integer NOT NULL,
    skipped  integer NOT NULL,
    upto     integer NOT NULL,
    instants integer NOT NULL,
    made_at  integer NOT NULL,
    task     text NOT NULL,
    key      text NOT NULL,
    job_id   text,
    why      text,
    asked_by text,
    PRIMARY KEY (app, schedule, at, skipped),
    CONSTRAINT occurrence_span CHECK (upto >= at AND instants >= 1),
    CONSTRAINT occurrence_one CHECK (skipped OR (upto = at AND instants = 1)),
    CONSTRAINT occurrence_skip CHECK (NOT skipped OR (job_id IS NULL AND why IS NOT NULL))
);

CREATE INDEX dutiful_occurrence_made ON dutiful_occurrence (made_at);
CREATE INDEX dutiful_occurrence_waiting ON dutiful_occurrence (app, schedule)
    WHERE job_id IS NULL AND NOT skipped;

-- One for each key of an order, a lock, a rate or a share. A lock and a share let "slots" through at once, an
-- order one, a rate none: its starts are granted by a chore, from a bucket that holds at most "burst" and was
-- at "level" at the instant "level_at". "passes": a dead job blocks no order. "low" is PostgreSQL's.
-- "excused": places up to that one may have been taken when there were more slots. "used_at": when it was last made, declared
-- or found in use, to within hours; one that nobody used for longer is forgotten, and made anew when somebody asks for it.
CREATE TABLE dutiful_gate (
    id       integer PRIMARY KEY AUTOINCREMENT,
    app      text NOT NULL,
    kind     text NOT NULL,
    key      text NOT NULL,
    slots    integer NOT NULL,
    low      integer NOT NULL DEFAULT 0,
    excused  integer NOT NULL DEFAULT 0,
    passes   integer NOT NULL DEFAULT 0,
    per      integer,
    burst    integer,
    level    real,
    level_at integer,
    used_at  integer NOT NULL,
    UNIQUE (app, kind, key),
    CONSTRAINT gate_kind CHECK (kind IN ('order', 'lock', 'rate', 'fair')),
    CONSTRAINT gate_slots CHECK (CASE kind WHEN 'rate' THEN slots = 0 WHEN 'order' THEN slots = 1 ELSE slots > 0 END),
    CONSTRAINT gate_rate CHECK
        ((kind = 'rate') = (per IS NOT NULL AND burst IS NOT NULL AND level IS NOT NULL AND level_at IS NOT NULL))
);

CREATE INDEX dutiful_gate_used ON dutiful_gate (used_at);

-- Who stands at a gate, in turn: the first "slots" are through and hold their places. In an order a place is
-- held until the job is closed, else until the job leaves "running". "due": its time had come when it came.
-- "granted": a start that the rate allows; it is counted until it is seen to have begun.
CREATE TABLE dutiful_place (
    seq     integer PRIMARY KEY AUTOINCREMENT,
    gate    integer NOT NULL,
    job_id  text NOT NULL,
    due     integer NOT NULL,
    rate    integer NOT NULL DEFAULT 0,
    granted integer
);

CREATE INDEX dutiful_place_gate ON dutiful_place (gate, seq);
CREATE INDEX dutiful_place_job ON dutiful_place (job_id, gate);
CREATE INDEX dutiful_place_rate ON dutiful_place (gate, seq) WHERE rate;
CREATE INDEX dutiful_place_granted ON dutiful_place (gate, seq) WHERE granted IS NOT NULL;

-- A job with gates ("gates", in the order of passing) stands at "gate" with the place "gate_seq", or comes there
-- when it is due ("gate_seq" null), or is through (both null). Below 0 it has just come (-1), or is being let
-- through (-2), in a transaction that has not ended yet; "admitted" then says whether it is due.

CREATE INDEX dutiful_job_outside ON dutiful_job (run_at) WHERE gate IS NOT NULL AND gate_seq IS NULL;

-- A place that became free: whoever is the last of the first "slots" now goes on, if it waits here.
CREATE TRIGGER dutiful_place_left AFTER DELETE ON dutiful_place
    WHEN NOT OLD.rate AND EXISTS (SELECT 1 FROM dutiful_place AS p WHERE p.gate = OLD.gate) BEGIN
    UPDATE dutiful_job
       SET gate_seq = -2,
           admitted = coalesce((SELECT p.due FROM dutiful_place AS p WHERE p.job_id = dutiful_job.id AND p.gate = OLD.gate), 1),
           gate = (SELECT json_extract(dutiful_job.gates, '$[' || (e.key + 1) || ']')
                     FROM json_each(dutiful_job.gates) AS e WHERE e.value = dutiful_job.gate)
     WHERE id = (SELECT p.job_id FROM dutiful_place AS p WHERE p.gate = OLD.gate ORDER BY p.seq LIMIT 1
                 OFFSET (SELECT g.slots - 1 FROM dutiful_gate AS g WHERE g.id = OLD.gate))
       AND gate = OLD.gate AND gate_seq > 0 AND state = 'ready';
    INSERT INTO dutiful_gate_call (job_id)
    SELECT j.id FROM dutiful_job AS j
     WHERE j.id = (SELECT p.job_id FROM dutiful_place AS p WHERE p.gate = OLD.gate ORDER BY p.seq LIMIT 1
                   OFFSET (SELECT g.slots - 1 FROM dutiful_gate AS g WHERE g.id = OLD.gate))
       AND j.gate_seq = -2;
END;

-- A routine, called by an insert: lets one job through the gate where it stands, if there is a place.
CREATE VIEW dutiful_gate_step AS SELECT id AS job_id FROM dutiful_job;
CREATE TRIGGER dutiful_gate_stepped INSTEAD OF INSERT ON dutiful_gate_step BEGIN
    INSERT INTO dutiful_place (gate, job_id, due, rate)
    SELECT j.gate, j.id, j.admitted, g.kind = 'rate' FROM dutiful_job AS j JOIN dutiful_gate AS g ON g.id = j.gate
     WHERE j.id = NEW.job_id AND j.gate_seq = -2 AND (j.admitted OR g.kind = 'order')
       AND NOT EXISTS (SELECT 1 FROM dutiful_place AS p
                        WHERE p.job_id = j.id AND p.gate = j.gate AND p.granted IS NULL);
    UPDATE dutiful_job SET gate = (SELECT json_extract(dutiful_job.gates, '$[' || (e.key + 1) || ']')
                                     FROM json_each(dutiful_job.gates) AS e WHERE e.value = dutiful_job.gate)
     WHERE id = NEW.job_id AND gate_seq = -2 AND EXISTS (
           SELECT 1 FROM dutiful_place AS p JOIN dutiful_gate AS g ON g.id = p.gate
            WHERE p.job_id = dutiful_job.id AND p.gate = dutiful_job.gate AND p.granted IS NULL
              AND (SELECT count(*) FROM (
                  SELECT 1 FROM dutiful_place AS q WHERE q.gate = p.gate AND q.seq < p.seq
                   LIMIT (SELECT x.slots FROM dutiful_job AS y JOIN dutiful_gate AS x ON x.id = y.gate
                           WHERE y.id = NEW.job_id))) < g.slots);
END;

-- And another: lets one job on, through up to four gates, and says in the job's row where it stopped.
CREATE VIEW dutiful_gate_call AS SELECT id AS job_id FROM dutiful_job;
CREATE TRIGGER dutiful_gate_called INSTEAD OF INSERT ON dutiful_gate_call BEGIN
    INSERT INTO dutiful_gate_step (job_id) VALUES (NEW.job_id);
    INSERT INTO dutiful_gate_step (job_id) VALUES (NEW.job_id);
    INSERT INTO dutiful_gate_step (job_id) VALUES (NEW.job_id);
    INSERT INTO dutiful_gate_step (job_id) VALUES (NEW.job_id);
    UPDATE dutiful_ready_seq SET last_value = last_value + 1;
    UPDATE dutiful_job
       SET ready_seq = CASE WHEN admitted AND state = 'ready' THEN (SELECT q.last_value FROM dutiful_ready_seq AS q) END,
           gate = NULL, gate_seq = NULL, admitted = (state = 'ready')
     WHERE id = NEW.job_id AND gate_seq = -2 AND (gate IS NULL OR state <> 'ready');
    UPDATE dutiful_job
       SET admitted = 0, ready_seq = NULL,
           gate_seq = (SELECT p.seq FROM dutiful_place AS p
                        WHERE p.job_id = dutiful_job.id AND p.gate = dutiful_job.gate AND p.granted IS NULL)
     WHERE id = NEW.job_id AND gate_seq = -2;
END;

-- Jobs without gates fire none of these.
-- Who comes for the first time and finds room at each of its gates is let through at once. (Whether there is room is
-- counted only where the last one who came is through: else many may stand there.) A start that a rate has to spare is
-- counted as if all that it granted and that were not seen began just now, which is the most that they can take; the
-- instant is that of the enqueue, as no clock is asked here.
CREATE TRIGGER dutiful_gates_came AFTER INSERT ON dutiful_job WHEN NEW.gate_seq = -1 BEGIN
    INSERT INTO dutiful_place (gate, job_id, due, rate, granted)
    SELECT e.value, NEW.id, 1, g.kind = 'rate', CASE WHEN g.kind = 'rate' THEN NEW.enqueued_at END
      FROM json_each(NEW.gates) AS e CROSS JOIN dutiful_gate AS g ON g.id = e.value
     WHERE NEW.admitted AND NEW.run_no = 0 AND NEW.ready_seq IS NOT NULL AND NOT EXISTS (
           SELECT 1 FROM json_each(NEW.gates) AS a CROSS JOIN dutiful_gate AS x ON x.id = a.value
            WHERE CASE
                  WHEN x.kind = 'rate' THEN
                       (SELECT p.granted IS NULL FROM dutiful_place AS p WHERE p.gate = x.id AND p.rate
                         ORDER BY p.seq DESC LIMIT 1)
                       OR min(x.burst, x.level + max(0, NEW.enqueued_at - x.level_at) * 1.0 / x.per) - 1
                          < (SELECT count(*) FROM dutiful_place AS p WHERE p.gate = x.id AND p.granted IS NOT NULL)
                  WHEN x.slots = 1 THEN EXISTS (SELECT 1 FROM dutiful_place AS p WHERE p.gate = x.id)
                  WHEN (SELECT j.gate FROM dutiful_place AS p JOIN dutiful_job AS j ON j.id = p.job_id
                         WHERE p.gate = x.id ORDER BY p.seq DESC LIMIT 1) = x.id THEN 1
                  ELSE (SELECT count(*) FROM dutiful_place AS p WHERE p.gate = x.id) >= x.slots END);
    UPDATE dutiful_job SET gate_seq = NULL
     WHERE id = NEW.id AND NEW.ready_seq IS NOT NULL AND EXISTS (SELECT 1 FROM dutiful_place AS p WHERE p.job_id = NEW.id);
    UPDATE dutiful_job SET gate_seq = -1, ready_seq = NULL WHERE id = NEW.id AND gate_seq = -1;
END;
CREATE TRIGGER dutiful_gates_back AFTER UPDATE OF gate_seq ON dutiful_job WHEN NEW.gate_seq = -1 BEGIN
    DELETE FROM dutiful_place
     WHERE job_id = NEW.id AND granted IS NULL
       AND gate IN (SELECT g.id FROM dutiful_gate AS g WHERE g.kind <> 'order');
    UPDATE dutiful_place SET due = NEW.admitted WHERE job_id = NEW.id AND granted IS NULL;
    UPDATE dutiful_job SET gate_seq = -2, gate = json_extract(gates, '$[0]') WHERE id = NEW.id;
    INSERT INTO dutiful_gate_call (job_id) VALUES (NEW.id);
END;
CREATE TRIGGER dutiful_gates_left AFTER DELETE ON dutiful_job WHEN OLD.gates IS NOT NULL BEGIN
    DELETE FROM dutiful_place
     WHERE job_id = OLD.id AND granted IS NULL AND NOT EXISTS (SELECT 1 FROM dutiful_job AS j WHERE j.id = OLD.id)
       AND NOT (EXISTS (SELECT 1 FROM dutiful_dead AS d WHERE d.id = OLD.id)
                AND gate IN (SELECT g.id FROM dutiful_gate AS g WHERE g.kind = 'order' AND NOT g.passes));
END;
CREATE TRIGGER dutiful_gates_given_up AFTER DELETE ON dutiful_dead WHEN OLD.gates IS NOT NULL BEGIN
    DELETE FROM dutiful_place
     WHERE job_id = OLD.id AND granted IS NULL AND NOT EXISTS (SELECT 1 FROM dutiful_job AS j WHERE j.id = OLD.id)
       AND NOT (EXISTS (SELECT 1 FROM dutiful_dead AS d WHERE d.id = OLD.id)
                AND gate IN (SELECT g.id FROM dutiful_gate AS g WHERE g.kind = 'order' AND NOT g.passes));
END;

-- When each of those who watch last looked (bookkeeper, reaper, scheduler...). Older than three periods is silent.
CREATE TABLE dutiful_watcher (
    app     text NOT NULL,
    name    text NOT NULL,
    period  integer NOT NULL,
    last_at integer NOT NULL,
    note    text NOT NULL DEFAULT '',
    PRIMARY KEY (app, name)
);

-- What was accepted: a row for each statement that stored jobs, and lane and task. "revived": an ending that
-- was undone, so that its job ends once more. "pruned": endings that were forgotten. Nothing is updated here by
-- anybody who enqueues; the bookkeeper folds the rows into "balance".
CREATE TABLE dutiful_delta (
    id   integer PRIMARY KEY,
    lane integer NOT NULL,
    task text NOT NULL,
    kind text NOT NULL DEFAULT 'accepted',
    n    integer NOT NULL,
    CONSTRAINT delta_kind CHECK (kind IN ('accepted', 'revived', 'pruned'))
);

-- The deltas' sums. "opened" is what was there when the books were opened.
CREATE TABLE dutiful_balance (
    app  text NOT NULL,
    task text NOT NULL,
    kind text NOT NULL,
    n    integer NOT NULL,
    PRIMARY KEY (app, task, kind),
    CONSTRAINT balance_kind CHECK (kind IN ('opened', 'accepted', 'revived', 'pruned'))
);

-- An app's books when they were last read: what was accepted and what is there, in one look. Without a row
-- they are not open, and nothing is judged. An app has one from the first fold on.
CREATE TABLE dutiful_book (
    app          text NOT NULL PRIMARY KEY,
    opened_at    integer NOT NULL,
    folded_at    integer,
    counted_at   integer,
    recounted_at integer,
    accepted     integer NOT NULL DEFAULT 0,
    revived      integer NOT NULL DEFAULT 0,
    pruned       integer NOT NULL DEFAULT 0,
    ready        integer NOT NULL DEFAULT 0,
    running      integer NOT NULL DEFAULT 0,
    in_doubt     integer NOT NULL DEFAULT 0,
    dead         integer NOT NULL DEFAULT 0,
    done         integer NOT NULL DEFAULT 0,
    cancelled    integer NOT NULL DEFAULT 0,
    missing      integer NOT NULL DEFAULT 0,
    surplus      integer NOT NULL DEFAULT 0,
    tasks        text NOT NULL DEFAULT '[]'
);


-- Deaths (n above 0) and departures from the dead (below), folded into the groups by the bookkeeper.
CREATE TABLE dutiful_death (
    id          integer PRIMARY KEY,
    lane        integer NOT NULL,
    task        text NOT NULL,
    fingerprint text NOT NULL,
    reason      text NOT NULL,
    at          integer NOT NULL,
    n           integer NOT NULL,
    job_id      text NOT NULL,
    run_no      integer NOT NULL,
    worker      integer
);

-- Deaths with one cause. "deaths" counts all there were, "n" those who are dead now.
CREATE TABLE dutiful_failure_group (
    app           text NOT NULL,
    fingerprint   text NOT NULL,
    task          text NOT NULL,
    reason        text NOT NULL,
    kind          text NOT NULL DEFAULT '',
    title         text NOT NULL DEFAULT '',
    first_at      integer NOT NULL,
    last_at       integer NOT NULL,
    first_release text NOT NULL DEFAULT '',
    last_release  text NOT NULL DEFAULT '',
    deaths        integer NOT NULL,
    n             integer NOT NULL,
    job_id        text,
    PRIMARY KEY (app, fingerprint)
);

-- How many of a group died in each hour.
CREATE TABLE dutiful_failure_hour (
    app         text NOT NULL,
    fingerprint text NOT NULL,
    hour        integer NOT NULL,
    deaths      integer NOT NULL,
    PRIMARY KEY (app, fingerprint, hour)
);

CREATE INDEX dutiful_failure_hour_at ON dutiful_failure_hour (hour);

-- How many of a lane's jobs are dead, as far as deaths and departures are folded.
CREATE TABLE dutiful_dead_count (
    lane integer NOT NULL PRIMARY KEY,
    n    integer NOT NULL
);

-- How a run ended that left no other trace: it was snoozed, or handed back.
CREATE TABLE dutiful_event (
    job_id text NOT NULL,
    run_no integer NOT NULL,
    at     integer NOT NULL,
    worker integer,
    what   text NOT NULL,
    delay  integer,
    PRIMARY KEY (job_id, run_no),
    CONSTRAINT event_what CHECK (what IN ('snoozed', 'released'))
);

CREATE INDEX dutiful_event_at ON dutiful_event (at);

-- What became of jobs in a minute, ten minutes, or an hour ("grain"), by queue and task. Waits and run times as
-- counts by bucket (see operations/metrics.py), which can be added up. The sums have no task, those of all queues no
-- queue either.
CREATE TABLE dutiful_rollup (
    app       text NOT NULL,
    grain     integer NOT NULL,
    at        integer NOT NULL,
    queue     text NOT NULL,
    task      text NOT NULL,
    done      integer NOT NULL DEFAULT 0,
    failed    integer NOT NULL DEFAULT 0,
    dead      integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    waits     text NOT NULL DEFAULT '{}',
    runs      text NOT NULL DEFAULT '{}',
    PRIMARY KEY (app, grain, at, queue, task)
);

CREATE INDEX dutiful_rollup_at ON dutiful_rollup (grain, at);
CREATE INDEX dutiful_rollup_sum ON dutiful_rollup (app, grain, queue, at) WHERE task = '';

-- How much was due in a queue, and for how long the oldest, once a minute.
CREATE TABLE dutiful_sample (
    app    text NOT NULL,
    queue  text NOT NULL,
    at     integer NOT NULL,
    depth  integer NOT NULL,
    oldest integer,
    PRIMARY KEY (app, queue, at)
);

CREATE INDEX dutiful_sample_at ON dutiful_sample (at);

-- What workers said of their tasks: one row for each release that ran it.
CREATE TABLE dutiful_task (
    app      text NOT NULL,
    name     text NOT NULL,
    release  text NOT NULL,
    version  integer NOT NULL,
    queue    text NOT NULL,
    priority integer NOT NULL,
    owner    text NOT NULL,
    delivery text NOT NULL,
    declared text NOT NULL,
    first_at integer NOT NULL,
    seen_at  integer NOT NULL,
    PRIMARY KEY (app, name, release)
);

-- Whoever moves jobs to the dead, or away, writes down so here.
CREATE TRIGGER dutiful_deaths_came AFTER INSERT ON dutiful_dead BEGIN
    INSERT INTO dutiful_death (lane, task, fingerprint, reason, at, n, job_id, run_no, worker)
    VALUES (NEW.lane, NEW.task, NEW.fingerprint, NEW.reason, NEW.died_at, 1, NEW.id, NEW.run_no, NEW.worker);
END;
CREATE TRIGGER dutiful_deaths_left AFTER DELETE ON dutiful_dead BEGIN
    INSERT INTO dutiful_death (lane, task, fingerprint, reason, at, n, job_id, run_no, worker)
    VALUES (OLD.lane, OLD.task, OLD.fingerprint, OLD.reason, OLD.died_at, -1, OLD.id, OLD.run_no, OLD.worker);
END;

-- A person's action by its one-time id: the second time its outcome is told, and nothing done.
CREATE TABLE dutiful_action (
    id      text NOT NULL PRIMARY KEY,
    app     text NOT NULL,
    actor   text NOT NULL,
    verb    text NOT NULL,
    at      integer NOT NULL,
    outcome text NOT NULL
);

CREATE INDEX dutiful_action_at ON dutiful_action (at);

-- The chain over the audit's rows: how far it is, and the hash of the last row in it.
CREATE TABLE dutiful_audit_chain (
    one      integer NOT NULL PRIMARY KEY CHECK (one = 1),
    chain_no integer NOT NULL,
    hash     text NOT NULL
);

-- What people were told of a thing that needs one ("group:" and a fingerprint, or a key of another kind): who
-- took it, who acknowledged it, until when, and how it was then.
CREATE TABLE dutiful_ack (
    app        text NOT NULL,
    thing      text NOT NULL,
    owner      text,
    taken_at   integer,
    acked_by   text,
    acked_at   integer,
    note       text,
    until      integer,
    count_then integer,
    release_then text,
    PRIMARY KEY (app, thing),
    CONSTRAINT ack_whole CHECK ((acked_at IS NULL) = (until IS NULL) AND (acked_at IS NULL) = (acked_by IS NULL))
);

-- A verb over many jobs. Which ones is a list, made in one statement when it began, so that it is exactly what
-- was counted then; whoever holds the lease walks it.
CREATE TABLE dutiful_bulk (
    id          text NOT NULL PRIMARY KEY,
    app         text NOT NULL,
    verb        text NOT NULL,
    state       text NOT NULL,
    actor       text NOT NULL,
    how         text NOT NULL,
    address     text NOT NULL,
    reason      text NOT NULL,
    filter      text NOT NULL,
    wanted      text NOT NULL,
    choice      text NOT NULL,
    bound       integer NOT NULL,
    began_at    integer NOT NULL,
    start_at    integer NOT NULL,
    paced_from  integer NOT NULL,
    pace        integer,
    intended    integer NOT NULL,
    done        integer NOT NULL DEFAULT 0,
    skipped     integer NOT NULL DEFAULT 0,
    failed      integer NOT NULL DEFAULT 0,
    paced       integer NOT NULL DEFAULT 0,
    last_no     integer NOT NULL DEFAULT 0,
    walker      text,
    walked_until integer,
    moved_at    integer,
    ended_at    integer,
    undoes      text,
    CONSTRAINT bulk_state CHECK (state IN ('running', 'paused', 'aborted', 'done')),
    CONSTRAINT bulk_verb CHECK (verb IN ('retry', 'discard', 'undo')),
    CONSTRAINT bulk_counts CHECK (done + skipped + failed <= intended),
    CONSTRAINT bulk_done CHECK (state <> 'done' OR done + skipped + failed = intended)
);

CREATE INDEX dutiful_bulk_began ON dutiful_bulk (app, began_at);
CREATE INDEX dutiful_bulk_open ON dutiful_bulk (app) WHERE state = 'running';

CREATE TABLE dutiful_bulk_item (
    bulk   text NOT NULL,
    no     integer NOT NULL,
    job_id text NOT NULL,
    run_no integer NOT NULL,
    state  text NOT NULL DEFAULT 'waiting',
    at     integer,
    why    text,
    PRIMARY KEY (bulk, no),
    CONSTRAINT item_state CHECK (state IN ('waiting', 'done', 'duplicate', 'skipped', 'failed')),
    CONSTRAINT item_at CHECK ((state = 'waiting') = (at IS NULL))
) WITHOUT ROWID;

CREATE INDEX dutiful_bulk_item_left ON dutiful_bulk_item (bulk, no) WHERE state NOT IN ('waiting', 'done');

-- What the verdict was when it was last kept, and since when it has been that.
CREATE TABLE dutiful_verdict (
    app   text NOT NULL PRIMARY KEY,
    state text NOT NULL,
    since integer NOT NULL,
    at    integer NOT NULL,
    CONSTRAINT verdict_state CHECK (state IN ('well', 'person', 'unknown'))
);

-- One for each thing that needs a person, by its key; open while cleared_at is null. "told" is its size when
-- it was last told of; it is told of again when it is twice that.
CREATE TABLE dutiful_alert (
    app        text NOT NULL,
    key        text NOT NULL,
    raised_at  integer NOT NULL,
    cleared_at integer,
    number     text NOT NULL,
    sentence   text NOT NULL,
    size       integer NOT NULL,
    told       integer NOT NULL,
    owner      text NOT NULL,
    seen       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (app, key, raised_at)
);

CREATE UNIQUE INDEX dutiful_alert_open ON dutiful_alert (app, key) WHERE cleared_at IS NULL;

-- What is to be sent to a channel, and what became of it. Due until it was sent, or is not worth sending any more.
CREATE TABLE dutiful_alert_message (
    id         text NOT NULL PRIMARY KEY,
    app        text NOT NULL,
    channel    text NOT NULL,
    event      text NOT NULL,
    key        text NOT NULL,
    made_at    integer NOT NULL,
    due_at     integer NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    sent_at    integer,
    dropped_at integer,
    error      text,
    body       text NOT NULL
);

CREATE INDEX dutiful_alert_message_due ON dutiful_alert_message (app, due_at) WHERE sent_at IS NULL AND dropped_at IS NULL;
CREATE INDEX dutiful_alert_message_made ON dutiful_alert_message (app, made_at);

-- The channels that workers' code declares: when one last said so, and when a message last came through.
CREATE TABLE dutiful_alert_channel (
    app       text NOT NULL,
    name      text NOT NULL,
    kind      text NOT NULL,
    seen_at   integer NOT NULL,
    proven_at integer,
    failed_at integer,
    error     text,
    PRIMARY KEY (app, name)
);

-- The span in which a job was enqueued, where one was active (a traceparent of W3C's).
CREATE TABLE dutiful_trace (
    job_id  text NOT NULL PRIMARY KEY,
    at      integer NOT NULL,
    context text NOT NULL
);

CREATE INDEX dutiful_trace_at ON dutiful_trace (at);

-- A reconciliation as it was last declared, and how far it is. What is due before the watermark was found done when
-- it was moved there. "memory" is for how long it is known here that a duty was done (null: for ever), and no window
-- reaches further back (I10). "wants": why the whole window is to be looked at next. Whoever walks it holds the lease.
-- "attend": how long a duty may wait for a person. While it is paused no worker makes a pass.
CREATE TABLE dutiful_reconcile (
    app          text NOT NULL,
    name         text NOT NULL,
    task         text NOT NULL,
    spec         text NOT NULL,
    every        integer NOT NULL,
    reach        integer NOT NULL,
    memory       integer,
    whole        integer NOT NULL,
    declared_at  integer NOT NULL,
    changed_at   integer NOT NULL,
    next_at      integer NOT NULL,
    wants        text NOT NULL,
    place        text NOT NULL DEFAULT '',
    watermark    integer,
    looked_at    integer,
    whole_at     integer,
    stopped      integer,
    approved     integer,
    error        text,
    error_at     integer,
    walker       text,
    walked_until integer,
    gone_at      integer,
    attend       integer,
    paused_at    integer,
    paused_by    text,
    paused_until integer,
    pause_reason text,
    PRIMARY KEY (app, name),
    CONSTRAINT reconcile_memory CHECK (memory IS NULL OR reach <= memory),
    CONSTRAINT reconcile_error CHECK ((error IS NULL) = (error_at IS NULL)),
    CONSTRAINT reconcile_walker CHECK ((walker IS NULL) = (walked_until IS NULL)),
    CONSTRAINT reconcile_paused CHECK ((paused_at IS NULL) = (paused_by IS NULL))
);

-- One pass: what was expected in its window, of which class, and what was done about it. Written before anything is
-- enqueued; ended_at is null while it acts, and for ever if it was cut off. "findings" counts what it wrote down.
CREATE TABLE dutiful_reconcile_run (
    id          integer PRIMARY KEY AUTOINCREMENT,
    app         text NOT NULL,
    name        text NOT NULL,
    whole       integer NOT NULL,
    by          text NOT NULL,
    began_at    integer NOT NULL,
    ended_at    integer,
    since       integer NOT NULL,
    upto        integer NOT NULL,
    expected    integer NOT NULL,
    ok          integer NOT NULL,
    young       integer NOT NULL,
    waiting     integer NOT NULL,
    stuck       integer NOT NULL,
    people      integer NOT NULL,
    missing     integer NOT NULL,
    late        integer NOT NULL,
    surplus     integer NOT NULL,
    unexpected  integer NOT NULL,
    enqueued    integer NOT NULL DEFAULT 0,
    findings    integer NOT NULL DEFAULT 0,
    believed    integer NOT NULL,
    governor    text NOT NULL,
    approved_by text,
    approved_at integer,
    CONSTRAINT run_governor CHECK (governor IN ('', 'stopped', 'waiting', 'approved')),
    CONSTRAINT run_approved CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CONSTRAINT run_whole CHECK (expected = ok + young + waiting + stuck + people + missing + late + surplus - unexpected)
);

CREATE INDEX dutiful_reconcile_run_name ON dutiful_reconcile_run (app, name, id);

-- A duty that is not as it should be, from when it was first seen so; open while closed_at is null. "made": the job
-- was enqueued because of it.
CREATE TABLE dutiful_reconcile_finding (
    app        text NOT NULL,
    name       text NOT NULL,
    key        text NOT NULL,
    class      text NOT NULL,
    first_seen integer NOT NULL,
    last_seen  integer NOT NULL,
    closed_at  integer,
    due        integer,
    last_run   integer NOT NULL,
    job_id     text,
    made       integer NOT NULL DEFAULT 0,
    why        text NOT NULL DEFAULT '',
    PRIMARY KEY (app, name, key, first_seen),
    CONSTRAINT finding_class CHECK (class IN ('missing', 'late', 'surplus', 'stuck', 'people'))
);

CREATE UNIQUE INDEX dutiful_reconcile_finding_open ON dutiful_reconcile_finding (app, name, key) WHERE closed_at IS NULL;
CREATE INDEX dutiful_reconcile_finding_class ON dutiful_reconcile_finding (app, name, class, first_seen, key) WHERE closed_at IS NULL;
CREATE INDEX dutiful_reconcile_finding_closed ON dutiful_reconcile_finding (closed_at) WHERE closed_at IS NOT NULL;

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
