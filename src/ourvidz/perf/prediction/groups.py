"""The model of one group of phases, of one model on one machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ourvidz.perf.prediction.features import SHAPED, Group, Load
from ourvidz.perf.prediction.kriging import Estimate, Floats, Kriging, Places
from ourvidz.perf.prediction.linear import fit_shares

_COEFFICIENT_SD = 0.5  # of each coefficient's share, before the records
_FEWEST_BEFORE = 3
_SHORTEST_S = 1e-4  # below, a duration says nothing of its logarithm


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """What one record says of the group."""

    record: int  # its place in the whole history
    load: Load
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Seconds:
    """An expected duration and its relative standard deviation."""

    value: float
    sd: float


class GroupModel:
    """Coefficients from records, and what they leave over."""

    def __init__(self, group: Group, examples: Sequence[Example], prior: Sequence[float]) -> None:
        """Fit.

        Args:
            group: of these phases.
            examples: one or more, oldest first.
            prior: coefficients before any record, in seconds, above 0.
        """
        self._group = group
        rows = np.array([example.load.features(group) for example in examples], dtype=float)
        seconds = np.maximum([example.seconds for example in examples], _SHORTEST_S)
        self._fitted = fit_shares(
            rows, seconds, np.asarray(prior, dtype=float), weights=np.ones_like(seconds)
        )
        self.level = float(np.median(seconds / (rows @ np.asarray(prior, dtype=float))))
        self._places = _places(
            group,
            rows,
            self._fitted,
            [each.load for each in examples],
            [each.record for each in examples],
        )
        self._model_s = rows @ self._fitted
        self._kriging = Kriging(
            self._places, np.log(seconds / self._model_s), has_levels=group in SHAPED
        )
        self._index = {example.record: index for index, example in enumerate(examples)}
        self.n = len(examples)

    def at(self, load: Load, *, record: int) -> Seconds:
        """Return the expected seconds of a workload.

        Args:
            load: the workload.
            record: its place in the history: what ran just before says the hour's level.
        """
        rows = np.array([load.features(self._group)], dtype=float)
        place = _places(self._group, rows, self._fitted, [load], [record])
        return _seconds(float(rows[0] @ self._fitted), self._kriging.at(place))

    def before(self, record: int) -> Seconds | None:
        """Return what one of the records would have been expected as, from those before it.

        The coefficients are those of all records, and that they are uncertain is in the interval.
        None for the first few: from fewer, coefficients can't be told at all.
        """
        index = self._index.get(record)
        if index is None or index < _FEWEST_BEFORE:
            return None
        return _seconds(float(self._model_s[index]), self._kriging.before(index))


def _seconds(model_s: float, estimate: Estimate) -> Seconds:
    return Seconds(value=model_s * math.exp(estimate.mean), sd=estimate.sd)


def _places(
    group: Group, rows: Floats, fitted: Floats, loads: Sequence[Load], records: Sequence[int]
) -> Places:
    parts = rows * fitted
    shares = parts / parts.sum(axis=1, keepdims=True)
    return Places(
        sensitivities=_COEFFICIENT_SD * shares,
        names=tuple(load.shapes() if group in SHAPED else () for load in loads),
        order=np.asarray(records, dtype=float),
    )
