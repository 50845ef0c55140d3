"""A load test: what a service does under jobs that come whether or not it is ready for them.

Arrivals are open-loop: a Poisson process with a seed, so that a service that falls behind is not
spared, as it would be by clients that wait for their answers. A cap on jobs under way, where one is
set, makes it partly closed; arrivals that met it are counted.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.plain import plain
from ourvidz.perf.stats import Interval, Summary, summarize, wilson_interval

_MOST_JOBS = 10_000
SUCCEEDED = "succeeded"
SKIPPED = "over_concurrency"  # an arrival that met the cap: never sent
REFUSED = "refused"  # by the service, with its code after a colon


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPlan:
    """What arrives when."""

    rate_s: float  # arrivals a second, on average
    duration_s: float  # of arrivals; jobs that came until then may end later
    deadline_s: float  # a job that ends later is no good
    concurrency: int | None = None  # jobs under way at most; None: no cap
    seed: int = 7
    job_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            InvalidRequest: One is out of range.
        """
        for name in ("rate_s", "duration_s", "deadline_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InvalidRequest(
                    f"{name} {getattr(self, name)!r} is not above 0.", param=name.removesuffix("_s")
                )
        if self.rate_s * self.duration_s > _MOST_JOBS:
            raise InvalidRequest(
                f"{self.rate_s * self.duration_s:.0f} jobs; {_MOST_JOBS} are the most.",
                param="rate",
                hint="A lower rate, or a shorter time.",
            )
        if not self.job_types:
            raise InvalidRequest("A load test needs a job type.", param="job_types")


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One job that comes."""

    index: int
    at_s: float  # since the begin
    job_type: str
    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What became of one arrival."""

    index: int
    job_type: str
    at_s: float  # when it was due
    sent_s: float  # when it was sent: later only if the client itself was late
    latency_s: float | None  # from when it was due to its end; None: it did not end well
    wait_s: float | None  # of it in the queue
    outcome: str  # succeeded, or the class of what failed
    job_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadFigures:
    """What a load test found, of all jobs or of one job type."""

    job_type: str | None  # None: all together
    arrived: int
    succeeded: int
    in_time: int  # succeeded within the deadline
    success: Interval | None  # Wilson, of the share that succeeded
    goodput_s: float  # in time, a second of the whole test
    latency: Summary | None  # of those that succeeded; percentiles only where n allows
    wait: Summary | None
    failures: Mapping[str, int] = field(default_factory=dict[str, int])  # by class


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """A whole load test."""

    plan: LoadPlan
    offered_s: float  # arrivals a second, as they came
    throughput_s: float  # successes a second until the last end
    elapsed_s: float  # until the last end
    latest_send_s: float  # how late the client itself sent at worst
    most_under_way: int
    figures: tuple[LoadFigures, ...]  # all together first

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def arrivals_of(plan: LoadPlan, prompts: Sequence[str]) -> tuple[Arrival, ...]:
    """Return the arrivals: exponential gaps, job types and prompts drawn, all by the seed.

    Raises:
        InvalidRequest: None would come.
    """
    rng = random.Random(plan.seed)
    found: list[Arrival] = []
    at_s = rng.expovariate(plan.rate_s)
    while at_s < plan.duration_s:
        found.append(
            Arrival(
                index=len(found),
                at_s=at_s,
                job_type=rng.choice(plan.job_types),
                prompt=rng.choice(prompts),
                seed=1000 * plan.seed + len(found),
            )
        )
        at_s += rng.expovariate(plan.rate_s)
    if not found:
        raise InvalidRequest(
            f"At {plan.rate_s:g} jobs a second none comes within {plan.duration_s:g} s.",
            param="duration",
            hint="A longer time, or a higher rate.",
        )
    return tuple(found)


def report_load(plan: LoadPlan, served: Sequence[Served], *, elapsed_s: float) -> LoadReport:
    """Return what a load test found.

    Args:
        plan: What was to come.
        served: What became of each arrival.
        elapsed_s: From the begin to the last end.
    """
    names = list(dict.fromkeys(one.job_type for one in served))
    figures = [_figures(None, served, plan, elapsed_s)]
    if len(names) > 1:
        figures += [
            _figures(name, [one for one in served if one.job_type == name], plan, elapsed_s)
            for name in names
        ]
    return LoadReport(
        plan=plan,
        offered_s=len(served) / plan.duration_s,
        throughput_s=figures[0].succeeded / elapsed_s,
        elapsed_s=elapsed_s,
        latest_send_s=max((one.sent_s - one.at_s for one in served), default=0.0),
        most_under_way=_most_under_way(served),
        figures=tuple(figures),
    )


def _figures(
    job_type: str | None, served: Sequence[Served], plan: LoadPlan, elapsed_s: float
) -> LoadFigures:
    latencies = [one.latency_s for one in served if one.latency_s is not None]
    waits = [one.wait_s for one in served if one.latency_s is not None and one.wait_s]
    in_time = sum(latency <= plan.deadline_s for latency in latencies)
    failures: dict[str, int] = {}
    for one in served:
        if one.outcome != SUCCEEDED:
            failures[one.outcome] = failures.get(one.outcome, 0) + 1
    return LoadFigures(
        job_type=job_type,
        arrived=len(served),
        succeeded=len(latencies),
        in_time=in_time,
        success=wilson_interval(len(latencies), len(served)) if served else None,
        goodput_s=in_time / elapsed_s,
        latency=summarize(latencies) if latencies else None,
        wait=summarize(waits) if waits else None,
        failures=dict(sorted(failures.items())),
    )


def _most_under_way(served: Sequence[Served]) -> int:
    """Return how many jobs were under way at once at most, of those whose end is known."""
    moments: list[tuple[float, int]] = []
    for one in served:
        if one.latency_s is not None:
            moments += [(one.sent_s, 1), (one.at_s + one.latency_s, -1)]
    under_way = most = 0
    for _, change in sorted(moments):
        under_way += change
        most = max(most, under_way)
    return most
