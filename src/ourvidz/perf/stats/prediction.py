"""Where the next run should fall: the range that a finished job is scored against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ourvidz.perf.stats.distributions import t_quantile
from ourvidz.perf.stats.sample import (
    Floats,
    Interval,
    Sample,
    as_positive,
    as_sample,
    check_share,
)

SMALLEST_N = 3


class PredictionMethod(StrEnum):
    """How the range is made."""

    LOG_T = "log_t"  # normal on logarithms: seconds and bytes
    T = "t"  # normal
    ORDER = "order"  # between two of the values: any distribution


class Score(StrEnum):
    """Where a finished job fell."""

    FAST = "fast"
    NORMAL = "normal"
    SLOW = "slow"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Range of one more run."""

    interval: Interval
    method: PredictionMethod
    n: int

    def score(self, value: float) -> Score:
        """Return where ``value`` lies; a bound counts as inside."""
        if value > self.interval.high:
            return Score.SLOW
        return Score.FAST if value < self.interval.low else Score.NORMAL


def prediction_interval(
    values: Sample, *, level: float = 0.99, method: PredictionMethod | None = None
) -> Prediction | None:
    """Return the range that holds the next run with probability ``level``.

    - ``order``: from the r-th smallest to the r-th largest value, r the greatest with ``(n + 1 -
      2 r) / (n + 1) >= level``: exact for any continuous distribution (Wilks, 1941); needs ``n >=
      2 / (1 - level) - 1``: 199 for 99 %, 39 for 95 %.
    - ``t``: ``mean -+ t_(n-1) sd sqrt(1 + 1/n)`` (Hahn and Meeker, "Statistical Intervals", 1991,
      4.7.2): exact for normal data; outliers make it wide, never narrow.
    - ``log_t``: the same on logarithms.

    By default ``order`` where n allows it, else ``log_t`` where all values are above 0, else
    ``t``.

    Args:
        values: Runs of one workload, environment and state.
        level: Coverage, in (0, 1).
        method: None chooses.

    Returns:
        None below n = 3, or where ``order`` was asked for and n is too small.

    Raises:
        InvalidRequest: No values, one that is not finite, ``level`` outside (0, 1), or ``log_t``
            asked for with a value of 0 or less.
    """
    sample = as_sample(values)
    check_share(level, name="level")
    n = int(sample.size)
    if n < SMALLEST_N:
        return None
    rank = math.floor((n + 1) * (1.0 - level) / 2.0 + 1e-9)
    if method is None:
        method = _choose(sample, rank)
    match method:
        case PredictionMethod.ORDER:
            if rank < 1:
                return None
            ordered = np.sort(sample)
            low, high = float(ordered[rank - 1]), float(ordered[-rank])
        case PredictionMethod.T:
            low, high = _t_bounds(sample, level)
        case PredictionMethod.LOG_T:
            low, high = (_exp(bound) for bound in _t_bounds(np.log(as_positive(sample)), level))
    return Prediction(interval=Interval(low=low, high=high, level=level), method=method, n=n)


def is_watched(scores: Sequence[Score], *, slow: int = 3, of: int = 5) -> bool:
    """Whether ``slow`` of the last ``of`` jobs were slow. One slow job never is.

    A sign to look, not an alarm: its rate of error is not controlled over an installation
    (``alarms`` is).
    """
    return sum(score is Score.SLOW for score in scores[-of:]) >= slow


def _choose(sample: Floats, rank: int) -> PredictionMethod:
    if rank >= 1:
        return PredictionMethod.ORDER
    return PredictionMethod.LOG_T if sample.min() > 0 else PredictionMethod.T


def _t_bounds(sample: Floats, level: float) -> tuple[float, float]:
    n = sample.size
    middle = float(sample.mean())
    # Equal values whose mean is off by a rounding error must stay inside their own interval.
    sd = float(sample.std(ddof=1)) if sample.min() < sample.max() else 0.0
    if sd == 0.0:
        return float(sample.min()), float(sample.max())
    half = t_quantile(0.5 + level / 2.0, n - 1) * sd * math.sqrt(1.0 + 1.0 / n)
    return middle - half, middle + half


def _exp(value: float) -> float:
    return math.exp(value) if value < 700.0 else math.inf
