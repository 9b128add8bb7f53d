-- name: take_messages
-- Messages that are due, for one who will send them now. They are due again after :lease, so that nobody else
-- sends them meanwhile, and somebody does if this one is killed.
UPDATE dutiful.alert_message SET tries = tries + 1, due_at = :now + :lease
 WHERE id IN (SELECT m.id FROM dutiful.alert_message AS m
               WHERE m.app = :app AND m.due_at <= :now AND m.sent_at IS NULL AND m.dropped_at IS NULL
                 AND m.channel IN (SELECT e.value FROM json_each(:channels) AS e)
               ORDER BY m.due_at LIMIT :limit)
RETURNING id, channel, event, key, made_at, tries, body, :now
