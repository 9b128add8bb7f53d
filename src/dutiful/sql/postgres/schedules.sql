-- name: lock_schedule
-- One schedule, as it is when nobody else holds it, and nobody else's until the commit. The row that comes
-- back is the newest; who waited for it finds what was due covered.
SELECT s.name, s.task, s.spec, s.declared_at, s.changed_at, s.covered_at, s.next_at, s.gone_at, s.paused_at,
       s.paused_until, s.paused_by, s.pause_reason, true, true, :now
  FROM dutiful.schedule AS s WHERE s.app = :app AND s.name = :name
   FOR UPDATE
