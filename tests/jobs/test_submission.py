"""What a submit is predicted to take, and when it is too late."""

from dataclasses import dataclass

import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.jobs.model import Source
from ourvidz.jobs.submission import Draft, Submitter, p99_s
from ourvidz.policy.build import build_policy
from tests.jobs.factory import make_asset


@pytest.mark.parametrize(
    ("durations_s", "expected"),
    [
        ((), 0.0),
        ((3.0,), 3.0),
        ((9.0, 1.0, 5.0), 9.0),
        (tuple(float(i) for i in range(1, 101)), 99.0),  # of 100, the longest does not count
    ],
)
def test_the_99th_percentile_by_nearest_rank(durations_s, expected):
    assert p99_s(durations_s) == expected


def test_deadlines_follow_what_the_workload_took(store, clock, tmp_path):
    settings = Settings(
        data_dir=tmp_path / "data", queue={"deadline_floor_s": 50.0, "deadline_factor": 3.0}
    )
    submitter = Submitter(
        store=store,
        catalogue=catalogue_of(settings),
        settings=settings,
        policy=build_policy(settings.policy),
        clock=clock,
    )
    draft = Draft(prompt="a red circle", job_type="image_fast")

    def run(seconds):
        (job,) = submitter.submit([draft]).jobs
        claimed = store.claim("w", lease_s=1e4, overdue_s=1e4)
        clock.advance(seconds)
        store.finish(job.id, claimed.token, result={}, assets=[make_asset(1)], device_s=seconds)
        return job

    first = run(10.0)
    assert first.deadline_s == 50.0  # nothing is known: the floor
    run(40.0)
    third = run(20.0)
    assert third.deadline_s == 3.0 * 40.0
    assert third.predicted_s == pytest.approx(25.0)


@dataclass(frozen=True)
class Expected:
    total_s: float
    high_s: float


def submitter_that_expects(store, clock, tmp_path, expect, **queue):
    settings = Settings(data_dir=tmp_path / "data", queue={"deadline_floor_s": 50.0, **queue})
    return Submitter(
        store=store,
        catalogue=catalogue_of(settings),
        settings=settings,
        policy=build_policy(settings.policy),
        clock=clock,
        expect=expect,
    )


def test_what_is_expected_serves_where_the_workload_has_little_history(store, clock, tmp_path):
    asked = []

    def expect(request, source):
        asked.append((request.job_type, source))
        return Expected(total_s=100.0, high_s=130.0)

    submitter = submitter_that_expects(store, clock, tmp_path, expect, deadline_factor=3.0)
    draft = Draft(prompt="a red circle", job_type="image_fast")
    (job,) = submitter.submit([draft]).jobs
    assert asked == [("image_fast", Source.API)]
    assert job.predicted_s == 100.0
    assert job.deadline_s == 3.0 * 130.0
    claimed = store.claim("w", lease_s=1e4, overdue_s=1e4)
    clock.advance(20.0)
    store.finish(job.id, claimed.token, result={}, assets=[make_asset(1)], device_s=20.0)
    (second,) = submitter.submit([draft]).jobs
    assert second.predicted_s == pytest.approx(20.0)  # what it took is better known than expected
    assert second.deadline_s == 3.0 * 130.0  # one run says little of the longest


def test_enough_runs_of_a_workload_are_asked_alone(store, clock, tmp_path):
    submitter = submitter_that_expects(store, clock, tmp_path, lambda *_: None)
    draft = Draft(prompt="a red circle", job_type="image_fast")
    for _ in range(20):
        (job,) = submitter.submit([draft]).jobs
        claimed = store.claim("w", lease_s=1e4, overdue_s=1e4)
        clock.advance(30.0)
        store.finish(job.id, claimed.token, result={}, assets=[make_asset(1)], device_s=30.0)

    def expect(request, source):
        raise AssertionError("not asked")

    submitter = submitter_that_expects(store, clock, tmp_path, expect)
    (job,) = submitter.submit([draft]).jobs
    assert job.deadline_s == 4.0 * 30.0
