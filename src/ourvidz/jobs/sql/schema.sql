-- The whole schema as the migrations leave it; a test holds the two equal.

-- Words in braces differ by store: {id} is a text that sorts by its bytes, {serial} a number that
-- the store gives out. The rest is read alike by SQLite and Postgres. Times are Unix seconds of
-- the store's clock, JSON is text, flags are 0 or 1.

CREATE TABLE job (
    id {id} NOT NULL PRIMARY KEY,
    tenant {id} NOT NULL,
    key_id {id},
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    job_type TEXT NOT NULL,
    media_type TEXT NOT NULL,
    workload TEXT NOT NULL,
    batch_shape TEXT,
    lane {id} NOT NULL,
    prompt_folded TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    priority INTEGER NOT NULL,
    position DOUBLE PRECISION NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    run_at DOUBLE PRECISION NOT NULL,
    started_at DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    lease_until DOUBLE PRECISION,
    worker_id TEXT,
    token BIGINT NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    max_errors INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    predicted_s DOUBLE PRECISION NOT NULL,
    deadline_s DOUBLE PRECISION NOT NULL,
    event_seq BIGINT NOT NULL DEFAULT 0,
    progress TEXT,
    enhancement TEXT,
    adjustments TEXT NOT NULL,
    result TEXT,
    error TEXT,
    batch_id TEXT,
    metadata TEXT NOT NULL,
    callbacks TEXT NOT NULL,
    legacy TEXT
);

ALTER TABLE job ADD COLUMN is_favourite INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN changed_at DOUBLE PRECISION NOT NULL DEFAULT 0;

-- What may be claimed, by lane (kind and model): the first of a lane, band and tenant is one look.
CREATE INDEX job_ready ON job (lane, priority DESC, tenant, position, id)
    WHERE state = 'queued' AND held = 0 AND delayed = 0;
-- The same by age, for what waited too long.
CREATE INDEX job_ready_age ON job (lane, run_at, id)
    WHERE state = 'queued' AND held = 0 AND delayed = 0;
-- What may run in one batch with another job.
CREATE INDEX job_ready_shape ON job (batch_shape, priority DESC, position, id)
    WHERE state = 'queued' AND held = 0 AND delayed = 0 AND batch_shape IS NOT NULL;
