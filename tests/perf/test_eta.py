import pytest

from ourvidz.core.phase import Phase
from ourvidz.perf.eta import remaining
from ourvidz.perf.prediction import Prediction


def expected(**phases_s):
    phases = {"encode": 0.1, "denoise": 20.0, "decode": 2.0, "save": 0.5} | phases_s
    return Prediction(
        total_s=sum(phases.values()),
        low_s=0.0,
        high_s=99.0,
        phases_s=phases,
        sds=dict.fromkeys(phases, 0.1),
        width=1.6,
        n=10,
        basis="history",
    )


def test_nothing_is_claimed_before_the_first_unit():
    assert (
        remaining(phase=Phase.DENOISE, unit_times_s=[], num_units=25, expected=expected()) is None
    )
    assert (
        remaining(phase=Phase.ENHANCE_RUN, unit_times_s=[0.1], num_units=None, expected=None)
        is None
    )


def test_steps_left_and_the_phases_to_come():
    # Three steps of 1 s, and 2 s expected of one: (3 * 1 + 2) / 4 each.
    found = remaining(
        phase=Phase.DENOISE, unit_times_s=[9.0, 1.0, 1.0], num_units=10, expected=expected()
    )
    assert found.seconds == pytest.approx(7 * 1.25 + 2.5)
    assert found.low_s < found.seconds < found.high_s


def test_the_interval_closes_as_the_job_shows_its_own_pace():
    def width(done):
        found = remaining(
            phase=Phase.DENOISE, unit_times_s=[2.0] * done, num_units=10, expected=expected()
        )
        return found.high_s - found.low_s

    assert width(1) > width(5) > width(9) > 0


def test_the_last_unit_of_the_last_phase_leaves_what_follows():
    found = remaining(
        phase=Phase.DECODE, unit_times_s=[0.5], num_units=1, expected=expected(save=0.0)
    )
    assert (found.seconds, found.low_s, found.high_s) == (0.0, 0.0, 0.0)


def test_without_history_it_is_a_lower_bound_without_an_interval():
    found = remaining(phase=Phase.DECODE, unit_times_s=[0.5], num_units=3, expected=None)
    assert (found.seconds, found.low_s, found.high_s) == (1.0, None, None)
