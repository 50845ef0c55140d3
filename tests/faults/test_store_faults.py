"""A store without room, and one that a frozen process keeps locked; real processes."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from ourvidz.core.errors import StoreUnavailable
from ourvidz.core.job import JobState
from tests.faults.harness import CHILD, Site, check_history

WORK = "steps=4 step_ms=20"
LONG = "steps=100 step_ms=60"
WORDY = {"metadata": {"text": "x" * 2000}}
MAX_PAGES = 250
BUSY_S = 10.0  # how long SQLite is waited for


def refuse(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def fill(api, **values):
    """Submit until there is no room; return the ids that were accepted and the refusal."""
    ids = []
    for number in range(5000):
        answer = api.submit(WORK, job_type="image_fast", seed=number, **WORDY, **values)
        if not answer.is_success:
            return ids, answer
        ids.append(answer.json()["id"])
    raise AssertionError("the store never got full")


def wait_running(site, job_id):
    site.wait_until(
        lambda: site.store.get(job_id).state is JobState.RUNNING, timeout_s=30, what="start"
    )


def forget(api, ids):
    """Forget jobs, waiting ones too: what an operator does to make room."""
    assert api.post("/api/v1/queue/pause", {"scope": "all"}).is_success
    for job_id in ids:
        assert api.post(f"/api/v1/jobs/{job_id}/cancel").is_success
        assert api.delete(f"/api/v1/jobs/{job_id}").is_success
    assert api.post("/api/v1/queue/resume", {"scope": "all"}).is_success


@pytest.mark.slow
def test_a_full_sqlite_refuses_jobs_and_lets_the_running_one_finish(make_site):
    site = make_site()
    narrow = {"OURVIDZ_TEST_MAX_PAGES": str(MAX_PAGES), "PYTHONPATH": str(CHILD)}
    api = site.start_api(**narrow)
    worker = site.start_worker(**narrow)
    site.wait_ready()
    running = api.submit(LONG, job_type="video_fast").json()["id"]
    wait_running(site, running)
    waiting, refused = fill(api, delay_s=1800)
    refuse(refused, 507, "store_full")
    assert len(waiting) > 20
    assert api.get("/readyz").status_code in {200, 503}
    (job,) = site.wait_done([running])
    assert (job.state, job.token) == (JobState.SUCCEEDED, 1)
    refuse(api.submit(WORK, job_type="image_fast", **WORDY), 507, "store_full")
    half = len(waiting) // 2
    forget(api, waiting[:half])
    later = api.submit(WORK, job_type="image_fast", **WORDY)
    assert later.status_code == 201, later.text
    site.wait_done([later.json()["id"]])
    forget(api, waiting[half:])
    assert worker.poll() is None
    assert {job.id for job in site.jobs()} == {running, later.json()["id"]}
    check_history(site)


@pytest.mark.slow
def test_a_backlog_leaves_a_full_sqlite_room_to_finish_what_it_started(make_site):
    site = make_site()
    narrow = {"OURVIDZ_TEST_MAX_PAGES": str(MAX_PAGES), "PYTHONPATH": str(CHILD)}
    api = site.start_api(**narrow)
    _, refused = fill(api)
    refuse(refused, 507, "store_full")
    worker = site.start_worker(**narrow)
    site.wait_until(
        lambda: "nothing can be claimed" in site.logs(), timeout_s=60, what="refused claim"
    )
    site.wait_until(
        lambda: "running" not in site.store.counts().by_state, timeout_s=20, what="rest"
    )
    ended = [job.id for job in site.jobs() if job.is_terminal]
    waiting = [job.id for job in site.jobs() if not job.is_terminal]
    assert ended
    assert waiting
    forget(api, [*ended, *waiting[::2]])
    jobs = site.wait_done(waiting[1::2])
    assert {(job.state, job.token) for job in jobs} == {(JobState.SUCCEEDED, 1)}, site.logs()
    assert worker.poll() is None
    check_history(site)


@contextlib.contextmanager
def small_disk(num_bytes):
    """A file system of its own with little room; skips where none may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="ovz-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes},mode=755", "tmpfs", str(folder)]
    try:
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a disk of its own needs the right to mount a tmpfs")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


