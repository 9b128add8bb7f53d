-- name: verify_revived
-- I12: whoever brought a job back left an audit row: for each ending that did not stay its last, and
-- for a live job that was tried more often before than now.
WITH live AS (
    SELECT j.id, j.lane, j.attempt, j.run_no, j.enqueued_at
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.enqueued_at
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.enqueued_at
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), back AS (
    SELECT j.id, j.lane, j.enqueued_at, 'job' AS place, 0 AS last,
           CASE WHEN j.run_no = 0 THEN 0 ELSE (SELECT count(*) FROM dutiful.failure AS f
             WHERE f.job_id = j.id AND f.attempt > j.attempt) END AS lives_before
      FROM live AS j
    UNION ALL
    SELECT d.id, d.lane, d.enqueued_at, 'dead', 0, 0 FROM buried AS d
    UNION ALL
    SELECT h.id, max(h.lane), min(h.enqueued_at), 'history', 1, 0 FROM ended AS h GROUP BY h.id HAVING count(*) > 1
), seen AS (
    SELECT b.id, b.lane, b.place, b.last, b.lives_before,
           (SELECT count(*) FROM dutiful.history AS h
             WHERE h.id = b.id AND h.finished_at BETWEEN b.enqueued_at - 86400000000
                                                     AND :now + 86400000000) AS endings
      FROM back AS b
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

-- name: verify_decided
-- I12: what was dead or in doubt is done, or goes on, because somebody said so, and when, and why: whoever
-- waived, confirmed, resumed or refuted left an audit row. (A body that lived reports by its token, and its
-- ending says that.) Each start of a life before, and each effect that nobody knew of, needed a decision.
WITH live AS (
    SELECT j.id, j.lane, j.task, j.key, j.epoch, j.state, j.delivery, j.run_no
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.task, d.key, d.epoch, d.delivery, d.run_no
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, h.task, h.key, h.epoch, h.delivery, h.run_no, h.outcome, h.doubt, h.reason
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
), jobs AS (
    SELECT 'job' AS place, j.*, NULL AS verb FROM live AS j WHERE j.run_no > 0
    UNION ALL
    SELECT 'dead', d.id, d.lane, d.task, d.key, d.epoch, 'dead', d.delivery, d.run_no, NULL
      FROM buried AS d WHERE d.run_no > 0
    UNION ALL
    SELECT 'history', h.id, h.lane, h.task, h.key, h.epoch, h.outcome, h.delivery, h.run_no,
           CASE WHEN h.outcome = 'waived' THEN 'waive'
                WHEN h.doubt IS NOT NULL AND coalesce(h.reason, '') <> 'reported' THEN 'confirm' END
      FROM ended AS h WHERE h.outcome IN ('performed', 'waived') AND h.run_no > 0
), owed AS (
    SELECT x.*, l.app,
           CASE WHEN x.epoch = 1 OR x.delivery <> 'at_most_once' THEN 0 ELSE
             (SELECT count(*) FROM dutiful.ledger AS g WHERE g.app = l.app AND g.task = x.task
                 AND g.key = coalesce(x.key, CAST(x.id AS text)) AND g.epoch < x.epoch AND g.job_id = x.id) END AS lives,
           (SELECT count(*) FROM dutiful.failure AS f WHERE f.job_id = x.id AND f.kind = 'EffectInDoubt'
               AND f.run_no <= x.run_no) - CASE x.state WHEN 'in_doubt' THEN 1 ELSE 0 END AS doubts
      FROM jobs AS x LEFT JOIN dutiful.lane AS l ON l.id = x.lane
     WHERE CAST(:app AS text) IS NULL OR l.app = :app
), said AS (
    SELECT o.*, (SELECT count(*) FROM dutiful.audit AS a WHERE a.subject = CAST(o.id AS text) AND (a.verb = o.verb
      OR o.verb IS NULL AND a.verb IN ('waive', 'confirm', 'resume', 'refute', 'retry'))) AS audited
      FROM owed AS o WHERE o.verb IS NOT NULL OR o.lives > 0 OR o.doubts > 0
)
SELECT count(*) OVER (), CAST(s.id AS text), s.place, 'it is ' || s.state || ', and nobody says why',
       s.task || ', epoch ' || s.epoch || ', ' || s.audited || ' audit rows'
  FROM said AS s WHERE s.audited < CASE WHEN s.verb IS NOT NULL THEN 1 WHEN s.lives > s.doubts THEN s.lives ELSE s.doubts END
 LIMIT :rows

-- name: verify_places
-- One place a job: live or dead, not both, and neither once it is done for good. (Counted, so that
-- no planner can turn the look-ups by id into a join that walks one table for each row of another.)
WITH live AS (
    SELECT j.id, j.lane, j.enqueued_at
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, d.enqueued_at
      FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), wrong AS (
    SELECT j.id, j.lane, 'job' AS place, 'live and dead at once' AS problem
      FROM live AS j WHERE (SELECT count(*) FROM dutiful.dead AS d WHERE d.id = j.id) > 0
    UNION ALL
    SELECT x.id, x.lane, x.place, x.problem
      FROM (SELECT j.*, 'job' AS place, 'live, though it is done' AS problem FROM live AS j
            UNION ALL SELECT d.*, 'dead', 'dead, though it is done' FROM buried AS d) AS x
     WHERE (SELECT count(*) FROM dutiful.history AS h
             WHERE h.id = x.id AND h.outcome IN ('performed', 'duplicate')
               AND h.finished_at BETWEEN x.enqueued_at - 86400000000 AND :now + 86400000000) > 0
)
SELECT count(*) OVER (), CAST(w.id AS text), w.place, w.problem, ''
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE CAST(:app AS text) IS NULL OR l.app = :app
 LIMIT :rows

-- name: verify_endings
-- Nothing follows a job that was done, and its runs count on from one ending to the next.
WITH ended AS (
    SELECT h.id, h.lane, h.finished_at, h.run_no, h.outcome
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC, h.finished_at DESC LIMIT :window
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
        OR p.outcome = 'performed' AND p.run_no = p.run_before AND coalesce(p.outcome_before, '') <> 'waived')
 LIMIT :rows

-- name: verify_lanes
-- Every job stands in a lane that is there; without one no app would own it and no worker claim it.
WITH live AS (
    SELECT j.id, j.lane, 'job' AS place FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), buried AS (
    SELECT d.id, d.lane, 'dead' AS place FROM dutiful.dead AS d WHERE d.id < :before ORDER BY d.id DESC LIMIT :window
), ended AS (
    SELECT h.id, h.lane, 'history' AS place FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
)
SELECT count(*) OVER (), CAST(x.id AS text), x.place, 'its lane does not exist', 'lane ' || x.lane
  FROM (SELECT * FROM live UNION ALL SELECT * FROM buried UNION ALL SELECT * FROM ended) AS x
 WHERE NOT EXISTS (SELECT 1 FROM dutiful.lane AS l WHERE l.id = x.lane)
 LIMIT :rows

-- name: verify_ready
-- A ready job can be come by: it has a number of its own that was given out, or waits for its time
-- or for its gate, which knows it.
WITH live AS (
    SELECT j.id, j.lane, j.state, j.ready_seq, j.gate, j.gate_seq, j.gates
      FROM dutiful.job AS j WHERE j.id < :before ORDER BY j.id DESC LIMIT :window
), wrong AS (
    SELECT j.id, j.lane, j.state, j.ready_seq,
           CASE WHEN j.state = 'running' AND j.ready_seq IS NULL THEN 'running, and it never was ready'
                WHEN j.state = 'ready' AND j.ready_seq IS NULL AND j.gate IS NOT NULL AND (j.gates IS NULL
                     OR j.gate_seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM dutiful.place AS p
                         WHERE p.gate = j.gate AND p.seq = j.gate_seq AND p.job_id = j.id))
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

-- name: verify_elsewhere
-- What is not looked at: work that was done in other databases, whose ledgers are there.
WITH ended AS (
    SELECT h.id, h.lane, h.reason, h.outcome, h.delivery
      FROM dutiful.history AS h WHERE h.id < :before ORDER BY h.id DESC LIMIT :window
)
SELECT e.reason, count(*) FROM ended AS e JOIN dutiful.lane AS l ON l.id = e.lane
 WHERE e.outcome = 'performed' AND e.delivery = 'exactly_once' AND e.reason LIKE 'in %'
   AND (CAST(:app AS text) IS NULL OR l.app = :app)
 GROUP BY e.reason

-- name: list_checked
-- What the looks at an app's invariants have found, or not.
SELECT c.name, c.invariant, c.at, c.found_at, c.count, c.jobs, :now
  FROM dutiful.checked AS c WHERE c.app = :app ORDER BY c.name
