-- name: pulse
-- Whether anything happened since: the newest of what a page shows, each by the end of an index. Of the history,
-- of which PostgreSQL has no such index by time, the ending of the newest job; workers' beats tell of the others.
SELECT (SELECT j.ready_seq FROM dutiful.job AS j WHERE j.ready_seq IS NOT NULL
         ORDER BY j.lane DESC, j.ready_seq DESC LIMIT 1),
       (SELECT j.id FROM dutiful.job AS j ORDER BY j.id DESC LIMIT 1),
       (SELECT h.finished_at FROM dutiful.history AS h ORDER BY h.id DESC, h.finished_at DESC LIMIT 1),
       (SELECT max(d.died_at) FROM dutiful.dead AS d),
       (SELECT max(f.failed_at) FROM dutiful.failure AS f),
       (SELECT max(a.id) FROM dutiful.audit AS a),
       (SELECT max(w.beat_at) FROM dutiful.worker AS w WHERE w.reaped_at IS NULL)
