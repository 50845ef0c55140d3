"""Many small jobs through many workers: ``python -m benchmarks.fleet --jobs 10000 --workers 8``.

The workers are real processes under the real supervisor, with an engine of no models whose jobs
take three steps of a millisecond and write one small image: what is left is the queue's own cost.
Every history is checked at the end: nothing accepted is lost, one published output a job, tokens
that grow, events without gaps.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.queue import store_settings
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.jobs.model import Job
from ourvidz.jobs.open import open_store
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy
from ourvidz.worker.supervisor import Supervisor, WorkerSlot, worker_environment
from tests.jobs.checker import check_store

_CHUNK = 500
_STEPS, _STEP_MS = 3, 1
_PROMPT = f"steps={_STEPS} step_ms={_STEP_MS}"
_TYPES = ("sdxl_image_fast", "image_fast", "video_fast")
_TERMINAL = ("succeeded", "failed", "cancelled")


def main() -> None:
    """Run the load, print a table, add to the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    with store_settings(arguments.store) as settings:
        results = measure(
            settings, system=arguments.store, jobs=arguments.jobs, workers=arguments.workers
        )
    for result in results:
        print(f"{result.case:14} {result.metric:18} {result.value:12.3f} {result.unit}")
    if arguments.record:
        _write(arguments.record, results)


def measure(
    settings: Settings, *, system: str, jobs: int, workers: int
) -> tuple[BenchmarkResult, ...]:
    """Submit, start the fleet, wait, check every history."""
    store = open_store(settings)
    store.migrate()
    submitter = Submitter(
        store=store,
        catalogue=catalogue_of(settings),
        settings=settings,
        policy=build_policy(settings.policy),
    )
    start_s = time.perf_counter()
    ids = _submit(submitter, jobs)
    submit_s = time.perf_counter() - start_s
    environment = worker_environment(settings)
    slots = [
        WorkerSlot(name=f"w{i}", device="cpu", environment=environment) for i in range(workers)
    ]
    fleet = Supervisor(settings=settings, slots=slots, arguments=("--test-engine",))
    start_s = time.perf_counter()
    fleet.start()
    try:
        _wait(lambda: _num_ended(store) >= jobs)
        wall_s = time.perf_counter() - start_s
        alone = [_one(submitter, store) for _ in range(20)]
    finally:
        fleet.stop()
    all_ids = [*ids, *(job.id for job in alone)]
    faults = check_store(store, all_ids)
    states = store.counts().by_state
    store.close()
    overheads_ms = [1000 * (_run_s(job) - _STEPS * _STEP_MS / 1000) for job in alone]
    case, notes = f"{jobs}-jobs", f"{workers} test workers, {_STEPS} steps of {_STEP_MS} ms"

    def figure(metric: str, value: float, unit: str, n: int) -> BenchmarkResult:
        return BenchmarkResult(
            case=case,
            system=system,
            fidelity="exact",
            metric=metric,
            value=round(value, 6),
            unit=unit,
            n=n,
            notes=notes,
        )

    for fault in faults[:20]:
        print(fault)
    return (
        figure("succeeded", states.get("succeeded", 0) - len(alone), "jobs", jobs),
        figure("lost_or_illegal", len(faults), "faults", len(all_ids)),
        figure("submit_s", submit_s, "s", 1),
        figure("wall_s", wall_s, "s", 1),
        figure("jobs_a_second", jobs / wall_s, "jobs/s", 1),
        figure("claim_to_published_ms", statistics.median(overheads_ms), "ms", len(overheads_ms)),
    )


def _submit(submitter: Submitter, jobs: int) -> list[str]:
    drafts = (
        Draft(
            prompt=_PROMPT,
            job_type=_TYPES[index % len(_TYPES)],
            tenant=f"tenant-{index % 3}",
            values={"num_images": 1} if index % len(_TYPES) == 0 else {},
        )
        for index in range(jobs)
    )
    ids: list[str] = []
    while chunk := list(itertools.islice(drafts, _CHUNK)):
        ids += [job.id for job in submitter.submit(chunk).jobs]
    return ids


def _num_ended(store: JobStore) -> int:
    return sum(store.counts().by_state.get(state, 0) for state in _TERMINAL)


def _one(submitter: Submitter, store: JobStore) -> Job:
    """Run one job on the idle fleet."""
    (job,) = submitter.submit([Draft(prompt=_PROMPT, job_type="image_fast")]).jobs
    _wait(lambda: store.get(job.id).is_terminal, every_s=0.02)
    return store.get(job.id)


def _run_s(job: Job) -> float:
    assert job.started_at is not None, job.id
    assert job.finished_at is not None, job.id
    return job.finished_at - job.started_at


def _wait(is_so: Callable[[], bool], *, every_s: float = 0.5) -> None:
    while not is_so():
        time.sleep(every_s)


def _write(record: Path, results: Sequence[BenchmarkResult]) -> None:
    made = new_record(suite="fleet", results=results, now=datetime.now(UTC))
    write_record(record, made, replaces_others=True)


if __name__ == "__main__":
    main()
