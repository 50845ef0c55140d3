"""What could be claimed, by lane, in both stores."""

import pytest

from ourvidz.jobs.model import QueuedWork
from tests.jobs.factory import make_enhance_job, make_job, make_request

IMAGES = "generate:image-model"
VIDEOS = "generate:video-model"
ENHANCEMENTS = "enhance:enhancer-model"


def submit(store, *jobs):
    return store.submit(jobs).jobs


def by_lane(store):
    return {each.lane: (each.num_jobs, each.predicted_s) for each in store.queued_work()}


def test_an_empty_queue_has_none(store):
    assert store.queued_work() == ()


def test_jobs_count_in_the_lane_that_they_wait_in(store):
    submit(store, make_enhance_job(predicted_s=1.0), make_job(predicted_s=2.0))
    assert store.queued_work() == (
        QueuedWork(lane=ENHANCEMENTS, num_jobs=1, predicted_s=1.0),
        QueuedWork(lane=IMAGES, num_jobs=1, predicted_s=2.0),
    )
    assert [each.model for each in store.queued_work()] == ["enhancer-model", "image-model"]


def test_all_of_a_long_queue_counts(store):
    video = make_request(job_type="video_fast")
    submit(store, *(make_job(request=video, predicted_s=2.0) for _ in range(510)))
    submit(store, *(make_job(predicted_s=0.5) for _ in range(90)))
    found = by_lane(store)
    assert found[VIDEOS] == (510, pytest.approx(1020.0))
    assert found[IMAGES] == (90, pytest.approx(45.0))


def test_paused_running_and_delayed_jobs_are_left_out_until_their_time(store, clock):
    video = make_request(job_type="video_fast")
    submit(store, make_job(request=video, predicted_s=3.0))
    store.pause("video_fast")
    submit(store, make_job(predicted_s=1.0), make_job(predicted_s=5.0, delay_s=60.0))
    assert by_lane(store) == {IMAGES: (1, 1.0)}
    store.claim("w", lease_s=20.0, overdue_s=900.0)
    assert by_lane(store) == {}
    clock.advance(60.0)  # and no worker is there that would look
    assert by_lane(store) == {IMAGES: (1, 5.0)}
    store.resume("video_fast")
    assert by_lane(store) == {IMAGES: (1, 5.0), VIDEOS: (1, 3.0)}
