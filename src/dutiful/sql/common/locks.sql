-- name: make_lock
-- A lock comes to be with whoever first asks for it, and stays: its numbers must never fall.
INSERT INTO dutiful.lock (app, name, slots) VALUES (:app, :name, :slots) ON CONFLICT (app, name) DO NOTHING

-- name: set_lock_slots
-- Another number of slots, while nobody holds it or waits: under the lock of its row.
UPDATE dutiful.lock SET slots = :slots WHERE app = :app AND name = :name

-- name: list_asks
-- Who holds a lock and who waits, in order. Asked under the lock of its row, in a statement of its own. What
-- has lapsed but could not be deleted just now is being renewed, and counts.
SELECT a.token, a.ticket, a.grant_no, a.slot, a.who, a.granted_at, a.until, :now
  FROM dutiful.lock_ask AS a WHERE a.app = :app AND a.name = :name ORDER BY a.ticket

-- name: add_ask
-- A new one at the back. It waits; its ticket lapses unless it is renewed.
INSERT INTO dutiful.lock_ask (token, app, name, ticket, who, lease, asked_at, until)
VALUES (:token, :app, :name, :ticket, :who, :span, :now, :now + :span)

-- name: note_ticket
-- The last ticket that was given out; under the lock of the row.
UPDATE dutiful.lock SET ticket = :ticket WHERE app = :app AND name = :name

-- name: grant_ask
-- A slot that is free, with the next number; under the lock of the lock's row.
UPDATE dutiful.lock_ask
   SET grant_no = :grant_no, slot = :slot, lease = :lease, granted_at = :now, until = :now + :lease
 WHERE token = :token AND grant_no IS NULL

-- name: note_grant
-- The last number that was granted: it only grows. Under the lock of the row.
UPDATE dutiful.lock SET grant_no = :grant_no WHERE app = :app AND name = :name AND grant_no < :grant_no

-- name: drop_ask
-- Gives a lock back, or a place in the queue. The token is the fence: one that lapsed and was passed by, or was
-- broken, matches no row. Needs no lock of the row: a slot that comes free a little later hurts nobody.
DELETE FROM dutiful.lock_ask WHERE token = :token RETURNING grant_no

-- name: break_ask
-- Takes a lock from one who holds it. A person's verb, audited in the same transaction.
DELETE FROM dutiful.lock_ask WHERE app = :app AND name = :name AND grant_no = :grant_no RETURNING who

-- name: list_locks
-- All that are held or waited for, for people, behind a name and a ticket; the last ones are told apart by
-- "until".
SELECT a.app, a.name, l.slots, l.grant_no, a.ticket, a.grant_no, a.slot, a.who, a.asked_at, a.granted_at,
       a.until, :now
  FROM dutiful.lock_ask AS a JOIN dutiful.lock AS l ON l.app = a.app AND l.name = a.name
 WHERE (CAST(:app AS text) IS NULL OR a.app = :app) AND (CAST(:name AS text) IS NULL OR a.name = :name)
   AND (CAST(:behind AS text) IS NULL OR (a.name, a.ticket) > (:behind, :ticket))
 ORDER BY a.app, a.name, a.ticket
 LIMIT :limit

-- name: verify_locks
-- I13: a lock never has more live holders than slots, and no number was granted that it does not know of.
WITH held AS (
    SELECT a.app, a.name, l.slots, l.grant_no AS last, count(*) AS holders, max(a.grant_no) AS newest,
           max(a.slot) AS slot
      FROM dutiful.lock_ask AS a LEFT JOIN dutiful.lock AS l ON l.app = a.app AND l.name = a.name
     WHERE a.grant_no IS NOT NULL AND a.until > :now AND (CAST(:app AS text) IS NULL OR a.app = :app)
     GROUP BY a.app, a.name, l.slots, l.grant_no
)
SELECT count(*) OVER (), h.name, 'lock_ask',
       CASE WHEN h.last IS NULL THEN 'a holder of a lock that has no row'
            WHEN h.newest > h.last THEN 'a grant was given out that its lock does not know of'
            WHEN h.holders > h.slots THEN 'more live holders than slots'
            ELSE 'a slot that the lock does not have' END,
       h.holders || ' hold it, of ' || coalesce(h.slots, 0) || ' slots; grant ' || h.newest
  FROM held AS h
 WHERE h.last IS NULL OR h.newest > h.last OR h.holders > h.slots OR h.slot > h.slots
 LIMIT :rows
