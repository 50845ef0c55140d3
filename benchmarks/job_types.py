"""All job types at full size, resident: ``python -m benchmarks.job_types --help``.

Missing models are written with random values first. After a short warm-up of each, the types take
turns (every one once, then again) until the repeats or the budget are used up; the record is
written after every job, so that what was measured is kept. Prompts differ, so that text is encoded
each time. On one H200 a round takes about two minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Run, results_of, run_job
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.models import Role
from ourvidz.catalog.resolve import resolve
from ourvidz.checkpoints.synth import write_synth
from ourvidz.core.clock import SystemClock
from ourvidz.core.request import GenerationRequest
from ourvidz.worker.assemble import assemble_worker

PROMPT = "a red sailing boat crosses a bay at sunset, take {take}"
WARM_UP_STEPS = 2


def main() -> None:
    """Measure, print a line a job, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="full", choices=["full", "pocket"])
    parser.add_argument("--models", type=Path, help="where checkpoints are, or are written")
    parser.add_argument("--out", type=Path, required=True, help="where the files of jobs go")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--job-types", nargs="+", help="default: all")
    parser.add_argument("--fidelity", default="exact")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget-seconds", type=float, default=540.0)
    arguments = parser.parse_args()
    end_s = time.perf_counter() + arguments.budget_seconds
    settings = Settings(profile=arguments.profile, models_dir=arguments.models)
    catalogue = catalogue_of(settings)
    if arguments.profile == "full":
        _write_models(catalogue, settings)
    names = arguments.job_types or list(catalogue.job_types)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    notes = "resident, after a warm-up; job types in turns; a new prompt each time"
    if arguments.profile == "full":
        notes += "; random weights"
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())
    for take in range(arguments.repeats + 1):
        for name in names:
            longest_s = max((run.wall_s for run in runs[name]), default=0.0)
            if runs[name] and time.perf_counter() + longest_s > end_s:
                continue
            request = _request(catalogue, settings, name, arguments.fidelity, take)
            run = run_job(worker, request, out=arguments.out, stem=f"{name}-{take}")
            print(f"{take} {name:26} {run.wall_s:8.2f} s", flush=True)
            if take:
                runs[name].append(run)
                _keep(arguments.record, runs, fidelity=arguments.fidelity, notes=notes)
    worker.engine.close()
    for name, found in runs.items():
        print(f"{name:26} n = {len(found)}")


def _write_models(catalogue: Catalogue, settings: Settings) -> None:
    for role in Role:
        model = catalogue.model_for("full", role)
        folder = settings.resolved_models_dir / model.id
        if not folder.exists():
            write_synth(family=model.family, size="full", out=folder, seed=42)  # type: ignore[arg-type]


def _request(
    catalogue: Catalogue, settings: Settings, job_type: str, fidelity: str, take: int
) -> GenerationRequest:
    values: Mapping[str, Any] = {"fidelity": fidelity}
    if take == 0:
        values = {**values, "num_inference_steps": WARM_UP_STEPS}
    return resolve(
        catalogue=catalogue,
        settings=settings,
        prompt=PROMPT.format(take=take),
        seed=take,
        job_type=job_type,
        values=values,
        unconfirmed=True,
    )


def _keep(path: Path, runs: Mapping[str, list[Run]], *, fidelity: str, notes: str) -> None:
    results: list[BenchmarkResult] = [
        result
        for name, found in runs.items()
        if found
        for result in results_of(name, found, fidelity=fidelity, notes=notes, seed=None)
    ]
    path.unlink(missing_ok=True)
    write_record(path, new_record("job_types", results, now=datetime.now(UTC)))


if __name__ == "__main__":
    main()
