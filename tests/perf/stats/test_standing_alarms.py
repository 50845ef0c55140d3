"""An alarm stands while the series is slow and ends when newer runs are back at their level."""

import numpy as np
import pytest

from ourvidz.perf.stats import AlarmPolicy, Direction, first_alarm, standing_alarm

POLICY = AlarmPolicy(num_series=260, num_runs=400)


def levels(*stretches, seed=0, noise=0.01, outliers=0.0):
    """Runs of several levels one after the other: ``(runs, level)`` each."""
    rng = np.random.default_rng(seed)
    level = np.repeat([of for _, of in stretches], [runs for runs, _ in stretches])
    values = level * np.exp(noise * rng.standard_normal(level.size))
    return values * np.where(rng.random(level.size) < outliers, 1.5, 1.0)


def of_kind(alarm):
    return None if alarm is None else alarm.direction


@pytest.mark.parametrize("level", [1.3, 1.05, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_it_ends_with_runs_at_the_earlier_level(level, seed):
    disturbed = levels((60, 1.0), (20, level), (100, 1.0), seed=seed)
    alarm = first_alarm(disturbed, POLICY)
    assert standing_alarm(disturbed[:80], POLICY) == alarm
    assert standing_alarm(disturbed[:84], POLICY) == alarm  # four runs say too little
    assert standing_alarm(disturbed[:100], POLICY) is None
    assert standing_alarm(disturbed, POLICY) is None


@pytest.mark.parametrize(
    ("level", "noise", "outliers"), [(1.05, 0.01, 0.0), (1.1, 0.01, 0.05), (1.5, 0.08, 0.0)]
)
@pytest.mark.parametrize("seed", range(3))
def test_no_number_of_slow_runs_ends_it(level, noise, outliers, seed):
    slow = levels((60, 1.0), (300, level), seed=seed, noise=noise, outliers=outliers)
    alarm = first_alarm(slow, POLICY)
    for end in range(alarm.run + 1, 361, 25):
        assert standing_alarm(slow[:end], POLICY) == alarm


def test_half_the_way_back_is_not_back():
    values = levels((60, 1.0), (20, 1.3), (100, 1.1))
    assert standing_alarm(values, POLICY) == first_alarm(values, POLICY)


def test_good_runs_between_slow_ones_end_nothing():
    values = levels((60, 1.0), (20, 1.3), *[(3, 1.0), (3, 1.3)] * 10)
    assert standing_alarm(values, POLICY) is not None


def test_slow_again_is_an_alarm_again_after_as_many_runs():
    values = levels((60, 1.0), (40, 1.3), (20, 1.0), (12, 1.3))
    assert standing_alarm(values[:120], POLICY) is None
    again = standing_alarm(values, POLICY)
    assert again.direction is Direction.SLOWER
    assert 117 <= again.since <= 120
    assert 127 <= again.run <= 131


def test_beyond_the_earlier_level_is_an_alarm_of_the_other_direction():
    values = levels((60, 1.0), (20, 1.3), (30, 0.8))
    assert of_kind(standing_alarm(values, POLICY)) is Direction.FASTER


def test_runs_of_another_series_end_it_and_raise_none():
    slow = levels((60, 1.0), (20, 1.3))
    alarm = standing_alarm(slow, POLICY)
    assert standing_alarm(slow, POLICY, later=[1.0] * 7) == alarm
    assert standing_alarm(slow, POLICY, later=[1.3] * 50) == alarm
    assert standing_alarm(slow, POLICY, later=[1.0] * 12) is None
    assert standing_alarm(slow[:60], POLICY, later=[1.3] * 50) is None


def test_of_a_known_change_nothing_is_said_but_of_the_next_one():
    def is_known(alarm):
        return 55 <= alarm.since <= 62

    values = levels((60, 1.0), (50, 1.1), (12, 1.5))
    assert standing_alarm(values[:110], POLICY) is not None
    assert standing_alarm(values[:110], POLICY, is_known=is_known) is None
    found = standing_alarm(values, POLICY, is_known=is_known)
    assert 107 <= found.since <= 110
    assert found.shift.estimate == pytest.approx(1.5 / 1.1 - 1, abs=0.03)
    back = levels((60, 1.0), (50, 1.1), (20, 1.0), (12, 1.1))
    assert standing_alarm(back[:130], POLICY, is_known=is_known) is None
    assert standing_alarm(back, POLICY, is_known=is_known).since >= 127
