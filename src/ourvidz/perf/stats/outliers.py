"""Values far from the rest. They are flagged and shown, never deleted."""

from __future__ import annotations

import numpy as np

from ourvidz.perf.stats.sample import Bools, Floats, Sample, as_sample

THRESHOLD = 3.5
# z(3/4), and sqrt(pi / 2) = sd over mean absolute deviation: both of normal data.
_MAD_FACTOR = 0.6744897501960817
_MEAN_FACTOR = 1.2533141373155003


def modified_z(values: Sample) -> Floats:
    """Return the modified z-score of every value.

    ``0.6745 (x_i - median) / MAD`` (Iglewicz and Hoaglin, "How to Detect and Handle Outliers",
    1993). Where more than half of the values are equal, MAD is 0 and the mean absolute deviation
    from the median takes its place: ``(x_i - median) / (1.2533 MeanAD)``. All equal: all 0.

    Raises:
        InvalidRequest: No values, or one that is not finite.
    """
    sample = as_sample(values)
    deviations = sample - np.median(sample)
    spread = float(np.median(np.abs(deviations)))
    if spread > 0.0:
        return np.asarray(_MAD_FACTOR * deviations / spread, dtype=np.float64)
    mean_spread = float(np.mean(np.abs(deviations)))
    if mean_spread > 0.0:
        return np.asarray(deviations / (_MEAN_FACTOR * mean_spread), dtype=np.float64)
    return np.zeros_like(sample)


def flag_outliers(values: Sample, *, threshold: float = THRESHOLD) -> Bools:
    """Return which values lie beyond ``threshold`` modified z-scores; 3.5 is the authors' advice.

    Below five values it says little: of three, any two close together make an outlier of the
    third.

    Raises:
        InvalidRequest: No values, or one that is not finite.
    """
    return np.abs(modified_z(values)) > threshold
