-- name: has_work
-- One cheap look that an idle worker's poll ends with.
SELECT
    (
        SELECT id FROM job /*by job_ready*/
        WHERE state = 'queued' AND held = 0 AND delayed = 0
        ORDER BY lane, priority DESC LIMIT 1
    ) AS ready_id,
    (
        SELECT min(run_at) FROM job /*by job_delayed*/ WHERE state = 'queued' AND delayed = 1
    ) AS next_run_at;

-- name: release_delayed
UPDATE job SET delayed = 0 WHERE state = 'queued' AND delayed = 1 AND run_at <= :now;

-- name: ready_lanes
-- Every lane with something to claim, its top band and its oldest job: a few looks at the start
-- of an index for each, however long the queue is. And when the next delayed job's time comes.
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM job /*by job_ready*/
    WHERE state = 'queued' AND held = 0 AND delayed = 0
    UNION ALL
    SELECT (
        SELECT min(job.lane) FROM job /*by job_ready*/
        WHERE state = 'queued' AND held = 0 AND delayed = 0 AND job.lane > lanes.lane
    )
    FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT
    lanes.lane AS lane,
    (
        SELECT priority FROM job /*by job_ready*/
        WHERE state = 'queued' AND held = 0 AND delayed = 0 AND job.lane = lanes.lane
        ORDER BY priority DESC LIMIT 1
    ) AS priority,
    (
        SELECT run_at FROM job /*by job_ready_age*/
        WHERE state = 'queued' AND held = 0 AND delayed = 0 AND job.lane = lanes.lane
        ORDER BY run_at LIMIT 1
    ) AS run_at,
    (
        SELECT min(run_at) FROM job /*by job_delayed*/ WHERE state = 'queued' AND delayed = 1
    ) AS next_run_at
FROM lanes WHERE lanes.lane IS NOT NULL;

-- name: upcoming
-- The same lanes with their first jobs' requests, to bring weights before anything is claimed.
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM job /*by job_ready*/
    WHERE state = 'queued' AND held = 0 AND delayed = 0
    UNION ALL
    SELECT (
        SELECT min(job.lane) FROM job /*by job_ready*/
        WHERE state = 'queued' AND held = 0 AND delayed = 0 AND job.lane > lanes.lane
    )
    FROM lanes WHERE lanes.lane IS NOT NULL
), heads (lane, id, num_jobs) AS (
    SELECT
        lanes.lane,
        (
            SELECT id FROM job /*by job_ready*/
            WHERE state = 'queued' AND held = 0 AND delayed = 0 AND job.lane = lanes.lane
            ORDER BY priority DESC, tenant, position, id LIMIT 1
        ),
        (
            SELECT count(*) FROM (
                SELECT 1 AS one FROM job /*by job_ready*/
                WHERE state = 'queued' AND held = 0 AND delayed = 0 AND job.lane = lanes.lane
                LIMIT :most
            ) AS few
        )
    FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT
    heads.lane AS lane, heads.num_jobs AS num_jobs, job.priority AS priority,
    job.run_at AS run_at, job.request AS request, job.enhancement AS enhancement
FROM heads JOIN job ON job.id = heads.id;

-- name: demand
-- What the newest jobs needed. Ids sort by creation, so no index of its own is wanted.
SELECT lane, request FROM (
    SELECT lane, request, created_at FROM job ORDER BY id DESC LIMIT :limit
) AS newest
WHERE created_at >= :since;

-- name: next_tenants
-- Tenants with something in a band of these lanes, the least charged first.
SELECT tenant.id FROM tenant
WHERE (
    SELECT job.id FROM job /*by job_ready*/
    WHERE state = 'queued' AND held = 0 AND delayed = 0
        AND lane IN (:*lanes) AND priority = :priority AND job.tenant = tenant.id
    LIMIT 1
) IS NOT NULL
ORDER BY vtime, id LIMIT 4;

-- name: lane_heads
-- The first job of a tenant in each of several lanes of one band.
WITH wanted (lane) AS (VALUES :**lanes), heads (id) AS (
    SELECT (
        SELECT id FROM job /*by job_ready*/
        WHERE state = 'queued' AND held = 0 AND delayed = 0
            AND job.lane = wanted.lane AND priority = :priority AND tenant = :tenant
        ORDER BY position, id LIMIT 1
    )
    FROM wanted
)
SELECT job.lane AS lane, job.position AS position, job.id AS id
FROM heads JOIN job ON job.id = heads.id;

-- name: pick_band
SELECT id FROM job /*by job_ready*/
WHERE state = 'queued' AND held = 0 AND delayed = 0
    AND lane = :lane AND priority = :priority AND tenant = :tenant
ORDER BY position, id LIMIT 1 /*skip locked*/;

-- name: pick_overdue
SELECT id FROM job /*by job_ready_age*/
WHERE state = 'queued' AND held = 0 AND delayed = 0 AND lane = :lane AND run_at < :before
ORDER BY run_at, id LIMIT 1 /*skip locked*/;

-- name: pick_shape
SELECT id FROM job /*by job_ready_shape*/
WHERE state = 'queued' AND held = 0 AND delayed = 0
    AND batch_shape IS NOT NULL AND batch_shape = :batch_shape AND priority = :priority
ORDER BY position, id LIMIT :limit /*skip locked*/;

-- name: hold_if_paused
-- Closes the gap between a pause and a job that was being stored at that moment.
UPDATE job SET held = 1, changed_at = :now
WHERE id = :id AND state = 'queued'
    AND EXISTS (SELECT 1 FROM pause WHERE scope = 'all' OR scope = job.job_type);

-- name: claim_job
UPDATE job SET
    state = 'running', worker_id = :worker_id, token = token + 1, started_at = :now,
    lease_until = :lease_until, progress = NULL, event_seq = event_seq + 1, changed_at = :now
WHERE id = :id AND state = 'queued' AND held = 0 AND delayed = 0
    AND NOT EXISTS (SELECT 1 FROM pause WHERE scope = 'all' OR scope = job.job_type)
RETURNING *;

-- name: claim_own
-- Of who stores the job in this very transaction. No pause holds it: it never waits in the queue.
UPDATE job SET
    state = 'running', worker_id = :worker_id, token = token + 1, started_at = :now,
    lease_until = :lease_until, held = 0, delayed = 0, event_seq = event_seq + 1,
    changed_at = :now
WHERE id = :id AND state = 'queued'
RETURNING *;

-- name: add_attempt
INSERT INTO attempt (job_id, token, worker_id, started_at, charged_s)
VALUES (:job_id, :token, :worker_id, :now, :charged_s);

-- name: charge_tenant
UPDATE tenant SET vtime = vtime + CAST(:device_s AS DOUBLE PRECISION) / weight WHERE id = :tenant;
