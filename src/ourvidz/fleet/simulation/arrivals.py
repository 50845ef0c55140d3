"""When jobs come: Poisson, in bursts, over days, or as they really came."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ourvidz.jobs.model import Job

_MINUTE_S = 60.0
_DAY_S = 24 * 3600.0


class Arrival(NamedTuple):
    """One job."""

    at_s: float  # from the simulation's begin
    job_class: str
    service_s: float | None = None  # on one GPU; None: drawn from the class


Rate = Callable[[float], float]  # jobs a second at a time in seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """Jobs of one class: a Poisson process whose rate may change every minute."""

    job_class: str
    per_s: float  # mean rate
    peak_hour: float | None = None  # of the day; None: day and night alike
    swing: float = 0.8  # how far the rate goes up and down with the day, 0 to 1
    burst_every_s: float = 0.0  # mean time between bursts; 0: none
    burst_s: float = 120.0  # their length
    burst_factor: float = 8.0  # the rate within one, over the rate without

    def rate(self, at_s: float) -> float:
        """Return the rate of the day's course, without bursts."""
        if self.peak_hour is None:
            return self.per_s
        phase = 2 * math.pi * (at_s / _DAY_S - self.peak_hour / 24)
        return self.per_s * (1 + self.swing * math.cos(phase))


def arrivals_of(
    streams: Sequence[Stream], *, duration_s: float, rng: np.random.Generator
) -> Iterator[Arrival]:
    """Yield arrivals in order of time.

    Args:
        streams: what comes.
        duration_s: until when.
        rng: the only source of chance.
    """
    in_burst = [0.0] * len(streams)  # until when
    start_s = 0.0
    while start_s < duration_s:
        length_s = min(_MINUTE_S, duration_s - start_s)
        times: list[Arrival] = []
        for index, stream in enumerate(streams):
            rate = stream.rate(start_s + length_s / 2)
            if stream.burst_every_s:
                share = stream.burst_s / stream.burst_every_s
                if rng.random() < length_s / stream.burst_every_s:
                    in_burst[index] = start_s + stream.burst_s
                is_burst = start_s < in_burst[index]
                rate *= (stream.burst_factor if is_burst else 1.0) / (
                    1 + share * (stream.burst_factor - 1)
                )
            moments = start_s + length_s * rng.random(rng.poisson(rate * length_s))
            times += [Arrival(at, stream.job_class) for at in moments.tolist()]
        times.sort()
        yield from times
        start_s += length_s


def replayed(
    jobs: Iterable[Job], *, name_of: Callable[[Job], str], services_s: Mapping[str, float]
) -> tuple[Arrival, ...]:
    """Return recorded jobs as arrivals, the first one at 0.

    Args:
        jobs: in any order.
        name_of: a job's class.
        services_s: what jobs took, by id, where it is known.
    """
    ordered = sorted(jobs, key=lambda job: (job.run_at, job.id))
    return tuple(
        Arrival(job.run_at - ordered[0].run_at, name_of(job), services_s.get(job.id))
        for job in ordered
    )
