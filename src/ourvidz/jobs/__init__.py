"""The job store: the job row is the queue. Leases, fencing tokens, events, outbox, keys.

Torch-free and web-free. Two stores (SQLite, Postgres) behind one protocol, one suite for both.
"""
