"""What the phase model leaves over: levels of shapes and of the hour, as a Gaussian process.

Logarithms of seconds over the model's are taken for a sum of independent normal parts: an error of
each coefficient, a level for each name that a record bears (a height, a size, ...), a level that
drifts from record to record, and noise. That is kriging with indicator kernels, the same as a
model of random effects: a shape that was seen often is known well, one that was never seen takes
what shapes like it have, and its interval says so. Mean, variance, likelihood and leave-one-out
residuals (which tell what is far off) are those of Rasmussen and Williams, "Gaussian Processes for
Machine Learning" (2006), 2.23 to 2.30 and 5.10 to 5.12.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NOISES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)  # standard deviations of logarithms
_LEVELS = (0.0, 0.06, 0.2, 0.6)
_DRIFTS = (0.0, 0.05, 0.15)
_DRIFT_RECORDS = 6.0  # a drift has lost 63 % after so many records
_FAR = 3.0  # standard deviations; beyond, a record's own noise is taken for larger
_MOST_FOR_SCALES = 48  # the newest: a dozen likelihoods of more would take too long


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where records stand: what makes two of them alike."""

    sensitivities: Floats  # (n, k): change of the logarithm by a coefficient that is 100 % larger
    names: tuple[tuple[str, ...], ...]  # n times the names whose levels a record has
    order: Floats  # (n,): how many records came before, of the whole history


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scales:
    noise: float
    level: float
    drift: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A logarithm and its standard deviation, noise of one run included."""

    mean: float
    sd: float


class Kriging:
    """A fitted process."""

    def __init__(self, places: Places, logs: Floats, *, has_levels: bool) -> None:
        """Fit to logarithms; scales are those of the greatest likelihood on a small grid.

        Args:
            places: of the records.
            logs: (n,) ``log(seconds / model's seconds)``; n of 1 or more.
            has_levels: whether names may have levels of their own.
        """
        self._places = places
        levels = _LEVELS if has_levels else (0.0,)
        parts = _kernels(places, places)
        extra = np.ones_like(logs)  # variance of a record's noise, over that of the others
        self._fit(parts, logs, levels, extra)
        far = np.maximum(1.0, (self._left_out_z() / _FAR) ** 2)
        if np.any(far > 1.0):
            self._fit(parts, logs, levels, far)

    def _fit(self, parts: _Kernels, logs: Floats, levels: Sequence[float], extra: Floats) -> None:
        new = slice(max(0, len(logs) - _MOST_FOR_SCALES), None)
        self._scales = _likeliest(parts.of(new), logs[new], levels, extra[new])
        noise = self._scales.noise**2
        covariance = _sum(parts, self._scales)
        covariance[np.diag_indices_from(covariance)] += noise * extra
        self._inverse = np.linalg.inv(covariance)
        self._weights = self._inverse @ logs
        lower = np.linalg.cholesky(covariance)
        own = np.diag(lower)
        self._before_mean = logs - own * np.linalg.solve(lower, logs)
        self._before_sd = np.sqrt(np.maximum(own**2 - noise * (extra - 1.0), noise))

    def _left_out_z(self) -> Floats:
        """Return how far each record is from what all others say, in standard deviations."""
        return np.abs(self._weights) / np.sqrt(np.diag(self._inverse))

    def before(self, index: int) -> Estimate:
        """Return what a record would have been estimated as, from those before it.

        All at once from one triangular factor: its solution is the series of innovations
        (Schweppe, "Evaluation of likelihood functions for Gaussian signals", 1965).
        """
        return Estimate(mean=float(self._before_mean[index]), sd=float(self._before_sd[index]))

    def at(self, place: Places) -> Estimate:
        """Return the estimate for one new place."""
        across = _sum(_kernels(place, self._places), self._scales)[0]
        prior = float(_sum(_kernels(place, place), self._scales)[0, 0])
        variance = prior - float(across @ self._inverse @ across) + self._scales.noise**2
        return Estimate(
            mean=float(across @ self._weights), sd=math.sqrt(max(variance, self._scales.noise**2))
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kernels:
    coefficients: Floats
    names: Floats
    drift: Floats

    def of(self, chosen: slice) -> _Kernels:
        """Return the kernels among some of the records."""
        square = (chosen, chosen)
        return _Kernels(
            coefficients=self.coefficients[square],
            names=self.names[square],
            drift=self.drift[square],
        )


def _kernels(a: Places, b: Places) -> _Kernels:
    shared = np.zeros((len(a.names), len(b.names)))
    for place in range(max((len(names) for names in a.names), default=0)):
        codes: dict[str, int] = {}
        left, right = (
            np.array([codes.setdefault(names[place], len(codes)) for names in side.names])
            for side in (a, b)
        )
        shared += left[:, None] == right[None, :]
    return _Kernels(
        coefficients=a.sensitivities @ b.sensitivities.T,
        names=shared,
        drift=np.exp(-np.abs(a.order[:, None] - b.order[None, :]) / _DRIFT_RECORDS),
    )


def _sum(parts: _Kernels, scales: _Scales) -> Floats:
    return parts.coefficients + scales.level**2 * parts.names + scales.drift**2 * parts.drift


def _likeliest(parts: _Kernels, logs: Floats, levels: Sequence[float], extra: Floats) -> _Scales:
    values = _likelihoods(parts, logs, levels, extra)
    if not np.isfinite(values).any():
        return _Scales(noise=_NOISES[-1], level=0.0, drift=0.0)
    noise, level, drift = (int(at) for at in np.unravel_index(np.argmax(values), values.shape))
    return _Scales(noise=_NOISES[noise], level=levels[level], drift=_DRIFTS[drift])


def _likelihoods(parts: _Kernels, logs: Floats, levels: Sequence[float], extra: Floats) -> Floats:
    """Return (noises, levels, drifts): logarithms of likelihoods, but for a constant.

    With the logarithms as one more row, the factor's last row is the solution that is asked for:
    one call of LAPACK's does for all the scales what two for each would. -inf: no likelihood.
    """
    n, shape = len(logs), (len(_NOISES), len(levels), len(_DRIFTS))
    noises = np.array(_NOISES)
    bordered = np.empty((*shape, n + 1, n + 1))
    for place, level in enumerate(levels):
        for other, drift in enumerate(_DRIFTS):
            scales = _Scales(noise=0.0, level=level, drift=drift)
            bordered[:, place, other, :n, :n] = _sum(parts, scales)
    diagonal = np.arange(n)
    bordered[..., diagonal, diagonal] += noises[:, None, None, None] ** 2 * extra
    bordered[..., n, :n] = logs
    # More than the factor takes away: no eigenvalue is below the noise's variance.
    bordered[..., n, n] = (1.0 + 2.0 * float(logs @ logs) / noises**2)[:, None, None]
    lower = _factors(bordered.reshape(-1, n + 1, n + 1)).reshape(bordered.shape)
    solved = lower[..., n, :n]
    values = -0.5 * np.einsum("...i,...i", solved, solved)
    values -= np.log(lower[..., diagonal, diagonal]).sum(axis=-1)
    values -= np.array([_doubt(noise) for noise in _NOISES])[:, None, None]
    return np.where(np.isnan(values), -np.inf, values)


def _factors(matrices: Floats) -> Floats:
    """Return the Cholesky factor of each; NaN where a matrix has none."""
    try:
        return np.asarray(np.linalg.cholesky(matrices), dtype=np.float64)
    except np.linalg.LinAlgError:
        found = np.full_like(matrices, np.nan)
        for place, matrix in enumerate(matrices):
            with contextlib.suppress(np.linalg.LinAlgError):
                found[place] = np.linalg.cholesky(matrix)
        return found


def _doubt(noise: float) -> float:
    """Return how unlikely it is before any record: noise of about 8 %, unknown by a factor."""
    return 0.5 * (math.log(noise / 0.08) / 1.0) ** 2
