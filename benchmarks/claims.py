"""What one GPU asks of Postgres: ``python -m benchmarks.claims``.

Real workers with the engine without models work on jobs as long as videos (15 s in 50 steps) and as
images (2 s in 20 steps), and then wait. Counted meanwhile are the server's transactions and the
processor time of all its processes, so that a machine that is busy with other things measures the
same. ``benchmarks/queue.py`` measures how fast claims can come; this, how many are needed.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg

from benchmarks.queue import store_settings
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.core.job import JobState
from ourvidz.jobs.model import JobFilter
from ourvidz.jobs.open import open_store
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy
from ourvidz.worker.supervisor import Supervisor, WorkerSlot, worker_environment

_READY_S = 120.0
_LOOK_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Jobs of one length."""

    name: str
    prompt: str
    job_type: str


KINDS = (
    Kind(name="videos-15s", prompt="steps=50 step_ms=300", job_type="video_fast"),
    Kind(name="images-2s", prompt="steps=20 step_ms=100", job_type="image_fast"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The server's counters at one time."""

    at_s: float
    commits: int
    cpu_s: float


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each part")
    parser.add_argument("--backlog", type=int, default=1000)
    parser.add_argument("--poll-s", type=float, nargs="+", default=[0.5, 2.0])
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    results: list[BenchmarkResult] = []
    for poll_s in arguments.poll_s:
        with store_settings("postgres") as settings:
            queue = settings.queue.model_copy(update={"poll_s": poll_s})
            results += measure(
                settings.model_copy(update={"queue": queue}),
                workers=arguments.workers,
                seconds=arguments.seconds,
                backlog=arguments.backlog,
            )
    for result in results:
        print(f"{result.case:24} {result.metric:26} {result.value:10.3f} {result.unit}")
    if arguments.record:
        record = new_record("claims", results, now=datetime.now(UTC))
        write_record(arguments.record, record, replaces_others=True)


def measure(
    settings: Settings, *, workers: int, seconds: float, backlog: int
) -> list[BenchmarkResult]:
    """Return what a worker asks of the server while it works and while it waits."""
    store = open_store(settings)
    store.migrate()
    environment = worker_environment(settings)
    slots = [
        WorkerSlot(name=f"w{i}", device="cpu", environment=environment) for i in range(workers)
    ]
    fleet = Supervisor(settings=settings, slots=slots, arguments=("--test-engine",))
    fleet.start()
    results: list[BenchmarkResult] = []
    try:
        _wait(lambda: sum(w.state == "idle" for w in store.workers()) == workers)
        suffix = f"-poll-{settings.queue.poll_s:g}s"
        idle = f"idle{suffix}"
        results += _part(idle, settings, store, workers, seconds)
        results.append(_result(idle, "connections", _connections(settings) / workers, "a worker"))
        for kind in KINDS:
            _submit(settings, store, kind, backlog)
            _wait(lambda: sum(w.state == "busy" for w in store.workers()) == workers)
            results += _part(f"{kind.name}{suffix}", settings, store, workers, seconds)
            _empty(store)
    finally:
        fleet.stop()
        store.close()
    return results


def _part(
    case: str, settings: Settings, store: JobStore, workers: int, seconds: float
) -> list[BenchmarkResult]:
    ended, first = _ended(store), _read(settings)
    time.sleep(seconds)
    last = _read(settings)
    worked_s = workers * (last.at_s - first.at_s)
    jobs = _ended(store) - ended
    commits, cpu_s = last.commits - first.commits, last.cpu_s - first.cpu_s
    results = [
        _result(case, "transactions_per_gpu_s", commits / worked_s, "1/s"),
        _result(case, "server_cpu_ms_per_gpu_s", 1000 * cpu_s / worked_s, "ms"),
        _result(case, "server_cpu_ms_per_transaction", 1000 * cpu_s / max(1, commits), "ms"),
        _result(case, "gpus_per_core", worked_s / cpu_s, "GPUs"),
    ]
    if jobs:
        results.append(_result(case, "transactions_per_job", commits / jobs, "transactions", jobs))
    return results


def _result(case: str, metric: str, value: float, unit: str, n: int = 1) -> BenchmarkResult:
    return BenchmarkResult(
        case=case,
        system="postgres",
        fidelity="exact",
        metric=metric,
        value=round(value, 4),
        unit=unit,
        n=n,
        notes="processor time of the server's own processes; "
        f"load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores",
    )


def _read(settings: Settings) -> Reading:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return Reading(at_s=time.monotonic(), commits=int(row[0]), cpu_s=_cpu_s(settings))


def _cpu_s(settings: Settings) -> float:
    """Return the processor time of the server, of connections that have ended too."""
    server = psutil.Process(_server_pid(settings))
    own = server.cpu_times()
    spent_s = own.user + own.system + own.children_user + own.children_system
    for process in server.children(recursive=True):
        times = process.cpu_times()
        spent_s += times.user + times.system
    return spent_s


def _server_pid(settings: Settings) -> int:
    path = settings.data_dir.parent / "pg" / "postmaster.pid"
    return int(path.read_text(encoding="utf-8").splitlines()[0])


def _connections(settings: Settings) -> int:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        ).fetchone()
    assert row is not None
    return int(row[0]) - 2  # this one, and the measurement's store


def _submit(settings: Settings, store: JobStore, kind: Kind, count: int) -> None:
    submitter = Submitter(
        store=store,
        catalogue=catalogue_of(settings),
        settings=settings,
        policy=build_policy(settings.policy),
    )
    for _ in range(0, count, 500):
        submitter.submit([Draft(prompt=kind.prompt, job_type=kind.job_type)] * min(500, count))


def _empty(store: JobStore) -> None:
    """Cancel what is left and wait until nobody works."""
    for state in (JobState.QUEUED, JobState.RUNNING):
        while jobs := store.list_jobs(JobFilter(states=(state,)), limit=500):
            for job in jobs:
                store.cancel(job.id)
            threading.Event().wait(_LOOK_S)


def _ended(store: JobStore) -> int:
    return store.counts().by_state.get("succeeded", 0)


def _wait(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _READY_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"the workers were not ready within {_READY_S:.0f} s")
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    main()
