-- name: verify_ids
-- Of each table the oldest id, and the oldest that a look at the newest rows sees (null: it sees them
-- all): between them lies whatever place is chosen to be looked at.
SELECT CAST((SELECT j.id FROM dutiful.job AS j ORDER BY j.id LIMIT 1) AS text),
       CAST((SELECT j.id FROM dutiful.job AS j ORDER BY j.id DESC LIMIT 1 OFFSET :window - 1) AS text),
       CAST((SELECT d.id FROM dutiful.dead AS d ORDER BY d.id LIMIT 1) AS text),
       CAST((SELECT d.id FROM dutiful.dead AS d ORDER BY d.id DESC LIMIT 1 OFFSET :window - 1) AS text),
       CAST((SELECT h.id FROM dutiful.history AS h ORDER BY h.id LIMIT 1) AS text),
       CAST((SELECT h.id FROM dutiful.history AS h ORDER BY h.id DESC LIMIT 1 OFFSET :window - 1) AS text)

-- name: verify_proof
-- I4: done(performed) by a run that held a token; a duplicate names the job that did it, and where its
-- duty's row of the ledger is here, that job is the one in it.
WITH ended AS (
    SELECT h.id, h.lane, h.outcome, h.last_token, h.run_no, h.same_as, h.delivery, h.task, h.key, h.epoch, h.reason
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), wrong AS (
    SELECT h.id, h.lane, h.run_no, h.last_token, h.same_as, 'performed, and no run can have done it' AS problem
      FROM ended AS h WHERE h.outcome = 'performed' AND (h.run_no < 1 OR h.last_token IS NULL)
    UNION ALL
    SELECT h.id, h.lane, h.run_no, h.last_token, h.same_as,
           CASE WHEN h.same_as IS NULL OR h.same_as = h.id THEN 'a duplicate of nothing'
                WHEN g.app IS NOT NULL AND g.job_id <> h.same_as THEN 'a duplicate of a job that did not do it'
                WHEN g.app IS NULL AND h.reason IS NULL AND h.delivery IN ('exactly_once', 'at_most_once')
                THEN 'a duplicate, and the ledger knows nobody who did it' END
      FROM ended AS h LEFT JOIN dutiful.lane AS l ON l.id = h.lane
      LEFT JOIN dutiful.ledger AS g ON g.app = l.app AND g.task = h.task
                AND g.key = coalesce(h.key, CAST(h.id AS text)) AND g.epoch = h.epoch
     WHERE h.outcome = 'duplicate'
)
SELECT count(*) OVER (), CAST(w.id AS text), 'history', w.problem,
       'run_no ' || w.run_no || CASE WHEN w.last_token IS NULL THEN ', no last_token' ELSE '' END
       || coalesce(', same_as ' || CAST(w.same_as AS text), '')
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE w.problem IS NOT NULL AND (CAST(:app AS text) IS NULL OR l.app = :app)
 LIMIT :rows

-- name: verify_strangers
-- I5: a running job is changed by the run that holds it. A failure of a run that the job never had, of
-- the one that still runs, or of the one that performed it (unless that was in doubt) was somebody else's.
WITH live AS (
    SELECT j.id, j.lane, j.state, j.run_no, j.worker
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.run_no FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.run_no, h.outcome, h.doubt
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), seen AS (
    SELECT j.id, j.lane, 'job' AS place, j.state, j.run_no, j.worker,
           CASE WHEN j.state = 'running' THEN j.run_no ELSE j.run_no + 1 END AS too_late FROM live AS j
    UNION ALL
    SELECT d.id, d.lane, 'dead', 'dead', d.run_no, NULL, d.run_no + 1 FROM buried AS d
    UNION ALL
    SELECT h.id, h.lane, 'history', 'done', h.run_no, NULL,
           CASE WHEN h.doubt IS NULL THEN h.run_no ELSE h.run_no + 1 END
      FROM ended AS h WHERE h.outcome = 'performed'
), asked AS (
    SELECT s.*, (SELECT max(f.run_no) FROM dutiful.failure AS f WHERE f.job_id = s.id) AS failed,
           (SELECT w.reaped_at FROM dutiful.worker AS w WHERE w.id = s.worker) AS closed FROM seen AS s
)
SELECT count(*) OVER (), CAST(a.id AS text), a.place,
       CASE WHEN a.failed > a.run_no THEN 'a run failed that it never had'
            WHEN a.failed >= a.too_late AND a.state = 'running' THEN 'its run failed, and is running'
            WHEN a.failed >= a.too_late THEN 'its run failed, and performed it'
            ELSE 'it runs for a worker that is gone and was closed' END,
       a.state || ', run_no ' || a.run_no || coalesce(', run ' || a.failed || ' failed', '')
       || coalesce(', worker ' || a.worker, '')
  FROM asked AS a LEFT JOIN dutiful.lane AS l ON l.id = a.lane
 WHERE (CAST(:app AS text) IS NULL OR l.app = :app) AND (a.failed >= a.too_late OR a.closed IS NOT NULL)
 LIMIT :rows

