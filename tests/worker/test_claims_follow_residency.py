"""Two workers of one fleet: who has a job's model loaded takes it, if he is idle."""

import pytest

from ourvidz.core.job import JobState
from ourvidz.jobs.model import WorkerInfo
from ourvidz.worker.testing import TestRunner
from tests.worker.test_service import Place

OTHER = "other-worker"


@pytest.fixture
def place(tmp_path):
    # Polls are slow against a look at what changed, so that patience shows.
    made = Place(tmp_path / "data", poll_s=0.4)
    yield made
    made.store.close()


def put_other(place, *, state, resident):
    place.store.put_worker(
        WorkerInfo(
            id=OTHER,
            host="h",
            pid=1,
            device="test",
            state=state,
            started_at=0.0,
            seen_at=0.0,
            models=(),
            resident=resident,
            jobs=(),
            facts={},
        )
    )


def model_of(place, job_type):
    (job_id,) = place.submit("steps=1", job_type=job_type)
    model = place.store.get(job_id).request.model
    place.store.cancel(job_id)
    return model


def wait_seen(place, worker, models):
    place.wait(lambda: worker._foresight is not None and worker._foresight._peers)
    place.wait(lambda: worker._foresight.idle_elsewhere == models)


@pytest.mark.slow
def test_a_job_goes_to_the_idle_worker_that_has_its_model(place):
    warm, cold = TestRunner(), TestRunner()
    model = model_of(place, "video_fast")
    warm.load(model)
    with place.working(warm) as holder, place.working(cold) as other:
        wait_seen(place, other, {model})
        for _ in range(6):
            (job_id,) = place.submit("steps=1", job_type="video_fast")
            (job,) = place.done([job_id])
            assert job.worker_id == holder.worker_id
        assert cold.resident() == {}


def test_what_nobody_idle_has_is_taken_at_once(place):
    model = model_of(place, "video_fast")
    put_other(place, state="busy", resident={model: 1})
    with place.working(TestRunner()) as worker:
        place.wait(lambda: worker._foresight is not None and worker._foresight._peers)
        assert worker._foresight.idle_elsewhere == frozenset()
        (job,) = place.done(place.submit("steps=1", job_type="video_fast"))
        assert job.started_at - job.run_at < 0.7 * 0.4  # less than its patience


def test_a_job_is_not_left_for_long_to_a_worker_that_does_not_come(place):
    model = model_of(place, "video_fast")
    put_other(place, state="idle", resident={model: 1})  # and it never claims anything
    with place.working(TestRunner()) as worker:
        wait_seen(place, worker, {model})
        # A job of another model of a lower band is not kept waiting by the one that is left.
        left = place.submit("steps=1", job_type="video_fast")
        free = place.submit("steps=1", job_type="sdxl_image_fast")
        jobs = place.done([*left, *free])
        assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 2
        assert jobs[0].started_at > jobs[1].started_at
        # Now it has the model itself, and leaves nothing to anybody.
        place.wait(lambda: model in worker._runner.resident())
        (again,) = place.done(place.submit("steps=1", job_type="video_fast"))
        assert again.started_at - again.run_at < 0.7 * 0.4
