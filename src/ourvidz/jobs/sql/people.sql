-- name: lock_job
SELECT * FROM job WHERE id = :id /*for update*/;

-- name: cancel_queued
UPDATE job SET
    state = 'cancelled', finished_at = :now, cancel_requested = 1, held = 0, delayed = 0,
    error = :error, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND state = 'queued'
RETURNING *;

-- name: request_cancel
UPDATE job SET cancel_requested = 1, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND state = 'running' AND cancel_requested = 0
RETURNING *;

-- name: retry_job
UPDATE job SET
    state = 'queued', errors = 0, crashes = 0, cancel_requested = 0, worker_id = NULL,
    started_at = NULL, finished_at = NULL, progress = NULL, result = NULL, error = NULL,
    run_at = :now, position = :position, delayed = 0,
    held = CASE WHEN EXISTS (
        SELECT 1 FROM pause WHERE scope = 'all' OR scope = job.job_type
    ) THEN 1 ELSE 0 END,
    event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND state IN ('failed', 'cancelled')
RETURNING *;

-- name: move_job
UPDATE job SET
    priority = :priority, position = :position, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND state = 'queued'
RETURNING *;

-- name: mark_job
UPDATE job SET is_favourite = :is_favourite, changed_at = :now WHERE id = :id RETURNING *;

-- name: first_position
SELECT min(position) AS position FROM job WHERE state = 'queued' AND priority = :priority;

-- name: last_position
SELECT max(position) AS position FROM job WHERE state = 'queued' AND priority = :priority;

-- name: position_before
SELECT position FROM job
WHERE state = 'queued' AND priority = :priority AND id <> :moved
    AND (position < :position OR (position = :position AND id < :id))
ORDER BY position DESC, id DESC LIMIT 1;

-- name: position_after
SELECT position FROM job
WHERE state = 'queued' AND priority = :priority AND id <> :moved
    AND (position > :position OR (position = :position AND id > :id))
ORDER BY position, id LIMIT 1;

-- name: renumber_band
-- All positions of a band anew, a millisecond apart and before whatever is stored from now on.
UPDATE job SET
    position = CAST(:now AS DOUBLE PRECISION) - 0.001 * ranked.from_end,
    changed_at = CAST(:now AS DOUBLE PRECISION)
FROM (
    SELECT id, row_number() OVER (ORDER BY position DESC, id DESC) AS from_end
    FROM job WHERE state = 'queued' AND priority = :priority
) AS ranked
WHERE job.id = ranked.id AND job.state = 'queued';

-- name: add_pause
INSERT INTO pause (scope, created_at) VALUES (:scope, :now) ON CONFLICT (scope) DO NOTHING;

-- name: drop_pause
DELETE FROM pause WHERE scope = :scope;

-- name: hold_paused
UPDATE job SET held = 1, changed_at = :now
WHERE state = 'queued' AND held = 0
    AND EXISTS (SELECT 1 FROM pause WHERE scope = 'all' OR scope = job.job_type);

-- name: unhold
UPDATE job SET held = 0, changed_at = :now
WHERE state = 'queued' AND held = 1
    AND NOT EXISTS (SELECT 1 FROM pause WHERE scope = 'all' OR scope = job.job_type);

-- name: delete_job
DELETE FROM job WHERE id = :id;

-- name: add_deletion
INSERT INTO job_deletion (job_id, tenant, at) VALUES (:id, :tenant, :now);

-- name: delete_settled_messages
DELETE FROM outbox WHERE job_id = :id AND state <> 'pending';

-- name: add_decision
INSERT INTO perf_decision (id, at, body) VALUES (:id, :now, :body);

-- name: decisions
SELECT body FROM perf_decision ORDER BY seq;
