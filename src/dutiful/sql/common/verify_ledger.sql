-- name: verify_works
-- I1: a duty is worked once in an epoch. Who performed it here has the ledger's row of the duty; of those
-- who did it in another database (their ending says where) no two are of one duty and epoch.
WITH ended AS (
    SELECT h.id, h.lane, h.task, h.key, h.epoch, h.last_token, h.reason, h.outcome, h.delivery
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), works AS (
    SELECT l.app, e.task, coalesce(e.key, CAST(e.id AS text)) AS duty, e.epoch,
           CAST(e.id AS text) AS id, e.last_token, e.reason
      FROM ended AS e JOIN dutiful.lane AS l ON l.id = e.lane
     WHERE e.outcome = 'performed' AND e.delivery = 'exactly_once'
       AND (CAST(:app AS text) IS NULL OR l.app = :app)
), wrong AS (
    SELECT w.id, w.task, w.duty, w.epoch, coalesce(CAST(g.job_id AS text), 'dutiful.once') AS other
      FROM works AS w JOIN dutiful.ledger AS g
        ON g.app = w.app AND g.task = w.task AND g.key = w.duty AND g.epoch = w.epoch
     WHERE w.reason IS NULL AND (g.token IS NULL OR g.token <> w.last_token)
    UNION ALL
    SELECT max(w.id), w.task, w.duty, w.epoch, min(w.id)
      FROM works AS w WHERE w.reason IS NOT NULL
     GROUP BY w.app, w.task, w.duty, w.epoch HAVING count(*) > 1
)
SELECT count(*) OVER (), w.id, 'history', 'performed, and so did another run',
       w.task || ' ' || w.duty || ', epoch ' || w.epoch || ', also by ' || w.other
  FROM wrong AS w
 LIMIT :rows

-- name: verify_starts
-- I2: an at_most_once body begins once in an epoch, and its start is in the ledger under its token. What
-- has begun is never ready again, nor run again in that epoch.
WITH live AS (
    SELECT j.id, j.lane, j.task, j.key, j.epoch, j.state, j.started_at, coalesce(j.token, j.last_token) AS token,
           j.delivery, NULL AS reason
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.task, d.key, d.epoch, 'dead' AS state, d.started_at, d.last_token, d.delivery, NULL
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.task, h.key, h.epoch, coalesce(h.outcome, h.state) AS state, h.started_at,
           h.last_token, h.delivery, h.reason
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), jobs AS (
    SELECT 'job' AS place, j.* FROM live AS j WHERE j.delivery = 'at_most_once'
    UNION ALL
    SELECT 'dead', d.* FROM buried AS d WHERE d.delivery = 'at_most_once'
    UNION ALL
    SELECT 'history', h.* FROM ended AS h
     WHERE h.delivery = 'at_most_once' AND (h.started_at IS NOT NULL OR h.state = 'performed' AND h.reason IS NULL)
), wrong AS (
    SELECT x.id, x.place, x.task, x.epoch, coalesce(x.key, CAST(x.id AS text)) AS duty, x.state,
           CASE WHEN x.state = 'ready' AND x.started_at IS NOT NULL THEN 'ready, though its body began'
                WHEN x.started_at IS NULL AND x.state = 'performed' THEN 'performed, and its body never began'
                WHEN x.started_at IS NULL AND g.job_id = x.id AND g.epoch = x.epoch
                THEN 'its body began, and it does not say so'
                WHEN x.started_at IS NOT NULL AND g.app IS NULL THEN 'its body began, and the ledger does not say so'
                WHEN x.started_at IS NOT NULL AND (g.token IS NULL OR g.token <> x.token)
                THEN 'its body began, and so did another run''s' END AS problem
      FROM jobs AS x LEFT JOIN dutiful.lane AS l ON l.id = x.lane
      LEFT JOIN dutiful.ledger AS g ON g.app = l.app AND g.task = x.task
                AND g.key = coalesce(x.key, CAST(x.id AS text)) AND g.epoch = x.epoch
     WHERE CAST(:app AS text) IS NULL OR l.app = :app
)
SELECT count(*) OVER (), CAST(w.id AS text), w.place, w.problem,
       w.state || ', ' || w.task || ' ' || w.duty || ', epoch ' || w.epoch
  FROM wrong AS w WHERE w.problem IS NOT NULL
 LIMIT :rows

