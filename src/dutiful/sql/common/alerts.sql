-- name: declare_channel
-- A worker's code has this channel; a new one is not proven yet.
INSERT INTO dutiful.alert_channel AS c (app, name, kind, seen_at) VALUES (:app, :name, :kind, :now)
ON CONFLICT (app, name) DO UPDATE SET kind = excluded.kind, seen_at = excluded.seen_at

-- name: forget_channels
-- Channels that no worker's code has had for a while.
DELETE FROM dutiful.alert_channel WHERE app = :app AND seen_at < :now - :keep

-- name: list_channels
-- The channels of an app, and when a message last came through each.
SELECT c.name, c.kind, c.seen_at, c.proven_at, c.failed_at, c.error FROM dutiful.alert_channel AS c
 WHERE c.app = :app ORDER BY c.name

-- name: live_channels
-- The names of those that a worker's code has had lately.
SELECT c.name FROM dutiful.alert_channel AS c WHERE c.app = :app AND c.seen_at >= :now - :keep ORDER BY c.name

-- name: unneeded
-- How many channels forget_channels would forget, and whether a message waits for one that is not there then.
SELECT count(CASE WHEN c.seen_at < :now - :keep THEN 1 END),
       (SELECT count(*) FROM dutiful.alert_message AS m
         WHERE m.app = :app AND m.sent_at IS NULL AND m.dropped_at IS NULL
           AND m.channel NOT IN (SELECT l.name FROM dutiful.alert_channel AS l
                                  WHERE l.app = :app AND l.seen_at >= :now - :keep))
  FROM dutiful.alert_channel AS c WHERE c.app = :app

-- name: count_undelivered
-- Messages that a channel did not take, or that nobody sent in time.
SELECT count(*), min(m.made_at) FROM dutiful.alert_message AS m
 WHERE m.app = :app AND m.sent_at IS NULL AND m.dropped_at IS NULL
   AND (m.error IS NOT NULL OR m.due_at < :now - :grace)

-- name: open_alerts
-- What was raised and is not cleared.
SELECT a.key, a.raised_at, a.number, a.sentence, a.size, a.told, a.owner, a.seen, :now FROM dutiful.alert AS a
 WHERE a.app = :app AND a.cleared_at IS NULL ORDER BY a.raised_at, a.key

-- name: page_alerts
-- What was raised, the latest first, cleared or not. That the verdict cannot be said counts once it has lasted.
SELECT a.key, a.raised_at, a.cleared_at, a.number, a.sentence, a.size, a.owner, a.seen, :now FROM dutiful.alert AS a
 WHERE a.app = :app AND (:open = 0 OR a.cleared_at IS NULL) AND (a.number <> 'unknown' OR a.told > 0)
 ORDER BY a.raised_at DESC, a.key LIMIT :limit

-- name: raise_alert
-- Opens one for a thing; the index over open ones makes it one, whoever comes second gets no row. Tells whether
-- it was there lately and cleared: then it is there again.
INSERT INTO dutiful.alert (app, key, raised_at, number, sentence, size, told, owner, seen)
VALUES (:app, :key, :now, :number, :sentence, :size, :told, :owner, CAST(:seen AS boolean))
ON CONFLICT DO NOTHING
RETURNING EXISTS (SELECT 1 FROM dutiful.alert AS a
                   WHERE a.app = :app AND a.key = :key AND a.cleared_at > :now - :lately)

-- name: move_alert
-- How the thing is now, and what was told of it. Demands what was told before, so that nobody tells it twice.
UPDATE dutiful.alert SET sentence = :sentence, size = :size, told = :told, owner = :owner, seen = CAST(:seen AS boolean)
 WHERE app = :app AND key = :key AND cleared_at IS NULL AND told = :before
RETURNING key

-- name: clear_alert
-- The thing is not there any more.
UPDATE dutiful.alert SET cleared_at = :now WHERE app = :app AND key = :key AND cleared_at IS NULL RETURNING key

