-- Gates: what jobs of one order, lock, rate or share pass through.

-- One for each key of an order, a lock, a rate or a share. Its row is locked by whoever lets jobs
-- through, and never updated for a job: "low", below which no place is taken, moves once in a while. A lock and
-- a share let "slots" through at once, an order one, a rate none: its starts are granted by a chore, from a bucket
-- that holds at most "burst" and was at "level" at the instant "level_at". "passes": a dead job blocks no order.
-- "excused": places up to that one may have been taken when there were more slots. "used_at": when it was last made, declared
-- or found in use, to within hours; one that nobody used for longer is forgotten, and made anew when somebody asks for it.
CREATE TABLE dutiful.gate (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app      text NOT NULL,
    kind     text NOT NULL,
    key      text NOT NULL,
    slots    integer NOT NULL,
    low      bigint NOT NULL DEFAULT 0,
    excused  bigint NOT NULL DEFAULT 0,
    passes   boolean NOT NULL DEFAULT false,
    per      bigint,
    burst    integer,
    level    double precision,
    level_at bigint,
    used_at  bigint NOT NULL,
    UNIQUE (app, kind, key),
    CONSTRAINT gate_kind CHECK (kind IN ('order', 'lock', 'rate', 'fair')),
    CONSTRAINT gate_slots CHECK (CASE kind WHEN 'rate' THEN slots = 0 WHEN 'order' THEN slots = 1 ELSE slots > 0 END),
    CONSTRAINT gate_rate CHECK
        ((kind = 'rate') = (per IS NOT NULL AND burst IS NOT NULL AND level IS NOT NULL AND level_at IS NOT NULL))
) WITH (fillfactor = 50);

CREATE INDEX gate_used ON dutiful.gate (used_at);

CREATE SEQUENCE dutiful.gate_seq CACHE 1;

-- Who stands at a gate, in turn: the first "slots" are through and hold their places. In an order a place is
-- held until the job is closed, else until the job leaves "running". "due": its time had come when it came.
-- "granted": a start that the rate allows; it is counted until it is seen to have begun.
CREATE TABLE dutiful.place (
    gate    bigint NOT NULL,
    seq     bigint NOT NULL,
    job_id  uuid NOT NULL,
    due     boolean NOT NULL,
    rate    boolean NOT NULL DEFAULT false,
    granted bigint,
    PRIMARY KEY (gate, seq)
);

CREATE INDEX place_job ON dutiful.place (job_id, gate);
CREATE INDEX place_rate ON dutiful.place (gate, seq) WHERE rate;
CREATE INDEX place_granted ON dutiful.place (gate, seq) WHERE granted IS NOT NULL;

-- A job with gates ("gates", in the order of passing) stands at "gate" with the place "gate_seq", or comes there when it is due
-- ("gate_seq" null), or is through (both null). Below 0 it has just come, or come back, in a
-- transaction that has not ended yet; "admitted" then says whether it is due.

ALTER TABLE dutiful.job ADD COLUMN gates bigint[];
ALTER TABLE dutiful.dead ADD COLUMN gates bigint[];
ALTER TABLE dutiful.history ADD COLUMN gates bigint[];
CREATE INDEX history_gated ON dutiful.history (finished_at)
    WHERE gates IS NOT NULL AND (state = 'cancelled' OR outcome IN ('skipped', 'waived'));
CREATE INDEX job_arriving ON dutiful.job (gate_seq) WHERE gate_seq < 0;
CREATE INDEX job_outside ON dutiful.job (run_at) WHERE gate IS NOT NULL AND gate_seq IS NULL;

-- The gates that are there as they are declared, and whether they were last used before an instant. By their index,
-- whatever the table was like when it was analysed.
CREATE FUNCTION dutiful.find_gates(which text, rows jsonb, since bigint)
RETURNS TABLE (kind text, key text, id bigint, stale boolean)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on AS $$
    SELECT g.kind, g.key, g.id, g.used_at < since
      FROM pg_catalog.jsonb_to_recordset(rows)
           AS r(kind text, key text, slots integer, passes boolean, per bigint, burst integer)
     CROSS JOIN LATERAL (SELECT g.* FROM dutiful.gate AS g
                          WHERE g.app = which AND g.kind = r.kind AND g.key = r.key LIMIT 1) AS g
     WHERE g.slots = r.slots AND g.passes = r.passes
       AND g.per IS NOT DISTINCT FROM r.per AND g.burst IS NOT DISTINCT FROM r.burst
