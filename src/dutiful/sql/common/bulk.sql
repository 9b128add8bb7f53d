-- name: add_bulk
-- A bulk operation begins; its list was made before, in the same transaction. One about nothing is done at once.
INSERT INTO dutiful.bulk (id, app, verb, state, actor, how, address, reason, filter, wanted, choice, bound, began_at,
       start_at, paced_from, pace, intended, ended_at, undoes)
VALUES (:id, :app, :verb, CASE WHEN :intended = 0 THEN 'done' ELSE 'running' END, :actor, :how, :address, :reason,
        :filter, :wanted, :choice, :bound, :now, :start_at, :start_at, :pace, :intended,
        CASE WHEN :intended = 0 THEN :now END, :undoes)

-- name: find_bulk
-- One bulk operation.
SELECT b.id, b.app, b.verb, b.state, b.actor, b.how, b.address, b.reason, b.filter, b.wanted, b.choice, b.bound,
       b.began_at, b.start_at, b.pace, b.intended, b.done, b.skipped, b.failed, b.walker, b.walked_until, b.moved_at,
       b.ended_at, b.undoes, b.paced_from, b.paced, b.last_no, :now
  FROM dutiful.bulk AS b WHERE b.id = :id

-- name: list_bulks
-- Bulk operations of an app, the latest first, from a cursor on.
SELECT b.id, b.app, b.verb, b.state, b.actor, b.how, b.address, b.reason, b.filter, b.wanted, b.choice, b.bound,
       b.began_at, b.start_at, b.pace, b.intended, b.done, b.skipped, b.failed, b.walker, b.walked_until, b.moved_at,
       b.ended_at, b.undoes, b.paced_from, b.paced, b.last_no, :now
  FROM dutiful.bulk AS b
 WHERE b.app = :app AND b.began_at < :before ORDER BY b.began_at DESC, b.id DESC LIMIT :limit

-- name: people_left
-- Whether people left anything to do: rows for the chain, or a bulk operation that nobody walks.
SELECT EXISTS (SELECT 1 FROM dutiful.audit AS a WHERE a.chain_no IS NULL),
       EXISTS (SELECT 1 FROM dutiful.bulk AS b
                WHERE b.app = :app AND b.state = 'running' AND b.start_at <= :now
                  AND (b.walker IS NULL OR b.walked_until < :now))

-- name: bulks_to_walk
-- Bulk operations of an app that nobody walks at the moment, though they are begun and not done.
SELECT b.id FROM dutiful.bulk AS b
 WHERE b.app = :app AND b.state = 'running' AND b.start_at <= :now
   AND (b.walker IS NULL OR b.walked_until < :now)
 ORDER BY b.began_at LIMIT 10

-- name: hold_bulk
-- Whoever walks a bulk operation holds its lease, and its row for as long as a batch takes: so no two walk it
-- at once, and whoever pauses or aborts it waits for the batch that is under way. No row: it is another's, or over.
UPDATE dutiful.bulk SET walker = :walker, walked_until = :now + :lease
 WHERE id = :id AND state = 'running' AND start_at <= :now
   AND (walker IS NULL OR walker = :walker OR walked_until < :now)
RETURNING app, verb, actor, how, address, reason, choice, pace, paced_from, paced, last_no, intended, undoes, :now

-- name: leave_bulk
-- The walker goes; the next one need not wait for the end of its lease.
UPDATE dutiful.bulk SET walker = NULL, walked_until = NULL WHERE id = :id AND walker = :walker
RETURNING id

-- name: move_bulk
-- What a batch came to, in the transaction that did it.
UPDATE dutiful.bulk
   SET done = done + :done, skipped = skipped + :skipped, failed = failed + :failed, last_no = :last_no,
       paced = paced + :done + :failed, moved_at = :now,
       state = CASE WHEN :last_no >= intended THEN 'done' ELSE state END,
       ended_at = CASE WHEN :last_no >= intended THEN :now END
 WHERE id = :id AND state = 'running' AND walker = :walker
RETURNING state, done, skipped, failed, intended, filter, bound

-- name: pause_bulk
-- A person stops it for now.
UPDATE dutiful.bulk SET state = 'paused', walker = NULL, walked_until = NULL WHERE id = :id AND app = :app AND state = 'running'
RETURNING done, skipped + failed

-- name: resume_bulk
-- It goes on; its pace is counted from now on.
UPDATE dutiful.bulk SET state = 'running', paced_from = :now, paced = 0 WHERE id = :id AND app = :app AND state = 'paused'
RETURNING done, skipped + failed

-- name: abort_bulk
-- It ends where it is; what was done stays done.
UPDATE dutiful.bulk SET state = 'aborted', walker = NULL, walked_until = NULL, ended_at = :now
 WHERE id = :id AND app = :app AND state IN ('running', 'paused')
RETURNING done, skipped + failed

-- name: forget_bulks
-- Bulk operations that ended long ago, with their lists.
DELETE FROM dutiful.bulk_item WHERE bulk IN (
    SELECT b.id FROM dutiful.bulk AS b WHERE b.ended_at < :now - :keep ORDER BY b.began_at LIMIT 10)

-- name: forget_bulk_rows
-- Of which nothing is listed any more.
DELETE FROM dutiful.bulk
 WHERE ended_at < :now - :keep AND NOT EXISTS (SELECT 1 FROM dutiful.bulk_item AS i WHERE i.bulk = id)
