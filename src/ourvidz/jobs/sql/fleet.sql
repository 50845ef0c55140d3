-- name: waiting_classes
-- What may run now, by kind and medium: the queue's rows alone, however many have ended.
SELECT
    kind, media_type, count(*) AS num_jobs, sum(predicted_s) AS predicted_s,
    sum(CASE WHEN run_at < :overdue_before THEN 1 ELSE 0 END) AS num_overdue
FROM job /*by job_queued*/
WHERE state = 'queued' AND held = 0 AND run_at <= :now
GROUP BY kind, media_type;

-- name: newest_classes
-- Of the newest jobs those that came lately. Ids sort by creation, so no index is wanted.
SELECT kind, media_type, predicted_s, created_at FROM (
    SELECT id, kind, media_type, predicted_s, created_at FROM job ORDER BY id DESC LIMIT :limit
) AS newest
WHERE created_at > :since ORDER BY id DESC;