$$;

-- What a transaction does to jobs with gates is noted as it happens, and done when it commits. Both notes die
-- with the transaction, or with a ROLLBACK TO.
CREATE FUNCTION dutiful.gate_noted() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    IF TG_OP = 'DELETE' THEN  -- (an assignment, which is no query of its own: 100 jobs end in one statement)
        said := pg_catalog.set_config('dutiful.leaving', pg_catalog.concat(
            pg_catalog.current_setting('dutiful.leaving', true), OLD.id, ' '), true);
    ELSIF coalesce(pg_catalog.current_setting('dutiful.arriving', true), '') = '' THEN
        said := pg_catalog.set_config('dutiful.arriving', NEW.gate_seq::text, true);
    END IF;
    RETURN NULL;
END $$;

-- Raises where one of these gates was forgotten meanwhile: it was found an hour and more before this commits. Asked for jobs
-- that this transaction has stored, which have no "gate" yet.
CREATE FUNCTION dutiful.demand_gates(ids bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF (SELECT count(*) FROM dutiful.gate AS g WHERE g.id = ANY(ids)) < pg_catalog.cardinality(ids) THEN
        RAISE serialization_failure USING MESSAGE = 'an order, lock or rate of a job enqueued in this transaction was forgotten, as '
            'nobody used it for hours and the transaction took more than one',
            HINT = 'Run the transaction again; it should be shorter.';
    END IF;
END $$;

-- Lets through at once whoever came for the first time and finds room at each of its gates; whether that was
-- everybody. "arriving" as below. All gates are locked first, in order of id, rates only where nobody else is at
-- them, and looked at by a new statement. A start that a rate has to spare is counted as if all that it granted and
-- that were not seen began just now, which is the most that they can take. The instant is that of the enqueue: no clock is
-- asked here, and an earlier one allows less.
CREATE FUNCTION dutiful.pass_free(arriving bigint) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    came bigint;
    new bigint;
    stored boolean;
    locked bigint;
    ids bigint[];
    rates bigint[];
    let bigint;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE j.run_no = 0), pg_catalog.bool_or(j.gate IS NULL) INTO came, new, stored
      FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving;
    IF new = 0 THEN
        RETURN false;
    END IF;
    SELECT pg_catalog.array_agg(DISTINCT e.id) INTO ids
      FROM dutiful.job AS j, unnest(j.gates) AS e(id) WHERE j.gate_seq < 0 AND j.gate_seq <= arriving;
    WITH taken AS (
        SELECT g.id FROM dutiful.gate AS g WHERE g.id = ANY(ids) AND g.kind <> 'rate' ORDER BY g.id FOR NO KEY UPDATE
    )
    SELECT count(*) INTO locked FROM taken AS t;
    IF locked < pg_catalog.cardinality(ids) THEN
        IF stored THEN
            PERFORM dutiful.demand_gates(ids);
        END IF;
        SELECT pg_catalog.array_agg(g.id) INTO rates
          FROM (SELECT g.id FROM dutiful.gate AS g WHERE g.id = ANY(ids) AND g.kind = 'rate'
                 ORDER BY g.id FOR NO KEY UPDATE SKIP LOCKED) AS g;
    END IF;
    WITH these AS MATERIALIZED (
        SELECT j.id, j.gates, j.gate_seq, j.enqueued_at, j.run_no = 0 AND j.state = 'ready' AND j.admitted AS new
          FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving
    ), asked AS MATERIALIZED (
        SELECT e.id AS gate, count(*) AS n, min(t.enqueued_at) AS at, pg_catalog.array_agg(t.id ORDER BY t.gate_seq DESC) AS ids
          FROM these AS t, unnest(t.gates) AS e(id) GROUP BY e.id
    ), looked AS MATERIALIZED (
        SELECT a.gate, a.at, a.ids, g.kind = 'rate' AS rate,
               CASE WHEN g.kind = 'rate' THEN
                    g.id <> ALL(coalesce(rates, '{}'))
                    OR coalesce((SELECT p.granted IS NULL FROM dutiful.place AS p WHERE p.gate = g.id AND p.rate
                                  ORDER BY p.seq DESC LIMIT 1), false)
                    OR least(g.burst, g.level + greatest(0, a.at - g.level_at) / g.per::float8) - a.n
                       < (SELECT count(*) FROM (SELECT 1 FROM dutiful.place AS p
                                                 WHERE p.gate = g.id AND p.granted IS NOT NULL LIMIT g.burst) AS x)
                    ELSE a.n > g.slots - (SELECT count(*) FROM (SELECT 1 FROM dutiful.place AS p
                                           WHERE p.gate = g.id AND p.seq > g.low LIMIT g.slots) AS x) END AS busy
          FROM asked AS a CROSS JOIN LATERAL (SELECT g.* FROM dutiful.gate AS g WHERE g.id = a.gate LIMIT 1) AS g
    ), waits AS MATERIALIZED (
        SELECT e.id FROM looked AS l, unnest(l.ids) AS e(id) WHERE l.busy
        UNION ALL SELECT t.id FROM these AS t WHERE NOT t.new
    ), placed AS (
        INSERT INTO dutiful.place (gate, seq, job_id, due, rate, granted)
        SELECT l.gate, nextval('dutiful.gate_seq'), e.id, true, l.rate, CASE WHEN l.rate THEN l.at END
          FROM looked AS l, unnest(l.ids) AS e(id) WHERE e.id NOT IN (SELECT w.id FROM waits AS w)
    )
    UPDATE dutiful.job AS j SET gate = NULL, gate_seq = NULL, ready_seq = n.seq
      FROM (SELECT f.id, nextval('dutiful.ready_seq') AS seq
              FROM (SELECT t.id FROM these AS t WHERE t.id NOT IN (SELECT w.id FROM waits AS w)
                     ORDER BY t.gate_seq DESC) AS f) AS n
     WHERE j.id = ANY (ARRAY[n.id]);
    GET DIAGNOSTICS let = ROW_COUNT;
    RETURN let = came;
