-- What people decided about changes of speed. Appended to and read: nothing updates or deletes.

CREATE TABLE perf_decision (
    seq {serial},
    id {id} NOT NULL UNIQUE,
    at DOUBLE PRECISION NOT NULL,
    body TEXT NOT NULL
);