CREATE INDEX job_delayed ON job (run_at) WHERE state = 'queued' AND delayed = 1;
CREATE INDEX job_held ON job (job_type) WHERE state = 'queued' AND held = 1;
CREATE INDEX job_queued ON job (priority DESC, position, id) WHERE state = 'queued';
CREATE INDEX job_lease ON job (lease_until) WHERE state = 'running';
CREATE INDEX job_key_queued ON job (key_id) WHERE state = 'queued';
CREATE INDEX job_done ON job (workload, finished_at DESC) WHERE state = 'succeeded';
-- Never by state alone: a planner would take it for the queue.
CREATE INDEX job_tenant_state ON job (tenant, state, id);
CREATE INDEX job_tenant ON job (tenant, id);
CREATE INDEX job_batch ON job (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX job_favourite ON job (id) WHERE is_favourite = 1;
-- What was touched lately, for who watches.
CREATE INDEX job_changed ON job (changed_at);

-- Jobs that were forgotten lately, for the same.
CREATE TABLE job_deletion (
    seq {serial},
    job_id {id} NOT NULL,
    tenant {id} NOT NULL,
    at DOUBLE PRECISION NOT NULL
);

CREATE TABLE job_event (
    job_id {id} NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

CREATE TABLE attempt (
    job_id {id} NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    token BIGINT NOT NULL,
    worker_id TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    ended_at DOUBLE PRECISION,
    charged_s DOUBLE PRECISION NOT NULL,
    outcome TEXT,
    error TEXT,
    PRIMARY KEY (job_id, token)
);

CREATE TABLE asset (
    id {id} NOT NULL PRIMARY KEY,
    job_id {id} NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    tenant {id} NOT NULL,
    item INTEGER NOT NULL,
    bucket TEXT NOT NULL,
    storage_key TEXT NOT NULL,
    thumbnail_key TEXT,
    media_type TEXT NOT NULL,
    num_bytes BIGINT NOT NULL,
    facts TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    deleted_at DOUBLE PRECISION
);

CREATE INDEX asset_job ON asset (job_id, item);
CREATE INDEX asset_age ON asset (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX asset_key ON asset (storage_key) WHERE deleted_at IS NULL;
CREATE INDEX asset_thumbnail ON asset (thumbnail_key) WHERE deleted_at IS NULL;

-- Messages outlive their job until they are settled.
CREATE TABLE outbox (
    id {serial},
    job_id {id} NOT NULL,
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    event TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    due_at DOUBLE PRECISION NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'pending',
    settled_at DOUBLE PRECISION,
    error TEXT
);

CREATE INDEX outbox_due ON outbox (due_at, id) WHERE state = 'pending';
CREATE INDEX outbox_job ON outbox (job_id, id);

-- Submits that a client may make again. key is null where only the body tells.
CREATE TABLE submission (
    id {serial},
    tenant {id} NOT NULL,
    key_id {id} NOT NULL,
    dedup_key TEXT,
    body_hash TEXT NOT NULL,
    job_ids TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);

CREATE UNIQUE INDEX submission_key ON submission (tenant, key_id, dedup_key)
    WHERE dedup_key IS NOT NULL;
CREATE INDEX submission_body ON submission (tenant, key_id, body_hash, created_at);
CREATE INDEX submission_age ON submission (created_at);

CREATE TABLE tenant (
    id {id} NOT NULL PRIMARY KEY,
    weight DOUBLE PRECISION NOT NULL DEFAULT 1,
    vtime DOUBLE PRECISION NOT NULL DEFAULT 0
);

CREATE INDEX tenant_vtime ON tenant (vtime, id);

CREATE TABLE pause (
    scope {id} NOT NULL PRIMARY KEY,
    created_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE worker (
    id {id} NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    device TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    seen_at DOUBLE PRECISION NOT NULL,
    models TEXT NOT NULL,
    resident TEXT NOT NULL,
    jobs TEXT NOT NULL,
    facts TEXT NOT NULL
);

CREATE TABLE worker_command (
    id {serial},
    worker_id {id} NOT NULL REFERENCES worker (id) ON DELETE CASCADE,
    verb TEXT NOT NULL,
    model TEXT
);

CREATE INDEX worker_command_worker ON worker_command (worker_id, id);

CREATE TABLE api_key (
    id {id} NOT NULL PRIMARY KEY,
    tenant {id} NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    quotas TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION,
    last_used_at DOUBLE PRECISION
);

-- Device seconds by key; jobs may be forgotten, what they took may not.
CREATE TABLE device_use (
    id {serial},
    key_id {id} NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    device_s DOUBLE PRECISION NOT NULL
);

CREATE INDEX device_use_key ON device_use (key_id, at);
CREATE INDEX device_use_at ON device_use (at);

CREATE TABLE perf_record (
    id {serial},
    job_id {id} NOT NULL,
    job_type TEXT NOT NULL,
    workload TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    body TEXT NOT NULL
);

ALTER TABLE perf_record ADD COLUMN shared {id};

CREATE INDEX perf_record_type ON perf_record (job_type, id);
CREATE INDEX perf_record_workload ON perf_record (workload, id);

-- What many records say alike (where they ran, what was asked for), kept once.
CREATE TABLE perf_shared (
    id {id} NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);

-- What people decided about changes of speed. Appended to and read: nothing updates or deletes.
CREATE TABLE perf_decision (
    seq {serial},
    id {id} NOT NULL UNIQUE,
    at DOUBLE PRECISION NOT NULL,
    body TEXT NOT NULL
);

-- SQLite's clock: wall time at a moment of the monotonic clock of one boot. Postgres has its own.
CREATE TABLE boot_clock (
    id INTEGER NOT NULL PRIMARY KEY,
    boot_id TEXT NOT NULL,
    wall_s DOUBLE PRECISION NOT NULL,
    monotonic_s DOUBLE PRECISION NOT NULL
);

-- What an installation is to reach, kept by the service beside the goals of the settings.
CREATE TABLE perf_goal (
    seq {serial},
    id {id} NOT NULL UNIQUE,
    at DOUBLE PRECISION NOT NULL,
    body TEXT NOT NULL
);

-- What people said of outputs. It outlives the jobs, as performance records do, and holds no word of
-- a prompt: settings are what was asked for besides.

CREATE TABLE rating (
    seq {serial},
    job_id {id} NOT NULL,
    rater {id} NOT NULL,
    tenant {id} NOT NULL,
    job_type TEXT NOT NULL,
    settings TEXT NOT NULL,
    stars INTEGER,
    tags TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL
);

CREATE UNIQUE INDEX rating_job ON rating (job_id, rater);
CREATE INDEX rating_tenant ON rating (tenant, seq);

-- Two outputs of one prompt, shown without their names: A is the first job unless swapped.
CREATE TABLE blind_test (
    id {id} NOT NULL PRIMARY KEY,
    tenant {id} NOT NULL,
    first_job {id} NOT NULL,
    second_job {id} NOT NULL,
    first_settings TEXT NOT NULL,
    second_settings TEXT NOT NULL,
    is_swapped INTEGER NOT NULL,
    at DOUBLE PRECISION NOT NULL
);

CREATE INDEX blind_test_tenant ON blind_test (tenant, id);

CREATE TABLE blind_vote (
    seq {serial},
    test_id {id} NOT NULL REFERENCES blind_test (id),
    rater {id} NOT NULL,
    choice TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL
);

CREATE UNIQUE INDEX blind_vote_rater ON blind_vote (test_id, rater);
