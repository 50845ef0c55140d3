-- What changed lately, for who watches the whole service: jobs by when they were touched last, and
-- which were forgotten. Jobs of before were touched never.

ALTER TABLE job ADD COLUMN changed_at DOUBLE PRECISION NOT NULL DEFAULT 0;

CREATE INDEX job_changed ON job (changed_at);

CREATE TABLE job_deletion (
    seq {serial},
    job_id {id} NOT NULL,
    tenant {id} NOT NULL,
    at DOUBLE PRECISION NOT NULL
);
