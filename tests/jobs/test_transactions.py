"""What both databases promise of a transaction."""

import pytest

from ourvidz.core.errors import IllegalState
from ourvidz.jobs.open import open_database
from tests.jobs.factory import make_job


@pytest.fixture
def database(store_settings, store):
    opened = open_database(store_settings)
    yield opened
    opened.close()


def _event(job_id, seq):
    return {"job_id": job_id, "seq": seq, "now": 1.0, "kind": "progress", "data": "{}"}


def _seqs(store, job_id):
    return [event.seq for event in store.events(job_id)]


def test_what_is_left_for_the_end_is_written_in_order(store, database):
    (job,) = store.submit([make_job()]).jobs
    before = _seqs(store, job.id)

    def body(tx):
        for seq in (7, 8):
            tx.run_last("add_event", **_event(job.id, seq))
        return "done"

    assert database.write(body) == "done"
    assert _seqs(store, job.id) == [*before, 7, 8]


def test_a_failure_at_the_end_undoes_everything(store, database):
    (job,) = store.submit([make_job()]).jobs
    before = _seqs(store, job.id)

    def body(tx):
        tx.run("add_event", **_event(job.id, 7))
        tx.run_last("add_event", **_event(job.id, 8))
        tx.run_last("add_event", **_event(job.id, 8))
        tx.run_last("add_event", **_event(job.id, 9))

    with pytest.raises(IllegalState):
        database.write(body)
    assert _seqs(store, job.id) == before
    database.write(lambda tx: tx.run_last("add_event", **_event(job.id, 7)))  # it goes on
    assert _seqs(store, job.id) == [*before, 7]


def test_an_error_of_the_body_undoes_everything(store, database):
    (job,) = store.submit([make_job()]).jobs
    before = _seqs(store, job.id)

    def body(tx):
        tx.run("add_event", **_event(job.id, 7))
        tx.run_last("add_event", **_event(job.id, 8))
        raise LookupError

    with pytest.raises(LookupError):
        database.write(body)
    assert _seqs(store, job.id) == before
