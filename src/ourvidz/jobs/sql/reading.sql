-- name: get_job
SELECT * FROM job WHERE id = :id;

-- name: get_jobs
SELECT * FROM job WHERE id IN (:*ids);

-- name: list_jobs
SELECT * FROM job /*where*/ LIMIT :limit;

-- name: list_favourites
SELECT * FROM job /*by job_favourite*/ /*where*/ LIMIT :limit;

-- name: changed_jobs
-- Touched since: a look at the end of an index, however many have ended.
SELECT id, event_seq, changed_at, priority, position, held, is_favourite
FROM job /*by job_changed*/
WHERE changed_at >= :since;

-- name: deletions
SELECT seq, job_id, tenant, at FROM job_deletion WHERE seq > :after;

-- name: last_deletion
SELECT coalesce(max(seq), 0) AS seq FROM job_deletion WHERE at < :before;

-- name: count_before
SELECT count(*) AS n FROM job
WHERE state = 'queued' AND (
    priority > :priority OR (
        priority = :priority AND (position < :position OR (position = :position AND id < :id))
    )
);

-- name: count_by_state
SELECT state, count(*) AS n FROM job /*where*/ GROUP BY state;

-- name: count_queued_by_job_type
SELECT job_type, count(*) AS n, min(created_at) AS oldest_at FROM job
WHERE state = 'queued' /*where*/ GROUP BY job_type ORDER BY job_type;

-- name: durations
SELECT started_at, finished_at FROM job
WHERE state = 'succeeded' AND workload = :workload
ORDER BY finished_at DESC LIMIT :limit;

-- name: records_of_workload
SELECT body FROM perf_record WHERE workload = :workload ORDER BY id DESC LIMIT :limit;

-- name: records_of_job_type
SELECT perf_record.*, perf_shared.body AS shared_body FROM perf_record
LEFT JOIN perf_shared ON perf_shared.id = perf_record.shared
WHERE job_type = :job_type ORDER BY perf_record.id DESC LIMIT :limit;

-- name: records
SELECT perf_record.*, perf_shared.body AS shared_body FROM perf_record
LEFT JOIN perf_shared ON perf_shared.id = perf_record.shared
ORDER BY perf_record.id DESC LIMIT :limit;

-- name: perf_records
SELECT perf_record.*, perf_shared.body AS shared_body FROM perf_record
LEFT JOIN perf_shared ON perf_shared.id = perf_record.shared
/*where*/ LIMIT :limit;

-- name: events
SELECT * FROM job_event WHERE job_id = :job_id AND seq > :after ORDER BY seq LIMIT :limit;

-- name: attempts
SELECT * FROM attempt WHERE job_id = :job_id ORDER BY token;

-- name: assets_of_job
SELECT * FROM asset WHERE job_id = :job_id AND deleted_at IS NULL ORDER BY item, id;

-- name: assets_of_jobs
SELECT * FROM asset WHERE job_id IN (:*job_ids) AND deleted_at IS NULL ORDER BY job_id, item, id;

-- name: get_asset
SELECT * FROM asset WHERE id = :id AND deleted_at IS NULL;

-- name: list_assets
SELECT * FROM asset WHERE deleted_at IS NULL /*where*/
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: assets_older
SELECT * FROM asset WHERE deleted_at IS NULL AND created_at < :before
ORDER BY created_at, id LIMIT :limit;

-- name: assets_beyond
SELECT * FROM (
    SELECT asset.*, sum(num_bytes) OVER (ORDER BY created_at DESC, id DESC) AS newer_bytes
    FROM asset WHERE deleted_at IS NULL
) AS running
WHERE newer_bytes > :total_bytes ORDER BY created_at, id LIMIT :limit;

-- name: mark_asset_deleted
UPDATE asset SET deleted_at = :now WHERE id = :id AND deleted_at IS NULL;

-- name: touch_job_of_asset
UPDATE job SET changed_at = :now WHERE id = (SELECT job_id FROM asset WHERE asset.id = :id);

-- name: asset_facts
SELECT facts FROM asset WHERE id = :id /*for update*/;

-- name: set_asset_facts
UPDATE asset SET facts = :facts WHERE id = :id;

-- name: published_key
SELECT id FROM asset WHERE storage_key = :key AND bucket = :bucket AND deleted_at IS NULL LIMIT 1;

-- name: published_thumbnail
SELECT id FROM asset WHERE thumbnail_key = :key AND bucket = :bucket AND deleted_at IS NULL LIMIT 1;