-- name: verify_tokens
-- I7: a token names one run of one job. A revived job carries its last one along, and a running one
-- that of the run before: those share a number, or have none; the current token is nowhere else.
WITH live AS (
    SELECT j.id, j.lane, j.state, j.token, j.last_token, j.run_no
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.last_token, d.run_no
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.last_token, h.run_no
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), given AS (
    SELECT j.token, j.id, j.lane, j.run_no, 1 AS running FROM live AS j
    UNION ALL
    SELECT j.last_token, j.id, j.lane, CASE WHEN j.state <> 'running' THEN j.run_no END, 0 FROM live AS j
    UNION ALL
    SELECT d.last_token, d.id, d.lane, d.run_no, 0 FROM buried AS d
    UNION ALL
    SELECT h.last_token, h.id, h.lane, h.run_no, 0 FROM ended AS h
), repeated AS (
    SELECT CAST(g.token AS text) AS token, min(CAST(g.id AS text)) AS one, max(CAST(g.id AS text)) AS other,
           min(g.run_no) AS least, max(g.run_no) AS most, max(g.lane) AS lane
      FROM given AS g WHERE g.token IS NOT NULL
     GROUP BY g.token
    HAVING count(*) > 1 AND (sum(g.running) > 0 OR min(g.run_no) <> max(g.run_no)
                             OR min(CAST(g.id AS text)) <> max(CAST(g.id AS text)))
)
SELECT count(*) OVER (), r.one, 'job, dead or history', 'two runs have one token',
       'token ' || r.token || ', job ' || r.other || ', run_no ' || r.least || ' to ' || r.most
  FROM repeated AS r LEFT JOIN dutiful.lane AS l ON l.id = r.lane
 WHERE CAST(:app AS text) IS NULL OR l.app = :app
 LIMIT :rows

-- name: verify_numbers
-- I7: a job was not tried more often than it ran, and its runs count on from its endings. (No ending is
-- older than its job: that, with a day for clocks that were set, spares a look at each day of the history.)
WITH live AS (
    SELECT j.id, j.lane, j.run_no, j.attempt, j.enqueued_at
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.run_no, d.attempt, d.enqueued_at
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.run_no, h.attempt
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), wrong AS (
    SELECT x.id, x.place, x.lane, x.run_no, x.attempt, x.ended
      FROM (SELECT o.id, o.place, o.lane, o.run_no, o.attempt,
                   (SELECT max(h.run_no) FROM dutiful.history AS h
                     WHERE h.id = o.id AND h.finished_at BETWEEN o.enqueued_at - 86400000000
                       AND :now + 86400000000) AS ended
              FROM (SELECT j.*, 'job' AS place FROM live AS j
                    UNION ALL SELECT d.*, 'dead' FROM buried AS d) AS o
            UNION ALL
            SELECT h.id, 'history', h.lane, h.run_no, h.attempt, NULL FROM ended AS h) AS x
     WHERE x.attempt < 0 OR x.attempt > x.run_no OR x.run_no < x.ended
)
SELECT count(*) OVER (), CAST(w.id AS text), w.place,
       CASE WHEN w.run_no < w.ended THEN 'fewer runs than when it ended before'
            ELSE 'more tries than runs' END,
       'run_no ' || w.run_no || ', attempt ' || w.attempt || coalesce(', ended with run_no ' || w.ended, '')
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE CAST(:app AS text) IS NULL OR l.app = :app
 LIMIT :rows

-- name: verify_duties
-- I8: one open job a duty. The duty's row names it; of two open jobs it can name one only.
WITH live AS (
    SELECT j.id, j.lane, j.task, j.key FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
)
SELECT count(*) OVER (), CAST(j.id AS text), 'job',
       CASE WHEN d.job_id IS NULL THEN 'its duty has no row: another job could be made'
            ELSE 'its duty''s row names another job' END,
       j.task || ' ' || j.key || coalesce(', held by ' || CAST(d.job_id AS text), '')
  FROM live AS j JOIN dutiful.lane AS l ON l.id = j.lane
  LEFT JOIN dutiful.duty AS d ON d.app = l.app AND d.task = j.task AND d.key = j.key
 WHERE (CAST(:app AS text) IS NULL OR l.app = :app)
   AND j.key IS NOT NULL AND (d.job_id IS NULL OR d.job_id <> j.id)
 LIMIT :rows

-- name: verify_runs
-- I9: running means a token and a worker, and nothing else does; in doubt means a reason; who ran keeps
-- the last token.
WITH live AS (
    SELECT j.id, j.lane, j.state, j.token, j.worker, j.run_no, j.last_token, j.doubt, j.doubt_at
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.run_no, d.last_token
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.state, h.run_no, h.last_token
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), wrong AS (
    SELECT j.id, j.lane, 'job' AS place, j.state,
           CASE WHEN (j.state = 'running') <> (j.token IS NOT NULL) THEN 'running and its token disagree'
                WHEN (j.token IS NULL) <> (j.worker IS NULL) THEN 'its token and its worker disagree'
                WHEN j.state IN ('running', 'in_doubt') AND j.run_no < 1
                THEN j.state || ', and no run was counted'
                WHEN (j.state = 'in_doubt') <> (j.doubt IS NOT NULL AND j.doubt_at IS NOT NULL)
                THEN 'its state and its doubt disagree'
                WHEN j.state <> 'running' AND j.run_no > 0 AND j.last_token IS NULL
                THEN 'it ran, and its last token is lost' END AS problem
      FROM live AS j
    UNION ALL
    SELECT d.id, d.lane, 'dead', 'dead', 'it ran, and its last token is lost'
      FROM buried AS d WHERE d.run_no > 0 AND d.last_token IS NULL
    UNION ALL
    SELECT h.id, h.lane, 'history', h.state, 'it ran, and its last token is lost'
      FROM ended AS h WHERE h.run_no > 0 AND h.last_token IS NULL
)
SELECT count(*) OVER (), CAST(w.id AS text), w.place, w.problem, w.state
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE (CAST(:app AS text) IS NULL OR l.app = :app) AND w.problem IS NOT NULL
 LIMIT :rows
