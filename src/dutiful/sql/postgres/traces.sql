-- name: add_traces
-- The span in which these jobs, stored a moment ago, were enqueued.
INSERT INTO dutiful.trace (job_id, at, context)
SELECT r.id, :now, r.context FROM jsonb_to_recordset(:rows::jsonb) AS r(id uuid, context text)
ON CONFLICT (job_id) DO NOTHING

-- name: find_trace
-- The span in which a job was enqueued.
SELECT t.context FROM dutiful.trace AS t WHERE t.job_id = :id::uuid
