"""What a simulated fleet did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """Percentiles in seconds."""

    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float

    @classmethod
    def of(cls, seconds: Sequence[float] | NDArray[np.float64]) -> Waits:
        """Sum up; of nothing all is 0."""
        values = np.asarray(seconds, dtype=np.float64)
        if not values.size:
            return cls(mean_s=0.0, p50_s=0.0, p95_s=0.0, p99_s=0.0)
        p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
        return cls(mean_s=float(values.mean()), p50_s=p50, p95_s=p95, p99_s=p99)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The figures of one simulation."""

    num_jobs: int
    makespan_s: float  # from the first arrival to the last end
    waits: Waits  # from submit to claim
    starts: Waits  # from submit to the first step: with loading
    responses: Waits  # from submit to the end
    starts_by_class: Mapping[str, Waits]
    responses_by_class: Mapping[str, Waits]
    utilisation: float  # share of GPU time that was taken: loading, running
    goodput: float  # share of GPU time that ran jobs
    loads: int  # that a job waited for
    loads_ahead: int  # that none did
    load_wait_s: float  # all that jobs waited for loading
    re_formings: int
    given_back: int  # jobs that a drain did not let end
    num_events: int
