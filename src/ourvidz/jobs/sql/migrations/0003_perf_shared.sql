-- What many performance records say alike (where they ran, what was asked for), kept once. Records
-- from before carry all of it in their body.

CREATE TABLE perf_shared (
    id {id} NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);

ALTER TABLE perf_record ADD COLUMN shared {id};