END $$;

-- Gives back the places of jobs that are gone for good, where nobody waits for them; false, and nothing done, where somebody
-- does. Looked at before the gates are locked, since those who go on need the locks of other gates, in order; and
-- again under the locks: who came meanwhile goes on, and comes to the next gate by itself. Whoever waits for a place stands
-- behind it. (Where the places lie does not change meanwhile: only a rate moves one, when it grants a start.)
CREATE FUNCTION dutiful.leave_free(leaving uuid[]) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ids bigint[];
    seqs bigint[];
    lies tid[];
    waited boolean;
    locked bigint;
    moves CONSTANT boolean := random() < 1.0 / 256;
BEGIN
    IF EXISTS (SELECT 1 FROM unnest(leaving) AS e(id)
                WHERE EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = ANY (ARRAY[e.id]))
                   OR EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = e.id)) THEN
        RETURN false;
    END IF;
    SELECT pg_catalog.array_agg(l.gate), pg_catalog.array_agg(l.seq), pg_catalog.array_agg(l.lies), pg_catalog.bool_or(EXISTS (
           SELECT 1 FROM (SELECT p.job_id FROM dutiful.place AS p
                           WHERE p.gate = l.gate AND p.seq > l.seq ORDER BY p.seq DESC LIMIT 1) AS p
             JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gate = l.gate))
      INTO ids, seqs, lies, waited FROM unnest(leaving) AS e(id)
     CROSS JOIN LATERAL (SELECT p.gate, p.seq, p.ctid AS lies FROM dutiful.place AS p
                          WHERE p.job_id = e.id AND p.granted IS NULL LIMIT 8) AS l;
    IF ids IS NULL THEN
        RETURN true;
    ELSIF waited THEN
        RETURN false;
    END IF;
    WITH taken AS (
        SELECT g.id FROM dutiful.gate AS g WHERE g.id = ANY(ids) ORDER BY g.id FOR NO KEY UPDATE
    )
    SELECT count(*) INTO locked FROM taken AS t;
    WITH mine AS MATERIALIZED (
        SELECT m.gate, m.seq, m.lies, EXISTS (
               SELECT 1 FROM (SELECT p.job_id FROM dutiful.place AS p
                               WHERE p.gate = m.gate AND p.seq > m.seq ORDER BY p.seq DESC LIMIT 1) AS p
                 JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gate = m.gate) AS waits
          FROM unnest(ids, seqs, lies) AS m(gate, seq, lies)
    ), gone AS (
        DELETE FROM dutiful.place AS p USING mine AS m
         WHERE p.ctid = m.lies AND p.gate = m.gate AND p.seq = m.seq AND p.granted IS NULL
    ), moved AS (
        UPDATE dutiful.gate AS g SET low = o.seq
          FROM (SELECT m.gate, max(m.seq) AS seq FROM mine AS m WHERE moves GROUP BY m.gate) AS o
         WHERE g.id = o.gate AND NOT EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                                                AND p.seq < o.seq AND p.seq NOT IN (SELECT n.seq FROM mine AS n))
    )
    SELECT pg_catalog.array_agg(DISTINCT m.gate) INTO ids FROM mine AS m WHERE m.waits;
    IF ids IS NOT NULL THEN
        PERFORM dutiful.pass_gates(NULL, '{}', ids);
    END IF;
    RETURN true;
