"""What a submit is predicted to take, and when it is too late."""

import pytest

from ourvidz.catalog.config import Settings, catalogue_of
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
