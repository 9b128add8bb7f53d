-- name: take_turns
-- The bookkeeper's turns that are due, taken as by chore_turn; and whether there is anything to fold, or an app whose
-- books are not open: all that an idle one asks.
INSERT INTO dutiful.chore AS c (name, last_at)
SELECT e.key, :now FROM jsonb_each(:turns::jsonb) AS e ORDER BY e.key
ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at
 WHERE c.last_at <= excluded.last_at - (:turns::jsonb ->> c.name)::bigint
RETURNING c.name,
          EXISTS (SELECT 1 FROM dutiful.delta AS d),
          EXISTS (SELECT 1 FROM dutiful.death AS d),
          EXISTS (SELECT 1 FROM dutiful.lane AS l
                   WHERE NOT EXISTS (SELECT 1 FROM dutiful.book AS b WHERE b.app = l.app))

-- name: fold_deltas
-- Adds up the oldest deltas, in the transaction that takes them away: whoever looks sees each once. Says how
-- many there were. Two who fold at once take different ones.
WITH gone AS (
    DELETE FROM dutiful.delta AS d
     WHERE d.id IN (SELECT o.id FROM dutiful.delta AS o ORDER BY o.id LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING d.lane, d.task, d.kind, d.n
), folded AS (
    INSERT INTO dutiful.balance AS b (app, task, kind, n)
    SELECT l.app, g.task, g.kind, sum(g.n) FROM gone AS g JOIN dutiful.lane AS l ON l.id = g.lane
     GROUP BY l.app, g.task, g.kind ORDER BY l.app, g.task, g.kind
    ON CONFLICT (app, task, kind) DO UPDATE SET n = b.n + excluded.n
)
SELECT count(*) FROM gone AS g

-- name: open_books
-- Opens the books of apps that have none: what is there that no delta tells of was there before. One look, so
-- that no enqueue in between is counted twice.
WITH fresh AS (
    INSERT INTO dutiful.book (app, opened_at)
    SELECT DISTINCT l.app, :now FROM dutiful.lane AS l
     WHERE NOT EXISTS (SELECT 1 FROM dutiful.book AS b WHERE b.app = l.app)
    ON CONFLICT (app) DO NOTHING
    RETURNING app
)
INSERT INTO dutiful.balance (app, task, kind, n)
SELECT x.app, x.task, 'opened', sum(x.n)
  FROM fresh AS f JOIN (
    SELECT l.app, j.task, 1 AS n FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
    UNION ALL SELECT l.app, d.task, 1 FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
    UNION ALL SELECT l.app, h.task, 1 FROM dutiful.history AS h JOIN dutiful.lane AS l ON l.id = h.lane
    UNION ALL SELECT l.app, d.task, CASE WHEN d.kind = 'pruned' THEN d.n ELSE -d.n END
                FROM dutiful.delta AS d JOIN dutiful.lane AS l ON l.id = d.lane
    UNION ALL SELECT b.app, b.task, CASE WHEN b.kind = 'pruned' THEN b.n ELSE -b.n END FROM dutiful.balance AS b
  ) AS x ON x.app = f.app
 GROUP BY x.app, x.task
RETURNING app