END $$;

-- Lets jobs through gates; returns how many are now to be claimed. "arriving" is the first of this transaction's numbers of jobs
-- that came (all have "gate_seq" at most that: others' are not visible), "leaving" are jobs that were closed,
-- "again" are gates to look at again ("leaving" empty: under locks that are held already, so no others are taken). All gates are locked first, in order of id, and only then looked at, by
-- new statements: so places are taken in the order of commits, and nobody lets two through at once. A snapshot
-- older than the lock (REPEATABLE READ) is not looked at: jobs take places in their orders, and come to the gates
-- a moment later, by a chore. (Its plans are made once, and by indexes: making them anew cost 3 ms a commit, and a
-- caller's connection has settings of its own.)
CREATE FUNCTION dutiful.pass_gates(arriving bigint, leaving uuid[], again bigint[]) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    fresh CONSTANT boolean := pg_catalog.current_setting('transaction_isolation') = 'read committed';
    held bigint[];
    freed bigint[];
    moving uuid[];
    undue uuid[];
    places integer[];
    next_ids uuid[];
    next_doors integer[];
    next_undue uuid[];
    doors integer := 0;
    let integer := 0;
BEGIN
    WITH mine AS (
        SELECT j.gates AS ids FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving
        UNION ALL SELECT ARRAY[p.gate] FROM dutiful.place AS p WHERE p.job_id = ANY(leaving)
        UNION ALL SELECT again
    ), these AS (SELECT DISTINCT e.id FROM mine AS m, unnest(m.ids) AS e(id)
    ), next AS (
        -- The gates that come next for those who are next: not to be waited for below, out of order.
        SELECT j.gates AS ids FROM these AS t JOIN dutiful.gate AS g ON g.id = t.id AND g.kind IN ('order', 'lock')
         CROSS JOIN LATERAL (SELECT p.job_id FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                              ORDER BY p.seq OFFSET g.slots LIMIT 1) AS p
          JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gates[pg_catalog.cardinality(j.gates)] <> g.id
         WHERE fresh AND (pg_catalog.cardinality(leaving) > 0 OR leaving IS NULL AND again IS NOT NULL)
    ), taken AS (
        SELECT g.id FROM dutiful.gate AS g
         WHERE g.kind <> 'rate' AND g.id IN (SELECT t.id FROM these AS t
                                              UNION SELECT e.id FROM next AS n, unnest(n.ids) AS e(id))
         ORDER BY g.id FOR NO KEY UPDATE
    )
    SELECT pg_catalog.array_agg(t.id) INTO held FROM taken AS t;

    -- Who was closed leaves, but a dead head that blocks its order; who comes back leaves all but its order.
    IF leaving IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM dutiful.place AS p USING dutiful.gate AS g
             WHERE p.job_id = ANY(leaving) AND g.id = p.gate AND p.granted IS NULL
               AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.id = ANY (ARRAY[p.job_id]))
               AND NOT (g.kind = 'order' AND NOT g.passes
                        AND EXISTS (SELECT 1 FROM dutiful.dead AS d WHERE d.id = p.job_id))
            RETURNING p.gate
        )
        SELECT pg_catalog.array_agg(x.gate), pg_catalog.array_agg(x.n) INTO freed, places
          FROM (SELECT o.gate, count(*)::integer AS n FROM gone AS o GROUP BY o.gate) AS x;
    END IF;
    IF arriving IS NOT NULL THEN
        WITH back AS (
            DELETE FROM dutiful.place AS p USING dutiful.gate AS g, dutiful.job AS j
             WHERE j.gate_seq < 0 AND j.gate_seq <= arriving AND j.run_no > 0 AND p.job_id = j.id
               AND g.id = p.gate AND g.kind <> 'order' AND p.granted IS NULL
            RETURNING p.gate
        ), all_left AS (
            SELECT f.gate, f.n FROM unnest(freed, places) AS f(gate, n)
            UNION ALL SELECT b.gate, 1 FROM back AS b
        )
        SELECT pg_catalog.array_agg(x.gate), pg_catalog.array_agg(x.n) INTO freed, places
          FROM (SELECT o.gate, sum(o.n)::integer AS n FROM all_left AS o GROUP BY o.gate) AS x;
        -- Places in orders are taken by all, due or not, in doubt or not.
        UPDATE dutiful.place AS p SET due = j.admitted FROM dutiful.job AS j
         WHERE j.gate_seq < 0 AND j.gate_seq <= arriving AND j.run_no > 0 AND p.job_id = j.id AND p.gate = j.gates[1]
           AND p.granted IS NULL AND p.due <> j.admitted;
        INSERT INTO dutiful.place (gate, seq, job_id, due)
        SELECT n.gate, nextval('dutiful.gate_seq'), n.id, n.due
          FROM (SELECT j.id, g.id AS gate, j.admitted AS due FROM dutiful.job AS j JOIN dutiful.gate AS g ON g.id = j.gates[1]
                 WHERE j.gate_seq < 0 AND j.gate_seq <= arriving AND g.kind = 'order'
                   AND NOT EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.job_id = j.id AND p.gate = g.id)
                 ORDER BY j.gate_seq DESC) AS n;
        UPDATE dutiful.job AS j
           SET gate = CASE WHEN j.state = 'ready' THEN j.gates[1] END, gate_seq = NULL, admitted = false
         WHERE j.gate_seq < 0 AND j.gate_seq <= arriving
           AND (NOT fresh OR j.state <> 'ready' OR NOT j.admitted AND NOT EXISTS (
                   SELECT 1 FROM dutiful.gate AS g WHERE g.id = j.gates[1] AND g.kind = 'order'));
        SELECT pg_catalog.array_agg(j.id ORDER BY j.gate_seq DESC), max(pg_catalog.cardinality(j.gates)),
               pg_catalog.array_agg(j.id) FILTER (WHERE NOT j.admitted)
          INTO moving, doors, undue FROM dutiful.job AS j WHERE j.gate_seq < 0 AND j.gate_seq <= arriving;
    END IF;
    IF NOT fresh THEN
        RETURN 0;
    END IF;

    -- Those for whom a place became free: of the first "slots" the last so many. (All of them, asked again.)
    IF freed IS NOT NULL OR again IS NOT NULL THEN
        SELECT pg_catalog.array_agg(m.id ORDER BY m.seq), pg_catalog.array_agg(m.door ORDER BY m.seq),
               pg_catalog.array_agg(m.id) FILTER (WHERE NOT m.due), greatest(doors, max(m.last))
          INTO next_ids, next_doors, next_undue, doors FROM (
            SELECT j.id, p.seq, p.due, pg_catalog.cardinality(j.gates) AS last, pg_catalog.array_position(j.gates, g.id) AS door
              FROM (SELECT f.gate, f.n FROM unnest(freed, places) AS f(gate, n)
                    UNION ALL SELECT a.gate, 1000000 FROM unnest(again) AS a(gate)) AS f
              JOIN dutiful.gate AS g ON g.id = f.gate AND g.id IN (SELECT unnest(held))
             CROSS JOIN LATERAL (SELECT p.job_id, p.seq, p.due FROM dutiful.place AS p
                                  WHERE p.gate = g.id AND p.seq > g.low
                                  ORDER BY p.seq OFFSET greatest(g.slots - f.n, 0) LIMIT least(f.n, g.slots)) AS p
              JOIN dutiful.job AS j ON j.id = ANY (ARRAY[p.job_id]) AND j.gate = g.id AND j.gate_seq > 0 AND j.state = 'ready'
               FOR NO KEY UPDATE OF j SKIP LOCKED) AS m;
    END IF;

    FOR door IN 1 .. coalesce(doors, 0) LOOP
        IF door > 1 AND (undue IS NOT NULL OR next_ids IS NOT NULL) AND moving IS NOT NULL THEN
            -- Who is not due comes to the other gates later, as does who would have to wait for a lock here.
            WITH late AS (
                UPDATE dutiful.job AS j SET gate = j.gates[door], gate_seq = NULL, ready_seq = NULL,
                       admitted = j.gates[door] IS NULL
                 WHERE j.id = ANY(moving) AND (j.id IN (SELECT unnest(undue)) OR j.gates[door] IS NOT NULL
                       AND j.gates[door] NOT IN (SELECT unnest(held)) AND NOT EXISTS (
                           SELECT 1 FROM dutiful.gate AS g WHERE g.id = j.gates[door] AND g.kind = 'rate'))
                RETURNING j.id
            )
            SELECT pg_catalog.array_agg(m.id ORDER BY m.place) INTO moving
              FROM unnest(moving) WITH ORDINALITY AS m(id, place) WHERE m.id NOT IN (SELECT l.id FROM late AS l);
            undue := NULL;
        END IF;
        IF moving IS NOT NULL THEN
            INSERT INTO dutiful.place (gate, seq, job_id, due, rate)
            SELECT n.gate, nextval('dutiful.gate_seq'), n.id, true, n.rate
              FROM (SELECT j.id, g.id AS gate, g.kind = 'rate' AS rate FROM unnest(moving) WITH ORDINALITY AS m(id, place)
                      JOIN dutiful.job AS j ON j.id = ANY (ARRAY[m.id]) JOIN dutiful.gate AS g ON g.id = j.gates[door]
                     WHERE g.kind <> 'order'
                     ORDER BY m.place) AS n;
            WITH doors AS (
                SELECT DISTINCT j.gates[door] AS gate FROM dutiful.job AS j
                 WHERE j.id = ANY(moving) AND j.gates[door] IS NOT NULL
            ), through AS (
                SELECT p.job_id FROM doors AS d JOIN dutiful.gate AS g ON g.id = d.gate
                 CROSS JOIN LATERAL (SELECT p.job_id FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                                      ORDER BY p.seq LIMIT g.slots) AS p
            ), stays AS (
                UPDATE dutiful.job AS j SET gate = p.gate, gate_seq = p.seq, ready_seq = NULL, admitted = false
                  FROM dutiful.place AS p
                 WHERE j.id = ANY(moving) AND p.job_id = j.id AND p.gate = j.gates[door] AND p.granted IS NULL
                   AND j.id NOT IN (SELECT t.job_id FROM through AS t)
                RETURNING j.id
            )
            SELECT pg_catalog.array_agg(m.id ORDER BY m.place) INTO moving
              FROM unnest(moving) WITH ORDINALITY AS m(id, place) WHERE m.id NOT IN (SELECT s.id FROM stays AS s);
        END IF;
        IF next_ids IS NOT NULL THEN
            SELECT moving || pg_catalog.array_agg(n.id ORDER BY n.place) INTO moving
              FROM unnest(next_ids, next_doors) WITH ORDINALITY AS n(id, at, place) WHERE n.at = door;
            IF door = 1 THEN
                undue := undue || next_undue;
            END IF;
        END IF;
    END LOOP;
    IF moving IS NOT NULL THEN
        UPDATE dutiful.job AS j SET gate = NULL, gate_seq = NULL, admitted = true,
               ready_seq = CASE WHEN n.due THEN n.seq END
          FROM (SELECT m.id, nextval('dutiful.ready_seq') AS seq, m.id NOT IN (SELECT unnest(undue)) AS due
                  FROM (SELECT * FROM unnest(moving) WITH ORDINALITY AS m(id, place) ORDER BY m.place) AS m) AS n
         WHERE j.id = ANY (ARRAY[n.id]);
        GET DIAGNOSTICS let = ROW_COUNT;
    END IF;
    IF freed IS NOT NULL AND random() < 1.0 / 256 THEN
        UPDATE dutiful.gate AS g SET low = m.seq - 1
          FROM unnest(freed) AS f(gate)
         CROSS JOIN LATERAL (SELECT p.seq FROM dutiful.place AS p WHERE p.gate = f.gate ORDER BY p.seq LIMIT 1) AS m
         WHERE g.id = f.gate AND g.id IN (SELECT unnest(held)) AND m.seq - 1 > g.low;
    END IF;
    RETURN let;
