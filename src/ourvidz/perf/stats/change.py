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
_BATCH_CELLS = 120_000  # what a core's own cache holds
# Orders of more runs are searched for pieces in as many steps: else cost grows with n squared.
_MOST_STEPS = 64
_LARGEST_SINGLE = 4096
# Series whose neighbours resemble each other have pieces that stand out far more often than sides.
_LEVEL_OF_MIDDLE = 0.2
_EQUAL = 1.0 - 1e-9  # what is equal but for rounding must count as equal
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
    """The piece of a stretch that differs most from the rest: one of its sides, or its middle."""

    start: int  # of the piece, from 0
    end: int  # the first run behind it
    index: int  # the edge of the piece at which the neighbours differ most
    energy: float  # of the piece against the rest


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
    multivariate data", 2014) with exponent 1, on ranks by default, made circular (Olshen,
    Venkatraman, Lucito and Wigler, "Circular binary segmentation", 2004), so that a slowdown that
    came and went is found as well: the piece of a stretch that differs most from the rest is tested
    by permutation; if it stands, the stretch is divided at the clearer edge of that piece, and both
    sides are searched in the same way. A stable series is therefore tested once, and
    ``significance`` is its highest rate of false alarms.

    The test is deterministic. Up to 8 blocks all orders are tried and p is exact; above, a fixed
    sample of orders, with ``p = (1 + orders that split as well) / (1 + orders)``, so that p never
    is below ``1 / (num_permutations + 1)``. The sample ends early once 25 orders split as well,
    ``p = 25 / orders`` (Besag and Clifford, "Sequential Monte Carlo p-values", 1991). Of more than
    64 runs the test, not the place, sees middle pieces in at most 64 steps.

    Args:
        values: One value a run, in the order of time.
        significance: Of each test, in (0, 1); a fifth of it where the piece is a middle one.
        min_size: Fewest runs between two change points, 2 or more. Fewer than ``2 min_size`` runs
            have no change points.
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
        level = significance * _LEVEL_OF_MIDDLE if split.start > 0 else significance
        p_value = _p_value(stretch, min_size=min_size, orders=orders, significance=level)
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
    """Return the piece with the largest energy statistic; None below ``2 min_size`` values.

    A piece is a side or lies between two; each of these has ``min_size`` values or more.
    ``Q = m n / (m + n) (2 A - B - C)``: A the mean distance between the piece and the rest, B and C
    the mean distances within each, a value's to itself included (Szekely and Rizzo, "Energy
    statistics", 2013). The paper of E-divisive leaves those out in B and C; so taken, Q is never
    negative, and it is 0 only where both are the same.

    Raises:
        InvalidRequest: No values, one that is not finite, or ``min_size`` below 1.
    """
    sample = as_sample(values)
    check_count(min_size, name="min_size", at_least=1)
    n = int(sample.size)
    if n < 2 * min_size:
        return None
    distances = np.abs(sample[:, None] - sample[None, :])
    energies = _energies(distances, min_size=min_size)
    # Of pieces that are equal but for rounding, the earliest: the same on every machine.
    first = np.argmax(energies >= energies.max() * _EQUAL)
    start, end = (int(edge) for edge in np.unravel_index(first, energies.shape))
    return Split(
        start=start,
        end=end,
        index=_clearer_edge(distances, start, end),
        energy=float(energies[start, end]),
    )


def _clearer_edge(distances: Floats, start: int, end: int) -> int:
    """Return at which edge of the piece the neighbours differ more."""
    if start == 0:
        return end
    before, piece, after = slice(0, start), slice(start, end), slice(end, len(distances))
    first, second = _energy(distances, before, piece), _energy(distances, piece, after)
    return start if first >= second * _EQUAL else end


