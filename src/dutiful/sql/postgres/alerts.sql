-- name: take_messages
-- Messages that are due, for one who will send them now. They are due again after :lease, so that nobody else
-- sends them meanwhile, and somebody does if this one is killed.
WITH due AS (
    SELECT m.id FROM dutiful.alert_message AS m
     WHERE m.app = :app AND m.due_at <= :now AND m.sent_at IS NULL AND m.dropped_at IS NULL
       AND m.channel IN (SELECT e.value FROM jsonb_array_elements_text(:channels::jsonb) AS e(value))
     ORDER BY m.due_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE dutiful.alert_message AS m SET tries = m.tries + 1, due_at = :now + :lease
  FROM due WHERE m.id = due.id
RETURNING m.id, m.channel, m.event, m.key, m.made_at, m.tries, m.body, :now
