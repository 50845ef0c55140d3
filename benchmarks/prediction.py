"""How well jobs are predicted: ``python -m benchmarks.prediction --jobs 200 --record FILE``.

Pocket jobs of all ten job types with settings drawn by a seed run one after another on one engine.
Then each is predicted from those before it. Reported are the share of the 90 % intervals that held
(bar: 85 to 95 %) and the median error after 20 jobs of history (bar: 10 %); the exit code is 3
where one is missed. Each finished job is a line of ``--runs``: a later call goes on behind the last
one, and one that finds all of them only predicts. A file of another plan is refused. 200 jobs take
five to ten minutes on two CPU cores; whatever else runs there is noise that no model foresees.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.job import JobResult
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.perf.prediction import environment_key, fit, local_rates
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.records import record_from
from ourvidz.perf.stats import Interval, bootstrap_interval, wilson_interval
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.report import record_body
from ourvidz.worker.run import Worker
from ourvidz.worker.writers import OutputNames

SEED = 20261122
FIRST = 20  # jobs of history, before errors count
COVERAGE_BAR = (0.85, 0.95)
ERROR_BAR = 0.10
_MISSED = 3  # exit code
_COLOURS = ("red", "green", "blue", "yellow", "white", "purple")
_SHAPES = ("circle", "square", "triangle", "star")
_MOVES = ("moving left", "moving right", "rising", "falling", "standing still")
_GROUNDS = ("black", "grey", "white", "blue")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One finished job, as the file of runs keeps it."""

    id: int
    job_id: str
    job_type: str
    workload: str
    at: float
    body: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A prediction beside what came."""

    total_s: float
    predicted_s: float
    low_s: float
    high_s: float

    @property
    def is_held(self) -> bool:
        """Whether the interval held."""
        return self.low_s <= self.total_s <= self.high_s

    @property
    def error(self) -> float:
        """How far off the middle was, as a share of what came."""
        return abs(self.predicted_s / self.total_s - 1.0)

    @property
    def width(self) -> float:
        """The interval's upper end over its lower."""
        return self.high_s / self.low_s


