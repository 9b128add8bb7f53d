-- name: list_for_bulk
-- The jobs that a bulk operation is about: all that are dead and fit at this moment, in one look, so that
-- the list is exactly what is counted; each as it is now. Returns how many.
WITH found AS (
    SELECT d.id, d.run_no, row_number() OVER (ORDER BY d.died_at DESC, d.id DESC) AS no
      FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
      LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
     WHERE l.app = :app AND d.died_at <= :bound
       AND (:ids::jsonb IS NULL OR d.id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)))
       AND (:task::text IS NULL OR d.task = :task) AND (:queue::text IS NULL OR l.queue = :queue)
       AND (:fingerprint::text IS NULL OR d.fingerprint = :fingerprint)
       AND (:error::text IS NULL OR position(lower(:error::text) IN lower(f.kind || ': ' || f.message)) > 0)
       AND (NOT :unseen OR NOT EXISTS (SELECT 1 FROM dutiful.ack AS a
             WHERE a.app = l.app AND a.thing = 'group:' || d.fingerprint AND a.until > :now
               AND NOT EXISTS (SELECT 1 FROM dutiful.failure_group AS g WHERE g.app = a.app AND g.fingerprint = d.fingerprint
                    AND (g.n >= 2 * a.count_then OR (g.last_release <> a.release_then AND g.last_at > a.acked_at)))))
     ORDER BY d.died_at DESC, d.id DESC LIMIT :limit
), listed AS (
    INSERT INTO dutiful.bulk_item (bulk, no, job_id, run_no)
    SELECT :bulk, f.no, f.id, f.run_no FROM found AS f
    RETURNING 1
)
SELECT count(*) FROM listed

-- name: list_for_undo
-- The jobs that a bulk operation discarded, in its order, with what they were then.
WITH listed AS (
    INSERT INTO dutiful.bulk_item (bulk, no, job_id, run_no)
    SELECT :bulk, row_number() OVER (ORDER BY i.no), i.job_id, i.run_no
      FROM dutiful.bulk_item AS i WHERE i.bulk = :undoes AND i.state = 'done'
    RETURNING 1
)
SELECT count(*) FROM listed

-- name: page_for_bulk
-- A page of what a bulk operation would be about, behind a cursor that is always given; changes nothing.
SELECT d.id::text, d.run_no, d.died_at
  FROM dutiful.dead AS d JOIN dutiful.lane AS l ON l.id = d.lane
  LEFT JOIN dutiful.failure AS f ON f.job_id = d.id AND f.run_no = d.run_no
 WHERE l.app = :app AND (d.died_at, d.id) < (:after::bigint, :after_id::uuid)
   AND (:ids::jsonb IS NULL OR d.id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(:ids::jsonb) AS e(value)))
   AND (:task::text IS NULL OR d.task = :task) AND (:queue::text IS NULL OR l.queue = :queue)
   AND (:fingerprint::text IS NULL OR d.fingerprint = :fingerprint)
   AND (:error::text IS NULL OR position(lower(:error::text) IN lower(f.kind || ': ' || f.message)) > 0)
   AND (NOT :unseen OR NOT EXISTS (SELECT 1 FROM dutiful.ack AS a
         WHERE a.app = l.app AND a.thing = 'group:' || d.fingerprint AND a.until > :now
               AND NOT EXISTS (SELECT 1 FROM dutiful.failure_group AS g WHERE g.app = a.app AND g.fingerprint = d.fingerprint
                    AND (g.n >= 2 * a.count_then OR (g.last_release <> a.release_then AND g.last_at > a.acked_at)))))
 ORDER BY d.died_at DESC, d.id DESC LIMIT :limit

-- name: next_items
-- The items that come next, and no further than so many.
SELECT i.no, i.job_id::text, i.run_no FROM dutiful.bulk_item AS i
 WHERE i.bulk = :bulk AND i.no > :after ORDER BY i.no LIMIT :limit

-- name: mark_items
-- What became of these items: each is marked once.
UPDATE dutiful.bulk_item AS i SET state = r.state, why = r.why, at = :now
  FROM jsonb_to_recordset(:rows::jsonb) AS r(no bigint, state text, why text)
 WHERE i.bulk = :bulk AND i.no = r.no AND i.state = 'waiting'
RETURNING i.no

-- name: list_items
-- Items of a bulk operation in one state, or all that were not simply done, behind a cursor.
SELECT i.no, i.job_id::text, i.state, i.at, i.why FROM dutiful.bulk_item AS i
 WHERE i.bulk = :bulk AND i.no > :after AND (i.state = :state::text OR (:state::text IS NULL AND i.state NOT IN ('waiting', 'done')))
 ORDER BY i.no LIMIT :limit

-- name: count_items
-- How many of a bulk operation's items are in which state.
SELECT i.state, count(*) FROM dutiful.bulk_item AS i WHERE i.bulk = :bulk GROUP BY i.state

-- name: add_audits
-- Audit rows for many jobs of one verb.
INSERT INTO dutiful.audit (at, actor, verb, app, subject, before, after, reason, how, address, action_id)
SELECT :now, :actor, :verb, :app, r.id, r.before, r.after, :reason, :how, :address, :action_id
  FROM jsonb_to_recordset(:rows::jsonb) AS r(id text, before text, after text)
