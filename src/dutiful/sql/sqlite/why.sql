-- name: places_ahead
-- How many ready jobs of its queue stand before a job: those of higher priority, and those before it
-- in its own lane; each counted up to :limit.
SELECT (SELECT count(*) FROM (SELECT 1 FROM dutiful.lane AS m JOIN dutiful.job AS o ON o.lane = m.id
                               WHERE m.app = l.app AND m.queue = l.queue AND m.priority > l.priority
                                 AND o.ready_seq IS NOT NULL AND o.state = 'ready' LIMIT :limit) AS x),
       (SELECT count(*) FROM (SELECT 1 FROM dutiful.job AS o
                               WHERE o.lane = j.lane AND o.ready_seq < j.ready_seq
                                 AND o.state = 'ready' LIMIT :limit) AS x)
  FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane WHERE j.id = :id
