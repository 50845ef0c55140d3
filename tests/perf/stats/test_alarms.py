"""The alarms: exact where they claim it, silent on stable installations, awake to a step."""

import itertools
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import alarms as simulation
from ourvidz.bench.records import read_record
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.phase import Phase
from ourvidz.perf.stats import (
    AlarmPolicy,
    Direction,
    Rule,
    first_alarm,
    installation_alarms,
    judge,
    wilson_interval,
)
from ourvidz.perf.stats import alarms as subject

POLICY = AlarmPolicy(num_series=simulation.NUM_SERIES)


def series(*, seed=0, runs=100, step_at=60, step=1.05, noise=0.01):
    values = 60.0 * np.exp(np.random.default_rng(seed).normal(0, noise, runs))
    values[step_at:] *= step
    return values


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 12), st.integers(0, 15))
def test_the_p_value_is_scipys_hypergeometric_tail(num_before, w, less, outliers):
    rule = Rule(k=max(1, w - less), w=w)
    found = subject.precedence_p(num_before=num_before, rule=rule, num_outliers=outliers)
    size = num_before + w
    top = min(size, rule.k + outliers)
    assert found == pytest.approx(scipy.stats.hypergeom.sf(rule.k - 1, size, top, w), rel=1e-9)


@pytest.mark.parametrize(("num_before", "rule"), [(5, Rule(k=3, w=3)), (6, Rule(k=2, w=3))])
def test_the_p_value_is_exact_by_enumeration(num_before, rule):
    size = num_before + rule.w
    seen = [
        sum(rank > sorted(window)[rule.w - rule.k] for rank in set(range(size)) - set(window))
        for window in itertools.combinations(range(size), rule.w)
    ]
    for outliers in range(num_before + 1):
        expected = np.mean([count <= outliers for count in seen])
        found = subject.precedence_p(num_before=num_before, rule=rule, num_outliers=outliers)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("rule", subject.DEFAULT_RULES, ids=str)
@pytest.mark.parametrize("num_before", [30, 60, 92])
def test_as_many_outliers_as_the_level_allows(rule, num_before):
    allowed = subject.most_outliers(num_before, rule, POLICY.look_alpha)
    for outliers, is_within in ((allowed, True), (allowed + 1, False)):
        p = subject.precedence_p(num_before=num_before, rule=rule, num_outliers=outliers)
        assert (p <= POLICY.look_alpha) == is_within


def test_the_error_is_shared_out_over_all_looks():
    looks = POLICY.num_series * POLICY.num_runs * len(POLICY.rules) * 2
    assert POLICY.look_alpha * looks == pytest.approx(0.05)


@pytest.mark.parametrize(("step", "direction"), [(1.05, "slower"), (0.95, "faster")])
def test_a_step_is_found_within_eight_runs_and_says_what_it_is(step, direction):
    values = series(step=step)
    alarm = first_alarm(values, POLICY)
    assert alarm.direction == direction
    assert 60 <= alarm.since <= alarm.run <= 67
    assert step - 1 in alarm.shift.interval
    assert alarm.shift.num_before == alarm.since
    assert alarm.p_value <= POLICY.look_alpha
    assert alarm.adjusted_p == pytest.approx(alarm.p_value / POLICY.look_alpha * 0.05)
    assert alarm.adjusted_p <= 0.05
    assert alarm.noise_bar < abs(step - 1)
    assert alarm == judge(values[: alarm.run + 1], POLICY)
    assert judge(values[: alarm.run], POLICY) is None


def test_the_unit_of_the_values_is_no_matter():
    values = series()
    first, second = first_alarm(values, POLICY), first_alarm(values * 1e-4, POLICY)
    assert (first.run, first.p_value) == (second.run, second.p_value)


def test_neither_one_slow_run_nor_five_are_an_alarm():
    for count in (1, 5):
        values = series(step=1.0)
        values[70 : 70 + count] *= 3.0
        assert first_alarm(values, POLICY) is None


def test_outliers_among_the_earlier_runs_hide_no_step():
    values = series()
    values[[5, 17, 33]] *= 4.0
    alarm = first_alarm(values, POLICY)
    assert alarm.run <= 67
    assert alarm.num_outliers == 3


@pytest.mark.parametrize("runs", [1, 5, 37])
def test_too_few_runs_raise_none_however_slow(runs):
    values = series(runs=runs, step_at=max(runs - 8, 0), step=10.0)
    assert first_alarm(values, POLICY) is None
    assert judge(values, POLICY) is None
    assert POLICY.smallest_baseline == 30


