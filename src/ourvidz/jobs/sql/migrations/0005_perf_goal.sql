-- What an installation is to reach, kept by the service beside the goals of the settings.

CREATE TABLE perf_goal (
    seq {serial},
    id {id} NOT NULL UNIQUE,
    at DOUBLE PRECISION NOT NULL,
    body TEXT NOT NULL
);
