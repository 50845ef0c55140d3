"""Fleets of 10, 100 and 1,000 GPUs over a day: ``python -m benchmarks.fleet_simulation``.

What is simulated are H200s with the times that were measured on one (``peers-h200.json``,
``full-size-h200.json``): `video_fast` and six images by one of many SDXL checkpoints. Claim order,
placement, exchange of models and the policy of groups are the ones that workers run.
Each case is added to the record as it ends.

Three questions. Does it pay that jobs go where their model is, and to load models ahead: not at
all, by each worker for itself, by one plan, by one plan that knows what will come? Which policy of
groups suits which load? And how long does the simulation of a day take?

Speeds of groups are not measured: they are what is to be reached (``_SPEEDUPS``), or what
``--speedups`` says.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.engine.memory_plan import Speeds
from ourvidz.fleet.policy import PolicyKind
from ourvidz.fleet.simulation import (
    Arrival,
    Foresight,
    JobClass,
    Machine,
    ModelSpec,
    Outcome,
    Scenario,
    Stream,
    Times,
    arrivals_of,
    simulate,
)
from ourvidz.fleet.usage import Usage

_DAY_S, _HOUR_S, _WEEK_HOURS = 86400.0, 3600.0, 168
_MONDAY_S = 4 * _DAY_S  # 1970-01-05
_GPUS_A_MACHINE = 8
_WEIGHTS_BYTES = {"wan": 14_714_687_564, "sdxl": 7_104_984_692}
_PAGE_CACHE_BYTES = 100 * 10**9
# Of each GPU, beside what jobs take themselves. 30 checkpoints do not fit; three families do.
_ROOM_BYTES = 60 * 10**9
_NUM_CHECKPOINTS = 30
_VIDEO_SHARE = 0.8  # of the GPU time
_SPEEDUPS: dict[str, dict[int, float]] = {
    "video": {2: 1.9, 4: 3.5, 8: 5.8},
    "image": {2: 1.7, 4: 2.5, 8: 3.0},
}
_PATTERNS: dict[str, dict[str, Any]] = {
    "poisson": {},
    "bursts": {"burst_every_s": 3600.0, "burst_s": 300.0},
    "days": {"has_days": True},
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fleet, one course of arrivals, one way to run it."""

    name: str
    system: str
    scenario: Scenario
    streams: tuple[Stream, ...]

    def run(self, seed: int, duration_s: float) -> tuple[Outcome, float]:
        """Simulate; return the CPU seconds that it took too."""

        def arrivals() -> Iterator[Arrival]:
            return arrivals_of(self.streams, duration_s=duration_s, rng=np.random.default_rng(seed))

        start_s = time.process_time()
        return simulate(self.scenario, arrivals, seed=seed), time.process_time() - start_s