def test_more_series_need_longer_histories():
    small = AlarmPolicy(num_series=2, num_runs=20, min_baseline=5)
    large = AlarmPolicy(num_series=10**6, num_runs=10**4, min_baseline=5)
    assert 5 <= small.smallest_baseline < large.smallest_baseline


def test_constants_are_silent_and_a_changed_constant_is_not():
    assert first_alarm([2.0] * 100, POLICY) is None
    alarm = first_alarm([2.0] * 50 + [2.1] * 50, POLICY)
    assert alarm.run == 57
    assert alarm.shift.estimate == pytest.approx(0.05)
    assert first_alarm([2.0] * 50 + [2.05] * 50, POLICY) is None  # below ``min_shift``


def test_ties_count_against_the_alarm():
    values = [2.0] * 40 + [2.5] * 12 + [2.5] * 8
    alarm = judge(values, POLICY)
    assert alarm is None
    assert judge(values[:48], POLICY) is not None


def test_a_change_too_small_to_matter_in_its_unit_is_none():
    policy = AlarmPolicy(num_series=simulation.NUM_SERIES, min_change=0.25)
    assert first_alarm(series(), policy) is not None  # 3 s of 60
    assert first_alarm(series() / 60, policy) is None  # 0.05 s of 1


def test_a_series_that_wanders_is_given_room():
    rng = np.random.default_rng(5)
    still = rng.normal(0, 0.01, 60)
    wandering = still.copy()
    for run in range(1, 60):
        wandering[run] = 0.9 * wandering[run - 1] + math.sqrt(1 - 0.81) * still[run]
    alpha = POLICY.look_alpha
    narrow = subject.noise_bar(still, window=8, alpha=alpha)
    wide = subject.noise_bar(wandering, window=8, alpha=alpha)
    assert wide > 1.5 * narrow * subject.robust_scale(wandering) / subject.robust_scale(still)


def test_the_robust_scale_is_that_of_its_authors():
    values = np.array([2.0, 9.0, 4.0, 5.5, 30.0, 3.0])
    distances = sorted(abs(a - b) for a, b in itertools.combinations(values, 2))
    factor = 1 / (math.sqrt(2) * scipy.stats.norm.ppf(5 / 8))
    assert subject.robust_scale(values) == pytest.approx(factor * distances[5], rel=1e-6)
    normal = np.random.default_rng(1).normal(0, 3, 800)
    assert subject.robust_scale(normal) == pytest.approx(3, rel=0.07)


def test_the_correlation_errs_upwards():
    rng = np.random.default_rng(2)
    noise = simulation._following(0.5)(rng, (200, 40))
    found = np.array([subject.cautious_correlation(row) for row in noise])
    assert np.mean(found > 0.5) > 0.97
    assert subject.cautious_correlation(np.ones(20)) == 0.0


def test_the_sieve_lets_every_alarm_through():
    rng = np.random.default_rng(3)
    policy = AlarmPolicy(num_series=4, num_runs=50)
    values = np.exp(rng.normal(0, 0.02, (60, 50)))
    values[:, 36:] *= rng.uniform(0.9, 1.1, (60, 1))
    found = 0
    for end in range(policy.smallest_baseline + 1, 51):
        sieved = set(subject.candidates(np.log(values), policy, end=end))
        for row in range(60):
            is_alarm = judge(values[row, :end], policy) is not None
            assert not is_alarm or row in sieved
            found += is_alarm
    assert found > 50


def test_an_installation_tells_which_series_moved():
    data = {
        ("video_fast", "denoise"): series(),
        ("video_fast", "decode"): series(seed=1, step=1.0),
        ("image_fast", "denoise"): series(seed=2, step=1.0, runs=70),
    }
    assert set(installation_alarms(data)) == {("video_fast", "denoise")}
    assert installation_alarms({}) == {}
    explicit = installation_alarms(data, policy=POLICY)
    assert explicit["video_fast", "denoise"].direction is Direction.SLOWER


@pytest.mark.parametrize(
    "policy", [AlarmPolicy(num_series=1), AlarmPolicy(num_series=2, num_runs=99)]
)
def test_an_installation_larger_than_its_policy_is_refused(policy):
    with pytest.raises(InvalidRequest) as refusal:
        installation_alarms({"a": series(), "b": series()}, policy=policy)
    assert refusal.value.param == "policy"


