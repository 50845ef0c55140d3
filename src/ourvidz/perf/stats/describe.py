"""What a sample looks like: middle, spread and only those percentiles that n allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.stats.bootstrap import bootstrap_interval
from ourvidz.perf.stats.sample import Interval, Sample, as_sample, check_share

# MAD times this estimates the standard deviation of normal data: 1 / z(3/4).
MAD_TO_SIGMA = 1.482602218505602


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What is shown of a baseline. A field is None where n is too small for it."""

    n: int
    median: float
    mad: float  # unscaled
    mean: float
    sd: float | None  # n - 1 in the denominator; from n = 2
    cv: float | None  # sd over mean; None too where the mean is 0
    minimum: float
    maximum: float
    interval: Interval | None  # bootstrap, of the median; from n = 3
    p90: float | None  # from n = 10
    p95: float | None  # from n = 20
    p99: float | None  # from n = 100


def median(values: Sample) -> float:
    """Return the middle value; of an even number, the mean of the middle two.

    Raises:
        InvalidRequest: No values, or one that is not finite.
    """
    return float(np.median(as_sample(values)))


def mad(values: Sample) -> float:
    """Return the median absolute deviation, ``median |x_i - median(x)|``, unscaled.

    ``MAD_TO_SIGMA`` makes it comparable with a standard deviation (Hampel, 1974). It is 0 as soon
    as more than half of the values are equal.

    Raises:
        InvalidRequest: No values, or one that is not finite.
    """
    sample = as_sample(values)
    return float(np.median(np.abs(sample - np.median(sample))))


def quantile(values: Sample, share: float) -> float:
    """Return the quantile by linear interpolation at ``1 + (n - 1) share``.

    Definition 7 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996: numpy's and
    R's default.

    Args:
        values: One or more.
        share: In [0, 1]; 0 is the minimum, 1 the maximum.

    Raises:
        InvalidRequest: No values, one that is not finite, or ``share`` is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise InvalidRequest(f"share must lie in [0, 1], got {share!r}", param="share")
    return float(np.quantile(as_sample(values), share))


def smallest_n(share: float) -> int:
    """Return the n from which a quantile may be shown: one expected value or more beyond it.

    ``ceil(1 / min(share, 1 - share))``: 10 for p90, 20 for p95, 100 for p99. Below it, an
    interpolated quantile says hardly more than the extreme.

    Raises:
        InvalidRequest: ``share`` is outside (0, 1).
    """
    check_share(share, name="share")
    return math.ceil(round(1.0 / min(share, 1.0 - share), 9))


def allowed_quantile(values: Sample, share: float) -> float | None:
    """Return the quantile, or None where n is below ``smallest_n(share)``.

    Raises:
        InvalidRequest: As ``quantile`` and ``smallest_n``.
    """
    sample = as_sample(values)
    return quantile(sample, share) if sample.size >= smallest_n(share) else None


def summarize(values: Sample, *, level: float = 0.95) -> Summary:
    """Return what is shown of a sample.

    Raises:
        InvalidRequest: No values, one that is not finite, or ``level`` is outside (0, 1).
    """
    sample = as_sample(values)
    mean = float(sample.mean())
    sd = float(sample.std(ddof=1)) if sample.size > 1 else None
    return Summary(
        n=int(sample.size),
        median=median(sample),
        mad=mad(sample),
        mean=mean,
        sd=sd,
        cv=sd / abs(mean) if sd is not None and mean != 0 else None,
        minimum=float(sample.min()),
        maximum=float(sample.max()),
        interval=bootstrap_interval(sample, level=level),
        p90=allowed_quantile(sample, 0.90),
        p95=allowed_quantile(sample, 0.95),
        p99=allowed_quantile(sample, 0.99),
    )
