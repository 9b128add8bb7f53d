-- name: how_it_is
-- How large a cause of death is now, exactly, and what release saw it last; nothing where nobody knows it.
SELECT (SELECT count(*) FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
         WHERE l.app = :app AND d.fingerprint = :fingerprint),
       (SELECT g.last_release FROM dutiful.failure_group AS g WHERE g.app = :app AND g.fingerprint = :fingerprint)

-- name: find_ack
-- What people said of a thing.
SELECT a.thing, a.owner, a.taken_at, a.acked_by, a.acked_at, a.note, a.until, a.count_then, a.release_then, :now
  FROM dutiful.ack AS a WHERE a.app = :app AND a.thing = :thing

-- name: list_acks
-- What people said of all things; those that lapse first come first.
SELECT a.thing, a.owner, a.taken_at, a.acked_by, a.acked_at, a.note, a.until, a.count_then, a.release_then, :now
  FROM dutiful.ack AS a WHERE a.app = :app AND a.thing > :after ORDER BY a.thing LIMIT :limit

-- name: acknowledge
-- Somebody has seen a thing, for so long.
INSERT INTO dutiful.ack (app, thing, acked_by, acked_at, note, until, count_then, release_then)
VALUES (:app, :thing, :actor, :now, :note, :now + :span, :count, :release)
ON CONFLICT (app, thing) DO UPDATE
   SET acked_by = excluded.acked_by, acked_at = excluded.acked_at, note = excluded.note, until = excluded.until,
       count_then = excluded.count_then, release_then = excluded.release_then

-- name: withdraw_ack
-- It is to be unseen again; who owns it stays.
UPDATE dutiful.ack SET acked_by = NULL, acked_at = NULL, note = NULL, until = NULL, count_then = NULL, release_then = NULL
 WHERE app = :app AND thing = :thing AND acked_at IS NOT NULL
RETURNING thing

-- name: take_thing
-- Somebody takes a thing, or (without an owner) gives it back.
INSERT INTO dutiful.ack (app, thing, owner, taken_at)
VALUES (:app, :thing, :owner, CASE WHEN CAST(:owner AS text) IS NOT NULL THEN :now END)
ON CONFLICT (app, thing) DO UPDATE SET owner = excluded.owner, taken_at = excluded.taken_at
