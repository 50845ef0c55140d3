"""The supervisor, with real worker processes on the engine without models."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from ourvidz.core.job import JobState
from ourvidz.worker import supervisor as module
from ourvidz.worker.exits import DRAINED_BY_COMMAND
from ourvidz.worker.supervisor import Supervisor, plan_slots, visible_gpus
from tests.faults.harness import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def supervisor(site):
    made = Supervisor(settings=site.settings, arguments=["--test-engine"])
    yield made
    made.stop(drain_s=0.0)


def children_of(pid):
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def are_gone(pids):
    return not any(psutil.pid_exists(pid) and is_alive(pid) for pid in pids)


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_it_starts_restarts_and_leaves_no_orphan(site, supervisor):
    supervisor.start()
    site.wait_ready()
    (status,) = supervisor.status()
    assert (status.is_running, status.starts) == (True, 1)
    helpers = children_of(status.pid)
    assert helpers
    os.kill(status.pid, signal.SIGKILL)
    site.wait_until(lambda: supervisor.status()[0].starts == 2, timeout_s=20, what="restart")
    assert supervisor.status()[0].last_exit == -signal.SIGKILL
    site.wait_until(lambda: are_gone(helpers), timeout_s=10, what="end of helpers")
    (job,) = site.wait_done(site.submit("steps=2"))
    assert job.state is JobState.SUCCEEDED
    (status,) = supervisor.status()
    everyone = [status.pid, *children_of(status.pid)]
    supervisor.stop()
    assert supervisor.status()[0].last_exit == 0
    assert are_gone(everyone)


def test_stopping_lets_a_job_end(site, supervisor):
    supervisor.start()
    site.wait_ready()
    (job_id,) = site.submit("steps=100 step_ms=10", job_type="video_fast")
    site.wait_until(
        lambda: site.store.get(job_id).state is JobState.RUNNING, timeout_s=20, what="start"
    )
    supervisor.stop()
    assert site.store.get(job_id).state is JobState.SUCCEEDED


def test_who_was_drained_by_command_stays_ended(site, supervisor):
    supervisor.start()
    site.wait_ready()
    (worker,) = site.store.workers()
    site.store.command_worker(worker.id, "drain")
    site.wait_until(
        lambda: supervisor.status()[0].is_drained, timeout_s=20, what="end of the drained worker"
    )
    (status,) = supervisor.status()
    assert (status.is_running, status.starts, status.last_exit) == (False, 1, DRAINED_BY_COMMAND)
    assert status.next_start_in_s is None
    supervisor.reform(plan_slots(site.settings))  # it goes on looking after this slot
    assert supervisor.status()[0].is_drained


def test_a_worker_alone_that_was_drained_by_command_has_ended_well(site):
    process = site.start_worker()
    site.wait_ready()
    (worker,) = site.store.workers()
    site.store.command_worker(worker.id, "drain")
    assert process.wait(timeout=20) == 0


def test_workers_end_when_their_supervisor_is_killed(site):
    code = (
        "import sys, threading\n"
        "from ourvidz.catalog.config import load_settings\n"
        "from ourvidz.worker.supervisor import Supervisor\n"
        "made = Supervisor(settings=load_settings(), arguments=['--test-engine'])\n"
        "made.start()\n"
        "threading.Event().wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **site.environment()}
    )
    try:
        site.wait_ready()
        everyone = children_of(parent.pid)
        assert len(everyone) >= 2
    finally:
        parent.kill()
        parent.wait()
    site.wait_until(lambda: are_gone(everyone), timeout_s=20, what="end of orphans")


def test_who_can_not_start_is_tried_again_ever_more_slowly(site):
    made = Supervisor(settings=site.settings, arguments=["--no-such-option"])
    made.start()
    site.wait_until(lambda: made.status()[0].starts >= 2, timeout_s=60, what="second start")
    (status,) = made.status()
    made.stop(drain_s=0.0)
    assert status.last_exit == 2  # a usage error


def test_one_worker_a_gpu_or_one_in_all(site, monkeypatch):
    monkeypatch.setattr(module, "_present_gpus", lambda: ("0", "1", "2"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    slots = plan_slots(site.settings)
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    assert visible_gpus() == ("2", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == ()
    monkeypatch.setattr(module, "_present_gpus", lambda: ())
    (only,) = plan_slots(site.settings)
    assert only.device == "auto"
