"""What a recomputed claim looks like, and when a stated figure is the recomputed one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ourvidz.perf.stats import Interval, bootstrap_interval
from ourvidz.perf.stats.sample import Floats

# Subsets of more records than this are not searched for the one behind a figure.
_MOST_SEARCHED = 12


class Verdict(StrEnum):
    """What came of a claim, worst first."""

    WRONG = "wrong"  # the records say otherwise
    REFUSED = "refused"  # the sum is right, but the two sides can't be compared
    NOT_SUPPORTED = "not supported"  # the sum is right, but it rests on too little
    UNMEASURABLE = "unmeasurable"  # nothing was recorded to compute it from
    NOT_MEASURED = "not measured yet"  # a command can
    CONFIRMED = "confirmed"


_RANKS = {verdict: rank for rank, verdict in enumerate(Verdict)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of a claim, as stated and as recomputed."""

    name: str  # what it is of
    stated: float | str | None  # None: a figure that the document should have had beside it
    recomputed: float | None
    unit: str
    n: int  # runs behind it
    interval: Interval | None  # 95 %; None below three runs
    labels: tuple[str, ...]  # of the runs
    states: tuple[str, ...]
    verdict: Verdict | None  # None where nothing was stated
    note: str = ""

    @property
    def is_mixed(self) -> bool:
        """Whether cold and warm runs stand behind it."""
        return len(self.states) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A claim, recomputed."""

    id: str
    about: str
    unit: str
    figures: tuple[Figure, ...]
    verdict: Verdict
    reason: str  # one sentence

    @property
    def is_mixed(self) -> bool:
        """Whether a stated figure mixes cold and warm runs."""
        return any(figure.is_mixed for figure in self.figures if figure.stated is not None)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst of some verdicts."""
    return min(verdicts, key=lambda verdict: _RANKS[verdict])


def is_same(stated: float, value: float) -> bool:
    """Whether a stated figure is ``value``, rounded or cut off to the places it was stated with.

    A whole figure was stated in whole units: 16.0 in a file may have been "16 %". One of 100 or
    more that ends in 0 was stated in tens.
    """
    unit = 10.0 ** -places(stated)
    if abs(stated) >= 100 and stated % 10 == 0:
        unit = 10.0
    rounds = abs(stated - value) <= unit / 2 + 1e-9
    cut = math.floor(abs(value) / unit + 1e-9) * unit
    return rounds or (abs(abs(stated) - cut) < 1e-9 and stated * value >= 0)


def places(stated: float) -> int:
    """Return how many decimals a figure was stated with."""
    text = repr(float(stated))
    return 0 if text.endswith(".0") or "e" in text else len(text.partition(".")[2])


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return math.fsum(values) / len(values)


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the bootstrap interval of the mean; None below three values."""
    return bootstrap_interval(values, statistic=_row_means)


def _row_means(rows: Floats) -> Floats:
    return np.asarray(np.mean(rows, axis=-1), dtype=np.float64)


def subsets_behind(
    stated: float, values: Sequence[tuple[str, float]]
) -> tuple[tuple[str, ...], ...]:
    """Return the choices of most runs whose mean is the stated figure, in the runs' order.

    Empty where no choice gives it, or there are too many to search.

    Args:
        stated: The figure.
        values: Each run's label and value.
    """
    if len(values) > _MOST_SEARCHED:
        return ()
    for size in range(len(values), 0, -1):
        fitting = [
            tuple(label for label, _ in chosen)
            for chosen in itertools.combinations(values, size)
            if is_same(stated, mean([value for _, value in chosen]))
        ]
        if fitting:
            return tuple(fitting)
    return ()