-- name: verify_kept
-- I6: exactly_once work in this database and its job's end are one commit: who performed it has a row of
-- the ledger, who did not has none. (An ending with a reason says why not: its work is in another database,
-- or the task was another, at_least_once, when it was run.)
WITH live AS (
    SELECT j.id, j.lane, j.task, j.key, j.epoch, j.state, j.delivery
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.task, d.key, d.epoch, d.delivery
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.task, h.key, h.epoch, coalesce(h.outcome, h.state) AS state, h.delivery, h.last_token, h.reason
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), jobs AS (
    SELECT 'job' AS place, j.id, j.lane, j.task, j.key, j.epoch, j.state, j.delivery, NULL AS token, NULL AS reason
      FROM live AS j WHERE j.delivery = 'exactly_once'
    UNION ALL
    SELECT 'dead', d.id, d.lane, d.task, d.key, d.epoch, 'dead', d.delivery, NULL, NULL
      FROM buried AS d WHERE d.delivery = 'exactly_once'
    UNION ALL
    SELECT 'history', h.id, h.lane, h.task, h.key, h.epoch, h.state, h.delivery, CAST(h.last_token AS text), h.reason
      FROM ended AS h WHERE h.delivery = 'exactly_once'
), wrong AS (
    SELECT x.id, x.place, x.task, coalesce(x.key, CAST(x.id AS text)) AS duty, x.epoch, x.state,
           CASE WHEN x.state = 'performed' AND g.app IS NULL AND x.reason IS NULL
                THEN 'performed, and the ledger has no work of it'
                WHEN x.state <> 'performed' AND g.job_id = x.id AND g.kind = 'work'
                 AND (x.place <> 'history' OR CAST(g.token AS text) = x.token)
                THEN 'its work is in the ledger, and it is ' || x.state END AS problem
      FROM jobs AS x LEFT JOIN dutiful.lane AS l ON l.id = x.lane
      LEFT JOIN dutiful.ledger AS g ON g.app = l.app AND g.task = x.task
                AND g.key = coalesce(x.key, CAST(x.id AS text)) AND g.epoch = x.epoch
     WHERE CAST(:app AS text) IS NULL OR l.app = :app
)
SELECT count(*) OVER (), CAST(w.id AS text), w.place, w.problem,
       w.task || ' ' || w.duty || ', epoch ' || w.epoch
  FROM wrong AS w WHERE w.problem IS NOT NULL
 LIMIT :rows

-- name: verify_unchanged
-- I16: a row of the ledger is what its run wrote: the same job, run and kind as in the job's ending.
WITH ended AS (
    SELECT h.id, h.lane, h.task, h.key, h.epoch, h.delivery, h.last_token, h.run_no
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
)
SELECT count(*) OVER (), CAST(h.id AS text), 'ledger', 'its row is not what its run wrote',
       g.kind || ', job ' || CAST(g.job_id AS text) || ', run_no ' || g.run_no || ', and it was run ' || h.run_no
  FROM ended AS h JOIN dutiful.lane AS l ON l.id = h.lane
  JOIN dutiful.ledger AS g ON g.app = l.app AND g.task = h.task
       AND g.key = coalesce(h.key, CAST(h.id AS text)) AND g.epoch = h.epoch
 WHERE (CAST(:app AS text) IS NULL OR l.app = :app) AND h.delivery IN ('exactly_once', 'at_most_once')
   AND g.token = h.last_token
   AND (g.job_id <> h.id OR g.run_no <> h.run_no
        OR g.kind <> CASE h.delivery WHEN 'exactly_once' THEN 'work' ELSE 'start' END)
 LIMIT :rows

-- name: verify_effects
-- I15: an effect was intended before it was settled, by a run that its job had; what is counted of its
-- calls fits its state. Looks at the open ones and, by duty, at others.
WITH looked AS (
    SELECT o.* FROM (SELECT e.* FROM dutiful.effect AS e WHERE e.state = 'intended'
                      ORDER BY e.sent_at DESC LIMIT :window) AS o
    UNION ALL
    SELECT s.* FROM (SELECT e.* FROM dutiful.effect AS e
                      ORDER BY e.app DESC, e.task DESC, e.duty DESC, e.name DESC LIMIT :window) AS s
     WHERE s.state <> 'intended'
), held AS (
    SELECT e.app, e.task, e.duty, e.name, e.state, CAST(e.job_id AS text) AS id, e.run_no, e.token, e.tries,
           e.calls_open, e.calls_alive, e.asked_at, e.sent_at, e.settled_at, e.result, e.error,
           coalesce(j.run_no, d.run_no, (SELECT max(h.run_no) FROM dutiful.history AS h WHERE h.id = e.job_id
             AND h.finished_at BETWEEN e.asked_at - 86400000000 AND :now + 86400000000)) AS runs,
           coalesce(j.token, j.last_token, d.last_token) AS last
      FROM looked AS e LEFT JOIN dutiful.job AS j ON j.id = e.job_id LEFT JOIN dutiful.dead AS d ON d.id = e.job_id
     WHERE CAST(:app AS text) IS NULL OR e.app = :app
), wrong AS (
    SELECT h.*, CASE WHEN (h.state = 'intended') <> (h.settled_at IS NULL) THEN 'its state and its instants disagree'
                WHEN h.run_no < 1 OR h.tries < 1 THEN 'it was called by no run'
                WHEN h.settled_at < h.asked_at - 60000000 OR h.sent_at < h.asked_at - 60000000
                THEN 'it was settled or sent before it was intended'
                WHEN h.calls_open NOT BETWEEN 0 AND h.tries OR h.calls_alive NOT BETWEEN 0 AND h.tries
                  OR (h.state = 'refused') <> (h.calls_open = 0) THEN 'its calls are miscounted'
                WHEN h.state = 'refused' AND h.result IS NOT NULL THEN 'refused, and it has a result'
                WHEN h.run_no > h.runs THEN 'a run called it that its job never had'
                WHEN h.run_no = h.runs AND h.token <> h.last THEN 'it was called under a token that its run never had'
                END AS problem
      FROM held AS h
)
SELECT count(*) OVER (), w.id, 'effect', w.problem,
       w.task || ' ' || w.duty || ' ' || w.name || ', ' || w.state || ', run_no ' || w.run_no || ', call ' || w.tries
  FROM wrong AS w WHERE w.problem IS NOT NULL
 LIMIT :rows
