"""The normal and Student's t distribution, to near double precision, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist

from ourvidz.perf.stats.sample import check_share

_STANDARD = NormalDist()
_TINY = 1e-300  # keeps the continued fraction's denominators off 0
_EPSILON = 1e-16
_MAX_TERMS = 10_000


def normal_cdf(z: float) -> float:
    """Return P(Z <= z); accurate in the lower tail, so ask for ``normal_cdf(-z)`` in the upper."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def normal_quantile(share: float) -> float:
    """Return z with P(Z <= z) = ``share`` (Wichura, Algorithm AS 241, 1988).

    Raises:
        InvalidRequest: ``share`` is outside (0, 1).
    """
    return _STANDARD.inv_cdf(check_share(share, name="share"))


def t_cdf(t: float, degrees: float) -> float:
    """Return P(T <= t) of Student's t.

    With ``x = v / (v + t^2)``, ``I_x(v/2, 1/2) / 2`` is the tail beyond ``|t|`` and
    ``I_(1-x)(1/2, v/2) / 2`` the middle up to it (Abramowitz and Stegun 26.7.1): each where its
    argument is the more exact.

    Args:
        t: Any real number.
        degrees: Degrees of freedom v, above 0.
    """
    square = t * t
    if square < 1.0:
        middle = 0.5 * _incomplete_beta(square / (degrees + square), 0.5, degrees / 2.0)
        return 0.5 + math.copysign(middle, t)
    tail = 0.5 * _incomplete_beta(degrees / (degrees + square), degrees / 2.0, 0.5)
    return tail if t < 0 else 1.0 - tail


def t_quantile(share: float, degrees: float) -> float:
    """Return t with P(T <= t) = ``share``, by bisection of the lower tail to the last bit or two.

    Raises:
        InvalidRequest: ``share`` is outside (0, 1).
    """
    check_share(share, name="share")
    if share == 0.5:
        return 0.0
    tail = min(share, 1.0 - share)
    low, high = 0.0, 1.0
    while t_cdf(-high, degrees) > tail:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(-middle, degrees) > tail else (low, middle)
    return math.copysign(0.5 * (low + high), share - 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function ``I_x(a, b)``.

    Continued fraction DLMF 8.17.22, by Lentz's method; the symmetry 8.17.4 where it converges
    faster.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - math.exp(log_front) * _beta_fraction(1.0 - x, b, a) / b
    return math.exp(log_front) * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 / _off_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            d = 1.0 / _off_zero(1.0 + term * d)
            c = _off_zero(1.0 + term / c)
            change = d * c
            value *= change
        if abs(change - 1.0) <= _EPSILON:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
