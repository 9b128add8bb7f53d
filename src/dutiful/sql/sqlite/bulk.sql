-- name: list_for_bulk
-- The jobs that a bulk operation is about: all that are dead and fit at this moment, in one look, so that
-- the list is exactly what is counted; each as it is now. Returns how many.
INSERT INTO dutiful.bulk_item (bulk, no, job_id, run_no)
SELECT :bulk, row_number() OVER (ORDER BY d.died_at DESC, d.id DESC), d.id, d.run_no
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE l.app = :app AND d.died_at <= :bound
   AND (:ids IS NULL OR d.id IN (SELECT e.value FROM json_each(:ids) AS e))
   AND (:task IS NULL OR d.task = :task) AND (:queue IS NULL OR l.queue = :queue)
   AND (:fingerprint IS NULL OR d.fingerprint = :fingerprint)
   AND (:error IS NULL OR instr(lower(f.kind || ': ' || f.message), lower(:error)) > 0)
   AND (NOT :unseen OR NOT EXISTS (SELECT 1 FROM dutiful.ack AS a
         WHERE a.app = l.app AND a.thing = 'group:' || d.fingerprint AND a.until > :now
               AND NOT EXISTS (SELECT 1 FROM dutiful.failure_group AS g WHERE g.app = a.app AND g.fingerprint = d.fingerprint
                    AND (g.n >= 2 * a.count_then OR (g.last_release <> a.release_then AND g.last_at > a.acked_at)))))
 ORDER BY d.died_at DESC, d.id DESC LIMIT :limit;
SELECT count(*) FROM dutiful.bulk_item AS i WHERE i.bulk = :bulk

-- name: list_for_undo
-- The jobs that a bulk operation discarded, in its order, with what they were then.
INSERT INTO dutiful.bulk_item (bulk, no, job_id, run_no)
SELECT :bulk, row_number() OVER (ORDER BY i.no), i.job_id, i.run_no
  FROM dutiful.bulk_item AS i WHERE i.bulk = :undoes AND i.state = 'done';
SELECT count(*) FROM dutiful.bulk_item AS i WHERE i.bulk = :bulk

-- name: page_for_bulk
-- A page of what a bulk operation would be about, behind a cursor that is always given; changes nothing.
SELECT d.id, d.run_no, d.died_at
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE l.app = :app AND (d.died_at, d.id) < (:after, :after_id)
   AND (:ids IS NULL OR d.id IN (SELECT e.value FROM json_each(:ids) AS e))
   AND (:task IS NULL OR d.task = :task) AND (:queue IS NULL OR l.queue = :queue)
   AND (:fingerprint IS NULL OR d.fingerprint = :fingerprint)
   AND (:error IS NULL OR instr(lower(f.kind || ': ' || f.message), lower(:error)) > 0)
   AND (NOT :unseen OR NOT EXISTS (SELECT 1 FROM dutiful.ack AS a
         WHERE a.app = l.app AND a.thing = 'group:' || d.fingerprint AND a.until > :now
               AND NOT EXISTS (SELECT 1 FROM dutiful.failure_group AS g WHERE g.app = a.app AND g.fingerprint = d.fingerprint
                    AND (g.n >= 2 * a.count_then OR (g.last_release <> a.release_then AND g.last_at > a.acked_at)))))
 ORDER BY d.died_at DESC, d.id DESC LIMIT :limit

-- name: next_items
-- The items that come next, and no further than so many.
SELECT i.no, i.job_id, i.run_no FROM dutiful.bulk_item AS i
 WHERE i.bulk = :bulk AND i.no > :after ORDER BY i.no LIMIT :limit

-- name: mark_items
-- What became of these items: each is marked once. (All are there: as an UPDATE it would look through the whole
-- list for each of them.)
INSERT INTO dutiful.bulk_item (bulk, no, job_id, run_no, state, why, at)
SELECT :bulk, json_extract(e.value, '$.no'), '', 0, json_extract(e.value, '$.state'), json_extract(e.value, '$.why'), :now
  FROM json_each(:rows) AS e WHERE true
ON CONFLICT (bulk, no) DO UPDATE SET state = excluded.state, why = excluded.why, at = excluded.at
 WHERE dutiful_bulk_item.state = 'waiting'
RETURNING no

-- name: list_items
-- Items of a bulk operation in one state, or all that were not simply done, behind a cursor.
SELECT i.no, i.job_id, i.state, i.at, i.why FROM dutiful.bulk_item AS i
 WHERE i.bulk = :bulk AND i.no > :after AND (i.state = :state OR (:state IS NULL AND i.state NOT IN ('waiting', 'done')))
 ORDER BY i.no LIMIT :limit

-- name: count_items
-- How many of a bulk operation's items are in which state.
SELECT i.state, count(*) FROM dutiful.bulk_item AS i WHERE i.bulk = :bulk GROUP BY i.state

-- name: add_audits
-- Audit rows for many jobs of one verb.
INSERT INTO dutiful.audit (at, actor, verb, app, subject, before, after, reason, how, address, action_id)
SELECT :now, :actor, :verb, :app, json_extract(e.value, '$.id'), json_extract(e.value, '$.before'),
       json_extract(e.value, '$.after'), :reason, :how, :address, :action_id
  FROM json_each(:rows) AS e