END $$;

CREATE FUNCTION dutiful.gate_done() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    fresh boolean;
    arriving text;
    leaving text;
    kept text;
BEGIN
    IF coalesce(pg_catalog.current_setting('dutiful.leaving', true), '') = ''
       AND coalesce(pg_catalog.current_setting('dutiful.arriving', true), '') = ''
       AND coalesce(pg_catalog.current_setting('dutiful.kept', true), '') = '' THEN
        RETURN NULL;  -- all was done for another row
    END IF;
    fresh := pg_catalog.current_setting('transaction_isolation') = 'read committed';
    arriving := nullif(pg_catalog.current_setting('dutiful.arriving', true), '');
    leaving := nullif(pg_catalog.current_setting('dutiful.leaving', true), '');
    kept := nullif(pg_catalog.current_setting('dutiful.kept', true), '');
    IF arriving IS NOT NULL OR leaving IS NOT NULL THEN
        PERFORM pg_catalog.set_config('dutiful.arriving', '', true), pg_catalog.set_config('dutiful.leaving', '', true);
        IF fresh AND leaving IS NULL AND dutiful.pass_free(arriving::bigint) THEN
            NULL;
        ELSIF fresh AND arriving IS NULL
              AND dutiful.leave_free(pg_catalog.string_to_array(pg_catalog.rtrim(leaving), ' ')::uuid[]) THEN
            NULL;
        ELSE
            IF arriving IS NOT NULL THEN
                PERFORM dutiful.demand_gates(ARRAY(
                    SELECT DISTINCT e.id FROM dutiful.job AS j, unnest(j.gates) AS e(id)
                     WHERE j.gate_seq < 0 AND j.gate_seq <= arriving::bigint AND j.gate IS NULL AND j.run_no = 0));
            END IF;
            PERFORM dutiful.pass_gates(arriving::bigint,
                pg_catalog.string_to_array(pg_catalog.rtrim(leaving), ' ')::uuid[], NULL);
        END IF;
    END IF;
    IF fresh AND kept IS NOT NULL THEN
        -- At last, and only those that are locked already or free: locks are taken in order.
        PERFORM pg_catalog.set_config('dutiful.kept', '', true);
        WITH used AS (
            SELECT g.id, k.at FROM (SELECT pg_catalog.split_part(e.word, ':', 1)::bigint AS gate,
                                           max(pg_catalog.split_part(e.word, ':', 2)::bigint) AS at
                                      FROM unnest(pg_catalog.string_to_array(pg_catalog.rtrim(kept), ' ')) AS e(word)
                                     GROUP BY 1) AS k
              JOIN dutiful.gate AS g ON g.id = k.gate AND g.used_at < k.at FOR NO KEY UPDATE OF g SKIP LOCKED
        )
        UPDATE dutiful.gate AS g SET used_at = u.at FROM used AS u WHERE g.id = u.id;
    END IF;
    RETURN NULL;
END $$;

-- Jobs without gates fire none of these.
CREATE TRIGGER gates_came AFTER INSERT OR UPDATE OF gate_seq ON dutiful.job FOR EACH ROW
    WHEN (NEW.gate_seq < 0) EXECUTE FUNCTION dutiful.gate_noted();
CREATE TRIGGER gates_left AFTER DELETE ON dutiful.job FOR EACH ROW
    WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_noted();
CREATE TRIGGER gates_left AFTER DELETE ON dutiful.dead FOR EACH ROW
    WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_noted();
CREATE CONSTRAINT TRIGGER gates_in AFTER INSERT OR UPDATE OF gate_seq ON dutiful.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.gate_seq < 0) EXECUTE FUNCTION dutiful.gate_done();
CREATE CONSTRAINT TRIGGER gates_out AFTER DELETE ON dutiful.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_done();
CREATE CONSTRAINT TRIGGER gates_out AFTER DELETE ON dutiful.dead
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION dutiful.gate_done();
