-- name: checklist_evidence
-- What the records keep of each task: whether a duty was taken, what its first row in the ledger is of, whether a call
-- was written down. A look at the front of an index each.
SELECT t.name, EXISTS (SELECT 1 FROM dutiful.duty AS d WHERE d.app = :app AND d.task = t.name),
       (SELECT l.kind FROM dutiful.ledger AS l WHERE l.app = :app AND l.task = t.name
         ORDER BY l.key, l.epoch LIMIT 1),
       EXISTS (SELECT 1 FROM dutiful.effect AS e WHERE e.app = :app AND e.task = t.name),
       EXISTS (SELECT 1 FROM dutiful.schedule AS s WHERE s.app = :app AND s.task = t.name AND s.gone_at IS NULL)
  FROM (SELECT DISTINCT n.name FROM dutiful.task AS n
         WHERE n.app = :app AND (CAST(:task AS text) IS NULL OR n.name = :task)) AS t
 ORDER BY t.name

-- name: checklist_endings
-- What became of the latest jobs since then, by task: a window at the end of the history, by when they were
-- enqueued (ids have an index that says so; times of ending have none on PostgreSQL).
SELECT h.task, count(*), sum(CASE WHEN h.outcome = 'performed' THEN 1 ELSE 0 END),
       sum(CASE WHEN h.outcome = 'duplicate' THEN 1 ELSE 0 END),
       sum(CASE WHEN h.outcome = 'skipped' THEN 1 ELSE 0 END),
       sum(CASE WHEN h.outcome = 'performed' AND h.gates IS NOT NULL THEN 1 ELSE 0 END)
  FROM (SELECT o.task, o.outcome, o.gates, o.lane FROM dutiful.history AS o
         WHERE o.finished_at >= :now - :span
         ORDER BY o.id DESC LIMIT :window) AS h
  JOIN dutiful.lane AS l ON l.id = h.lane
 WHERE l.app = :app AND (CAST(:task AS text) IS NULL OR h.task = :task)
 GROUP BY h.task

-- name: checklist_tries
-- How many runs went well and how many failed since then, by task, as the hours are rolled up.
SELECT r.task, sum(r.done), sum(r.failed)
  FROM dutiful.rollup AS r
 WHERE r.app = :app AND r.grain = :grain AND r.at >= :now - :span AND r.task <> ''
   AND (CAST(:task AS text) IS NULL OR r.task = :task)
 GROUP BY r.task
