"""Runs jobs as a user would, in a process of its own or one after another on resident models."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ourvidz.bench.records import BenchmarkResult
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.request import GenerationRequest
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.report import summary_of
from ourvidz.worker.run import Worker
from ourvidz.worker.writers import OutputNames

SEED = 42
PROMPT = "a red circle moving left on a black background"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One job: the wall time that its caller saw, and the job's own account."""

    wall_s: float
    summary: Mapping[str, Any]


def run_process(*arguments: str, out: Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run ``ourvidz generate`` in a fresh process; the wall time ends with the process."""
    start_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ourvidz.cli", "generate", *arguments, "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    wall_s = time.perf_counter() - start_s
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    return Run(wall_s=wall_s, summary=json.loads(done.stdout.strip().splitlines()[-1]))


def run_resident(
    settings: Settings, job_types: Sequence[str], *, out: Path, repeats: int
) -> dict[str, list[Run]]:
    """Run each job type ``repeats`` times after one warm-up, interleaved, on one worker."""
    catalogue = catalogue_of(settings)
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())
    runs: dict[str, list[Run]] = {job_type: [] for job_type in job_types}
    for repeat in range(repeats + 1):
        for job_type in job_types:
            request = resolve(
                catalogue=catalogue,
                settings=settings,
                prompt=PROMPT,
                seed=SEED,
                job_type=job_type,
            )
            run = run_job(worker, request, out=out, stem=f"{job_type}-{repeat}")
            if repeat:  # the first run warms up
                runs[job_type].append(run)
    worker.engine.close()
    return runs


def run_job(worker: Worker, request: GenerationRequest, *, out: Path, stem: str) -> Run:
    """Run one job to its files."""
    start_s = time.perf_counter()
    events = worker.run(
        request,
        job_id=stem,
        names=OutputNames(folder=out, stem=stem),
        cancel=CancelToken(),
    )
    result = _drain(events)
    return Run(wall_s=time.perf_counter() - start_s, summary=summary_of(result))


def _drain(events: Any) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


def results_of(
    case: str, runs: Sequence[Run], *, fidelity: str, notes: str, seed: int | None = SEED
) -> list[BenchmarkResult]:
    """Return what a record says of one case: wall time, every phase, share without a name.

    Values are medians; low and high are the smallest and the largest run. ``seed`` is the one of
    all runs; None: each has its own.
    """
    notes += "; seeds 1, 2, ..." if seed is None else f"; seed {seed}"

    def result(metric: str, values: Sequence[float], unit: str) -> BenchmarkResult:
        return BenchmarkResult(
            case=case,
            system="ourvidz",
            fidelity=fidelity,
            metric=metric,
            value=round(statistics.median(values), 4),
            unit=unit,
            n=len(values),
            low=round(min(values), 4),
            high=round(max(values), 4),
            notes=f"{notes}; low and high are min and max",
        )

    timings = [run.summary["timing"] for run in runs]
    phases = sorted({phase for timing in timings for phase in timing["phases_s"]})
    found = [
        result("seconds", [run.wall_s for run in runs], "s"),
        result("step_s", [timing["step_s"] for timing in timings], "s"),
        result(
            "unattributed_share", [t["unattributed_s"] / t["total_s"] for t in timings], "share"
        ),
    ]
    found += [
        result(f"phase.{phase}", [timing["phases_s"].get(phase, 0.0) for timing in timings], "s")
        for phase in phases
    ]
    memory = [run.summary["memory"] for run in runs]
    for name in ("host_peak_bytes", "device_peak_allocated_bytes", "weights_bytes"):
        if any(values[name] for values in memory):
            found.append(result(name, [float(values[name]) for values in memory], "bytes"))
    return found
