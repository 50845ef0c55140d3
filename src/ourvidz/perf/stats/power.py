"""What a comparison could have seen: 'no change detected' means little without it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.stats.distributions import normal_quantile
from ourvidz.perf.stats.sample import Floats, check_count, check_share
from ourvidz.perf.stats.shift import interval_rank

SEED = 20_250_715
_NUM_DRAWS = 4_000
_LARGEST_PAIRS = 10_000


def minimum_detectable_effect(
    *,
    noise: float,
    num_before: int,
    num_after: int,
    alpha: float = 0.01,
    tolerance: float = 0.0,
    level: float = 0.95,
    power: float = 0.8,
) -> float | None:
    """Return the smallest true shift that a comparison finds in ``power`` of cases.

    Found means both: the two-sided Mann-Whitney p is at most ``alpha``, and the ``level`` interval
    of the shift lies wholly beyond ``tolerance``. Both conditions turn on one of the sorted
    differences between the groups, and a shift d moves every difference by d. So each of up to
    4,000 fixed draws of two normal groups has one smallest d that is found, and the answer is their
    ``power`` quantile. Small groups are not approximated. Above 10,000 pairs the normal
    approximation stands: ``bar + noise (z_level + z_power) sqrt((1/m + 1/n) pi / 3)``, 3 / pi
    being the test's efficiency (Lehmann, "Nonparametrics", 1975).

    Args:
        noise: Standard deviation of one run, robust (``MAD_TO_SIGMA * mad``); in the values' unit,
            or as a share for a relative shift (good to about 20 %). 0 or more.
        num_before: Runs on one side.
        num_after: Runs on the other.
        alpha: Level of the test.
        tolerance: Shifts up to this are not of interest; the unit of ``noise``.
        level: Of the shift's interval; used only with a tolerance above 0.
        power: How often it should be found.

    Returns:
        None where no shift, however large, can be found by groups of these sizes.

    Raises:
        InvalidRequest: A value outside its range.
    """
    for name, share in (("alpha", alpha), ("level", level), ("power", power)):
        check_share(share, name=name)
    for name, count in (("num_before", num_before), ("num_after", num_after)):
        check_count(count, name=name, at_least=1)
    for name, value in (("noise", noise), ("tolerance", tolerance)):
        if not (math.isfinite(value) and value >= 0.0):
            raise InvalidRequest(f"{name} must be 0 or more, got {value!r}", param=name)
    # p <= alpha for a shift upwards: the k-th smallest difference is above 0.
    needed = [(interval_rank(num_before, num_after, level=1.0 - alpha), 0.0)]
    if tolerance > 0.0:
        needed.append((interval_rank(num_before, num_after, level=level), tolerance))
    if any(rank == 0 for rank, _ in needed):
        return None
    pairs = num_before * num_after
    if pairs > _LARGEST_PAIRS:
        spread = noise * math.sqrt((1.0 / num_before + 1.0 / num_after) * math.pi / 3.0)
        z_power = normal_quantile(power)
        by_test = spread * (normal_quantile(1.0 - alpha / 2.0) + z_power)
        by_interval = tolerance + spread * (normal_quantile(0.5 + level / 2.0) + z_power)
        return max(by_test, by_interval if tolerance > 0.0 else 0.0)
    ordered = _ordered_differences(num_before, num_after)
    smallest = np.max([bar - noise * ordered[:, rank - 1] for rank, bar in needed], axis=0)
    return max(tolerance, float(np.quantile(smallest, power)))


@lru_cache(maxsize=16)
def _ordered_differences(num_before: int, num_after: int) -> Floats:
    """Return (draws, pairs): the differences of standard normal groups, sorted in each draw."""
    rng = np.random.default_rng(SEED)
    # Many pairs vary less, so fewer draws serve; and the table stays below 40 MB.
    draws = min(_NUM_DRAWS, max(500, 4_000_000 // (num_before * num_after)))
    before = rng.standard_normal((draws, num_before))
    after = rng.standard_normal((draws, num_after))
    differences = (after[:, :, None] - before[:, None, :]).reshape(draws, -1)
    return np.sort(differences, axis=1)
