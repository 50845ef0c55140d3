"""Coefficients of 0 or more from few noisy sums: weighted least squares held near a prior."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_HUBER = 1.345  # 95 % as good as least squares on normal noise (Huber and Ronchetti, 2009, 4.3)
_MAD_TO_SIGMA = 1.4826
_ROUNDS = 8
_SMALLEST = 1e-4  # of a relative deviation: rounding of recorded seconds


def fit_shares(rows: Floats, seconds: Floats, prior: Floats, *, weights: Floats) -> Floats:
    """Return coefficients that explain ``seconds`` as ``rows @ coefficients``, none below 0.

    Deviations count relative to the seconds, since noise of a timing grows with it. Each
    coefficient is held to its prior, scaled to the level of the data, as firmly as half a record
    of 100 % noise would: what the data don't tell apart keeps the prior's proportions, and one
    workload alone is enough. Records far off count less (Huber's weights, iterated).

    Args:
        rows: (n, k) features, all 0 or more.
        seconds: (n,) above 0.
        prior: (k,) coefficients in seconds, above 0.
        weights: (n,) above 0; how much each record counts.
    """
    level = _weighted_median(seconds / (rows @ prior), weights)
    scaled = np.maximum(level * prior, 1e-300)
    relative = rows * scaled / seconds[:, None]  # in units of the scaled prior: all are about 1
    robust = np.ones_like(seconds)
    shares = np.ones_like(prior)
    for _ in range(_ROUNDS):
        shares = _bounded(relative, weights * robust)
        off = np.abs(1.0 - relative @ shares)
        scale = max(_SMALLEST, _MAD_TO_SIGMA * _weighted_median(off, weights))
        robust = 1.0 / np.maximum(1.0, off / (_HUBER * scale))
    return shares * scaled


def _bounded(relative: Floats, weights: Floats) -> Floats:
    """Return the shares of 0 or more that fit 1 best: exact, by trying every set of zeros."""
    k = relative.shape[1]
    hold = 0.5
    gram = (relative * weights[:, None]).T @ relative + hold * np.eye(k)
    target = relative.T @ weights + hold
    best, best_value = np.zeros(k), np.inf
    for size in range(k, 0, -1):
        for kept in itertools.combinations(range(k), size):
            index = list(kept)
            solved = np.linalg.solve(gram[np.ix_(index, index)], target[index])
            if np.any(solved < 0):
                continue
            value = -float(target[index] @ solved)
            if value < best_value:
                best = np.zeros(k)
                best[index] = solved
                best_value = value
    return best


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, 0.5 * reached[-1])])
