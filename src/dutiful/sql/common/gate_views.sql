-- name: gate_first
-- The first who stand at a gate, wherever their jobs are, in turn; and whether their queue is paused.
SELECT CAST(p.job_id AS text), coalesce(j.state, CASE WHEN d.id IS NOT NULL THEN 'dead' ELSE 'closed' END), j.claimed_at,
       coalesce(j.task, d.task), CASE WHEN j.gate = p.gate THEN 1 ELSE 0 END, p.seq, p.granted, l.queue,
       CASE WHEN q.paused_at IS NOT NULL AND coalesce(q.paused_until > :now, true) THEN 1 ELSE 0 END
  FROM dutiful.place AS p
  LEFT JOIN dutiful.job AS j ON j.id = p.job_id LEFT JOIN dutiful.dead AS d ON d.id = p.job_id
  LEFT JOIN dutiful.lane AS l ON l.id = j.lane LEFT JOIN dutiful.queue AS q ON q.app = l.app AND q.name = l.queue
 WHERE p.gate = :gate AND p.seq > :low ORDER BY p.seq LIMIT :limit

-- name: gate_ahead
-- How many stand before a place, counted up to :limit.
SELECT count(*) FROM (SELECT 1 FROM dutiful.place AS p
                       WHERE p.gate = :gate AND p.seq > :low AND p.seq < :seq AND p.granted IS NULL LIMIT :limit) AS x

-- name: busy_gates
-- The gates at which somebody stands, one probe each, from an id on; how many do, counted up to :count, and the first.
WITH RECURSIVE busy(gate) AS (
    SELECT min(p.gate) FROM dutiful.place AS p WHERE p.gate > :after
    UNION ALL
    SELECT (SELECT min(p.gate) FROM dutiful.place AS p WHERE p.gate > b.gate) FROM busy AS b WHERE b.gate IS NOT NULL
), seen AS (
    SELECT g.id, g.app, g.kind, g.key, g.slots, g.per, g.burst,
           (SELECT count(*) FROM (SELECT 1 FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low
                                     AND p.granted IS NULL LIMIT :count) AS x) AS standing,
           (SELECT p.seq FROM dutiful.place AS p WHERE p.gate = g.id AND p.seq > g.low AND p.granted IS NULL
             ORDER BY p.seq LIMIT 1) AS head
      FROM busy AS b JOIN dutiful.gate AS g ON g.id = b.gate
     WHERE CAST(:app AS text) IS NULL OR g.app = :app
     LIMIT :limit
)
SELECT s.id, s.app, s.kind, s.key, s.slots, s.per, s.burst, s.standing, CAST(p.job_id AS text),
       coalesce(j.state, CASE WHEN d.id IS NOT NULL THEN 'dead' ELSE 'closed' END), j.claimed_at,
       coalesce(j.task, d.task), CASE WHEN j.gate = p.gate THEN 1 ELSE 0 END
  FROM seen AS s LEFT JOIN dutiful.place AS p ON p.gate = s.id AND p.seq = s.head
  LEFT JOIN dutiful.job AS j ON j.id = p.job_id LEFT JOIN dutiful.dead AS d ON d.id = p.job_id
 ORDER BY s.id

-- name: gates_named
-- The gates of a key, whether anybody stands there or not: one of each kind.
SELECT g.id, g.app, g.kind, g.key, g.slots, g.low, g.per, g.burst FROM dutiful.gate AS g
 WHERE (CAST(:app AS text) IS NULL OR g.app = :app) AND g.key = :key
   AND (CAST(:kind AS text) IS NULL OR g.kind = :kind)
 ORDER BY g.app, g.kind LIMIT 20

-- name: places_taken
-- How many of others stand at a gate, counted up to :limit, and whether this job does. Starts that were granted stand nowhere.
SELECT count(*), EXISTS (SELECT 1 FROM dutiful.place AS p WHERE p.job_id = :id AND p.gate = :gate AND p.granted IS NULL)
  FROM (SELECT 1 FROM dutiful.place AS p
         WHERE p.gate = :gate AND p.seq > :low AND p.granted IS NULL AND p.job_id <> :id LIMIT :limit) AS x
