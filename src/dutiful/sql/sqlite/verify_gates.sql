-- name: verify_gates
-- I13: who runs holds a place at each of its gates, which are there (a rate's is given back); no lock has more running than it
-- has places, and in an order nobody runs while one before it is not closed. Where there were more slots before,
-- more may run as long as none of them came since.
WITH live AS (
    SELECT j.id, j.lane, j.gates FROM dutiful.job AS j
     WHERE j.state = 'running' AND j.gates IS NOT NULL AND j.id < :before ORDER BY j.id DESC LIMIT :window
), held AS (
    SELECT j.id, j.lane, g.id AS gate, g.kind, g.key, g.slots, g.excused, p.seq
      FROM live AS j CROSS JOIN json_each(j.gates) AS e JOIN dutiful.gate AS g ON g.id = e.value AND g.kind <> 'rate'
      LEFT JOIN dutiful.place AS p ON p.job_id = j.id AND p.gate = g.id
    UNION
    SELECT j.id, j.lane, g.id, g.kind, g.key, g.slots, g.excused, p.seq
      FROM live AS j JOIN dutiful.place AS p ON p.job_id = j.id AND NOT p.rate JOIN dutiful.gate AS g ON g.id = p.gate
), wrong AS (
    SELECT h.id, h.lane, h.kind, h.key,
           CASE WHEN h.seq IS NULL THEN 'it runs, and holds no place'
                WHEN h.kind = 'order' AND EXISTS (SELECT 1 FROM dutiful.place AS q
                      WHERE q.gate = h.gate AND q.seq < h.seq) THEN 'it runs before one that came earlier'
                WHEN (SELECT count(*) FROM held AS o WHERE o.gate = h.gate) > h.slots
                 AND (SELECT max(o.seq) FROM held AS o WHERE o.gate = h.gate) > h.excused
                THEN 'more run than there are places' END AS problem
      FROM held AS h
    UNION ALL
    SELECT j.id, j.lane, 'gate', CAST(e.value AS text), 'it runs, and this gate of it was forgotten'
      FROM live AS j CROSS JOIN json_each(j.gates) AS e WHERE NOT EXISTS (SELECT 1 FROM dutiful.gate AS g WHERE g.id = e.value)
)
SELECT count(*) OVER (), CAST(w.id AS text), 'job', w.problem, w.kind || ' ' || w.key
  FROM wrong AS w LEFT JOIN dutiful.lane AS l ON l.id = w.lane
 WHERE w.problem IS NOT NULL AND (CAST(:app AS text) IS NULL OR l.app = :app)
 LIMIT :rows
