-- name: unopened_books
-- An app that has no books yet, if there is one.
SELECT l.app FROM dutiful.lane AS l
 WHERE NOT EXISTS (SELECT 1 FROM dutiful.book AS b WHERE b.app = l.app) LIMIT 1

-- name: count_books
-- Everything that was accepted, and everything that is there, in one look: so that no move of a job in between
-- can make them differ (I11). By app, task and what it is.
SELECT x.app, x.task, x.what, sum(x.n)
  FROM (
    SELECT l.app, j.task, j.state AS what, j.n
      FROM (SELECT lane, task, state, count(*) AS n FROM dutiful.job GROUP BY lane, task, state) AS j
      JOIN dutiful.lane AS l ON l.id = j.lane
    UNION ALL
    SELECT l.app, d.task, 'dead', d.n
      FROM (SELECT lane, task, count(*) AS n FROM dutiful.dead GROUP BY lane, task) AS d
      JOIN dutiful.lane AS l ON l.id = d.lane
    UNION ALL
    SELECT l.app, h.task, h.state, h.n
      FROM (SELECT lane, task, state, count(*) AS n FROM dutiful.history GROUP BY lane, task, state) AS h
      JOIN dutiful.lane AS l ON l.id = h.lane
    UNION ALL
    SELECT l.app, d.task, d.kind, d.n FROM dutiful.delta AS d JOIN dutiful.lane AS l ON l.id = d.lane
    UNION ALL
    SELECT b.app, b.task, b.kind, b.n FROM dutiful.balance AS b
  ) AS x JOIN dutiful.book AS b ON b.app = x.app
 WHERE CAST(:app AS text) IS NULL OR x.app = :app
 GROUP BY x.app, x.task, x.what

-- name: keep_book
-- What the books said when they were counted.
UPDATE dutiful.book
   SET counted_at = :now, recounted_at = :now, accepted = :accepted, revived = :revived, pruned = :pruned,
       ready = :ready, running = :running, in_doubt = :in_doubt, dead = :dead, done = :done,
       cancelled = :cancelled, missing = :missing, surplus = :surplus, tasks = :tasks
 WHERE app = :app

-- name: note_folded
-- Up to now all deltas that were committed are in the balance.
UPDATE dutiful.book SET folded_at = :now WHERE folded_at IS NULL OR folded_at < :now

-- name: find_book
-- An app's books as they were when last counted.
SELECT b.app, b.opened_at, b.folded_at, b.counted_at, b.recounted_at, b.accepted, b.revived, b.pruned, b.ready,
       b.running, b.in_doubt, b.dead, b.done, b.cancelled, b.missing, b.surplus, b.tasks, :now
  FROM dutiful.book AS b WHERE b.app = :app

-- name: verify_books
-- I11, as the bookkeeper found it when it last counted: tasks of which jobs lack, or are too many.
SELECT b.app, b.missing + b.surplus, b.tasks FROM dutiful.book AS b
 WHERE (CAST(:app AS text) IS NULL OR b.app = :app) AND b.missing + b.surplus > 0
 ORDER BY b.app LIMIT :rows

-- name: beat_watcher
-- Says that who watches has looked.
INSERT INTO dutiful.watcher (app, name, period, last_at, note) VALUES (:app, :name, :period, :now, :note)
ON CONFLICT (app, name) DO UPDATE
   SET period = excluded.period, last_at = excluded.last_at, note = excluded.note

-- name: list_watchers
-- Who watches, for one app or for all, and when each last looked.
SELECT w.app, w.name, w.period, w.last_at, w.note, :now FROM dutiful.watcher AS w
 WHERE w.app IN (:app, '') ORDER BY w.name
