"""Hodges-Lehmann: how much slower, with an interval."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ourvidz.perf.stats.distributions import normal_quantile
from ourvidz.perf.stats.ranks import LARGEST_EXACT_N
from ourvidz.perf.stats.sample import (
    Floats,
    Interval,
    Sample,
    as_positive,
    as_sample,
    check_share,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """How far the second group lies from the first."""

    estimate: float  # in the values' unit, or as a share of the first group where ``is_relative``
    interval: Interval | None  # None where the groups are too small for its level
    is_relative: bool
    num_before: int
    num_after: int


def hodges_lehmann(before: Sample, after: Sample, *, level: float = 0.95) -> Shift:
    """Return the median of all differences ``after_j - before_i`` and its interval.

    Hodges and Lehmann, 1963. The interval is that of all shifts which the exact Mann-Whitney test
    would not reject (Moses, in Hollander, Wolfe and Chicken, 2014, section 4.3): between the k-th
    smallest and the k-th largest difference, k the greatest with ``P(U <= k - 1) <= (1 - level) /
    2``; above 60 values in all, k by the normal approximation. With ties it is conservative.

    Returns:
        ``interval`` is None where even the extreme differences don't reach the level: at 95 %
        for 3 + 3 values, for 1 + 38.

    Raises:
        InvalidRequest: A group is empty or not finite, or ``level`` is outside (0, 1).
    """
    first, second = as_sample(before, name="before"), as_sample(after, name="after")
    check_share(level, name="level")
    return _shift(first, second, level=level)


def relative_shift(before: Sample, after: Sample, *, level: float = 0.95) -> Shift:
    """Return the shift as a share of the first group: 0.05 is 5 % more.

    The same on logarithms: the median of all ratios ``after_j / before_i``, minus 1. Seconds are
    compared so, because their noise grows with them.

    Raises:
        InvalidRequest: As ``hodges_lehmann``, or a value is 0 or less.
    """
    first = np.log(as_positive(before, name="before"))
    second = np.log(as_positive(after, name="after"))
    check_share(level, name="level")
    found = _shift(first, second, level=level)
    interval = found.interval and Interval(
        low=math.expm1(found.interval.low), high=math.expm1(found.interval.high), level=level
    )
    return Shift(
        estimate=math.expm1(found.estimate),
        interval=interval,
        is_relative=True,
        num_before=found.num_before,
        num_after=found.num_after,
    )


def interval_rank(num_before: int, num_after: int, *, level: float) -> int:
    """Return k: the interval runs from the k-th smallest difference to the k-th largest.

    0 where no interval of that level exists.
    """
    tail = (1.0 - level) / 2.0
    m, n = num_before, num_after
    if m + n <= LARGEST_EXACT_N:
        total = math.comb(m + n, m)
        shares = [seen / total for seen in itertools.accumulate(_u_counts(m, n))]
        # A tail that meets the level exactly, as 1/40 at 95 %, must not fail by a rounding error.
        return bisect.bisect_right(shares, tail * (1.0 + 1e-12))
    sd = math.sqrt(m * n * (m + n + 1) / 12.0)
    return max(0, math.floor(m * n / 2.0 + normal_quantile(tail) * sd))


@cache
def _u_counts(m: int, n: int) -> tuple[int, ...]:
    """Return how many divisions have U = 0, 1, ..., m n: the Gaussian binomial's coefficients.

    ``prod_(i=1..n) (1 - x^(m+i)) / (1 - x^i)``, in whole numbers: the differences cancel.
    """
    counts = [1] + [0] * (m * n)
    for i in range(1, n + 1):
        for index in range(m * n, m + i - 1, -1):
            counts[index] -= counts[index - m - i]
        for index in range(i, m * n + 1):
            counts[index] += counts[index - i]
    return tuple(counts)


def _shift(first: Floats, second: Floats, *, level: float) -> Shift:
    differences = np.sort((second[None, :] - first[:, None]).ravel())
    k = interval_rank(first.size, second.size, level=level)
    interval = None
    if k:
        interval = Interval(low=float(differences[k - 1]), high=float(differences[-k]), level=level)
    return Shift(
        estimate=float(np.median(differences)),
        interval=interval,
        is_relative=False,
        num_before=int(first.size),
        num_after=int(second.size),
    )
