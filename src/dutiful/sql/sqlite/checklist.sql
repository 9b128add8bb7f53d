-- name: checklist_endings
-- What became of the latest jobs since then, by task: a window at the end of the history.
SELECT h.task, count(*), sum(CASE WHEN h.outcome = 'performed' THEN 1 ELSE 0 END),
       sum(CASE WHEN h.outcome = 'duplicate' THEN 1 ELSE 0 END),
       sum(CASE WHEN h.outcome = 'skipped' THEN 1 ELSE 0 END),
       sum(CASE WHEN h.outcome = 'performed' AND h.gates IS NOT NULL THEN 1 ELSE 0 END)
  FROM (SELECT o.task, o.outcome, o.gates, o.lane FROM dutiful.history AS o
         WHERE o.finished_at >= :now - :span
         ORDER BY o.finished_at DESC LIMIT :window) AS h
  JOIN dutiful.lane AS l ON l.id = h.lane
 WHERE l.app = :app AND (CAST(:task AS text) IS NULL OR h.task = :task)
 GROUP BY h.task