def leave(folder, num_bytes):
    """Fill the disk but for so many bytes; return the file that takes the room."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        for _ in range(100):  # a page may be another's by then, and then none is taken
            free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(free - num_bytes, 1))
                return ballast
    raise AssertionError(f"{folder} could not be filled")


@pytest.mark.slow
@pytest.mark.parametrize("left", [18 * 2**20, 0], ids=["reserve", "nothing"])
def test_a_full_disk_under_sqlite_and_files_loses_nothing(tmp_path, left):
    # A tenth is kept for running jobs, and 16 MiB of it are never filled with files.
    with small_disk(200 * 2**20) as disk, contextlib.closing(Site(tmp_path, data_dir=disk)) as site:
        api = site.start_api()
        worker = site.start_worker()
        site.wait_ready()
        running = api.submit(LONG, job_type="image_fast").json()["id"]
        wait_running(site, running)
        ballast = leave(disk, left)
        refuse(api.submit(WORK, job_type="image_fast"), 507, "store_full")
        if left:
            (job,) = site.wait_done([running])
            assert (job.state, job.token) == (JobState.SUCCEEDED, 1), site.logs()
            refuse(api.submit(WORK, job_type="image_fast"), 507, "store_full")
        ballast.unlink()
        later = api.submit(WORK, job_type="image_fast")
        assert later.status_code == 201, later.text
        job, last = site.wait_done([running, later.json()["id"]])
        assert last.state is JobState.SUCCEEDED
        # Its file may have found no room, which running it again would not have mended.
        assert job.state is JobState.SUCCEEDED or job.error["code"] == "disk_full", site.logs()
        assert worker.poll() is None
        check_history(site)


@pytest.mark.slow
def test_a_full_postgres_refuses_jobs_and_loses_nothing(tmp_path, postgres_url):
    with small_disk(48 * 2**20) as disk, psycopg.connect(postgres_url, autocommit=True) as admin:
        place = disk / "space"
        place.mkdir()
        owner = Path(admin.execute("SHOW data_directory").fetchone()[0]).stat()
        os.chown(place, owner.st_uid, owner.st_gid)
        admin.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        admin.execute("CREATE DATABASE small TABLESPACE small")
        try:
            url = postgres_url.replace("/postgres?", "/small?")
            assert url != postgres_url
            with contextlib.closing(Site(tmp_path, database_url=url)) as site:
                outlive_a_full_postgres(site, disk)
        finally:
            admin.execute("DROP DATABASE small WITH (FORCE)")
            admin.execute("DROP TABLESPACE small")


def outlive_a_full_postgres(site, disk):
    api = site.start_api()
    worker = site.start_worker()
    site.wait_ready()
    running = api.submit(LONG, job_type="video_fast").json()["id"]
    wait_running(site, running)
    ballast = leave(disk, 0)
    accepted, refused = fill(api)
    refuse(refused, 507, "store_full")
    ballast.unlink()
    later = api.submit(WORK, job_type="image_fast")
    assert later.status_code == 201, later.text
    jobs = site.wait_done([running, *accepted, later.json()["id"]])
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}, site.logs()
    assert worker.poll() is None
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["thawed", "killed"])
def test_a_process_frozen_in_a_transaction_makes_others_wait_and_loses_nothing(make_site, end):
    site = make_site()
    frozen = site.start_api(fail_at="mid_commit:wait")
    api = site.start_api()
    worker = site.start_worker()
    site.wait_ready()
    running = api.submit(LONG, job_type="video_fast").json()["id"]
    wait_running(site, running)
    marker = site.root / "failed"
    with ThreadPoolExecutor(2) as pool:
        cut_off = pool.submit(frozen.submit, WORK, job_type="image_fast", key="frozen")
        site.wait_until(marker.exists, timeout_s=30, what="open transaction")
        os.killpg(frozen.process.pid, signal.SIGSTOP)
        begun_at = site.store.now()
        direct = pool.submit(site.submit, WORK, job_type="image_fast")
        refused = api.submit(WORK, job_type="image_fast", key="other")
        refuse(refused, 503, "store_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert site.store.now() - begun_at >= BUSY_S
        with pytest.raises(StoreUnavailable):
            direct.result(timeout=60)
        assert api.get(f"/api/v1/jobs/{running}").status_code == 200  # reading goes on
        marker.unlink()
        os.killpg(frozen.process.pid, signal.SIGCONT if end == "thawed" else signal.SIGKILL)
        if end == "thawed":
            answer = cut_off.result(timeout=60)
        else:
            with pytest.raises(httpx.TransportError):
                cut_off.result(timeout=60)
            answer = api.submit(WORK, job_type="image_fast", key="frozen")
    again = api.submit(WORK, job_type="image_fast", key="other")
    assert (answer.status_code, again.status_code) == (201, 201), site.logs()
    ids = [running, answer.json()["id"], again.json()["id"]]
    assert {job.id for job in site.jobs()} == set(ids)
    jobs = site.wait_done(ids)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}, site.logs()
    assert worker.poll() is None
    check_history(site)


@pytest.mark.slow
@pytest.mark.parametrize("num_jobs", [1, 3])
def test_postgres_ends_the_transaction_of_a_frozen_process(make_site, num_jobs):
    site = make_site("postgres")
    frozen = site.start_api(fail_at="mid_commit:wait")
    api = site.start_api()
    worker = site.start_worker()
    site.wait_ready()
    running = api.submit(LONG, job_type="video_fast").json()["id"]
    wait_running(site, running)
    marker = site.root / "failed"
    with ThreadPoolExecutor(1) as pool:
        cut_off = pool.submit(submit_batch, frozen, num_jobs)
        site.wait_until(marker.exists, timeout_s=30, what="open transaction")
        os.killpg(frozen.process.pid, signal.SIGSTOP)
        others = []

        def is_accepted():
            others.append(api.submit(WORK, job_type="image_fast", key="other"))
            return others[-1].is_success

        site.wait_until(is_accepted, timeout_s=30, what="accepted submit")
        for refused in others[:-1]:
            refuse(refused, 503, "store_unavailable")
        assert len(site.jobs()) == 2
        marker.unlink()
        os.killpg(frozen.process.pid, signal.SIGCONT)
        refuse(cut_off.result(timeout=60), 503, "store_unavailable")
    again = submit_batch(frozen, num_jobs)
    assert again.status_code == 201, again.text
    ids = [running, others[-1].json()["id"], *(job["id"] for job in again.json()["data"])]
    assert len(ids) == 2 + num_jobs
    assert {job.id for job in site.jobs()} == set(ids)
    jobs = site.wait_done(ids)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}, site.logs()
    assert worker.poll() is None
    check_history(site)


def submit_batch(api, num_jobs):
    jobs = [{"prompt": WORK, "job_type": "image_fast", "seed": seed} for seed in range(num_jobs)]
    return api.post("/api/v1/jobs/batch", {"jobs": jobs}, **{"Idempotency-Key": "frozen"})
