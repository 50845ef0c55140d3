-- name: renew_lease
UPDATE job SET lease_until = :lease_until
WHERE id = :id AND token = :token AND state = 'running'
RETURNING cancel_requested;

-- name: renew_lease_with_progress
UPDATE job SET
    lease_until = :lease_until, progress = :progress, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND token = :token AND state = 'running'
RETURNING cancel_requested, event_seq;

-- name: see_worker
UPDATE worker SET seen_at = :now WHERE id = :id;

-- name: next_event_seq
UPDATE job SET event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND token = :token AND state = 'running'
RETURNING event_seq;

-- name: set_enhancement
UPDATE job SET enhancement = :enhancement, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND token = :token AND state = 'running'
RETURNING event_seq;

-- name: lock_attempt
SELECT * FROM job WHERE id = :id AND token = :token AND state = 'running' /*for update*/;

-- name: is_published_attempt
SELECT id FROM job WHERE id = :id AND token = :token AND state = 'succeeded';

-- name: succeed
UPDATE job SET
    state = 'succeeded', finished_at = :now, lease_until = NULL, result = :result, error = NULL,
    adjustments = :adjustments, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND token = :token AND state = 'running' AND cancel_requested = 0
RETURNING *;

-- name: end_job
-- Failed, or cancelled while it ran.
UPDATE job SET
    state = :state, finished_at = :now, lease_until = NULL, error = :error,
    errors = :errors, crashes = :crashes, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND token = :token AND state = 'running'
RETURNING *;

-- name: requeue
UPDATE job SET
    state = 'queued', worker_id = NULL, lease_until = NULL, progress = NULL,
    run_at = :run_at, delayed = :delayed, error = :error, errors = :errors, crashes = :crashes,
    held = CASE WHEN EXISTS (
        SELECT 1 FROM pause WHERE scope = 'all' OR scope = job.job_type
    ) THEN 1 ELSE 0 END,
    event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND token = :token AND state = 'running'
RETURNING *;

-- name: end_attempt
UPDATE attempt SET ended_at = :now, outcome = :outcome, error = :error
WHERE job_id = :job_id AND token = :token AND ended_at IS NULL
RETURNING charged_s;

-- name: add_use
INSERT INTO device_use (key_id, at, device_s) VALUES (:key_id, :now, :device_s);

-- name: add_asset
INSERT INTO asset (
    id, job_id, tenant, item, bucket, storage_key, thumbnail_key, media_type, num_bytes, facts,
    created_at
) VALUES (
    :id, :job_id, :tenant, :item, :bucket, :storage_key, :thumbnail_key, :media_type, :num_bytes,
    :facts, :now
);

-- name: add_perf_record
INSERT INTO perf_record (job_id, job_type, workload, at, body, shared)
VALUES (:job_id, :job_type, :workload, :now, :body, :shared);

-- name: add_perf_shared
INSERT INTO perf_shared (id, body) VALUES (:id, :body) ON CONFLICT (id) DO NOTHING;

-- name: expired_leases
SELECT id, token FROM job /*by job_lease*/ WHERE state = 'running' AND lease_until < :now
ORDER BY lease_until LIMIT 1000;

-- name: lock_expired
SELECT * FROM job
WHERE id = :id AND token = :token AND state = 'running' AND lease_until < :now /*skip locked*/;

-- name: free_leases
UPDATE job SET lease_until = 0 WHERE state = 'running';

-- name: wrongly_held
SELECT id FROM job /*by job_held*/
WHERE state = 'queued' AND held = 1
    AND NOT EXISTS (SELECT 1 FROM pause WHERE scope = 'all' OR scope = job.job_type)
LIMIT 1;

-- name: purge_submissions
DELETE FROM submission
WHERE created_at < :before
    AND (dedup_key IS NULL OR dedup_key NOT LIKE 'legacy:%' OR created_at < :legacy_before);

-- name: purge_use
DELETE FROM device_use WHERE at < :before;

-- name: purge_outbox
DELETE FROM outbox
WHERE state <> 'pending' AND settled_at < :before
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = outbox.job_id);

-- name: purge_deletions
DELETE FROM job_deletion WHERE at < :before;
