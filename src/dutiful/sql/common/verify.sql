-- name: verify_proof
-- I4: done(performed) by a run that held a token; a duplicate names the job that did it.
WITH ended AS (
    SELECT h.id, h.lane, h.outcome, h.last_token, h.run_no, h.same_as
      FROM dutiful.history AS h ORDER BY h.id DESC LIMIT :window
)
SELECT count(*) OVER (), x.id, 'history', x.problem, x.seen
  FROM (
    SELECT CAST(h.id AS text) AS id,
           CASE WHEN h.outcome = 'duplicate' THEN 'a duplicate of nothing'
                ELSE 'performed, and no run can have done it' END AS problem,
           'run_no ' || h.run_no || CASE WHEN h.last_token IS NULL THEN ', no last_token' ELSE '' END
           || coalesce(', same_as ' || CAST(h.same_as AS text), '') AS seen
      FROM ended AS h LEFT JOIN dutiful.lane AS l ON l.id = h.lane
     WHERE (CAST(:app AS text) IS NULL OR l.app = :app)
       AND (h.outcome = 'performed' AND (h.run_no < 1 OR h.last_token IS NULL)
            OR h.outcome = 'duplicate' AND (h.same_as IS NULL OR h.same_as = h.id))
  ) AS x
 LIMIT :rows