def main() -> None:
    """Run what is missing, predict, print, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=Path, required=True, help="finished jobs, a line each")
    parser.add_argument("--record", type=Path, help="write the figures to this file, anew")
    arguments = parser.parse_args()
    if arguments.jobs <= FIRST:
        parser.error(f"--jobs {arguments.jobs}: more than {FIRST} are needed")
    run_all(arguments.runs, jobs=arguments.jobs, seed=arguments.seed, device=arguments.device)
    records = [record_from(line) for line in read_lines(arguments.runs)[: arguments.jobs]]
    outcomes = evaluate(records)
    results = results_of(outcomes, seed=arguments.seed)
    for one in results:
        low = "" if one.low is None else f"  [{one.low:.4f}, {one.high:.4f}]"
        print(f"{one.case:12} {one.metric:12} {one.value:9.4f} {one.unit:5} n={one.n}{low}")
    if arguments.record is not None:
        arguments.record.unlink(missing_ok=True)
        record = new_record("prediction", results, now=datetime.now(UTC))
        write_record(arguments.record, record)
    coverage = statistics.mean(one.is_held for one in outcomes)
    error = statistics.median(one.error for one in outcomes[FIRST:])
    is_met = COVERAGE_BAR[0] <= coverage <= COVERAGE_BAR[1] and error <= ERROR_BAR
    print("both bars are met" if is_met else "a bar is missed")
    sys.exit(0 if is_met else _MISSED)


def evaluate(records: Sequence[PerformanceRecord]) -> list[Outcome]:
    """Predict each record from those before it."""
    outcomes: list[Outcome] = []
    for index, record in enumerate(records):
        found = fit(records[:index], rates=local_rates("auto")).predict(
            record.workload,
            environment_key=environment_key(record.environment),
            state=record.state,
        )
        assert found is not None, record.id
        assert record.run_s is not None, record.id
        outcomes.append(
            Outcome(
                total_s=record.run_s,
                predicted_s=found.total_s,
                low_s=found.low_s,
                high_s=found.high_s,
            )
        )
    return outcomes


def results_of(outcomes: Sequence[Outcome], *, seed: int) -> list[BenchmarkResult]:
    """Return coverage (Wilson's interval) and errors (bootstrap), of all and of the later jobs."""
    later = outcomes[FIRST:]
    text = f"pocket jobs, random settings, seed {seed}; each predicted from those before it"
    results: list[BenchmarkResult] = []
    for case, chosen in (("all", outcomes), ("after_20", later)):
        held = sum(one.is_held for one in chosen)
        around = wilson_interval(held, len(chosen))
        results += [
            _result(case, "coverage", held / len(chosen), "share", chosen, around, text),
            _result(
                case,
                "width",
                statistics.median(o.width for o in chosen),
                "1",
                chosen,
                None,
                f"{text}; median of the interval's upper end over its lower",
            ),
            _result(
                case,
                "median_s",
                statistics.median(o.total_s for o in chosen),
                "s",
                chosen,
                None,
                text,
            ),
        ]
    errors = [one.error for one in later]
    middle = statistics.median(errors)
    results.append(
        _result(
            "after_20", "median_error", middle, "share", later, bootstrap_interval(errors), text
        )
    )
    return results


def _result(
    case: str,
    metric: str,
    value: float,
    unit: str,
    outcomes: Sequence[Outcome],
    interval: Interval | None,
    notes: str,
) -> BenchmarkResult:
    return BenchmarkResult(
        case=case,
        system="ourvidz",
        fidelity="exact",
        metric=metric,
        value=value,
        unit=unit,
        n=len(outcomes),
        low=None if interval is None else min(value, interval.low),
        high=None if interval is None else max(value, interval.high),
        notes=notes,
    )


def draw(index: int, *, catalogue: Catalogue, settings: Settings, seed: int) -> GenerationRequest:
    """Return job ``index`` of the plan: the same for the same seed, whatever ran before."""
    rng = random.Random(f"{seed}:{index}")
    job = catalogue.job_type(rng.choice(list(catalogue.job_types)))
    values: dict[str, Any] = {
        "num_inference_steps": rng.randint(4, 25),
        "guidance_scale": rng.choice((1.0, 6.5)),
        "scheduler": rng.choice(("unipc", "euler", "dpm++")),
    }
    if job.flow_shift is None:
        values |= {
            "width": rng.choice((64, 96, 128)),
            "height": rng.choice((64, 96, 128)),
            "num_images": rng.randint(2, 8),
        }
    else:
        values |= {"width": rng.choice((64, 80, 96)), "height": rng.choice((96, 128, 160))}
    if job.media_type is MediaType.VIDEO:
        values["num_frames"] = 4 * rng.randint(1, 8) + 1
    prompt = (
        f"a {rng.choice(_COLOURS)} {rng.choice(_SHAPES)} {rng.choice(_MOVES)} "
        f"on a {rng.choice(_GROUNDS)} background"
    )
    return resolve(
        catalogue=catalogue,
        settings=settings,
        prompt=prompt,
        seed=index,
        job_type=job.name,
        values=values,
    )


def run_all(path: Path, *, jobs: int, seed: int, device: str) -> None:
    """Run what the file lacks of the plan, a line a job.

    Raises:
        InvalidRequest: the file is of another plan.
    """
    lines = read_lines(path)
    with tempfile.TemporaryDirectory(prefix="ovz-prediction-") as name:
        settings = load_settings(data_dir=Path(name), device=device, profile="pocket")
        catalogue = catalogue_of(settings)
        for line in lines[:jobs]:
            planned = draw(line.id, catalogue=catalogue, settings=settings, seed=seed).workload
            if line.workload != planned:
                raise InvalidRequest(
                    f"{path.name!r} holds {line.workload!r} where the plan has {planned!r}.",
                    hint="Name another file, or the seed that it was made with.",
                )
        if len(lines) >= jobs:
            return
        worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())
        try:
            for index in range(len(lines), jobs):
                request = draw(index, catalogue=catalogue, settings=settings, seed=seed)
                result = _run(worker, request, index, Path(name) / "out")
                _keep(path, index, result)
                print(f"{index:4} {request.workload:70} {result.timing.total_s:7.2f} s", flush=True)
        finally:
            worker.engine.close()


def _run(worker: Worker, request: GenerationRequest, index: int, out: Path) -> JobResult:
    stem = f"job-{index:04}"
    events = worker.run(
        request, job_id=stem, names=OutputNames(folder=out, stem=stem), cancel=CancelToken()
    )
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


def _keep(path: Path, index: int, result: JobResult) -> None:
    line = {
        "id": index,
        "job_id": result.job_id,
        "job_type": result.request.job_type,
        "workload": result.request.workload,
        "at": time.time(),
        "body": record_body(result),
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read_lines(path: Path) -> list[Line]:
    """Return the finished jobs of a file, in order; none where there is no file."""
    if not path.exists():
        return []
    return [Line(**json.loads(text)) for text in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
