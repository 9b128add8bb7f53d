-- name: timeline_of
-- All that is written down of one job behind a cursor (instant, then place among the like), oldest first (:way 1)
-- or newest first (-1): its acceptance and endings, how each run ended, what people did, what its effects came to.
SELECT x.at, x.place, x.no, x.what, x.run_no, x.who, x.worker, w.release, w.host, x.detail, x.delay
  FROM (
    SELECT e.enqueued_at AS at, 0 AS place, 0 AS no, 'accepted' AS what, NULL::integer AS run_no, NULL::text AS who,
           NULL::bigint AS worker, NULL::text AS detail, NULL::bigint AS delay
      FROM (SELECT min(t.enqueued_at) AS enqueued_at FROM (
            SELECT j.enqueued_at FROM dutiful.job AS j WHERE j.id = :id::uuid
            UNION ALL SELECT d.enqueued_at FROM dutiful.dead AS d WHERE d.id = :id::uuid
            UNION ALL SELECT h.enqueued_at FROM dutiful.history AS h WHERE h.id = :id::uuid) AS t) AS e
     WHERE e.enqueued_at IS NOT NULL
    UNION ALL
    SELECT j.claimed_at, 1, j.run_no, 'began', j.run_no, NULL, j.worker, NULL, NULL
      FROM dutiful.job AS j WHERE j.id = :id::uuid AND j.state = 'running'
    UNION ALL
    SELECT f.failed_at, 2, f.run_no, 'failed', f.run_no, NULL, f.worker, f.kind || ': ' || left(f.message, 300), NULL
      FROM dutiful.failure AS f WHERE f.job_id = :id::uuid
    UNION ALL
    SELECT e.at, 3, e.run_no, e.what, e.run_no, NULL, e.worker, NULL, e.delay
      FROM dutiful.event AS e WHERE e.job_id = :id::uuid
    UNION ALL
    SELECT e.asked_at, 4, e.run_no, 'called', e.run_no, NULL, NULL, e.name, NULL
      FROM dutiful.effect AS e WHERE e.app = :app AND e.task = :task AND e.duty = :duty
    UNION ALL
    SELECT e.settled_at, 5, e.run_no, 'effect ' || e.state, e.run_no, e.settled_by, NULL, e.name, NULL
      FROM dutiful.effect AS e WHERE e.app = :app AND e.task = :task AND e.duty = :duty AND e.settled_at IS NOT NULL
    UNION ALL
    SELECT d.died_at, 6, d.run_no, 'died', d.run_no, NULL, d.worker, d.reason, NULL
      FROM dutiful.dead AS d WHERE d.id = :id::uuid
    UNION ALL
    SELECT h.finished_at, 7, h.run_no, coalesce(h.outcome, h.state), h.run_no, NULL, h.worker, h.reason, NULL
      FROM dutiful.history AS h WHERE h.id = :id::uuid
    UNION ALL
    SELECT a.at, 8, a.id, a.verb, NULL, a.actor, NULL, a.before || ' → ' || a.after || ': ' || a.reason, NULL
      FROM dutiful.audit AS a WHERE a.subject = :subject AND a.app = :app
  ) AS x LEFT JOIN dutiful.worker AS w ON w.id = x.worker
 WHERE (x.at * :way, x.place * :way, x.no * :way) > (:at, :place, :no)
 ORDER BY x.at * :way, x.place * :way, x.no * :way LIMIT :limit