-- name: add_message
-- Something to be told to a channel.
INSERT INTO dutiful.alert_message (id, app, channel, event, key, made_at, due_at, body)
VALUES (:id, :app, :channel, :event, :key, :now, :now, :body)

-- name: drop_unsent
-- Nobody was told of a thing yet, and it is gone: nothing needs to be said.
UPDATE dutiful.alert_message SET dropped_at = :now
 WHERE app = :app AND key = :key AND tries = 0 AND sent_at IS NULL AND dropped_at IS NULL AND event <> 'cleared'
RETURNING channel

-- name: drop_orphans
-- Messages to channels that are not there any more.
UPDATE dutiful.alert_message SET dropped_at = :now
 WHERE app = :app AND sent_at IS NULL AND dropped_at IS NULL
   AND channel NOT IN (SELECT c.name FROM dutiful.alert_channel AS c WHERE c.app = :app)

-- name: proofs_wanted
-- Channels through which nothing came for a while, and to which no proof is on its way.
SELECT c.name FROM dutiful.alert_channel AS c
 WHERE c.app = :app AND coalesce(c.proven_at < :now - :every, true)
   AND NOT EXISTS (SELECT 1 FROM dutiful.alert_message AS m
                    WHERE m.app = c.app AND m.channel = c.name AND m.event = 'proof'
                      AND m.sent_at IS NULL AND m.dropped_at IS NULL)

-- name: message_sent
-- It came through.
UPDATE dutiful.alert_message SET sent_at = :now, error = NULL WHERE id = :id AND sent_at IS NULL

-- name: channel_proven
-- A message came through this channel.
UPDATE dutiful.alert_channel SET proven_at = :now, error = NULL WHERE app = :app AND name = :name

-- name: message_failed
-- It did not; it is tried again later.
UPDATE dutiful.alert_message SET error = :error, due_at = :now + :delay WHERE id = :id AND sent_at IS NULL

-- name: channel_failed
-- A message did not come through this channel.
UPDATE dutiful.alert_channel SET failed_at = :now, error = :error WHERE app = :app AND name = :name

-- name: hold_message
-- Not now: it waits until quiet hours end, and was not tried.
UPDATE dutiful.alert_message SET due_at = :until, tries = 0 WHERE id = :id AND sent_at IS NULL

-- name: page_messages
-- What was told, or is to be, the latest first.
SELECT m.id, m.channel, m.event, m.key, m.made_at, m.due_at, m.tries, m.sent_at, m.dropped_at, m.error, m.body, :now
  FROM dutiful.alert_message AS m WHERE m.app = :app ORDER BY m.made_at DESC, m.id LIMIT :limit

-- name: forget_messages
-- Old ones of which nothing is to be done any more.
DELETE FROM dutiful.alert_message
 WHERE app = :app AND made_at < :now - :keep AND (sent_at IS NOT NULL OR dropped_at IS NOT NULL)

-- name: forget_alerts
-- Those that were cleared long ago.
DELETE FROM dutiful.alert WHERE app = :app AND cleared_at < :now - :keep

-- name: read_acks
-- What people said of things that need one.
SELECT k.thing, k.owner, k.taken_at, k.acked_by, k.acked_at, k.note, k.until, k.count_then
  FROM dutiful.ack AS k WHERE k.app = :app

-- name: seen_groups
-- Causes of death that somebody has acknowledged and that are still there, the ones that lapse first.
SELECT g.fingerprint, g.task, g.reason, g.kind, g.n, g.first_at
  FROM dutiful.failure_group AS g JOIN dutiful.ack AS k ON k.app = g.app AND k.thing = 'group:' || g.fingerprint
 WHERE g.app = :app AND g.n > 0 AND k.until > :now ORDER BY k.until, g.fingerprint LIMIT :limit

-- name: last_cleared
-- What was last raised and is cleared.
SELECT a.sentence, a.cleared_at FROM dutiful.alert AS a
 WHERE a.app = :app AND a.cleared_at IS NOT NULL AND a.number <> 'unknown' ORDER BY a.cleared_at DESC LIMIT 1