def test_exchangeable_runs_keep_the_promise_without_the_other_conditions():
    # Condition 1 alone, at a level where it can be seen to fail.
    rng = np.random.default_rng(4)
    policy = AlarmPolicy(
        num_series=1, num_runs=60, min_baseline=8, rules=(Rule(k=5, w=5),), min_shift=0.0,
        family_alpha=0.3,
    )  # fmt: skip
    logs = rng.standard_t(2, (1500, 60))
    raised = set()
    for end in range(policy.smallest_baseline + 1, 61):
        raised |= set(subject.candidates(logs, policy, end=end))
    assert 0.01 < len(raised) / 1500 <= 0.3


# A few of the simulated installations, so that the quick tests run what the record ran.
@pytest.mark.parametrize("name", ["lognormal", "outliers-5"])
def test_stable_installations_are_silent(name):
    world = simulation.BY_NAME[name]
    assert simulation.false_alarms(world, num_installations=10, policy=POLICY) == 0


def test_power_of_a_five_percent_step():
    world = simulation.BY_NAME["lognormal"]
    found = simulation.delays(
        world, shift=0.05, noise=0.01, num_before=60, num_cases=200, num_after=8, policy=POLICY
    )
    assert np.count_nonzero(found) >= 196
    assert found.max() <= 8


def test_the_installation_is_ten_job_types_with_every_phase():
    values = simulation.installation(simulation.WORLDS[0], np.random.default_rng(0))
    assert values.shape == (10 * (len(Phase) + 2), 100)
    assert len(values) == simulation.NUM_SERIES
    whole = values.reshape(10, -1, 100)
    assert np.allclose(whole[:, -1], whole[:, : len(Phase)].sum(axis=1))


@pytest.mark.parametrize("world", simulation.WORLDS, ids=lambda world: world.name)
def test_simulated_noise_is_as_it_says(world):
    rng = np.random.default_rng(7)
    noise = world.noise(rng, (400, 100))
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1.0, rel=0.25 if "heavy" in world.says else 0.05)
    follows = np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()
    assert (follows > 0.15) == ("autocorrelation" in world.says)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "world",
    [world for world in simulation.WORLDS if world.name not in simulation.BEYOND],
    ids=lambda world: world.name,
)
def test_five_hundred_stable_installations(world):
    alarmed = simulation.false_alarms(
        world, num_installations=simulation.NUM_INSTALLATIONS, policy=POLICY
    )
    assert alarmed / simulation.NUM_INSTALLATIONS <= 0.05


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["normal", "lognormal"])
def test_ten_thousand_steps(name):
    found = simulation.delays(
        simulation.BY_NAME[name],
        shift=0.05,
        noise=0.01,
        num_before=simulation.BASELINE,
        num_cases=10_000,
        num_after=8,
        policy=POLICY,
    )
    hits = int(np.count_nonzero(found))
    assert hits / 10_000 >= 0.99, wilson_interval(hits, 10_000)


ROOT = Path(__file__).parents[3]


def test_the_chart_is_drawn_from_the_record():
    record = read_record(ROOT / "benchmarks/records/alarms.json")
    drawn = simulation.chart(record.results)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    committed = (ROOT / "docs/images/statistics-alarms.svg").read_text(encoding="utf-8")
    assert committed == drawn


def test_the_page_says_what_the_record_says():
    record = read_record(ROOT / "benchmarks/records/alarms.json")
    shares = {(result.case, result.metric): result.value for result in record.results}
    page = (ROOT / "docs/guides/statistics.md").read_text(encoding="utf-8")
    for world in simulation.WORLDS:
        figures = (
            shares[f"stable.{world.name}", "any_alarm"],
            shares[f"step.{world.name}", "found_within_8"],
            shares[f"step.{world.name}", "found_within_12"],
        )
        cells = " | ".join(f"{100 * figure:.1f} %" for figure in figures)
        assert f"| `{world.name}` | {world.says} | {cells} |" in page


def test_the_record_keeps_the_promise():
    record = read_record(ROOT / "benchmarks/records/alarms.json")
    for result in record.results:
        kind, _, name = result.case.partition(".")
        if kind == "stable" and result.metric == "any_alarm" and name not in simulation.BEYOND:
            assert (result.value <= 0.05, result.n) == (True, 500)
        if kind == "step" and result.metric == "found_within_8" and "normal" in name:
            assert result.low >= 0.99
