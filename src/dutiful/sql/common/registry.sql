-- name: list_tasks
-- What is known of an app's tasks, a row for each release that ran them; the one seen last first.
SELECT t.name, t.release, t.version, t.queue, t.priority, t.owner, t.delivery, t.declared, t.first_at, t.seen_at, :now
  FROM dutiful.task AS t WHERE t.app = :app ORDER BY t.name, t.seen_at DESC, t.release DESC LIMIT :limit

-- name: forget_tasks
-- Forgets what releases of long ago said, but for each task what was said last.
DELETE FROM dutiful.task
 WHERE app = :app AND seen_at < :now - :keep
   AND seen_at < (SELECT max(n.seen_at) FROM dutiful.task AS n WHERE n.app = dutiful.task.app AND n.name = dutiful.task.name)