def main() -> None:
    """Run everything, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seeds", type=int, default=3, help="For 10 GPUs; larger fleets take one.")
    parser.add_argument("--speedups", type=json.loads, help='As {"video": {"2": 1.9}}.')
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    told: Mapping[str, Mapping[str, float]] | None = arguments.speedups
    speedups = _SPEEDUPS if told is None else _numbered(told)
    duration_s = arguments.hours * _HOUR_S
    print(_HEADS)
    for num_gpus in arguments.gpus:
        seeds = range(1, 1 + (arguments.seeds if num_gpus <= 10 else 1))
        for case in (*loading_cases(num_gpus), *policy_cases(num_gpus, speedups)):
            runs = [case.run(seed, duration_s) for seed in seeds]
            outcomes = [outcome for outcome, _ in runs]
            results = list(_figures(case, outcomes, [taken_s for _, taken_s in runs]))
            print(_row(case, outcomes, runs[0][1]), flush=True)
            if arguments.record:
                made = new_record(suite="fleet-simulation", results=results, now=datetime.now(UTC))
                write_record(arguments.record, made, replaces_others=True)


def loading_cases(num_gpus: int) -> Iterator[Case]:
    """Yield the ways to load, by pattern of arrivals: many models, at 0.4 of the capacity."""
    patterns = ("days",) if num_gpus > 100 else tuple(_PATTERNS)
    for pattern in patterns:
        streams = _streams(num_gpus, load=0.4, checkpoints=_NUM_CHECKPOINTS, **_PATTERNS[pattern])
        base = _scenario(num_gpus, checkpoints=_NUM_CHECKPOINTS)
        usage = _usage_of(streams, base.classes)
        ways: dict[str, dict[str, Any]] = {
            "placed": {"foresight": Foresight.PLACED, "usage": usage},
            "none": {"foresight": Foresight.NONE},
            "clairvoyant": {"foresight": Foresight.CLAIRVOYANT},
            "recent": {"foresight": Foresight.RECENT},
            "anywhere": {"foresight": Foresight.NONE, "follows_residency": False},
        }
        for system, way in ways.items():
            scenario = replace(base, **way)
            name = f"loading.{pattern}.{num_gpus}"
            yield Case(name=name, system=system, scenario=scenario, streams=streams)


def policy_cases(num_gpus: int, speedups: Mapping[str, Mapping[int, float]]) -> Iterator[Case]:
    """Yield the policies of groups, by load, over a day: two families, which fit."""
    if num_gpus > 100:
        return
    num_gpus = max(1, num_gpus // _GPUS_A_MACHINE) * _GPUS_A_MACHINE
    for load in (0.15, 0.3, 0.5, 0.7) if num_gpus <= 10 else (0.3, 0.7):
        streams = _streams(num_gpus, load=load, checkpoints=1, has_days=True, swing=0.35)
        for policy in PolicyKind:
            if policy is PolicyKind.LATENCY and load > 0.4:
                continue  # more than it can do: the queue only grows
            scenario = replace(_scenario(num_gpus, checkpoints=1), policy=policy, speedups=speedups)
            name = f"policy.load-{load}.{num_gpus}"
            yield Case(name=name, system=policy.value, scenario=scenario, streams=streams)


def _scenario(num_gpus: int, *, checkpoints: int) -> Scenario:
    speeds = Speeds()
    names = ["wan", *(f"sdxl-{index}" for index in range(checkpoints))]
    models = [
        ModelSpec(
            id=name,
            num_bytes=num_bytes,
            from_disk_s=num_bytes / speeds.from_disk,
            from_page_cache_s=num_bytes / speeds.from_page_cache,
        )
        for name in names
        for num_bytes in [_WEIGHTS_BYTES[name.partition("-")[0]]]
    ]
    classes = [JobClass(name="video_fast", model="wan", services_s=(21.75, 21.7, 21.8))]
    classes += [
        JobClass(
            name=f"sdxl_image_fast-{index}",
            model=f"sdxl-{index}",
            services_s=(2.73,),
            media="image",
        )
        for index in range(checkpoints)
    ]
    sizes = [min(_GPUS_A_MACHINE, num_gpus - at) for at in range(0, num_gpus, _GPUS_A_MACHINE)]
    return Scenario(
        machines=[
            Machine(num_gpus=size, room_bytes=_ROOM_BYTES, page_cache_bytes=_PAGE_CACHE_BYTES)
            for size in sizes
        ],
        models=models,
        classes=classes,
        starts_at_s=_MONDAY_S,
        # As workers look at each other's rows: less often the more there are.
        times=Times(look_s=max(60.0, 0.3 * num_gpus)),
    )


def _streams(
    num_gpus: int, *, load: float, checkpoints: int, has_days: bool = False, **course: float
) -> tuple[Stream, ...]:
    """Return jobs that take ``load`` of the fleet's time; checkpoints by Zipf's law."""
    classes = _scenario(num_gpus, checkpoints=checkpoints).classes
    shares = 1 / np.arange(1, checkpoints + 1)
    shares *= (1 - _VIDEO_SHARE) / shares.sum()
    return tuple(
        Stream(
            job_class=each.name,
            per_s=float(load * num_gpus * share / each.mean_s),
            # Each checkpoint has its own hours.
            peak_hour=(20.0 + 5 * index) % 24 if has_days else None,
            **course,
        )
        for index, (each, share) in enumerate(zip(classes, [_VIDEO_SHARE, *shares], strict=True))
    )


def _usage_of(streams: Iterable[Stream], classes: Iterable[JobClass]) -> Usage:
    """Return what two earlier weeks of the same habits leave."""
    usage, rng = Usage(), np.random.default_rng(0)
    models = {each.name: each.model for each in classes}
    for stream in streams:
        for hour in range(-2 * _WEEK_HOURS, 0):
            at_s = (hour + 0.5) * _HOUR_S
            uses = float(rng.poisson(stream.rate(at_s % _DAY_S) * _HOUR_S))
            usage.add(models[stream.job_class], _MONDAY_S + at_s, uses)
    return usage


_METRICS: Mapping[str, tuple[str, Callable[[Outcome], float]]] = {
    "wait_p50_s": ("s", lambda it: it.waits.p50_s),
    "wait_p95_s": ("s", lambda it: it.waits.p95_s),
    "wait_p99_s": ("s", lambda it: it.waits.p99_s),
    "start_mean_s": ("s", lambda it: it.starts.mean_s),
    "start_p95_s": ("s", lambda it: it.starts.p95_s),
    "start_p99_s": ("s", lambda it: it.starts.p99_s),
    "load_wait_ms": ("ms", lambda it: 1000 * it.load_wait_s / it.num_jobs),
    "video_mean_s": ("s", lambda it: it.responses_by_class["video_fast"].mean_s),
    "video_p95_s": ("s", lambda it: it.responses_by_class["video_fast"].p95_s),
    "utilisation": ("share", lambda it: it.utilisation),
    "goodput": ("share", lambda it: it.goodput),
    "loads": ("loads", lambda it: float(it.loads)),
    "loads_ahead": ("loads", lambda it: float(it.loads_ahead)),
    "re_formings": ("times", lambda it: float(it.re_formings)),
    "jobs": ("jobs", lambda it: float(it.num_jobs)),
}
_SHOWN = tuple(name for name in _METRICS if name not in {"wait_p50_s", "loads_ahead"})
_HEADS = f"{'case':24} {'system':12} " + " ".join(f"{name:>12}" for name in _SHOWN)


def _figures(
    case: Case, outcomes: Sequence[Outcome], taken_s: Sequence[float]
) -> Iterator[BenchmarkResult]:
    for metric, (unit, read) in _METRICS.items():
        values = [read(outcome) for outcome in outcomes]
        yield BenchmarkResult(
            case=case.name,
            system=case.system,
            fidelity="exact",
            metric=metric,
            value=round(float(np.median(values)), 6),
            unit=unit,
            n=len(values),
            low=round(min(values), 6) if len(values) > 1 else None,
            high=round(max(values), 6) if len(values) > 1 else None,
        )
    yield BenchmarkResult(
        case=case.name,
        system=case.system,
        fidelity="exact",
        metric="simulation_cpu_s",
        value=round(float(np.median(taken_s)), 3),
        unit="s",
        n=len(taken_s),
        notes="CPU time of the simulation itself, one thread",
    )


def _row(case: Case, outcomes: Sequence[Outcome], taken_s: float) -> str:
    values = (float(np.median([_METRICS[name][1](it) for it in outcomes])) for name in _SHOWN)
    cells = " ".join(f"{value:12.3f}" for value in values)
    return f"{case.name:24} {case.system:12} {cells} ({taken_s:.1f} s)"


def _numbered(told: Mapping[str, Mapping[str, float]]) -> dict[str, dict[int, float]]:
    return {name: {int(size): each for size, each in by.items()} for name, by in told.items()}


if __name__ == "__main__":
    main()
