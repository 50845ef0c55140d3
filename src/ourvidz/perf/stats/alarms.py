"""When a whole installation raises an alarm: few enough false ones that people keep reading them.

An installation watches many series: ten job types, each with every phase and the whole job, a value
a run. Each new run is a chance to be wrong, so a test that errs once in a hundred would cry wolf
daily. Here the error is shared out over all series, all runs and all rules together. An alarm needs
three things at once.

1. **Significance, exact.** By a rule (k of w): at least k of the last w runs are slower than all
   but a few of the runs before them. If all runs are alike, every way to place the last w among
   all N in order of speed is equally likely, whatever the distribution. With ``a`` earlier runs at
   or above the k-th slowest of the last w::

       p = P(X >= k),  X hypergeometric: of the k + a slowest of N runs, how many are among the w

   For k = w that is ``C(w + a, w) / C(N, w)``: the precedence test (Rosenbaum, 1954; Nelson, 1963;
   Balakrishnan and Ng, "Precedence-Type Tests and Applications", 2006). Outliers among the earlier
   runs cost some of ``a``, outliers among the last w cost nothing. Ties count against the alarm.
   The level of one such look is ``family_alpha / (series * runs * rules * 2 directions)``; the
   union bound holds under any dependence between looks and between series. So a stable
   installation whose runs are exchangeable raises any alarm with probability below
   ``family_alpha``: that is a theorem, and needs no simulation.
2. **More than the series wanders.** Runs that resemble their neighbours are not exchangeable. On
   logarithms, the shift must exceed what first-order autoregressive noise makes at the same level::

       t s sqrt(V_w / w + V_n / n),  V_m = 1 + 2 sum_(j<m) (1 - j/m) r^j

   t is Student's quantile with n - 1 degrees of freedom; ``s^2 = Qn^2 / (1 - V_n / n)`` with the
   robust scale Qn of the n earlier runs (Rousseeuw and Croux, 1993); r the lag-one correlation of
   their normal scores, freed of its bias, ``+ (1 + 3 r) / n`` (Marriott and Pope, 1954), and raised
   by 2.5 of its standard errors. The price is paid by short histories: see the power curves.
3. **Size.** The shift is at least ``min_shift`` (a share) and ``min_change`` (in the values' unit).

The shift is Hodges and Lehmann's, of the last w against the runs before them.

**An alarm stands until newer runs show the earlier level again**, never because time passes. As
many runs end it as raised it: of the w runs that came after it, k lie nearer to the earlier level
than to the alarm's; and their shift is below ``min_shift``, or no more than noise makes one time in
twenty (condition 2 at that level). From there on the runs between are left out, and the series is
looked at as if they had never been. What follows a first alarm can't make one in a stable
installation, so the error above stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.stats.distributions import t_quantile
from ourvidz.perf.stats.ranks import midranks
from ourvidz.perf.stats.sample import (
    Bools,
    Floats,
    Sample,
    as_positive,
    as_sample,
    check_count,
    check_share,
)
from ourvidz.perf.stats.shift import Shift, relative_shift

Key = TypeVar("Key")
Known = Callable[["Alarm"], bool]  # whether people know of it already


class Direction(StrEnum):
    """Which way a series moved."""

    SLOWER = "slower"  # or larger, of bytes
    FASTER = "faster"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """At least ``k`` of the last ``w`` runs."""

    k: int
    w: int

    def __post_init__(self) -> None:
        """Check.

        Raises:
            InvalidRequest: Not ``1 <= k <= w``.
        """
        if not 1 <= self.k <= self.w:
            raise InvalidRequest(f"a rule needs 1 <= k <= w, got {self}", param="rules")

    def __str__(self) -> str:
        return f"{self.k} of {self.w}"


# Twelve sees smaller shifts and lets one run be an exception. Five of five would be sooner, but a
# disturbance of a few runs would be an alarm.
DEFAULT_RULES = (Rule(k=8, w=8), Rule(k=11, w=12))


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmPolicy:
    """What an installation tolerates.

    A phase may have sizes of its own, by ``dataclasses.replace(policy, min_shift=...)``: sizes only
    leave alarms out, so the error stays shared out as it was.
    """

    num_series: int  # (job type, phase) pairs that are watched
    num_runs: int = 100  # runs of each series over which the error is spent
    family_alpha: float = 0.05  # chance of any false alarm in all of them together
    rules: tuple[Rule, ...] = DEFAULT_RULES
    min_baseline: int = 30  # earlier runs; fewer say too little of how a series wanders
    min_shift: float = 0.03  # as a share of the earlier runs
    min_change: float = 0.0  # in the values' unit

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InvalidRequest: Names the field that is wrong.
        """
        check_count(self.num_series, name="num_series", at_least=1)
        check_count(self.num_runs, name="num_runs", at_least=1)
        check_count(self.min_baseline, name="min_baseline", at_least=3)
        check_count(len(self.rules), name="rules", at_least=1)
        check_share(self.family_alpha, name="family_alpha")
        for name in ("min_shift", "min_change"):
            value: float = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise InvalidRequest(f"{name} must be 0 or more, got {value!r}", param=name)

    @property
    def look_alpha(self) -> float:
        """Level of one look: one run of one series, one rule, one direction."""
        return self.family_alpha / (self.num_series * self.num_runs * len(self.rules) * 2)

    @property
    def smallest_baseline(self) -> int:
        """Earlier runs below which no alarm is raised, however slow the last ones are."""
        return _smallest_baseline(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """A series that is no longer what it was."""

    run: int  # the run, from 0, after which it was raised
    since: int  # the first run of the window that raised it
    direction: Direction
    rule: Rule
    p_value: float  # one-sided, of the rule alone
    adjusted_p: float  # over the whole installation: p over the look's level, times family_alpha
    shift: Shift  # of the window against all runs before it, relative
    noise_bar: float  # condition 2, as a share: what the series' own wandering could have made
    num_outliers: int  # earlier runs at or beyond the k-th most extreme of the window


def judge(values: Sample, policy: AlarmPolicy) -> Alarm | None:
    """Return the alarm that the newest run raises, if any.

    Args:
        values: Values above 0 of one series, in the order of time, beginning with its baseline: the
            first run after the last change that was accepted. Contaminated runs left out.
        policy: What is tolerated.

    Returns:
        Of several rules the one with the smallest p. None: no alarm, or too few runs for any.

    Raises:
        InvalidRequest: No values, or one that is not finite or not above 0.
    """
    logs = np.log(as_positive(values))
    return _judge(logs, policy)


def first_alarm(values: Sample, policy: AlarmPolicy) -> Alarm | None:
    """Return the first alarm that a series raised as its runs came in, or None.

    Raises:
        InvalidRequest: As ``judge``.
    """
    return _first(np.log(as_positive(values)), policy)


def standing_alarm(
    values: Sample,
    policy: AlarmPolicy,
    *,
    later: Sample = (),
    is_known: Known | None = None,
) -> Alarm | None:
    """Return the alarm that a series stands under now, or None.

    Args:
        values: As of ``judge``.
        policy: What is tolerated.
        later: Values of runs that came after the last and belong to another series of the same
            kind, as with other model files: they can end an alarm and raise none.
        is_known: Whether people know of an alarm and want to hear no more of it. Then the series is
            looked at from its ``since`` on: a further change is an alarm of its own.

    Raises:
        InvalidRequest: As ``judge``.
    """
    logs = np.log(as_positive(values))
    after = np.log(as_positive(later)) if len(later) else np.empty(0)
    return _standing(logs, after, np.arange(logs.size), policy, is_known)


def installation_alarms(
    series: Mapping[Key, Sample],
    *,
    policy: AlarmPolicy | None = None,
    is_known: Callable[[Key, Alarm], bool] | None = None,
) -> dict[Key, Alarm]:
    """Return the alarm of every series that stands under one.

    Args:
        series: Values of each, in the order of time.
        policy: None for the default over as many series and runs as there are.
        is_known: As of ``standing_alarm``, of each.

    Raises:
        InvalidRequest: As ``judge``; or more series, or more runs of one, than the policy's error
            was shared out over.
    """
    if not series:
        return {}
    samples = {key: as_positive(values) for key, values in series.items()}
    longest = max(values.size for values in samples.values())
    policy = policy or AlarmPolicy(num_series=len(series), num_runs=longest)
    if len(series) > policy.num_series or longest > policy.num_runs:
        raise InvalidRequest(
            f"the policy is for {policy.num_series} series of {policy.num_runs} runs, "
            f"not for {len(series)} of {longest}",
            param="policy",
        )
    alarms = {
        key: standing_alarm(
            values,
            policy,
            is_known=None if is_known is None else partial(is_known, key),
        )
        for key, values in samples.items()
    }
    return {key: alarm for key, alarm in alarms.items() if alarm is not None}


def precedence_p(*, num_before: int, rule: Rule, num_outliers: int) -> float:
    """Return the chance that a rule holds with at most ``num_outliers`` earlier runs in the way.

    ``P(X >= k)`` of the hypergeometric X: of the ``k + a`` most extreme of ``num_before + w`` runs,
    those that are among the last w.
    """
    k, w = rule.k, rule.w
    size = num_before + w
    top = min(k + num_outliers, size)
    ways = sum(
        math.comb(top, inside) * math.comb(size - top, w - inside)
        for inside in range(k, min(w, top) + 1)
    )
    return ways / math.comb(size, w)


@lru_cache(maxsize=4096)
def most_outliers(num_before: int, rule: Rule, alpha: float) -> int:
    """Return the most earlier runs that may be in the way at this level; -1: not even none."""
    allowed = -1
    while (
        allowed < num_before
        and precedence_p(num_before=num_before, rule=rule, num_outliers=allowed + 1) <= alpha
    ):
        allowed += 1
    return allowed


@lru_cache(maxsize=256)
def smallest_baseline(rule: Rule, *, alpha: float) -> int:
    """Return the fewest earlier runs with which a rule can reach this level."""
    num_before = 1
    while most_outliers(num_before, rule, alpha) < 0:
        num_before += 1
    return num_before


@lru_cache(maxsize=64)
def _smallest_baseline(policy: AlarmPolicy) -> int:
    reached = min(smallest_baseline(rule, alpha=policy.look_alpha) for rule in policy.rules)
    return max(policy.min_baseline, reached)


# Above this, a series of a hundred runs hardly differs from a random walk.
_LARGEST_CORRELATION = 0.95
_NUM_STANDARD_ERRORS = 2.5
# Makes Qn estimate the standard deviation of normal data: 1 / (sqrt(2) z(5/8)).
_QN_TO_SIGMA = 2.2191444


def noise_bar(before: Sample, *, window: int, alpha: float) -> float:
    """Return the shift of logarithms that noise alone makes with probability ``alpha``.

    Condition 2 of this module.

    Args:
        before: Logarithms of the earlier runs, 3 or more.
        window: Runs whose level is compared with theirs.
        alpha: One-sided.
    """
    logs = as_sample(before, name="before", at_least=3)
    n = int(logs.size)
    r = cautious_correlation(logs)
    mean_variance = _inflation(r, n) / n
    # Neighbours alike make a sample narrower than its population.
    sigma = robust_scale(logs) / math.sqrt(max(1.0 - mean_variance, 0.1))
    return (
        -_t_quantile(alpha, n - 1)
        * sigma
        * math.sqrt(_inflation(r, window) / window + mean_variance)
    )


def robust_scale(values: Floats) -> float:
    """Return Qn: the k-th smallest distance of two values, k = C(n // 2 + 1, 2), made comparable.

    Rousseeuw and Croux, "Alternatives to the median absolute deviation", 1993: half of the values
    may be outliers, and for normal data it is 82 % as efficient as the standard deviation (MAD:
    37 %). Without their correction for small n it errs upwards, by about 10 % at n = 40.
    """
    n = values.size
    distances = np.abs(values[:, None] - values[None, :])[np.triu_indices(n, k=1)]
    k = math.comb(n // 2 + 1, 2)
    return _QN_TO_SIGMA * float(np.partition(distances, k - 1)[k - 1])


def cautious_correlation(values: Floats) -> float:
    """Return how much a run resembles the one before, erring upwards: in [0, 0.95].

    The lag-one autocorrelation of normal scores ``z(rank / (n + 1))``, so that outliers count
    little, freed of its bias and raised by 2.5 standard errors ``sqrt((1 - r^2) / n)``. 0 for
    equal values.
    """
    n = values.size
    scores = np.interp(midranks(values), np.arange(1, n + 1), _normal_scores(n))
    total = float(scores @ scores)
    if total == 0.0:
        return 0.0
    r = float(scores[1:] @ scores[:-1]) / total
    error = math.sqrt(max(1.0 - r * r, 0.05) / n)
    raised = r + (1.0 + 3.0 * r) / n + _NUM_STANDARD_ERRORS * error
    return min(max(raised, 0.0), _LARGEST_CORRELATION)


@lru_cache(maxsize=1024)
def _t_quantile(share: float, degrees: int) -> float:
    return t_quantile(share, degrees)


@lru_cache(maxsize=1024)
def _normal_scores(n: int) -> Floats:
    normal = NormalDist()
    return np.array([normal.inv_cdf(rank / (n + 1)) for rank in range(1, n + 1)])


def _inflation(r: float, m: int) -> float:
    """Return V_m: the variance of a mean of m autoregressive values over that of independent."""
    lags = np.arange(1, m)
    return 1.0 + 2.0 * float(np.sum((1.0 - lags / m) * r**lags))


# How often noise alone may keep an alarm standing, a look, although the level is back.
_END_ALPHA = 0.05


def _first(logs: Floats, policy: AlarmPolicy, *, after: int = 0) -> Alarm | None:
    """Return the first alarm raised by more than ``after`` runs."""
    for end in _suspects(logs, policy, after=after):
        alarm = _judge(logs[:end], policy)
        if alarm is not None:
            return alarm
    return None


def _standing(
    logs: Floats,
    later: Floats,
    places: NDArray[np.intp],
    policy: AlarmPolicy,
    is_known: Known | None,
) -> Alarm | None:
    """Return the alarm that stands after all runs; ``places`` are theirs in the whole series."""
    looked = 0
    while (alarm := _first(logs, policy, after=looked)) is not None:
        window = _back_from(np.concatenate([logs, later]), alarm, policy)
        if window is None:
            named = replace(alarm, run=int(places[alarm.run]), since=int(places[alarm.since]))
            if is_known is None or not is_known(named):
                return named
            begin = alarm.since
            return _standing(logs[begin:], later, places[begin:], policy, is_known)
        if window + alarm.rule.w > logs.size:
            return None  # runs of another series ended it, and raise none
        kept = np.r_[0 : alarm.since, window : logs.size]
        logs, places, looked = logs[kept], places[kept], alarm.since + alarm.rule.w
    return None


def _back_from(logs: Floats, alarm: Alarm, policy: AlarmPolicy) -> int | None:
    """Return where the first runs begin that show the earlier level again; None: it is not back."""
    k, w = alarm.rule.k, alarm.rule.w
    sign = 1.0 if alarm.direction is Direction.SLOWER else -1.0
    before, after = sign * logs[: alarm.since], sign * logs[alarm.run + 1 :]
    if after.size < w:
        return None
    moved = sign * math.log1p(alarm.shift.estimate)
    near = after < float(np.median(before)) + moved / 2.0
    windows = np.lib.stride_tricks.sliding_window_view(near, w)
    bar = max(math.log1p(policy.min_shift), noise_bar(before, window=w, alpha=_END_ALPHA))
    for begin in np.flatnonzero(np.count_nonzero(windows, axis=1) >= k):
        window = after[begin : begin + w]
        if float(np.median(window[:, None] - before[None, :])) <= bar:
            return alarm.run + 1 + int(begin)
    return None


def _judge(logs: Floats, policy: AlarmPolicy) -> Alarm | None:
    found = [
        alarm
        for rule in policy.rules
        for direction in Direction
        if (alarm := _look(logs, rule, direction, policy)) is not None
    ]
    return min(found, key=lambda alarm: alarm.p_value, default=None)


def _look(logs: Floats, rule: Rule, direction: Direction, policy: AlarmPolicy) -> Alarm | None:
    """Return the alarm of one rule in one direction, after the newest run."""
    since = int(logs.size) - rule.w
    if since < policy.smallest_baseline:
        return None
    signed = logs if direction is Direction.SLOWER else -logs
    before, window = signed[:since], signed[since:]
    alpha = policy.look_alpha
    bar = float(np.sort(window)[rule.w - rule.k])
    num_outliers = int(np.count_nonzero(before >= bar))
    if num_outliers > most_outliers(since, rule, alpha):
        return None
    moved = float(np.median(window[:, None] - before[None, :]))
    share = abs(math.expm1(moved if direction is Direction.SLOWER else -moved))
    change = share * math.exp(float(np.median(logs[:since])))
    if moved <= 0.0 or share < policy.min_shift or change < policy.min_change:
        return None
    noise = noise_bar(before, window=rule.w, alpha=alpha)
    if moved < noise:
        return None
    p_value = precedence_p(num_before=since, rule=rule, num_outliers=num_outliers)
    return Alarm(
        run=int(logs.size) - 1,
        since=since,
        direction=direction,
        rule=rule,
        p_value=p_value,
        adjusted_p=min(1.0, p_value / alpha * policy.family_alpha),
        shift=relative_shift(np.exp(logs[:since]), np.exp(logs[since:])),
        noise_bar=abs(math.expm1(noise if direction is Direction.SLOWER else -noise)),
        num_outliers=num_outliers,
    )


def _suspects(logs: Floats, policy: AlarmPolicy, *, after: int = 0) -> list[int]:
    """Return after how many runs of one series condition 1 holds for any rule: a quick sieve.

    Of more than ``after`` runs.
    """
    smallest, alpha = policy.smallest_baseline, policy.look_alpha
    passed = np.zeros(logs.size + 1, dtype=np.bool_)
    for rule in policy.rules:
        begins: NDArray[np.intp] = np.arange(
            max(smallest, after + 1 - rule.w), logs.size - rule.w + 1
        )
        if not begins.size:
            continue
        allowed = np.array([most_outliers(int(since), rule, alpha) for since in begins])
        windows = np.sort(np.lib.stride_tricks.sliding_window_view(logs, rule.w)[begins], axis=1)
        last = int(begins[-1])
        is_before: Bools = np.arange(last)[None, :] < begins[:, None]
        before = logs[None, :last]
        slow: Bools = (before >= windows[:, rule.w - rule.k, None]) & is_before
        fast: Bools = (before <= windows[:, rule.k - 1, None]) & is_before
        fewest = np.minimum(np.count_nonzero(slow, axis=1), np.count_nonzero(fast, axis=1))
        passed[begins[fewest <= allowed] + rule.w] = True
    return [int(end) for end in np.flatnonzero(passed)]


def candidates(logs: Floats, policy: AlarmPolicy, *, end: int) -> Sequence[int]:
    """Return which of many series (rows) pass condition 1 after run ``end - 1``: a quick sieve.

    What it leaves out raises no alarm there; what it returns must be judged.
    """
    passed = np.zeros(logs.shape[0], dtype=np.bool_)
    for rule in policy.rules:
        since = end - rule.w
        if since < policy.smallest_baseline:
            continue
        allowed = most_outliers(since, rule, policy.look_alpha)
        if allowed < 0:
            continue
        before, window = logs[:, :since], np.sort(logs[:, since:end], axis=1)
        slow_bar, fast_bar = window[:, rule.w - rule.k], window[:, rule.k - 1]
        passed |= np.count_nonzero(before >= slow_bar[:, None], axis=1) <= allowed
        passed |= np.count_nonzero(before <= fast_bar[:, None], axis=1) <= allowed
    return [int(row) for row in np.flatnonzero(passed)]
