-- Jobs that somebody marked, and how to list them without reading all others.

ALTER TABLE job ADD COLUMN is_favourite INTEGER NOT NULL DEFAULT 0;

CREATE INDEX job_favourite ON job (id) WHERE is_favourite = 1;
