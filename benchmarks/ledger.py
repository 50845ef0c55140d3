"""What keeping account costs: ``python -m benchmarks.ledger --record FILE``.

Two ways. Directly: what is done at each step, at each look at GPU and process, and at a job's end,
timed alone. And as a whole: pocket jobs with all of it and with none of it, in turns, each pair in
an order drawn by a seed. A ratio of seconds holds the noise of everything else that runs on the
machine; the ratio of this process's CPU seconds holds less of it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.event import PhaseStarted, Progress
from ourvidz.core.job import JobResult
from ourvidz.core.phase import Phase, Span
from ourvidz.core.recorder import Fact, SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.engine.timing import UnitTimer
from ourvidz.jobs.model import NewJob
from ourvidz.jobs.open import open_store
from ourvidz.perf.ledger import account_of
from ourvidz.perf.sampling import PERIOD_S, Sampler
from ourvidz.perf.stats import bootstrap_interval
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.job_run import JobOrder, JobRun
from ourvidz.worker.memory import Company
from ourvidz.worker.report import record_body
from ourvidz.worker.run import Worker
from ourvidz.worker.writers import OutputNames

PROMPT = "a red circle moving left on a black background"
_SEED = 20260101
_STEPS = 50
_ROUNDS = 200  # of what takes microseconds
_JOB_TYPES = ("sdxl_image_fast",)


class SilentRecorder(SpanRecorder):
    """Keeps nothing."""

    def add(self, span: Span) -> None:
        """Forget it."""

    @contextmanager
    def span(
        self, phase: Phase, *, is_background: bool = False, facts: Mapping[str, Fact] | None = None
    ) -> Generator[dict[str, Fact]]:
        """Run the block."""
        del phase, is_background, facts
        yield {}


class SilentWorker(Worker):
    """Runs jobs that nobody keeps account of."""

    def _begin(self, order: JobOrder, *, started_s: float | None = None) -> JobRun:
        job = super()._begin(order, started_s=started_s)
        job.recorder = SilentRecorder(self.clock)
        return job


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One job with all of it and one without."""

    with_s: float
    without_s: float
    with_cpu_s: float
    without_cpu_s: float


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--job-types", nargs="+", default=list(_JOB_TYPES), help="of pocket models")
    parser.add_argument("--record", type=Path, help="write the figures to this file, anew")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ovz-ledger-") as name:
        settings = load_settings(data_dir=Path(name), device=arguments.device)
        results = measure(
            settings, job_types=arguments.job_types, pairs=arguments.pairs, out=Path(name) / "out"
        )
    for one in results:
        low = "" if one.low is None else f"  [{one.low:.5f}, {one.high:.5f}]"
        print(f"{one.case:24} {one.metric:24} {one.value:12.5f} {one.unit:6} n={one.n}{low}")
    if arguments.record is not None:
        arguments.record.unlink(missing_ok=True)
        write_record(arguments.record, new_record("ledger", results, now=datetime.now(UTC)))


def measure(
    settings: Settings, *, job_types: Sequence[str], pairs: int, out: Path
) -> list[BenchmarkResult]:
    """Return the direct costs, and of each job type the ratios and the counts."""
    catalogue = catalogue_of(settings)
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())
    silent = SilentWorker(engine=worker.engine, clock=worker.clock, environment=worker.environment)
    results: list[BenchmarkResult] = []
    try:
        for job_type in job_types:
            request = resolve(
                catalogue=catalogue,
                settings=settings,
                prompt=PROMPT,
                seed=1,
                job_type=job_type,
            )
            results += _job_results(worker, silent, request, pairs=pairs, out=out)
        assert worker.sampler is not None
        worker.sampler.close()
        results += _look_results(worker.sampler)
    finally:
        worker.engine.close()
    results += _store_results(settings)
    return results


# Whole jobs


def _job_results(
    worker: Worker, silent: Worker, request: GenerationRequest, *, pairs: int, out: Path
) -> list[BenchmarkResult]:
    for one in (worker, silent):
        run(one, request, out)  # warm
    rng = random.Random(_SEED)
    found: list[Pair] = []
    result = run(worker, request, out)
    for _ in range(pairs):
        times: dict[bool, tuple[float, float]] = {}
        for is_kept in rng.sample([True, False], 2):
            start_s, start_cpu_s = time.perf_counter(), time.process_time()
            done = run(worker if is_kept else silent, request, out)
            if is_kept:
                json.dumps(record_body(done))
            times[is_kept] = time.perf_counter() - start_s, time.process_time() - start_cpu_s
        found.append(
            Pair(
                with_s=times[True][0],
                without_s=times[False][0],
                with_cpu_s=times[True][1],
                without_cpu_s=times[False][1],
            )
        )
    job_s = statistics.median(pair.without_s for pair in found)
    step_s = _step_s(worker, request, out)
    end_s = _end_s(worker, result)
    num_steps = len(result.timing.step_times_s)
    case = f"job.{request.job_type}"
    in_turns = "resident pocket jobs with and without, in turns; interval: 95 % of the median"
    direct = f"{num_steps} steps and one end, timed alone, and the looks' share, of a job's seconds"
    looks_share = statistics.median(_look_times_s(worker.sampler)) / PERIOD_S
    share = (step_s * num_steps + end_s) / job_s + looks_share
    return [
        _of(case, "ratio_seconds", [p.with_s / p.without_s for p in found], "1", in_turns),
        _of(
            case,
            "ratio_cpu_seconds",
            [p.with_cpu_s / p.without_cpu_s for p in found],
            "1",
            in_turns,
        ),
        _figure(case, "job_s", job_s, "s", len(found), "median, without"),
        _figure(case, "spans", len(result.timing.spans), "1", 1, "in one job"),
        _figure(case, "steps", num_steps, "1", 1, "in one job"),
        _figure(case, "step_cost_ms", 1000 * step_s, "ms", _ROUNDS * _STEPS, "a step, timed alone"),
        _figure(case, "end_cost_ms", 1000 * end_s, "ms", _ROUNDS, "account, fingerprint, record"),
        _figure(case, "direct_share", share, "1", 1, direct),
    ]


