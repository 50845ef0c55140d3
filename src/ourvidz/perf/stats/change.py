"""Change points of a history: when did it become slower, found after the fact (E-divisive)."""

from __future__ import annotations

from dataclasses import dataclass
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
_FIRST_BATCH = 100
_BATCH_CELLS = 2_000_000


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
        orders, is_exact = _orders(
            stretch.size, block=block, num_permutations=num_permutations, seed=seed
        )
        p_value = _p_value(stretch, split, min_size=min_size, orders=orders, is_exact=is_exact)
        if p_value > significance:
            continue
        index = start + split.index
        found[index] = (split.energy, p_value, is_exact)
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
    energies = _energies(_distances(sample), np.arange(n)[None, :])[0]
    candidates = energies[min_size - 1 : n - min_size]
    index = int(np.argmax(candidates))
    return Split(index=index + min_size, energy=float(candidates[index]))


def _orders(
    size: int, *, block: int, num_permutations: int, seed: int
) -> tuple[NDArray[np.intp], bool]:
    """Return (orders, size) and whether these are all the orders there are."""
    blocks = -(-size // block)
    is_exact = blocks <= LARGEST_EXACT_N
    if is_exact:
        picks = np.array(list(permutations(range(blocks))), dtype=np.intp)
    else:
        rows = np.tile(np.arange(blocks, dtype=np.intp), (num_permutations, 1))
        picks = np.random.default_rng(seed).permuted(rows, axis=1)
    runs = (picks[:, :, None] * block + np.arange(block)).reshape(len(picks), -1)
    return runs[runs < size].reshape(len(picks), size), is_exact  # the last block may be shorter


def _p_value(
    sample: Floats, split: Split, *, min_size: int, orders: NDArray[np.intp], is_exact: bool
) -> float:
    distances = _distances(sample)
    # Orders that are equal but for rounding must count as equal.
    bar = split.energy * (1.0 - 1e-9)
    largest = max(1, _BATCH_CELLS // sample.size**2)
    exceedances = start = 0
    while start < len(orders):
        # A stable series is known by its first orders.
        batch = orders[start : start + (min(largest, _FIRST_BATCH) if start == 0 else largest)]
        energies = _energies(distances, batch)[:, min_size - 1 : sample.size - min_size]
        hits = np.flatnonzero(energies.max(axis=1) >= bar)
        if not is_exact and exceedances + hits.size >= _ENOUGH_EXCEEDANCES:
            last = int(hits[_ENOUGH_EXCEEDANCES - exceedances - 1])
            return _ENOUGH_EXCEEDANCES / (start + last + 1)
        exceedances += int(hits.size)
        start += len(batch)
    return exceedances / start if is_exact else (exceedances + 1) / (start + 1)


def _distances(sample: Floats) -> Floats:
    return np.abs(sample[:, None] - sample[None, :])


def _energies(distances: Floats, orders: NDArray[np.intp]) -> Floats:
    """Return (orders, n - 1): Q of every split of every order.

    With S the sums of distances within and between the sides, ``Q = (2 S_between - n S_left / m -
    m S_right / n) / N``. A value adds to S_left twice its distances to those before it.
    """
    size = distances.shape[0]
    permuted = distances[orders[:, :, None], orders[:, None, :]]
    before = np.einsum("bij,ij->bi", permuted, np.tri(size, k=-1))
    left = 2.0 * np.cumsum(before, axis=1)[:, :-1]
    all_of_left = np.cumsum(distances.sum(axis=1)[orders], axis=1)[:, :-1]
    between = all_of_left - left
    right = distances.sum() - all_of_left - between
    m: Floats = np.arange(1, size, dtype=np.float64)
    n: Floats = size - m
    return np.asarray((2.0 * between - n * left / m - m * right / n) / size, dtype=np.float64)


def _shift(before: Floats, after: Floats) -> Shift:
    if before.min() > 0.0 and after.min() > 0.0:
        return relative_shift(before, after)
    return hodges_lehmann(before, after)
