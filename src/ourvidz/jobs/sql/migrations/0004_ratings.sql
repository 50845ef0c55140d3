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
