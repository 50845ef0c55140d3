-- name: put_worker
INSERT INTO worker (
    id, host, pid, device, state, started_at, seen_at, models, resident, jobs, facts
) VALUES (
    :id, :host, :pid, :device, :state, :started_at, :now, :models, :resident, :jobs, :facts
)
ON CONFLICT (id) DO UPDATE SET
    host = excluded.host, pid = excluded.pid, device = excluded.device, state = excluded.state,
    started_at = excluded.started_at, seen_at = excluded.seen_at, models = excluded.models,
    resident = excluded.resident, jobs = excluded.jobs, facts = excluded.facts;

-- name: remove_worker
DELETE FROM worker WHERE id = :id;

-- name: get_worker
-- Locked: its row stays until what refers to it is stored.
SELECT id FROM worker WHERE id = :id /*for update*/;

-- name: purge_workers
-- Who was killed takes no leave; what was asked of it goes with its row.
DELETE FROM worker WHERE seen_at < :before;

-- name: workers
SELECT * FROM worker WHERE seen_at >= :since ORDER BY started_at, id;

-- name: add_command
INSERT INTO worker_command (worker_id, verb, model) VALUES (:worker_id, :verb, :model);

-- name: has_commands
SELECT id FROM worker_command WHERE worker_id = :worker_id LIMIT 1;

-- name: take_commands
DELETE FROM worker_command WHERE worker_id = :worker_id RETURNING *;

-- name: has_due_messages
SELECT id FROM outbox WHERE state = 'pending' AND due_at <= :now LIMIT 1;

-- name: due_messages
SELECT id FROM outbox WHERE state = 'pending' AND due_at <= :now
ORDER BY due_at, id LIMIT :limit /*skip locked*/;

-- name: lease_message
UPDATE outbox SET due_at = :due_at WHERE id = :id AND state = 'pending' RETURNING *;

-- name: settle_message
UPDATE outbox SET
    state = :state, tries = tries + 1, due_at = :due_at, settled_at = :settled_at, error = :error
WHERE id = :id AND state = 'pending';

-- name: messages_of_job
SELECT * FROM outbox WHERE job_id = :job_id ORDER BY id;

-- name: add_key
INSERT INTO api_key (
    id, tenant, name, prefix, sha256, scopes, quotas, created_at, expires_at, revoked_at,
    last_used_at
) VALUES (
    :id, :tenant, :name, :prefix, :sha256, :scopes, :quotas, :created_at, :expires_at, :revoked_at,
    :last_used_at
);

-- name: find_key
SELECT * FROM api_key WHERE sha256 = :sha256;

-- name: get_key
SELECT * FROM api_key WHERE id = :id;

-- name: keys
SELECT * FROM api_key /*where*/ ORDER BY created_at DESC, id DESC;

-- name: note_use
UPDATE api_key SET last_used_at = :now WHERE id = :id;

-- name: revoke_key
UPDATE api_key SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL;

-- name: set_weight
INSERT INTO tenant (id, weight) VALUES (:id, :weight)
ON CONFLICT (id) DO UPDATE SET weight = excluded.weight;

-- name: get_clock
SELECT boot_id, wall_s, monotonic_s FROM boot_clock WHERE id = 1;

-- name: set_clock
INSERT INTO boot_clock (id, boot_id, wall_s, monotonic_s)
VALUES (1, :boot_id, :wall_s, :monotonic_s)
ON CONFLICT (id) DO UPDATE SET
    boot_id = excluded.boot_id, wall_s = excluded.wall_s, monotonic_s = excluded.monotonic_s;

-- name: has_timed_jobs
SELECT
    (SELECT id FROM job WHERE state = 'running' LIMIT 1) AS running,
    (SELECT id FROM job WHERE state = 'queued' AND delayed = 1 LIMIT 1) AS delayed;
