-- What stands before a job, in expected seconds: queued and free to run, or running.

-- name: seconds_before
SELECT count(*) AS n, sum(predicted_s) AS seconds FROM job
WHERE state = 'queued' AND held = 0 AND (
    priority > :priority OR (
        priority = :priority AND (position < :position OR (position = :position AND id < :id))
    )
);

-- name: seconds_queued
SELECT count(*) AS n, sum(predicted_s) AS seconds FROM job WHERE state = 'queued' AND held = 0;

-- name: queued_work
-- By lane, what a worker could claim now; a delayed job's time may have come with nobody to say so.
SELECT lane, count(*) AS n, sum(predicted_s) AS seconds FROM job /*by job_queued*/
WHERE state = 'queued' AND held = 0 AND (delayed = 0 OR run_at <= :now)
GROUP BY lane;

-- name: first_running
SELECT * FROM job /*by job_lease*/ WHERE state = 'running' ORDER BY lease_until LIMIT 1;

-- name: first_queued
SELECT * FROM job /*by job_queued*/ WHERE state = 'queued'
ORDER BY priority DESC, position, id LIMIT 1;

-- name: running_seconds
SELECT predicted_s, started_at FROM job WHERE state = 'running';
