"""Change points of a history: when did it become slower, found after the fact (E-divisive)."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ourvidz.perf.stats.ranks import midranks
from ourvidz.perf.stats.sample import (
    Floats,
    Sample,
    as_sample,
    check_count,
    check_share,
)
from ourvidz.perf.stats.shift import Shift, hodges_lehmann, relative_shift

SEED = 20_250_716
NUM_PERMUTATIONS = 4_999
# 8! = 40,320 orders are tried one by one; above, a fixed sample of orders.
LARGEST_EXACT_N = 8
# A sequential test stops once this many orders split at least as well (Besag and Clifford, 1991).
_ENOUGH_EXCEEDANCES = 25
_FIRST_BATCH = 32
_BATCH_CELLS = 60_000  # what a core's own cache holds
_LARGEST_SINGLE = 4096
_MOST_KEPT = 8  # sets of orders, a few megabytes each


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangePoint:
    """A place where the distribution changed."""

    index: int  # the first run of the new level, from 0
    energy: float  # the split's statistic, in ranks or in the values' unit
    p_value: float  # of the segment in which it was found
    is_exact: bool  # all orders were tried
    shift: Shift  # between the neighbouring segments; relative where all values are above 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The best division of one stretch in two."""

    index: int
    energy: float


def change_points(
    values: Sample,
    *,
    significance: float = 0.001,
    min_size: int = 5,
    num_permutations: int = NUM_PERMUTATIONS,
    block: int = 1,
    on_ranks: bool = True,
    seed: int = SEED,
) -> tuple[ChangePoint, ...]:
    """Return the places where a series of runs changed level or spread, in order.

    E-divisive (Matteson and James, "A nonparametric approach for multiple change point analysis of
    multivariate data", 2014) with exponent 1, on ranks by default: the best split of a stretch is
    tested by permutation; if it stands, both sides are divided further. A stable series is
    therefore tested once, and ``significance`` is its rate of false alarms.

    The test is deterministic. Up to 8 blocks all orders are tried and p is exact; above, a fixed
    sample of orders, with ``p = (1 + orders that split as well) / (1 + orders)``, so that p never
    is below ``1 / (num_permutations + 1)``. The sample ends early once 25 orders split as well,
    ``p = 25 / orders`` (Besag and Clifford, "Sequential Monte Carlo p-values", 1991).

    Args:
        values: One value a run, in the order of time.
        significance: Of each test, in (0, 1).
        min_size: Fewest runs on a side, 2 or more. Fewer than ``2 min_size`` runs have no change
            points.
        num_permutations: Orders tried; 99 or more.
        on_ranks: Split and test the ranks of each stretch in place of its values, so that a few
            wild runs can't hide a step; shifts are told in values all the same. Of series without
            outliers both find the same.
        block: Runs that stay together when the order changes; 1 where runs are independent, about
            the length over which neighbours resemble each other where they are not. With blocks,
            fewer orders exist, and a change needs more runs to be significant.
        seed: Of the orders; the default is part of the definition.

    Raises:
        InvalidRequest: No values, one that is not finite, or an argument outside its range.
    """
    sample = as_sample(values)
    check_share(significance, name="significance")
    check_count(min_size, name="min_size", at_least=2)
    check_count(num_permutations, name="num_permutations", at_least=99)
    check_count(block, name="block", at_least=1)
    found: dict[int, tuple[float, float, bool]] = {}
    stretches = [(0, int(sample.size))]
    while stretches:
        start, end = stretches.pop()
        stretch = midranks(sample[start:end]) if on_ranks else sample[start:end]
        split = best_split(stretch, min_size=min_size)
        if split is None or split.energy <= 0.0:  # too short, or all equal
            continue
        orders = _orders_of(stretch.size, block, num_permutations, seed)
        p_value = _p_value(
            stretch, split, min_size=min_size, orders=orders, significance=significance
        )
        if p_value is None:
            continue
        index = start + split.index
        found[index] = (split.energy, p_value, orders.is_exact)
        stretches += [(start, index), (index, end)]
    edges = [0, *sorted(found), int(sample.size)]
    return tuple(
        ChangePoint(
            index=index,
            energy=found[index][0],
            p_value=found[index][1],
            is_exact=found[index][2],
            shift=_shift(sample[left:index], sample[index:right]),
        )
        for left, index, right in zip(edges, edges[1:-1], edges[2:], strict=False)
    )


