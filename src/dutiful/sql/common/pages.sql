-- name: pulse
-- Whether anything happened since: the newest of what a page shows, each by the end of an index. Of the history,
-- which PostgreSQL has no such index of, what ended since :since.
SELECT (SELECT j.ready_seq FROM dutiful.job AS j WHERE j.ready_seq IS NOT NULL
         ORDER BY j.lane DESC, j.ready_seq DESC LIMIT 1),
       (SELECT j.id FROM dutiful.job AS j ORDER BY j.id DESC LIMIT 1),
       (SELECT max(h.finished_at) FROM dutiful.history AS h WHERE h.finished_at >= :since),
       (SELECT max(d.died_at) FROM dutiful.dead AS d),
       (SELECT max(f.failed_at) FROM dutiful.failure AS f),
       (SELECT max(a.id) FROM dutiful.audit AS a),
       (SELECT max(w.beat_at) FROM dutiful.worker AS w WHERE w.reaped_at IS NULL)
