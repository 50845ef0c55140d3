"""Every function refuses what is no sample, by the one error hierarchy, and names the argument."""

import math

import numpy as np
import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf import stats

POLICY = stats.AlarmPolicy(num_series=1)
OF_ONE = {
    "median": stats.median,
    "mad": stats.mad,
    "quantile": lambda values: stats.quantile(values, 0.5),
    "allowed_quantile": lambda values: stats.allowed_quantile(values, 0.5),
    "summarize": stats.summarize,
    "bootstrap_interval": stats.bootstrap_interval,
    "modified_z": stats.modified_z,
    "flag_outliers": stats.flag_outliers,
    "prediction_interval": stats.prediction_interval,
    "change_points": stats.change_points,
    "best_split": stats.best_split,
    "judge": lambda values: stats.judge(values, POLICY),
    "first_alarm": lambda values: stats.first_alarm(values, POLICY),
    "installation_alarms": lambda values: stats.installation_alarms({"denoise": values}),
}
OF_TWO = {
    "mann_whitney": stats.mann_whitney,
    "hodges_lehmann": stats.hodges_lehmann,
    "relative_shift": stats.relative_shift,
}
NO_SAMPLES = [
    [],
    [1.0, math.nan],
    [math.inf, 1.0],
    [[1.0, 2.0], [3.0, 4.0]],
    [[1.0], [2.0, 3.0]],
    ["1.0"],
    [True, False],
    [1.0, None],
    5.0,
]


@pytest.mark.parametrize("values", NO_SAMPLES, ids=repr)
@pytest.mark.parametrize("name", OF_ONE)
def test_no_sample_is_refused(name, values):
    with pytest.raises(InvalidRequest) as refusal:
        OF_ONE[name](values)
    assert refusal.value.param == "values"


@pytest.mark.parametrize("values", NO_SAMPLES, ids=repr)
@pytest.mark.parametrize("name", OF_TWO)
def test_the_group_at_fault_is_named(name, values):
    good = [1.0, 2.0, 3.0]
    for arguments, param in (((values, good), "before"), ((good, values), "after")):
        with pytest.raises(InvalidRequest) as refusal:
            OF_TWO[name](*arguments)
        assert refusal.value.param == param


def test_the_value_at_fault_is_named():
    with pytest.raises(InvalidRequest, match=r"values\[2\] is nan"):
        stats.median([1.0, 2.0, math.nan])


@pytest.mark.parametrize("call", [stats.first_alarm, stats.judge])
def test_ratios_need_values_above_zero(call):
    with pytest.raises(InvalidRequest, match=r"values\[1\] is 0\.0: a ratio needs"):
        call([1.0, 0.0], POLICY)
    with pytest.raises(InvalidRequest, match=r"after\[0\] is -1\.0"):
        stats.relative_shift([1.0], [-1.0])


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (lambda: stats.quantile([1.0], 1.1), "share"),
        (lambda: stats.smallest_n(1.0), "share"),
        (lambda: stats.bootstrap_interval([1.0], level=1.0), "level"),
        (lambda: stats.bootstrap_interval([1.0], num_resamples=10), "num_resamples"),
        (lambda: stats.hodges_lehmann([1.0], [1.0], level=0.0), "level"),
        (lambda: stats.relative_shift([1.0], [1.0], level=math.nan), "level"),
        (lambda: stats.prediction_interval([1.0], level=95), "level"),
        (lambda: stats.wilson_interval(0, 0), "n"),
        (lambda: stats.wilson_interval(3, 2), "successes"),
        (lambda: stats.wilson_interval(-1, 2), "successes"),
        (lambda: stats.holm([0.5, 1.5]), "p_values"),
        (lambda: stats.holm([0.5, math.nan]), "p_values"),
        (lambda: stats.change_points([1.0], significance=0.0), "significance"),
        (lambda: stats.change_points([1.0], min_size=1), "min_size"),
        (lambda: stats.change_points([1.0], num_permutations=10), "num_permutations"),
        (lambda: stats.change_points([1.0], block=0), "block"),
        (lambda: stats.best_split([1.0], min_size=0), "min_size"),
        (lambda: stats.AlarmPolicy(num_series=0), "num_series"),
        (lambda: stats.AlarmPolicy(num_series=1, num_runs=0), "num_runs"),
        (lambda: stats.AlarmPolicy(num_series=1, rules=()), "rules"),
        (lambda: stats.AlarmPolicy(num_series=1, family_alpha=1.5), "family_alpha"),
        (lambda: stats.AlarmPolicy(num_series=1, min_shift=-0.1), "min_shift"),
        (lambda: stats.AlarmPolicy(num_series=1, min_change=math.inf), "min_change"),
        (lambda: stats.AlarmPolicy(num_series=1, min_baseline=2), "min_baseline"),
        (lambda: stats.Rule(k=3, w=2), "rules"),
    ],
)
def test_an_argument_outside_its_range_is_named(call, param):
    with pytest.raises(InvalidRequest) as refusal:
        call()
    assert refusal.value.param == param


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": -0.1},
        {"noise": math.nan},
        {"num_before": 0},
        {"num_after": 0},
        {"alpha": 0.0},
        {"power": 1.0},
        {"level": 2.0},
        {"tolerance": -1.0},
    ],
    ids=repr,
)
def test_power_refuses_by_name(wrong):
    arguments = {"noise": 0.01, "num_before": 5, "num_after": 5, **wrong}
    with pytest.raises(InvalidRequest) as refusal:
        stats.minimum_detectable_effect(**arguments)
    assert refusal.value.param in wrong


def test_lists_tuples_and_arrays_of_any_real_type_are_samples():
    for values in ([3, 1, 2], (3.0, 1.0, 2.0), np.array([3, 1, 2]), np.float32([3, 1, 2])):
        assert stats.median(values) == 2.0


def test_the_arguments_are_left_as_they_were():
    values = np.array([3.0, 1.0, 2.0] * 20)
    kept = values.copy()
    for call in OF_ONE.values():
        if call is not OF_ONE["installation_alarms"]:
            call(values)
    for call in OF_TWO.values():
        call(values, values)
    assert np.array_equal(values, kept)


def test_nothing_turns_on_the_global_generator():
    values = np.random.default_rng(1).lognormal(0.0, 0.1, 40)
    answers = []
    for seed in (0, 1):
        np.random.seed(seed)
        state = np.random.get_state()[1].copy()
        answers.append((stats.summarize(values), stats.change_points(values, significance=0.5)))
        assert np.array_equal(state, np.random.get_state()[1])
    assert answers[0] == answers[1]


def test_it_needs_neither_scipy_nor_torch():
    import subprocess
    import sys

    code = (
        "import sys, ourvidz.perf.stats as s; s.summarize([1.0, 2.0, 3.0]);"
        "bad = {'scipy', 'torch', 'ruptures', 'pandas'} & set(sys.modules); sys.exit(bool(bad))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
