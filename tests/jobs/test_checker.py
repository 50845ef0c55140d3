"""The checker itself: it accepts a true history, and finds what is wrong with damaged ones."""

import contextlib
import sqlite3

import pytest

from ourvidz.catalog.config import Settings
from ourvidz.jobs.open import open_store
from tests.clocks import ManualClock
from tests.jobs.checker import check_store
from tests.jobs.factory import make_asset, make_job

LEASE_S = 20.0
# seq: 1 submitted, 2 claimed, 3 requeued after a crash, 4 claimed, 5 succeeded
ANOTHER_END = (
    "INSERT INTO job_event (job_id, seq, at, kind, data) SELECT job_id, 6, at, kind, data"
    " FROM job_event WHERE seq = 5",
    "UPDATE job SET event_seq = 6",
)
DAMAGES = {
    "an event is missing": (["DELETE FROM job_event WHERE seq = 3"], "events have gaps"),
    "the last event is missing": (["DELETE FROM job_event WHERE seq = 5"], "event_seq is 5"),
    "an event is counted twice": (
        ["UPDATE job_event SET seq = 7 WHERE seq = 5"],
        "events have gaps",
    ),
    "time goes back": (["UPDATE job_event SET at = at - 3600 WHERE seq = 4"], "go back in time"),
    "published twice": (ANOTHER_END, "published 2 times"),
    "ended twice": (
        [*ANOTHER_END, "UPDATE job_event SET kind = 'failed' WHERE seq = 5"],
        "2 ends with 0 retries",
    ),
    "outputs of a second attempt": (
        [
            "INSERT INTO asset SELECT 'asset_other', job_id, tenant, item + 1, bucket,"
            " 'other/' || storage_key, NULL, media_type, num_bytes, facts, created_at, deleted_at"
            " FROM asset"
        ],
        "outputs that no event tells of: ['asset_other']",
    ),
    "outputs of a failed job": (
        [
            "UPDATE job SET state = 'failed'",
            "UPDATE job_event SET kind = 'failed', data = '{}' WHERE seq = 5",
        ],
        "has outputs and is failed",
    ),
    "a claim's token goes back": (
        ["UPDATE job_event SET data = replace(data, '2', '1') WHERE seq = 4"],
        "tokens: attempts [1, 2], claims [1, 1], job 2",
    ),
    "a token is left out": (
        ["UPDATE attempt SET token = 3 WHERE token = 2"],
        "tokens: attempts [1, 3]",
    ),
    "the job's token goes back": (["UPDATE job SET token = 1"], "job 1"),
    "claimed while it runs": (
        ["UPDATE job_event SET kind = 'claimed', data = '{\"token\": 2}' WHERE seq = 3"],
        "event 3 claimed in state running",
    ),
    "succeeded without a claim": (
        ["UPDATE job_event SET kind = 'moved' WHERE seq = 4"],
        "event 5 succeeded in state queued",
    ),
    "run again after its end": (
        [
            *ANOTHER_END,
            "UPDATE job_event SET kind = 'requeued', data = '{\"why\": \"crash\"}' WHERE seq = 6",
            "UPDATE job SET state = 'queued'",
        ],
        "event 6 takes a job back out of succeeded",
    ),
    "a state that no event led to": (
        ["UPDATE job SET state = 'cancelled'"],
        "events end in succeeded, the job is cancelled",
    ),
    "an attempt that never ended": (
        ["UPDATE attempt SET ended_at = NULL, outcome = NULL WHERE token = 1"],
        "open attempts [1] of a job that is succeeded",
    ),
    "attempts at the same time": (
        ["UPDATE attempt SET ended_at = ended_at + 3600 WHERE token = 1"],
        "attempts [2] began before",
    ),
    "an attempt without an outcome": (
        ["UPDATE attempt SET outcome = NULL WHERE token = 1"],
        "an attempt ended without an outcome",
    ),
    "an accepted job is gone": (
        [f"DELETE FROM {table}" for table in ("job_event", "attempt", "asset", "job")],
        "lost",
    ),
}


@pytest.fixture
def history(tmp_path):
    """A store with one job that crashed once and then succeeded; its file; the job's id."""
    clock = ManualClock()
    folder = tmp_path / "data"
    store = open_store(Settings(data_dir=folder), clock=clock)
    store.migrate()
    (job,) = store.submit([make_job()]).jobs
    assert store.claim("one", lease_s=LEASE_S, overdue_s=900.0)
    clock.advance(LEASE_S + 1)
    assert store.reap(max_crashes=3) == (job.id,)
    again = store.claim("two", lease_s=LEASE_S, overdue_s=900.0)
    clock.advance(1)
    assert store.finish(job.id, again.token, result={}, assets=[make_asset(again.token)])
    yield store, folder / "ourvidz.db", job.id
    store.close()


def damage(path, statements):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            assert connection.execute(statement).rowcount >= 1, statement


def test_a_true_history_is_accepted(history):
    store, _, job_id = history
    assert check_store(store, [job_id]) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_history_is_found(history, name):
    store, path, job_id = history
    statements, complaint = DAMAGES[name]
    damage(path, statements)
    problems = check_store(store, [job_id])
    assert any(complaint in problem for problem in problems), problems
    assert all(problem.startswith(job_id) for problem in problems)


def test_a_job_that_never_ended_is_found(history):
    store, _, job_id = history
    (waiting,) = store.submit([make_job()]).jobs
    assert check_store(store, [job_id, waiting.id]) == [f"{waiting.id}: still queued"]
    assert check_store(store, [job_id, waiting.id], must_be_terminal=False) == []


def test_a_job_that_was_accepted_and_is_not_there_is_found(history):
    store, _, job_id = history
    (problem,) = check_store(store, [job_id, "job_accepted"])
    assert problem.startswith("job_accepted: lost")