def best_split(values: Sample, *, min_size: int = 5) -> Split | None:
    """Return the split with the largest energy statistic; None below ``2 min_size`` values.

    ``Q = m n / (m + n) (2 A - B - C)``: A the mean distance between the sides, B and C the mean
    distances within each, a value's to itself included (Szekely and Rizzo, "Energy statistics",
    2013). The paper's own B and C leave those out; so taken, Q is never negative, and it is 0 only
    where both sides are the same.

    Raises:
        InvalidRequest: No values, one that is not finite, or ``min_size`` below 1.
    """
    sample = as_sample(values)
    check_count(min_size, name="min_size", at_least=1)
    n = int(sample.size)
    if n < 2 * min_size:
        return None
    distances = np.abs(sample[:, None] - sample[None, :])
    before = np.tril(distances, k=-1).sum(axis=1)
    energies = _energies(before[None, :], distances.sum(axis=1)[None, :])[0]
    candidates = energies[min_size - 1 : n - min_size]
    index = int(np.argmax(candidates))
    return Split(index=index + min_size, energy=float(candidates[index]))


class _Orders:
    """The orders that a test tries, drawn as they are asked for. For several threads."""

    def __init__(self, size: int, *, block: int, num_permutations: int, seed: int) -> None:
        """Of so many runs; ``block`` of them stay together."""
        blocks = -(-size // block)
        self._size, self._block, self._blocks = size, block, blocks
        self._lock = threading.Lock()
        self._rng = np.random.default_rng(seed)
        self.is_exact = blocks <= LARGEST_EXACT_N
        self.total = math.factorial(blocks) if self.is_exact else num_permutations
        self._drawn: NDArray[np.integer] = np.empty((0, size), dtype=np.min_scalar_type(size))

    def take(self, start: int, end: int) -> NDArray[np.integer]:
        """Return (orders, size): those from ``start`` up to ``end``, the same each time."""
        with self._lock:
            missing = min(end, self.total) - len(self._drawn)
            if missing > 0:
                drawn = self._runs(self._picks(missing)).astype(self._drawn.dtype)
                self._drawn = np.concatenate([self._drawn, drawn])
            return self._drawn[start:end]

    def _picks(self, number: int) -> NDArray[np.intp]:
        """Return the next orders of the blocks; where all are tried, all of them."""
        if self.is_exact:
            return np.array(list(permutations(range(self._blocks))), dtype=np.intp)
        rows = np.tile(np.arange(self._blocks, dtype=np.intp), (number, 1))
        return self._rng.permuted(rows, axis=1)

    def _runs(self, picks: NDArray[np.intp]) -> NDArray[np.intp]:
        if self._block == 1:
            return picks
        runs = picks[:, :, None] * self._block + np.arange(self._block)
        runs = runs.reshape(len(picks), -1)
        return runs[runs < self._size].reshape(len(picks), self._size)  # the last may be shorter


@lru_cache(maxsize=_MOST_KEPT)
def _orders_of(size: int, block: int, num_permutations: int, seed: int) -> _Orders:
    """Return the orders for a stretch: all measures of one series have as many runs."""
    return _Orders(size, block=block, num_permutations=num_permutations, seed=seed)


def _p_value(
    sample: Floats, split: Split, *, min_size: int, orders: _Orders, significance: float
) -> float | None:
    """Return p; None as soon as it is known to be above ``significance``."""
    enough = _enough(orders, significance)
    totals = np.abs(sample[:, None] - sample[None, :]).sum(axis=1)
    # Orders that are equal but for rounding must count as equal.
    bar = split.energy * (1.0 - 1e-9)
    largest = max(1, _BATCH_CELLS // sample.size)
    exceedances, start, size = 0, 0, _FIRST_BATCH
    while start < orders.total and exceedances < enough:
        batch = orders.take(start, start + min(size, largest))
        energies = _energies(_before(sample, batch), totals[batch])
        inside = energies[:, min_size - 1 : sample.size - min_size]
        hits = np.flatnonzero(inside.max(axis=1) >= bar)
        if not orders.is_exact and exceedances + hits.size >= _ENOUGH_EXCEEDANCES:
            last = int(hits[_ENOUGH_EXCEEDANCES - exceedances - 1])
            p_value = _ENOUGH_EXCEEDANCES / (start + last + 1)
            return p_value if p_value <= significance else None
        exceedances += int(hits.size)
        start += len(batch)
        size *= 4  # a stable series is known by its first orders
    if exceedances >= enough:
        return None
    return exceedances / start if orders.is_exact else (exceedances + 1) / (start + 1)


def _enough(orders: _Orders, significance: float) -> int:
    """Return with how many orders that split as well p is above ``significance`` for certain."""
    if orders.is_exact:
        return math.floor(significance * orders.total) + 1
    if _ENOUGH_EXCEEDANCES / orders.total <= significance:
        return orders.total + 1  # the test that ends early may yet find it significant
    shares = ((number + 1) / (orders.total + 1) for number in range(_ENOUGH_EXCEEDANCES))
    return next(
        (number for number, share in enumerate(shares) if share > significance),
        _ENOUGH_EXCEEDANCES,
    )


def _before(sample: Floats, orders: NDArray[np.integer]) -> Floats:
    """Return (orders, n): each value's distances to those before it in the order, summed up.

    Of ranks every sum is a multiple of a half, exact in single precision up to 4,096 runs.
    """
    is_exact = sample.size <= _LARGEST_SINGLE and bool(np.all(sample * 2.0 % 1.0 == 0.0))
    is_exact = is_exact and float(np.abs(sample).max()) <= _LARGEST_SINGLE
    values = sample.astype(np.float32 if is_exact else np.float64)
    by_run = np.ascontiguousarray(values[orders].T)  # (n, orders): sums run along the memory
    found, cells = np.zeros_like(by_run), np.empty_like(by_run)
    for run in range(1, sample.size):
        distances = np.subtract(by_run[:run], by_run[run], out=cells[:run])
        np.add.reduce(np.abs(distances, out=distances), axis=0, out=found[run])
    return found.T.astype(np.float64)


def _energies(before: Floats, totals: Floats) -> Floats:
    """Return (orders, n - 1): Q of every split of every order.

    With S the sums of distances within and between the sides, ``Q = (2 S_between - n S_left / m -
    m S_right / n) / N``. A value adds to S_left twice its distances to those before it.

    Args:
        before: (orders, n) distances of each value to those before it, summed up.
        totals: (orders, n) the same to all.
    """
    size = before.shape[1]
    left = 2.0 * np.cumsum(before, axis=1)[:, :-1]
    all_of_left = np.cumsum(totals, axis=1)
    between = all_of_left[:, :-1] - left
    right = all_of_left[:, -1:] - all_of_left[:, :-1] - between
    m: Floats = np.arange(1, size, dtype=np.float64)
    n: Floats = size - m
    between *= 2.0
    left *= n
    left /= m
    right *= m
    right /= n
    between -= left
    between -= right
    between /= size
    return between


def _shift(before: Floats, after: Floats) -> Shift:
    if before.min() > 0.0 and after.min() > 0.0:
        return relative_shift(before, after)
    return hodges_lehmann(before, after)