def run(worker: Worker, request: GenerationRequest, out: Path) -> JobResult:
    """Run one job to its files."""
    events = worker.run(
        request,
        job_id="job",
        names=OutputNames(folder=out, stem="job"),
        cancel=CancelToken(),
    )
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


# Directly


def _step_s(worker: Worker, request: GenerationRequest, out: Path) -> float:
    """Return the median over rounds of the seconds that account of one step takes."""
    device = worker.engine.device

    def steps() -> None:
        order = JobOrder(
            request=request,
            job_id="job",
            cancel=CancelToken(),
            names=OutputNames(folder=out, stem="job"),
        )
        job = JobRun(
            order=order,
            clock=worker.clock,
            environment={},
            company=Company(),
            start_s=0.0,
            recorder=SpanRecorder(worker.clock),
        )
        list(job.take(PhaseStarted(phase=Phase.DENOISE, num_units=_STEPS)))
        with job.recorder.span(Phase.DENOISE):
            timer = UnitTimer(device, worker.clock)
            for done in range(1, _STEPS + 1):
                assert job.recorder.num_lost_turns == 0
                timer.unit_done()
                list(job.take(Progress(phase=Phase.DENOISE, done=done, num_units=_STEPS)))
            timer.unit_times_s()

    return statistics.median(_times_s(steps)) / _STEPS


def _end_s(worker: Worker, result: JobResult) -> float:
    spans = result.timing.spans
    start_s = min(span.start_s for span in spans)
    end_s = max(span.end_s for span in spans)

    def end() -> None:
        account_of(spans, start_s=start_s, end_s=end_s)
        json.dumps(record_body(worker.with_measures(result)))

    return statistics.median(_times_s(end))


def _look_results(sampler: Sampler) -> list[BenchmarkResult]:
    times_s = _look_times_s(sampler)
    text = f"GPU where there is one, and process; every {PERIOD_S:g} s"
    return [
        _of("look", "look_ms", [1000 * one for one in times_s], "ms", text),
        _figure("look", "share", statistics.median(times_s) / PERIOD_S, "1", _ROUNDS, text),
    ]


def _look_times_s(sampler: Sampler | None) -> list[float]:
    assert sampler is not None
    return _times_s(sampler.look)


def _store_results(settings: Settings) -> list[BenchmarkResult]:
    """Return what the record adds to the transaction that ends a job, in SQLite."""
    catalogue = catalogue_of(settings)
    request = resolve(
        catalogue=catalogue, settings=settings, prompt=PROMPT, seed=1, job_type="sdxl_image_fast"
    )
    store = open_store(settings)
    store.migrate()
    body = {"step_times_s": [0.123456] * _STEPS, "text": "x" * 4000}
    rng = random.Random(_SEED)
    times_s: dict[bool, list[float]] = {True: [], False: []}
    for index in range(_ROUNDS):
        for is_kept in rng.sample([True, False], 2):
            new = NewJob(id=f"job_{index:04}_{is_kept}", request=request)
            job = store.submit_and_claim(new, worker_id="w", lease_s=60.0)
            start_s = time.perf_counter()
            store.finish(job.id, job.token, result={}, assets=(), record=body if is_kept else None)
            times_s[is_kept].append(time.perf_counter() - start_s)
    store.close()
    text = "SQLite; a job's end with a record of 5 kB less one without, in turns"
    pairs = zip(times_s[True], times_s[False], strict=True)
    return [_of("store", "record_ms", [1000 * (a - b) for a, b in pairs], "ms", text)]


def _times_s(act: Callable[[], object]) -> list[float]:
    act()
    times_s: list[float] = []
    for _ in range(_ROUNDS):
        start_s = time.perf_counter()
        act()
        times_s.append(time.perf_counter() - start_s)
    return times_s


def _of(case: str, metric: str, values: Sequence[float], unit: str, text: str) -> BenchmarkResult:
    """Return the median with the interval of the population's."""
    interval = bootstrap_interval(values)
    middle = statistics.median(values)
    figure = _figure(case, metric, middle, unit, len(values), text)
    if interval is None:
        return figure
    return replace(figure, low=min(interval.low, middle), high=max(interval.high, middle))


def _figure(case: str, metric: str, value: float, unit: str, n: int, text: str) -> BenchmarkResult:
    return BenchmarkResult(
        case=case,
        system="ourvidz",
        fidelity="exact",
        metric=metric,
        value=value,
        unit=unit,
        n=n,
        notes=text,
    )


if __name__ == "__main__":
    main()
