-- name: take_action
-- A person's action by its one-time id, taken before anything is done: no row means that it was taken before.
INSERT INTO dutiful.action (id, app, actor, verb, at, outcome) VALUES (:id, :app, :actor, :verb, :now, '')
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: find_action
-- What became of an action.
SELECT a.app, a.actor, a.verb, a.at, a.outcome FROM dutiful.action AS a WHERE a.id = :id

-- name: end_action
-- What became of it, in the transaction that did it.
UPDATE dutiful.action SET outcome = :outcome WHERE id = :id

-- name: forget_actions
-- Ids of actions that nobody will send again.
DELETE FROM dutiful.action WHERE at < :now - :keep
