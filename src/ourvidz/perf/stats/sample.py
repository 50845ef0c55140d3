"""What every function takes and what most return: a checked sample and an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ourvidz.core.errors import InvalidRequest

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
# One value a run. A list, a tuple or a one-dimensional array of any real type.
Sample: TypeAlias = Sequence[float] | NDArray[np.floating] | NDArray[np.integer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A closed interval; ``low`` may be ``-inf`` and ``high`` ``inf``."""

    low: float
    high: float
    level: float  # confidence or coverage that was asked for, (0, 1)

    def __post_init__(self) -> None:
        assert self.low <= self.high, (self.low, self.high)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """``high - low``."""
        return self.high - self.low


def as_sample(values: Sample, *, name: str = "values", at_least: int = 1) -> Floats:
    """Return the values as a one-dimensional float64 array.

    Raises:
        InvalidRequest: Not a flat list of numbers, fewer than ``at_least``, or one of them is NaN
            or infinite; ``param`` is ``name``.
    """
    try:
        found = np.asarray(values)
    except ValueError as error:  # lists of unequal lengths
        raise InvalidRequest(f"{name} must be a flat list of numbers", param=name) from error
    if found.size == 0 and found.ndim == 1:
        found = found.astype(np.float64)
    if found.ndim != 1 or found.dtype.kind not in "iuf":
        raise InvalidRequest(f"{name} must be a flat list of numbers", param=name)
    sample = found.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(sample))
    if bad.size:
        index = int(bad[0])
        raise InvalidRequest(
            f"{name}[{index}] is {sample[index]}: every value must be a finite number", param=name
        )
    if sample.size < at_least:
        raise InvalidRequest(
            f"{name} must hold {at_least} or more values, got {sample.size}", param=name
        )
    return sample


def as_positive(values: Sample, *, name: str = "values", at_least: int = 1) -> Floats:
    """Return the sample, every value above 0: what can be compared by ratio.

    Raises:
        InvalidRequest: As ``as_sample``, or a value is 0 or less.
    """
    sample = as_sample(values, name=name, at_least=at_least)
    bad = np.flatnonzero(sample <= 0)
    if bad.size:
        index = int(bad[0])
        raise InvalidRequest(
            f"{name}[{index}] is {sample[index]}: a ratio needs values above 0", param=name
        )
    return sample


def check_share(value: float, *, name: str) -> float:
    """Return ``value``, which must lie in (0, 1).

    Raises:
        InvalidRequest: It does not.
    """
    if not (math.isfinite(value) and 0 < value < 1):
        raise InvalidRequest(f"{name} must lie between 0 and 1, got {value!r}", param=name)
    return value


def check_count(value: int, *, name: str, at_least: int) -> int:
    """Return ``value``, which must be ``at_least`` or more.

    Raises:
        InvalidRequest: It is less.
    """
    if value < at_least:
        raise InvalidRequest(f"{name} must be {at_least} or more, got {value!r}", param=name)
    return value
