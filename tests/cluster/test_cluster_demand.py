"""What waits, by pool."""

import contextlib

import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.cluster.demand import queued_seconds, shares
from ourvidz.cluster.shape import Pool
from ourvidz.core.job import JobState
from ourvidz.jobs.model import JobFilter
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy

VIDEO = Pool(name="video", models=("pocket-video",))
IMAGE = Pool(name="image", models=("pocket-image",))
ANY = Pool(name="any")


@pytest.fixture
def store(tmp_path):
    settings = Settings(data_dir=tmp_path)
    with contextlib.closing(open_store(settings)) as made:
        made.migrate()
        submitter = Submitter(
            store=made,
            catalogue=catalogue_of(settings),
            settings=settings,
            policy=build_policy(settings.policy),
        )
        submitter.submit([Draft(prompt="a red circle", job_type="video_fast")] * 4)
        submitter.submit([Draft(prompt="a red circle", job_type="sdxl_image_fast")] * 2)
        yield made


def seconds_of(store, model):
    jobs = store.list_jobs(JobFilter(states=(JobState.QUEUED,)))
    return sum(job.predicted_s for job in jobs if job.request.model == model)


def test_a_pool_is_asked_for_what_it_may_claim(store):
    found = queued_seconds(store, [VIDEO, IMAGE])
    assert found["video"] == pytest.approx(seconds_of(store, "pocket-video"))
    assert found["image"] == pytest.approx(seconds_of(store, "pocket-image"))


def test_what_several_may_claim_is_shared(store):
    found = queued_seconds(store, [VIDEO, IMAGE, ANY])
    video_s, image_s = seconds_of(store, "pocket-video"), seconds_of(store, "pocket-image")
    assert found["video"] == pytest.approx(video_s / 2)
    assert found["any"] == pytest.approx((video_s + image_s) / 2)


def test_paused_jobs_ask_for_nothing(store):
    store.pause("video_fast")
    assert set(queued_seconds(store, [VIDEO, IMAGE])) == {"image"}


def test_what_no_pool_may_claim_asks_nobody(store):
    jobs = store.list_jobs(JobFilter(states=(JobState.QUEUED,)))
    assert set(shares(jobs, [IMAGE])) == {"image"}