def _energy(distances: Floats, before: slice, after: slice) -> float:
    across = distances[before, after]
    m, n = across.shape
    within = distances[before, before].mean() + distances[after, after].mean()
    return float(m * n / (m + n) * (2.0 * across.mean() - within))


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
    sample: Floats, *, min_size: int, orders: _Orders, significance: float
) -> float | None:
    """Return p; None as soon as it is known to be above ``significance``."""
    enough = _enough(orders, significance)
    bar = _tested(sample, min_size=min_size) * _EQUAL
    largest = max(1, _BATCH_CELLS // sample.size)
    exceedances, start, size = 0, 0, _FIRST_BATCH
    while start < orders.total and exceedances < enough:
        batch = orders.take(start, start + min(size, largest))
        hits = np.flatnonzero(_largest(sample, batch, min_size=min_size) >= bar)
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


def _energies(distances: Floats, *, min_size: int) -> Floats:
    """Return (n + 1, n + 1): Q of the piece from each edge to each later one, -1 where it is none.

    With distances so centred, ``Q = N / (m n)`` times the closeness within the piece alone.
    """
    size, levels = len(distances), _levels(distances)
    sums = np.zeros((size + 1, size + 1))
    sums[1:, 1:] = (levels[:, None] + levels[None, :] - distances).cumsum(axis=0).cumsum(axis=1)
    own, edges = np.diagonal(sums), np.arange(size + 1)
    weights = _weights(edges[:, None], edges[None, :], size=size, min_size=min_size)
    return np.where(weights > 0.0, weights * (own[:, None] + own[None, :] - 2.0 * sums), -1.0)


def _tested(sample: Floats, *, min_size: int) -> float:
    """Return the largest Q of the runs in the order of time, of the pieces that a test sees."""
    energies = _energies(np.abs(sample[:, None] - sample[None, :]), min_size=min_size)
    steps = _steps(sample.size)
    return float(max(energies[0].max(), energies[np.ix_(steps, steps)].max()))


def _steps(size: int) -> NDArray[np.intp]:
    return np.arange(0, size, -(-size // _MOST_STEPS), dtype=np.intp)


def _largest(sample: Floats, orders: NDArray[np.integer], *, min_size: int) -> Floats:
    """Return (orders,): the largest Q of any piece of each order.

    Sides are tried at every run, middle pieces at the edges of steps.
    """
    size, starts = int(sample.size), _steps(sample.size)
    width = int(starts[1])
    of_sides = 2.0 * _weights(0, np.arange(1, size + 1), size=size, min_size=min_size)
    levels = _levels(np.abs(sample[:, None] - sample[None, :]))
    # (runs, orders): sums run along the memory
    summed = np.zeros((size + 1, len(orders)))
    np.cumsum(levels[orders].T, axis=0, out=summed[1:])
    values = np.ascontiguousarray(sample.astype(_precision(sample))[orders].T)
    cells, by_step = np.empty_like(values), np.empty_like(values[: starts.size])
    # Distances of all pairs: of a side, and of the pieces that begin at each step.
    of_side, of_piece = np.zeros(len(orders)), np.zeros((starts.size, len(orders)))
    added, pieces = np.empty_like(of_piece), np.empty_like(of_piece)
    largest = np.zeros(len(orders))
    for step, start in enumerate(starts.tolist()):
        end, known = min(start + width, size), slice(0, step + 1)
        added[known] = 0.0
        for run in range(start, end):
            near = np.subtract(values[:run], values[run], out=cells[:run])
            np.abs(near, out=near)
            by_width = near[:start].reshape(step, width, len(orders))
            np.add.reduce(by_width, axis=1, out=by_step[:step])
            np.add.reduce(near[start:], axis=0, out=by_step[step])
            added[known] += by_step[known]
            of_side += np.add.reduce(by_step[known], axis=0)
            energies = ((run + 1) * summed[run + 1] - of_side) * of_sides[run]
            np.maximum(largest, energies, out=largest)
        for later in range(step, 0, -1):  # row by row: a cumulative sum along them is slower
            added[later - 1] += added[later]
        of_piece[known] += added[known]
        lengths = (end - starts[known])[:, None]
        weights = _weights(starts[known], end, size=size, min_size=min_size)[:, None]
        energies = np.subtract(summed[end], summed[starts[known]], out=pieces[known])
        energies *= lengths * weights * 2.0
        energies -= np.multiply(of_piece[known], weights * 2.0, out=added[known])
        np.maximum(largest, np.maximum.reduce(energies, axis=0), out=largest)
    return largest


def _precision(sample: Floats) -> type[np.floating]:
    """Return what distances are summed in.

    Of ranks every sum is a multiple of a half, exact in single precision up to 4,096 runs.
    """
    is_exact = sample.size <= _LARGEST_SINGLE and bool(np.all(sample * 2.0 % 1.0 == 0.0))
    is_exact = is_exact and float(np.abs(sample).max()) <= _LARGEST_SINGLE
    return np.float32 if is_exact else np.float64


def _levels(distances: Floats) -> Floats:
    """Return (n,): what makes ``level_i + level_j - distance_ij`` sum up to 0 over each row."""
    means: Floats = distances.mean(axis=1)
    return means - 0.5 * means.mean()


def _weights(
    starts: NDArray[np.integer] | int,
    ends: NDArray[np.integer] | int,
    *,
    size: int,
    min_size: int,
) -> Floats:
    """Return ``N / (m n)`` of each piece; 0 where it is none.

    A piece that reaches the end is left out: it is the rest of one that begins at 0.
    """
    left, m, right = np.asarray(starts), np.asarray(ends - starts), size - np.asarray(ends)
    is_piece = (m >= min_size) & (right >= min_size) & ((left == 0) | (left >= min_size))
    m = np.clip(m, 1, size - 1)
    return np.where(is_piece, size / (m * (size - m)), 0.0)


def _shift(before: Floats, after: Floats) -> Shift:
    if before.min() > 0.0 and after.min() > 0.0:
        return relative_shift(before, after)
    return hodges_lehmann(before, after)
