from dataclasses import replace
from datetime import timedelta

import pytest

from ourvidz.perf.history import day_changes, performance_records


@pytest.fixture(scope="module")
def records(history):
    return performance_records(history, name="h")


def test_the_step_changed_between_two_days_as_a_candidate(records):
    (found,) = day_changes(records)
    assert (len(found.before), len(found.after)) == (5, 2)
    assert (found.median_before, found.median_after) == (5.31, pytest.approx(4.665))
    assert found.change == pytest.approx(-0.1275, abs=1e-4)
    assert not found.is_verdict
    assert found.interval is None
    assert found.p_value == found.smallest_p == pytest.approx(2 / 21)
    assert found.needed == 5
    assert found.unrecorded == ("software",)
    assert "too few" in found.reason
    assert "unrecorded" in found.reason


def steps(records, first, second):
    """Return copies of one record: a day with the first steps, a day with the second."""
    like = next(record for record in records if record.step_times_s)
    return [
        replace(like, id=f"{day}-{i}", at=like.at + timedelta(days=day), step_times_s=(step,))
        for day, values in enumerate((first, second))
        for i, step in enumerate(values)
    ]


def test_enough_runs_make_it_a_verdict(records):
    (found,) = day_changes(
        steps(records, [5.3, 5.29, 5.31, 5.32, 5.28], [4.6, 4.7, 4.65, 4.66, 4.68])
    )
    assert found.is_verdict
    assert found.p_value < 0.01


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([5.3, 5.31], [5.32, 5.29]),  # the same
        ([5.3, 5.31], [5.2, 5.21]),  # within the tolerance
        ([5.3, 5.31, 5.29], [4.6]),  # one run is no side
        ([5.3, 4.0], [4.5, 4.4]),  # they overlap
    ],
)
def test_what_is_no_candidate(records, first, second):
    assert day_changes(steps(records, first, second)) == ()


def test_other_sizes_and_machines_are_not_mixed(records):
    made = steps(records, [5.3, 5.31], [4.6, 4.61])
    smaller = [replace(r, workload={"width": 240, "height": 416}) for r in made[2:]]
    assert day_changes([*made[:2], *smaller]) == ()
    elsewhere = [replace(r, environment={"machine": {"gpu": "another"}}) for r in made[2:]]
    assert day_changes([*made[:2], *elsewhere]) == ()
    failed = [replace(r, is_success=False) for r in made[2:]]
    assert day_changes([*made[:2], *failed]) == ()
    assert len(day_changes(made)) == 1
