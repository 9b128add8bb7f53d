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

-- name: checklist_tries
-- How many runs went well and how many failed since then, by task, as the hours are rolled up.
SELECT r.task, sum(r.done), sum(r.failed)
  FROM dutiful.rollup AS r
 WHERE r.app = :app AND r.grain = :grain AND r.at >= :now - :span AND r.task <> ''
   AND (CAST(:task AS text) IS NULL OR r.task = :task)
 GROUP BY r.task
