"""The chores: real threads, a real store; waits end on events, never on sleeping."""

from __future__ import annotations

import logging
import threading

import pytest

from ourvidz.catalog.config import QueueConfig
from ourvidz.core.errors import StoreUnavailable
from ourvidz.core.job import JobState
from ourvidz.jobs.model import NewJob
from ourvidz.net.client import GuardedClient
from ourvidz.upkeep.loop import Upkeep
from ourvidz.upkeep.outbox import OutboxSender
from ourvidz.upkeep.webhook import WebhookRenderer
from tests.clocks import ManualClock
from tests.upkeep.outbox_parts import Receiver, finish_job, open_test_store, request, webhook

WAIT_S = 30.0
QUICK = QueueConfig(reap_s=0.005, max_crashes=3)


class _Count:
    """A chore that counts its runs, raises in the first few, and tells when it has had enough."""

    def __init__(self, enough=3, failing=0, error=RuntimeError):
        self.runs = 0
        self.enough = enough
        self.failing = failing
        self.error = error
        self.done = threading.Event()

    def __call__(self):
        self.runs += 1
        if self.runs >= self.enough:
            self.done.set()
        if self.runs <= self.failing:
            raise self.error("zebra")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(tmp_path, clock):
    store = open_test_store(tmp_path, clock)
    yield store
    store.close()


def _running(upkeep):
    class Running:
        def __enter__(self):
            upkeep.start()
            return upkeep

        def __exit__(self, *_):
            assert upkeep.stop(timeout_s=WAIT_S)

    return Running()


def test_ended_leases_are_taken_back(store, clock):
    store.submit([NewJob(id="job_1", request=request())])
    job = store.claim("worker-1", lease_s=20, overdue_s=900)
    assert job.state is JobState.RUNNING
    clock.advance(21)
    looked = _Count(1)
    reap = store.reap

    class Watched:
        """The store, telling when it was reaped."""

        def reap(self, *, max_crashes):
            taken = reap(max_crashes=max_crashes)
            looked()
            return taken

    with _running(Upkeep(store=Watched(), queue=QUICK)):
        assert looked.done.wait(WAIT_S)
    again = store.get("job_1")
    assert (again.state, again.crashes) == (JobState.QUEUED, 1)


def test_messages_go_out(store):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = OutboxSender(
            store, GuardedClient(allow_private=True), {"webhook": WebhookRenderer(())}
        )
        with _running(Upkeep(store=store, queue=QUICK, outbox=sender, outbox_s=0.01)):
            assert receiver.got_one.wait(WAIT_S)
    assert receiver.bodies[0]["type"] == "job.succeeded"


def test_one_failing_chore_stops_neither_itself_nor_the_others(store, caplog):
    bad, good = _Count(9, failing=9), _Count(3)
    upkeep = Upkeep(
        store=store,
        queue=QUICK,
        sweeps={"bad": bad, "good": good},
        sweep_s=0.001,
        first_sweep_s=0.0,
    )
    with caplog.at_level(logging.ERROR, logger="ourvidz.upkeep"), _running(upkeep):
        assert bad.done.wait(WAIT_S)
        assert good.done.wait(WAIT_S)
    lines = [
        record.getMessage()
        for record in caplog.records
        if "bad failed" in str(record.msg % record.args)
    ]
    assert lines == [f"bad failed ({count} in a row)" for count in (1, 2, 4, 8)]


def test_a_hanging_chore_stops_no_other(store):
    release = threading.Event()
    good = _Count(3)
    upkeep = Upkeep(
        store=store,
        queue=QUICK,
        sweeps={"hangs": lambda: release.wait(WAIT_S), "good": good},
        sweep_s=0.001,
        first_sweep_s=0.0,
    )
    with _running(upkeep):
        assert good.done.wait(WAIT_S)
        assert not upkeep.stop(timeout_s=0.05)  # says that something is still under way
        release.set()


def test_an_outage_is_told_once_and_its_end_too(store, caplog):
    class Away:
        def __init__(self):
            self.count = _Count(4, failing=1, error=StoreUnavailable)

        def reap(self, *, max_crashes):
            assert max_crashes == 3
            self.count()
            return ()

    away = Away()
    with (
        caplog.at_level(logging.WARNING, logger="ourvidz.upkeep"),
        _running(Upkeep(store=away, queue=QUICK)),
    ):
        assert away.count.done.wait(WAIT_S)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "reap failed (1 in a row): store_unavailable: zebra",
        "reap works again after 1 failures",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_sweeps_wait_their_time(store):
    """The first run comes after its delay; a stop in the meantime ends the wait at once."""
    sweep, reaped = _Count(1), _Count(3)

    class Watched:
        def reap(self, *, max_crashes):
            reaped()
            return ()

    upkeep = Upkeep(store=Watched(), queue=QUICK, sweeps={"sweep": sweep}, first_sweep_s=3600)
    with _running(upkeep):
        assert reaped.done.wait(WAIT_S)
    assert sweep.runs == 0


def test_stop_is_idempotent_and_needs_no_start(store):
    upkeep = Upkeep(store=store, queue=QUICK)
    assert upkeep.stop()
    assert upkeep.stop()
