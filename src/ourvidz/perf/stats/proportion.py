"""Intervals of a share: success rates, win rates, alarm rates."""

from __future__ import annotations

import math

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.stats.distributions import normal_quantile
from ourvidz.perf.stats.sample import Interval, check_count, check_share


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion.

    ``(p + z^2/2n -+ z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n)`` with ``p = successes / n``
    (Wilson, 1927; recommended for small n by Brown, Cai and DasGupta, 2001). It is honest at the
    ends: 0 of 10 gives [0, 0.28], not [0, 0]. n = 1 works and is wide.

    Args:
        successes: From 0 to n.
        n: Trials, 1 or more.
        level: Confidence, in (0, 1).

    Raises:
        InvalidRequest: n is below 1, ``successes`` outside [0, n], ``level`` outside (0, 1).
    """
    check_count(n, name="n", at_least=1)
    check_share(level, name="level")
    if not 0 <= successes <= n:
        raise InvalidRequest(
            f"successes must lie in [0, {n}], got {successes!r}", param="successes"
        )
    z = normal_quantile(0.5 + level / 2.0)
    p = successes / n
    middle = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1.0 + z * z / n
    # At the ends the exact bounds are 0 and 1; the square root leaves a rounding error there.
    low = 0.0 if successes == 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if successes == n else min(1.0, (middle + half) / scale)
    return Interval(low=low, high=high, level=level)
