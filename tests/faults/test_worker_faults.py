"""Workers that die, freeze and hang at named places; real processes, both stores."""

import os
import signal

import psutil
import pytest

from ourvidz.core.job import JobState
from tests.faults.harness import LEASE_S, REAP_S, check_history

QUICK_STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]
STORES = ["sqlite", "postgres"]
POINTS = [
    "after_claim",
    "mid_step:2",
    "before_upload",
    "after_upload",
    "before_finish",
    "after_finish",
]
RECOVERY_S = LEASE_S + REAP_S + 1.0
WORK = "steps=4 step_ms=20"


def ended(site):
    """The workers that ended."""
    return [process for process in site.processes if process.poll() is not None]


def wait_for_death(site):
    """Wait until a worker has ended; return it and the store's time."""
    site.wait_until(lambda: ended(site), timeout_s=30, what="death of a worker")
    (process,) = ended(site)
    return process, site.store.now()


def require_published_once(site, jobs):
    for job in jobs:
        assert job.state is JobState.SUCCEEDED, (job.error, site.logs())
        (asset,) = site.store.assets(job.id)
        assert asset.key.startswith(f"{job.id}/{job.token}/")
        (content,) = site.asset_bytes(job.id)
        assert content.startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_loses_and_doubles_nothing(make_site, store, point):
    site = make_site(store)
    for _ in range(2):
        site.start_worker(fail_at=point)
    site.wait_ready(2)
    ids = site.submit(*[WORK] * 6, job_type="image_fast")
    victim, died_at = wait_for_death(site)
    assert victim.returncode == -signal.SIGKILL
    require_published_once(site, site.wait_done(ids))
    assert len(ended(site)) == 1
    again = [attempts for i in ids if len(attempts := site.store.attempts(i)) > 1]
    # Two may be in the victim's hands: one being uploaded while the other denoises.
    assert len(again) <= 3
    assert again or point == "after_finish"
    for attempts in again:
        assert attempts[0].outcome == "crashed"
        assert attempts[1].started_at - died_at <= RECOVERY_S
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", QUICK_STORES)
def test_a_killed_batch_is_run_again(make_site, store):
    site = make_site(store)
    ids = site.submit(*[WORK] * 3, job_type="sdxl_image_fast", num_images=1)
    site.start_worker(fail_at="mid_step:2")
    site.start_worker(fail_at="mid_step:2")
    _, died_at = wait_for_death(site)
    require_published_once(site, site.wait_done(ids))
    for job_id in ids:
        first, second = site.store.attempts(job_id)
        assert first.outcome == "crashed"
        assert second.started_at - died_at <= RECOVERY_S
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("point", ["mid_step:2:wait", "before_upload:wait", "before_finish:wait"])
def test_a_frozen_worker_is_fenced_when_it_thaws(make_site, store, point):
    site = make_site(store)
    for _ in range(2):
        site.start_worker(fail_at=point)
    site.wait_ready(2)
    (job_id,) = site.submit(WORK, job_type="image_fast")
    marker = site.root / "failed"
    site.wait_until(marker.exists, timeout_s=30, what="worker at the point")
    worker_of = {worker.id: worker.pid for worker in site.store.workers()}
    frozen_pid = worker_of[site.store.get(job_id).worker_id]
    (frozen,) = [process for process in site.processes if process.pid == frozen_pid]
    (survivor,) = [process for process in site.processes if process.pid != frozen_pid]
    site.freeze(frozen)
    frozen_at = site.store.now()
    (job,) = site.wait_done([job_id])
    first, second = site.store.attempts(job_id)
    assert (first.outcome, second.outcome) == ("crashed", "succeeded")
    assert second.started_at - frozen_at <= RECOVERY_S
    survivor.send_signal(signal.SIGTERM)
    assert survivor.wait(timeout=30) == 0
    marker.unlink()
    os.killpg(frozen.pid, signal.SIGCONT)
    later = site.wait_done(site.submit(WORK, job_type="image_fast"))
    require_published_once(site, [job, *later])
    assert site.store.get(job_id) == job
    assert frozen.poll() is None
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_a_hung_step_ends_its_lease_and_its_worker(make_site, store):
    hang_s = 1.5
    site = make_site(store, hang_s=hang_s)
    for _ in range(2):
        site.start_worker(fail_at="mid_step:2:hang")
    site.wait_ready(2)
    ids = site.submit(*[WORK] * 3, job_type="image_fast")
    site.wait_until((site.root / "failed").exists, timeout_s=30, what="hung worker")
    hung_at = site.store.now()
    require_published_once(site, site.wait_done(ids))
    (again,) = [attempts for i in ids if len(attempts := site.store.attempts(i)) > 1]
    assert again[1].started_at - hung_at <= hang_s + RECOVERY_S
    victim, _ = wait_for_death(site)
    assert victim.returncode == -signal.SIGKILL
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_a_poison_job_fails_and_the_fleet_lives(make_site, store):
    site = make_site(store)
    for _ in range(4):
        site.start_worker()
    site.wait_ready(4)
    (poison,) = site.submit("steps=4 crash=1", job_type="image_fast")
    others = site.submit(*[WORK] * 6, job_type="image_fast")
    require_published_once(site, site.wait_done(others))
    (job,) = site.wait_done([poison])
    assert (job.state, job.error["code"], job.crashes) == (JobState.FAILED, "crashed", 3)
    assert len(ended(site)) == 3
    (last,) = site.wait_done(site.submit(WORK, job_type="image_fast"))
    assert last.state is JobState.SUCCEEDED
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_a_dead_heartbeat_is_replaced(make_site, store):
    site = make_site(store)
    worker = site.start_worker()
    site.wait_ready()
    (job_id,) = site.submit("steps=100 step_ms=60", job_type="video_fast")
    site.wait_until(
        lambda: site.store.get(job_id).state is JobState.RUNNING, timeout_s=20, what="start"
    )
    (heartbeat,) = psutil.Process(worker.pid).children()
    heartbeat.kill()
    require_published_once(site, site.wait_done([job_id]))  # 6 s: two leases long
    assert len(site.store.attempts(job_id)) == 1
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_drained_workers_give_back_and_count_nothing(make_site, store):
    site = make_site(store, drain_s=0.2)
    worker = site.start_worker()
    site.wait_ready()
    (job_id,) = site.submit("steps=1000 step_ms=10", job_type="video_fast")
    site.wait_until(
        lambda: site.store.get(job_id).state is JobState.RUNNING, timeout_s=20, what="start"
    )
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    job = site.store.get(job_id)
    assert (job.state, job.errors, job.crashes) == (JobState.QUEUED, 0, 0)
    assert site.store.workers() == ()


def test_a_second_signal_ends_a_worker_in_the_middle_of_a_unit(make_site):
    site = make_site()
    worker = site.start_worker()
    site.wait_ready()
    (job_id,) = site.submit("steps=2 step_ms=60000", job_type="video_fast")
    site.wait_until(
        lambda: site.store.get(job_id).state is JobState.RUNNING, timeout_s=20, what="start"
    )
    worker.send_signal(signal.SIGTERM)
    site.wait_until(
        lambda: [w.state for w in site.store.workers()] == ["draining"], timeout_s=20, what="drain"
    )
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 1
    job = site.store.get(job_id)
    assert (job.state, job.errors, job.crashes) == (JobState.QUEUED, 0, 0)
