-- name: ensure_tenant
INSERT INTO tenant (id) VALUES (:id) ON CONFLICT (id) DO NOTHING;

-- name: lock_tenant
SELECT id FROM tenant WHERE id = :id /*for update*/;

-- name: has_open_jobs
SELECT id FROM job WHERE tenant = :tenant AND state IN ('queued', 'running') LIMIT 1;

-- name: least_active_vtime
SELECT vtime FROM tenant
WHERE (
    SELECT job.id FROM job
    WHERE job.tenant = tenant.id AND state IN ('queued', 'running') LIMIT 1
) IS NOT NULL
ORDER BY vtime LIMIT 1;

-- name: raise_vtime
UPDATE tenant SET vtime = :vtime WHERE id = :id AND vtime < :vtime;

-- name: submission_by_key
SELECT id, body_hash, job_ids, created_at FROM submission
WHERE tenant = :tenant AND key_id = :key_id AND dedup_key = :dedup_key;

-- name: submission_by_body
SELECT id, body_hash, job_ids, created_at FROM submission
WHERE tenant = :tenant AND key_id = :key_id AND body_hash = :body_hash AND created_at >= :since
ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: drop_submission
DELETE FROM submission WHERE id = :id;

-- name: add_submission
INSERT INTO submission (tenant, key_id, dedup_key, body_hash, job_ids, created_at)
VALUES (:tenant, :key_id, :dedup_key, :body_hash, :job_ids, :now);

-- name: queued_of_key
SELECT count(*) AS n FROM job WHERE key_id = :key_id AND state = 'queued';

-- name: queued_seconds_of_key
SELECT coalesce(sum(predicted_s), 0) AS predicted_s FROM job
WHERE key_id = :key_id AND state = 'queued';

-- name: device_seconds
SELECT coalesce(sum(device_s), 0) AS device_s, min(at) AS first_at FROM device_use
WHERE key_id = :key_id AND at > :since;

-- name: paused_scopes
SELECT scope FROM pause ORDER BY scope;

-- name: add_job
INSERT INTO job (
    id, tenant, key_id, kind, source, job_type, media_type, workload, batch_shape, lane,
    prompt_folded, request, state, priority, position, created_at, run_at, max_errors, held,
    delayed, predicted_s, deadline_s, event_seq, adjustments, batch_id, metadata, callbacks, legacy,
    changed_at
) VALUES (
    :id, :tenant, :key_id, :kind, :source, :job_type, :media_type, :workload, :batch_shape, :lane,
    :prompt_folded, :request, 'queued', :priority, :position, :created_at, :run_at, :max_errors,
    :held, :delayed, :predicted_s, :deadline_s, 1, :adjustments, :batch_id, :metadata, :callbacks,
    :legacy, :created_at
);

-- name: add_event
INSERT INTO job_event (job_id, seq, at, kind, data) VALUES (:job_id, :seq, :now, :kind, :data);

-- name: add_message
INSERT INTO outbox (job_id, kind, url, event, payload, created_at, due_at)
VALUES (:job_id, :kind, :url, :event, :payload, :now, :now);
