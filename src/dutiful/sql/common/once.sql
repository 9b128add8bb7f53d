-- name: take_turn
-- Uses up a key of dutiful.once, in the caller's transaction. A second caller waits here until the first
-- commits (no row: it is later) or rolls back (it is first itself).
INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, request)
VALUES ('', :scope, :key, 0, 'once', :now, :request)
ON CONFLICT (app, task, key, epoch) DO NOTHING
RETURNING at

-- name: find_turn
-- What the first caller left under a key; in a statement of its own, for take_turn's snapshot is too old.
SELECT g.at, g.request, g.result
  FROM dutiful.ledger AS g
 WHERE g.app = '' AND g.task = :scope AND g.key = :key AND g.epoch = 0

-- name: settle_turn
-- Keeps the first caller's result, in its own transaction (I16: never later). No row: the key is not used
-- up any more, since the block rolled it back.
UPDATE dutiful.ledger SET result = :result
 WHERE app = '' AND task = :scope AND key = :key AND epoch = 0 AND result IS NULL
RETURNING at