-- name: verify_tokens
-- I7: a token names one run of one job. A revived job carries its last one along, and a running one
-- that of the run before: those share a number, or have none; the current token is nowhere else.
WITH live AS (
    SELECT j.id, j.lane, j.state, j.token, j.last_token, j.run_no
      FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.last_token, d.run_no FROM dutiful.dead AS d ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.last_token, h.run_no FROM dutiful.history AS h ORDER BY h.id DESC LIMIT :window
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
-- I7: a job was not tried more often than it ran, and its runs count on from its endings.
WITH live AS (
    SELECT j.id, j.lane, j.run_no, j.attempt FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.run_no, d.attempt FROM dutiful.dead AS d ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.run_no, h.attempt FROM dutiful.history AS h ORDER BY h.id DESC LIMIT :window
), wrong AS (
    SELECT x.id, x.place, x.lane, x.run_no, x.attempt, x.ended
      FROM (SELECT j.*, 'job' AS place, (SELECT max(h.run_no) FROM dutiful.history AS h WHERE h.id = j.id) AS ended
              FROM live AS j
            UNION ALL
            SELECT d.*, 'dead', (SELECT max(h.run_no) FROM dutiful.history AS h WHERE h.id = d.id)
              FROM buried AS d
            UNION ALL
            SELECT h.*, 'history', NULL FROM ended AS h) AS x
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
    SELECT j.id, j.lane, j.task, j.key FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
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
-- I9: running means a token and a worker, and nothing else does; who ran keeps the last token.
WITH live AS (
    SELECT j.id, j.lane, j.state, j.token, j.worker, j.run_no, j.last_token
      FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.run_no, d.last_token FROM dutiful.dead AS d ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.state, h.run_no, h.last_token
      FROM dutiful.history AS h ORDER BY h.id DESC LIMIT :window
), wrong AS (
    SELECT j.id, j.lane, 'job' AS place, j.state,
           CASE WHEN (j.state = 'running') <> (j.token IS NOT NULL) THEN 'running and its token disagree'
                WHEN (j.token IS NULL) <> (j.worker IS NULL) THEN 'its token and its worker disagree'
                WHEN j.state = 'running' AND j.run_no < 1 THEN 'running, and no run was counted'
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

-- name: verify_revived
-- I12: whoever brought a job back left an audit row: for each ending that did not stay its last, and
-- for a live job that was tried more often before than now.
WITH live AS (
    SELECT j.id, j.lane, j.attempt, j.run_no FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane FROM dutiful.dead AS d ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane FROM dutiful.history AS h ORDER BY h.id DESC LIMIT :window
), back AS (
    SELECT j.id, j.lane, 'job' AS place, 0 AS last,
           CASE WHEN j.run_no = 0 THEN 0 ELSE (SELECT count(*) FROM dutiful.failure AS f
             WHERE f.job_id = j.id AND f.attempt > j.attempt) END AS lives_before
      FROM live AS j
    UNION ALL
    SELECT d.id, d.lane, 'dead', 0, 0 FROM buried AS d
    UNION ALL
    SELECT h.id, max(h.lane), 'history', 1, 0 FROM ended AS h GROUP BY h.id HAVING count(*) > 1
), seen AS (
    SELECT b.id, b.lane, b.place, b.last, b.lives_before,
           (SELECT count(*) FROM dutiful.history AS h WHERE h.id = b.id) AS endings FROM back AS b
), wrong AS (
    SELECT s.id, s.lane, s.place, s.endings,
           (SELECT count(*) FROM dutiful.audit AS a
             WHERE a.subject = CAST(s.id AS text) AND a.verb IN ('retry', 'unwaive')) AS audited,
           CASE WHEN s.lives_before > 0 AND s.endings = s.last THEN 1 ELSE s.endings - s.last END AS needed
      FROM seen AS s WHERE s.endings > s.last OR s.lives_before > 0
)
SELECT count(*) OVER (), CAST(w.id AS text), w.place, 'it came back, and nobody says who brought it',
       w.endings || ' endings, ' || w.audited || ' audit rows'
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE w.audited < w.needed AND (CAST(:app AS text) IS NULL OR l.app = :app)
 LIMIT :rows

-- name: verify_places
-- One place a job: live or dead, not both, and neither once it is done for good. (Counted, so that
-- no planner can turn the look-ups by id into a join that walks one table for each row of another.)
WITH live AS (
    SELECT j.id, j.lane FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane FROM dutiful.dead AS d ORDER BY d.id DESC LIMIT :window
), wrong AS (
    SELECT j.id, j.lane, 'job' AS place, 'live and dead at once' AS problem
      FROM live AS j WHERE (SELECT count(*) FROM dutiful.dead AS d WHERE d.id = j.id) > 0
    UNION ALL
    SELECT j.id, j.lane, 'job', 'live, though it is done'
      FROM live AS j WHERE (SELECT count(*) FROM dutiful.history AS h
                             WHERE h.id = j.id AND h.outcome IN ('performed', 'duplicate')) > 0
    UNION ALL
    SELECT d.id, d.lane, 'dead', 'dead, though it is done'
      FROM buried AS d WHERE (SELECT count(*) FROM dutiful.history AS h
                               WHERE h.id = d.id AND h.outcome IN ('performed', 'duplicate')) > 0
)
SELECT count(*) OVER (), CAST(w.id AS text), w.place, w.problem, ''
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE CAST(:app AS text) IS NULL OR l.app = :app
 LIMIT :rows

-- name: verify_endings
-- Nothing follows a job that was done, and its runs count on from one ending to the next.
WITH ended AS (
    SELECT h.id, h.lane, h.finished_at, h.run_no, h.outcome
      FROM dutiful.history AS h ORDER BY h.id DESC, h.finished_at DESC LIMIT :window
), paired AS (
    SELECT h.id, h.lane, h.run_no, h.outcome, lag(h.run_no) OVER w AS run_before,
           lag(h.outcome) OVER w AS outcome_before
      FROM ended AS h WINDOW w AS (PARTITION BY h.id ORDER BY h.finished_at)
)
SELECT count(*) OVER (), CAST(p.id AS text), 'history',
       CASE WHEN p.outcome_before IN ('performed', 'duplicate') THEN 'it ended again after it was done'
            ELSE 'no new run between two endings' END,
       'run_no ' || p.run_before || ' and then ' || p.run_no
  FROM paired AS p LEFT JOIN dutiful.lane AS l ON l.id = p.lane
 WHERE (CAST(:app AS text) IS NULL OR l.app = :app)
   AND (p.outcome_before IN ('performed', 'duplicate') OR p.run_no < p.run_before
        OR p.outcome = 'performed' AND p.run_no = p.run_before)
 LIMIT :rows

-- name: verify_lanes
-- Every job stands in a lane that is there; without one no app would own it and no worker claim it.
WITH live AS (
    SELECT j.id, j.lane, 'job' AS place FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, 'dead' AS place FROM dutiful.dead AS d ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, 'history' AS place FROM dutiful.history AS h ORDER BY h.id DESC LIMIT :window
)
SELECT count(*) OVER (), CAST(x.id AS text), x.place, 'its lane does not exist', 'lane ' || x.lane
  FROM (SELECT * FROM live UNION ALL SELECT * FROM buried UNION ALL SELECT * FROM ended) AS x
 WHERE NOT EXISTS (SELECT 1 FROM dutiful.lane AS l WHERE l.id = x.lane)
 LIMIT :rows

-- name: verify_ready
-- A ready job can be come by: it has a number of its own that was given out, or waits for its time
-- or for its gate, which knows it.
WITH live AS (
    SELECT j.id, j.lane, j.state, j.ready_seq, j.gate, j.gate_seq
      FROM dutiful.job AS j ORDER BY j.id DESC LIMIT :window
), wrong AS (
    SELECT j.id, j.lane, j.state, j.ready_seq,
           CASE WHEN j.state = 'running' AND j.ready_seq IS NULL THEN 'running, and it never was ready'
                WHEN j.state = 'ready' AND j.ready_seq IS NULL AND j.gate IS NOT NULL AND j.gate_seq IS NULL
                THEN 'its gate does not know it'
                WHEN j.ready_seq > s.last_value THEN 'its number was never given out'
                WHEN EXISTS (SELECT 1 FROM dutiful.job AS o WHERE o.lane = j.lane
                                AND o.ready_seq = j.ready_seq AND o.id <> j.id)
                THEN 'another job has its number' END AS problem
      FROM live AS j CROSS JOIN dutiful.ready_seq AS s
)
SELECT count(*) OVER (), CAST(w.id AS text), 'job', w.problem,
       w.state || coalesce(', ready_seq ' || w.ready_seq, '')
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE (CAST(:app AS text) IS NULL OR l.app = :app) AND w.problem IS NOT NULL
 LIMIT :rows
