"""Wall clocks that step by an hour under workers and servers while jobs run; real processes."""

import os
import signal
import time

import pytest

from ourvidz.core.job import JobState
from tests.faults.harness import CHILD, LEASE_S, REAP_S, check_history

RECOVERY_S = LEASE_S + REAP_S + 1.0
HOUR_S = 3600.0
# Two leases long, so that a lease that ended early or is not renewed shows.
LONG = "steps=100 step_ms=60"
WORK = "steps=4 step_ms=20"
STEPS = [HOUR_S, -HOUR_S]
STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]


class SteppedSite:
    """A site whose processes share one wall clock, which is not the machine's."""

    def __init__(self, site):
        self.site = site
        self._file = site.root / "clock"
        self.step(0.0)
        self.clock = {"OURVIDZ_TEST_CLOCK": str(self._file), "PYTHONPATH": str(CHILD)}

    def step(self, seconds):
        """Step the wall clock of every process at once."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds), encoding="ascii")
        new.replace(self._file)

    def start_worker(self):
        return self.site.start_worker(**self.clock)

    def start_api(self):
        return self.site.start_api(**self.clock)


@pytest.fixture
def make_stepped(make_site):
    return lambda *arguments, **options: SteppedSite(make_site(*arguments, **options))


def wait_running(site, ids):
    def are_running():
        return all(site.store.get(job_id).state is JobState.RUNNING for job_id in ids)

    site.wait_until(are_running, timeout_s=30, what="running jobs")


def wall_of(api):
    """The wall clock that a server's processes see: job ids begin with its milliseconds."""
    job = api.submit(WORK, job_type="image_fast", delay_s=1800).json()
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    millis = 0
    for char in job["id"].removeprefix("job_")[:10]:
        millis = millis * 32 + digits.index(char)
    return millis / 1000, job["id"]


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("step_s", STEPS)
def test_no_lease_ends_and_nothing_starts_early_when_the_clock_steps(make_stepped, store, step_s):
    stepped = make_stepped(store)
    site, api = stepped.site, stepped.start_api()
    stepped.start_worker()
    stepped.start_worker()
    site.wait_ready(2)
    ids = site.submit(LONG, LONG, job_type="image_fast")
    delayed = api.submit(WORK, job_type="image_fast", delay_s=1800).json()["id"]
    wait_running(site, ids)
    stepped.step(step_s)
    wall_s, other = wall_of(api)
    assert abs(wall_s - time.time() - step_s) < 60.0  # the step did reach the processes
    stepped.start_api()  # one that starts, and migrates, under the wrong clock
    jobs = site.wait_done(ids)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}, site.logs()
    assert [len(site.store.attempts(job_id)) for job_id in ids] == [1, 1]
    for job_id in (delayed, other):
        assert site.store.get(job_id).state is JobState.QUEUED
        assert site.store.attempts(job_id) == ()
        site.store.cancel(job_id)
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("step_s", STEPS)
def test_recovery_and_retries_take_as_long_as_ever_after_a_step(make_stepped, store, step_s):
    stepped = make_stepped(store, retry_s=0.2)
    site = stepped.site
    victim = stepped.start_worker()
    site.wait_ready()
    (killed,) = site.submit("steps=1000 step_ms=60", job_type="image_fast")
    wait_running(site, [killed])
    stepped.step(step_s)
    stepped.start_api()
    stepped.start_worker()
    site.wait_ready()
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    died_at = site.store.now()
    site.wait_until(
        lambda: len(site.store.attempts(killed)) == 2, timeout_s=RECOVERY_S + 30, what="attempt"
    )
    first, second = site.store.attempts(killed)
    assert (first.outcome, second.outcome) == ("crashed", None)
    assert second.started_at - died_at <= RECOVERY_S
    site.store.cancel(killed)
    (retried,) = site.submit(f"{WORK} fail=1", job_type="image_fast")
    stepped.step(-step_s)
    jobs = site.wait_done([killed, retried])
    assert [job.state for job in jobs] == [JobState.CANCELLED, JobState.SUCCEEDED], site.logs()
    assert [attempt.outcome for attempt in site.store.attempts(retried)] == ["failed", "succeeded"]
    check_history(site)
