"""Several tests in one report: the chance that any is wrong."""

from __future__ import annotations

import numpy as np

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.stats.sample import Floats, Sample, as_sample


def holm(p_values: Sample) -> Floats:
    """Return adjusted p-values that control the family-wise error under any dependence.

    Sorted ``p_(1) <= ... <= p_(m)``: ``adjusted_(i) = max over j <= i of min(1, (m - j + 1)
    p_(j))`` (Holm, 1979). Reject where the adjusted value is at most the family's level.

    Returns:
        In the order given; empty for none.

    Raises:
        InvalidRequest: A value outside [0, 1].
    """
    p = as_sample(p_values, name="p_values", at_least=0)
    if p.size and (p.min() < 0.0 or p.max() > 1.0):
        raise InvalidRequest("p_values must lie in [0, 1]", param="p_values")
    order = np.argsort(p, kind="stable")
    factors = np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * p[order]))
    return adjusted
