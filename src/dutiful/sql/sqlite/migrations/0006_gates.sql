-- Gates: what jobs of one order, lock, rate or share pass through.

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

ALTER TABLE dutiful_job ADD COLUMN gates text;
ALTER TABLE dutiful_dead ADD COLUMN gates text;
ALTER TABLE dutiful_history ADD COLUMN gates text;
CREATE INDEX dutiful_history_gated ON dutiful_history (finished_at)
    WHERE gates IS NOT NULL AND (state = 'cancelled' OR outcome IN ('skipped', 'waived'));
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
