-- name: add_traces
-- The span in which these jobs, stored a moment ago, were enqueued.
INSERT INTO dutiful.trace (job_id, at, context)
SELECT json_extract(r.value, '$.id'), :now, json_extract(r.value, '$.context') FROM json_each(:rows) AS r
 WHERE true
ON CONFLICT (job_id) DO NOTHING

-- name: find_trace
-- The span in which a job was enqueued.
SELECT t.context FROM dutiful.trace AS t WHERE t.job_id = :id
