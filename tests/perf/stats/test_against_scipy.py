"""Scipy as the oracle: random data, ties, small n, constants."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ourvidz.perf import stats
from ourvidz.perf.stats.bootstrap import NUM_RESAMPLES, SEED
from ourvidz.perf.stats.distributions import normal_cdf, normal_quantile, t_cdf, t_quantile
from ourvidz.perf.stats.ranks import LARGEST_EXACT_N

reals = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
samples = st.lists(reals, min_size=1, max_size=40)
tied = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=7)


@pytest.mark.parametrize("z", [-37.0, -8.0, -4.9, -1.0, 0.0, 0.3, 6.0])
def test_normal(z):
    assert normal_cdf(z) == pytest.approx(scipy.stats.norm.cdf(z), rel=1e-13)


@pytest.mark.parametrize("share", [1e-12, 6e-7, 0.025, 0.5, 0.975, 1 - 1e-9])
@pytest.mark.parametrize("degrees", [1, 2, 3, 4.5, 9, 30, 99, 1000])
def test_quantiles(share, degrees):
    assert normal_quantile(share) == pytest.approx(scipy.stats.norm.ppf(share), rel=1e-12)
    found = t_quantile(share, degrees)
    # Relative to the share: at one in 10^12 of degree 1 the quantile is 10^11.
    assert found == pytest.approx(scipy.special.stdtrit(degrees, share), rel=1e-8, abs=1e-12)


@given(st.floats(-50, 50), st.integers(1, 300))
def test_t_cdf(t, degrees):
    assert t_cdf(t, degrees) == pytest.approx(scipy.stats.t.cdf(t, degrees), rel=1e-9, abs=1e-15)


@given(samples, st.floats(0, 1))
def test_describe(values, share):
    array = np.array(values)
    assert stats.median(values) == np.median(array)
    assert stats.mad(values) == scipy.stats.median_abs_deviation(array)
    assert stats.quantile(values, share) == pytest.approx(
        scipy.stats.mstats.mquantiles(array, [share], alphap=1, betap=1)[0], rel=1e-9, abs=1e-6
    )


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99, 0.1])
def test_quantiles_are_shown_from_where_one_value_lies_beyond(share):
    n = {0.5: 2, 0.9: 10, 0.95: 20, 0.99: 100, 0.1: 10}[share]
    assert stats.smallest_n(share) == n
    assert stats.allowed_quantile(range(n - 1), share) is None
    assert stats.allowed_quantile(range(n), share) == stats.quantile(range(n), share)


def test_mad_estimates_sigma_of_normal_data():
    assert pytest.approx(1 / scipy.stats.norm.ppf(0.75), rel=1e-12) == stats.MAD_TO_SIGMA


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson(counts):
    successes, n = counts
    for level in (0.8, 0.95, 0.999):
        found = stats.wilson_interval(successes, n, level=level)
        oracle = scipy.stats.binomtest(successes, n).proportion_ci(level, method="wilson")
        assert found.low == pytest.approx(oracle.low, abs=1e-12)
        assert found.high == pytest.approx(oracle.high, abs=1e-12)
        assert successes / n in found


@pytest.mark.parametrize("n", [3, 5, 7, 8, 9, 20, 41])
@pytest.mark.parametrize("kind", ["normal", "skewed", "tied"])
@pytest.mark.parametrize("statistic", ["median", "mean"])
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:The BCa confidence")
def test_bootstrap(n, kind, statistic):
    rng = np.random.default_rng([n, len(kind)])
    values = {
        "normal": rng.normal(10, 1, n),
        "skewed": rng.lognormal(0, 1, n),
        "tied": rng.integers(0, 4, n).astype(float),
    }[kind]
    rows = {"median": np.median, "mean": np.mean}[statistic]
    found = stats.bootstrap_interval(values, statistic=lambda x: rows(x, axis=-1))
    oracle = scipy.stats.bootstrap(
        (values,),
        rows,
        n_resamples=NUM_RESAMPLES,
        method="BCa" if n >= 8 else "percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    if math.isnan(oracle.low):  # all values left out singly change nothing: scipy gives up
        assert np.quantile(values, 0.2) <= found.low <= rows(values) <= found.high
        return
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)


def test_bootstrap_of_constants_and_of_few():
    for n in (1, 2):
        assert stats.bootstrap_interval([5.0] * n) is None
    for n in (3, 8, 30):
        found = stats.bootstrap_interval([5.0] * n)
        assert (found.low, found.high) == (5.0, 5.0)


@pytest.mark.parametrize(("n", "share"), [(3, 0.75), (4, 0.875), (5, 0.9375), (7, 0.875)])
def test_what_the_docstring_says_of_small_n(n, share):
    rng = np.random.default_rng(n)
    hits = sum(
        0.0 in stats.bootstrap_interval(rng.standard_normal(n), num_resamples=500)
        for _ in range(600)
    )
    assert share in stats.wilson_interval(hits, 600, level=0.999)


def test_bca_holds_what_it_says_of_skewed_data():
    rng = np.random.default_rng(4)
    hits = sum(
        1.0 in stats.bootstrap_interval(rng.lognormal(0, 1, 20), num_resamples=500)
        for _ in range(600)
    )
    assert 0.92 <= hits / 600 <= 0.98


@given(tied, tied)
@settings(max_examples=60)
def test_mann_whitney_with_ties_is_full_enumeration(before, after):
    pooled = np.array(before + after)
    ranks = scipy.stats.rankdata(pooled)
    assert np.array_equal(stats.midranks(pooled), ranks)
    seen = ranks[len(before) :].sum()
    sums = np.array(
        [ranks[list(pick)].sum() for pick in itertools.combinations(range(pooled.size), len(after))]
    )
    greater, less = np.mean(sums >= seen - 1e-9), np.mean(sums <= seen + 1e-9)
    expected = {
        stats.Alternative.GREATER: greater,
        stats.Alternative.LESS: less,
        stats.Alternative.TWO_SIDED: min(1.0, 2 * min(greater, less)),
    }
    for alternative, p_value in expected.items():
        found = stats.mann_whitney(before, after, alternative=alternative)
        assert found.is_exact
        assert found.p_value == pytest.approx(p_value, rel=1e-12)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 9), (3, 3), (5, 5), (8, 20), (30, 30), (10, 50)])
@pytest.mark.parametrize("alternative", list(stats.Alternative))
def test_mann_whitney_without_ties(m, n, alternative):
    rng = np.random.default_rng([m, n])
    for shift in (0.0, 0.5, 3.0):
        before, after = rng.normal(size=m), rng.normal(shift, size=n)
        found = stats.mann_whitney(before, after, alternative=alternative)
        oracle = scipy.stats.mannwhitneyu(
            after, before, alternative=alternative.value, method="exact"
        )
        assert found.is_exact
        assert found.u == oracle.statistic
        assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
        assert found.superiority == pytest.approx(oracle.statistic / (m * n))


@pytest.mark.parametrize("alternative", list(stats.Alternative))
@pytest.mark.parametrize("is_tied", [False, True])
def test_mann_whitney_of_many(alternative, is_tied):
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=50), rng.normal(0.3, size=LARGEST_EXACT_N - 49)
    if is_tied:
        before, after = np.round(before), np.round(after)
    found = stats.mann_whitney(before, after, alternative=alternative)
    oracle = scipy.stats.mannwhitneyu(
        after, before, alternative=alternative.value, method="asymptotic"
    )
    assert not found.is_exact
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)


def test_mann_whitney_of_constants():
    for n in (1, 5, 100):
        assert stats.mann_whitney([2.0] * n, [2.0] * n).p_value == 1.0


@pytest.mark.parametrize(("n", "p_value"), [(3, 0.1), (4, 0.0286), (5, 0.0079), (7, 0.00058)])
def test_the_smallest_p_is_reached_by_separate_groups(n, p_value):
    assert stats.smallest_p(n, n) == pytest.approx(p_value, rel=0.02)
    found = stats.mann_whitney(range(n), range(n, 2 * n))
    assert found.p_value == pytest.approx(stats.smallest_p(n, n), rel=1e-12)


@pytest.mark.parametrize(("m", "n"), [(4, 4), (5, 7), (10, 3), (12, 12), (39, 1)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_interval_holds_the_shifts_that_the_test_does_not_reject(m, n, level):
    rng = np.random.default_rng([m, n])
    before, after = rng.normal(size=m), rng.normal(1.0, size=n)
    found = stats.hodges_lehmann(before, after, level=level)
    differences = np.sort((after[:, None] - before[None, :]).ravel())
    assert found.estimate == np.median(differences)
    edges = np.concatenate([[-99.0], differences, [99.0]])
    middles = (edges[1:] + edges[:-1]) / 2.0
    kept = [
        scipy.stats.mannwhitneyu(after, before + shift, method="exact").pvalue
        > (1 - level) * (1 + 1e-9)
        for shift in middles
    ]
    if kept[0]:
        assert found.interval is None
        return
    inside = np.flatnonzero(kept)
    assert found.interval.low == differences[inside[0] - 1]
    assert found.interval.high == differences[inside[-1]]


def test_shifts_of_few_of_constants_and_of_many():
    assert stats.hodges_lehmann([1.0], [3.0]).interval is None
    assert stats.hodges_lehmann([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).interval is None
    constant = stats.hodges_lehmann([2.0] * 9, [5.0] * 9)
    assert (constant.estimate, constant.interval.low, constant.interval.high) == (3.0, 3.0, 3.0)
    rng = np.random.default_rng(8)
    many = stats.hodges_lehmann(rng.normal(size=70), rng.normal(0.5, size=70))
    assert 0.5 in many.interval
    # Between exact and approximate rank there is one step at most where both exist.
    from ourvidz.perf.stats.shift import interval_rank

    exact = interval_rank(30, 30, level=0.95)
    approximate = 450 - scipy.stats.norm.ppf(0.975) * math.sqrt(900 * 61 / 12)
    assert abs(exact - approximate) <= 1.5


@given(st.floats(0.5, 2.0), st.floats(1e-3, 1e3))
def test_a_relative_shift_is_a_ratio_of_any_unit(ratio, unit):
    before = np.array([10.0, 10.1, 9.9, 10.05, 9.8]) * unit
    found = stats.relative_shift(before, before * ratio)
    assert found.is_relative
    assert found.estimate == pytest.approx(ratio - 1.0, abs=1e-9)
    assert ratio - 1.0 in stats.Interval(
        low=found.interval.low - 1e-9, high=found.interval.high + 1e-9, level=0.95
    )


def test_the_interval_of_a_shift_holds_what_it_says():
    rng = np.random.default_rng(9)
    hits = sum(
        1.0 in stats.hodges_lehmann(rng.standard_t(3, 8), 1.0 + rng.standard_t(3, 6)).interval
        for _ in range(600)
    )
    assert 0.94 <= hits / 600 <= 0.98


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    found = stats.holm(p_values)
    for index in range(len(p_values)):
        others = [i for i in range(len(p_values)) if i != index]
        worst = max(
            min(1.0, (len(rest) + 1) * min([p_values[index], *(p_values[i] for i in rest)]))
            for size in range(len(others) + 1)
            for rest in itertools.combinations(others, size)
        )
        assert found[index] == pytest.approx(worst, rel=1e-12)


@given(st.lists(reals, min_size=3, max_size=30), st.sampled_from([0.8, 0.95, 0.99]))
def test_prediction_by_t(values, level):
    found = stats.prediction_interval(values, level=level, method=stats.PredictionMethod.T)
    array = np.array(values)
    if array.min() == array.max():
        assert (found.interval.low, found.interval.high) == (values[0], values[0])
        return
    low, high = scipy.stats.t.interval(
        level,
        array.size - 1,
        loc=array.mean(),
        scale=array.std(ddof=1) * math.sqrt(1 + 1 / array.size),
    )
    assert found.interval.low == pytest.approx(low, rel=1e-8, abs=1e-6)
    assert found.interval.high == pytest.approx(high, rel=1e-8, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "level", "draw", "method"),
    [
        (10, 0.99, lambda rng, shape: rng.lognormal(3, 0.2, shape), "log_t"),
        (10, 0.95, lambda rng, shape: rng.normal(-50, 1, shape), "t"),
        (59, 0.95, lambda rng, shape: rng.standard_cauchy(shape), "order"),
        (199, 0.99, lambda rng, shape: rng.exponential(1, shape), "order"),
    ],
)
def test_the_next_run_falls_inside_as_often_as_said(n, level, draw, method):
    rng = np.random.default_rng(n)
    hits = 0
    for row in draw(rng, (800, n + 1)):
        found = stats.prediction_interval(row[:-1], level=level)
        assert found.method == method
        hits += row[-1] in found.interval
    expected = (
        level if method != "order" else 1 - 2 * math.floor((n + 1) * (1 - level) / 2) / (n + 1)
    )
    assert expected in stats.wilson_interval(hits, 800, level=0.999)


def test_prediction_of_few():
    assert stats.prediction_interval([1.0]) is None
    assert stats.prediction_interval([1.0, 2.0]) is None
    order = stats.PredictionMethod.ORDER
    assert stats.prediction_interval(range(1, 199), method=order) is None
    found = stats.prediction_interval(range(1, 200), method=order)
    assert (found.interval.low, found.interval.high) == (1.0, 199.0)


def test_one_slow_job_is_no_matter_and_three_of_five_are():
    baseline = stats.prediction_interval([10.0, 10.1, 9.9, 10.05, 9.95, 10.02])
    scores = [baseline.score(value) for value in (10.0, 30.0, 10.0, 30.0, 5.0, 30.0)]
    assert [score.value for score in scores] == ["normal", "slow", "normal", "slow", "fast", "slow"]
    assert not stats.is_watched(scores[:2])
    assert not stats.is_watched(scores[:5])
    assert stats.is_watched(scores)


@given(samples)
def test_modified_z(values):
    found = stats.modified_z(values)
    array = np.array(values)
    spread = scipy.stats.median_abs_deviation(array, scale="normal")
    if spread > 0:
        assert found == pytest.approx((array - np.median(array)) / spread, rel=1e-9, abs=1e-12)
    assert len(stats.flag_outliers(values)) == len(values)


def test_an_outlier_among_equal_values_is_flagged():
    assert stats.flag_outliers([5.0] * 9 + [50.0]).tolist() == [False] * 9 + [True]
    assert not stats.flag_outliers([5.0] * 9).any()
    assert not stats.flag_outliers([5.0]).any()


@pytest.mark.parametrize(("m", "n"), [(5, 5), (5, 9), (7, 7), (10, 10), (120, 100)])
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_the_detectable_effect_is_found_as_often_as_said(m, n, tolerance):
    noise, power, alpha = 0.02, 0.8, 0.01
    effect = stats.minimum_detectable_effect(
        noise=noise, num_before=m, num_after=n, alpha=alpha, tolerance=tolerance, power=power
    )
    rng = np.random.default_rng([m, n])
    hits, cases = 0, 400 if m < 100 else 150
    for _ in range(cases):
        before, after = rng.normal(1, noise, m), rng.normal(1 + effect, noise, n)
        if stats.mann_whitney(before, after).p_value <= alpha:
            shift = stats.hodges_lehmann(before, after)
            hits += tolerance == 0.0 or shift.interval.low > tolerance
    assert power in stats.wilson_interval(hits, cases, level=0.999)


def test_too_few_runs_can_see_no_effect_however_large():
    for n, alpha in ((4, 0.01), (3, 0.05), (1, 0.2)):
        effect = stats.minimum_detectable_effect(noise=0.01, num_before=n, num_after=n, alpha=alpha)
        assert effect is None


def test_without_noise_the_tolerance_is_what_can_be_seen():
    assert stats.minimum_detectable_effect(noise=0.0, num_before=5, num_after=5) == 0.0
    found = stats.minimum_detectable_effect(noise=0.0, num_before=7, num_after=7, tolerance=0.05)
    assert found == 0.05


def test_a_summary_of_one_and_of_equal_values():
    one = stats.summarize([2.0])
    assert (one.n, one.median, one.mad, one.sd, one.cv, one.interval) == (
        1,
        2.0,
        0.0,
        None,
        None,
        None,
    )
    equal = stats.summarize([2.0] * 100)
    assert (equal.sd, equal.cv, equal.p90, equal.p99) == (0.0, 0.0, 2.0, 2.0)
    assert stats.summarize([-1.0, 1.0]).cv is None
