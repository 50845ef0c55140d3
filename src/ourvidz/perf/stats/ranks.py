"""Mann-Whitney: is one group of runs slower than another, whatever the shape of the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from ourvidz.perf.stats.distributions import normal_cdf
from ourvidz.perf.stats.sample import Floats, Sample, as_sample

# Up to this many values in both groups together the p-value is exact, with ties too.
LARGEST_EXACT_N = 60


class Alternative(StrEnum):
    """What is asked about the second group."""

    TWO_SIDED = "two-sided"
    GREATER = "greater"  # after is greater than before
    LESS = "less"


@dataclass(frozen=True, kw_only=True, slots=True)
class MannWhitney:
    """The answer of the test."""

    u: float  # pairs in which the second group is greater, ties counted half
    p_value: float
    is_exact: bool
    superiority: float  # u over all pairs: the chance that a run after is greater than one before


def midranks(values: Sample) -> Floats:
    """Return ranks from 1; equal values share the mean of their ranks.

    Raises:
        InvalidRequest: A value that is not finite.
    """
    sample = as_sample(values, at_least=0)
    _, inverse, counts = np.unique(sample, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def mann_whitney(
    before: Sample, after: Sample, *, alternative: Alternative = Alternative.TWO_SIDED
) -> MannWhitney:
    """Return whether two groups differ in location (Mann and Whitney, 1947).

    Up to 60 values in all the p-value is exact given the ranks that were seen, ties included: the
    share of all ways to divide these ranks into groups of these sizes whose rank sum is as
    extreme, counted by dynamic programming. Two-sided it is twice the smaller tail, at most 1.
    Above 60: the normal approximation with ``var = m n / 12 (N + 1 - sum (t^3 - t) / (N (N - 1)))``
    for ties of size t, and the continuity correction of a half (Lehmann, "Nonparametrics", 1975).

    All equal gives p = 1. n = 1 on a side works, with p never below ``1 / (n + 1)`` a tail.

    Raises:
        InvalidRequest: A group is empty or holds a value that is not finite.
    """
    first, second = as_sample(before, name="before"), as_sample(after, name="after")
    ranks = midranks(np.concatenate([first, second]))
    m, n = first.size, second.size
    u = float(ranks[m:].sum()) - n * (n + 1) / 2.0
    is_exact = m + n <= LARGEST_EXACT_N
    lower, upper = _exact_tails(ranks, m) if is_exact else _normal_tails(ranks, m, u)
    return MannWhitney(
        u=u,
        p_value=min(1.0, _p_of(alternative, lower=lower, upper=upper)),
        is_exact=is_exact,
        superiority=u / (m * n),
    )


def smallest_p(num_before: int, num_after: int) -> float:
    """Return the smallest two-sided p that groups of these sizes can give: ``2 / C(m + n, m)``.

    3 + 3: 0.1; 4 + 4: 0.029; 5 + 5: 0.0079; 7 + 7: 0.00058. A level below it can't be met.
    """
    return min(1.0, 2.0 / math.comb(num_before + num_after, num_before))


def _p_of(alternative: Alternative, *, lower: float, upper: float) -> float:
    match alternative:
        case Alternative.GREATER:
            return upper
        case Alternative.LESS:
            return lower
        case Alternative.TWO_SIDED:
            return 2.0 * min(lower, upper)


def _exact_tails(ranks: Floats, m: int) -> tuple[float, float]:
    """Return P(sum <= seen) and P(sum >= seen) of the second group's rank sum."""
    doubled = np.rint(2.0 * ranks).astype(np.int64)  # midranks are whole or half
    n = doubled.size - m
    counts = _sum_counts(tuple(sorted(doubled.tolist())), n)
    seen = int(doubled[m:].sum())
    total = math.comb(doubled.size, n)
    return float(counts[: seen + 1].sum()) / total, float(counts[seen:].sum()) / total


@lru_cache(maxsize=256)
def _sum_counts(doubled: tuple[int, ...], n: int) -> Floats:
    """Return how many choices of ``n`` items have each sum: index is the sum.

    float64 counts: whole numbers below 2^53 are exact, above that to 16 digits.
    """
    largest = sum(doubled[-n:])
    counts = np.zeros((n + 1, largest + 1))
    counts[0, 0] = 1.0
    for item in doubled:
        counts[1:, item:] += counts[:-1, : largest + 1 - item].copy()
    return counts[n]


def _normal_tails(ranks: Floats, m: int, u: float) -> tuple[float, float]:
    size = ranks.size
    n = size - m
    _, ties = np.unique(ranks, return_counts=True)
    correction = float(np.sum(ties.astype(np.float64) ** 3 - ties)) / (size * (size - 1))
    sd = math.sqrt(m * n / 12.0 * (size + 1 - correction))
    if sd == 0.0:
        return 1.0, 1.0
    middle = m * n / 2.0
    return normal_cdf((u - middle + 0.5) / sd), normal_cdf(-(u - middle - 0.5) / sd)
