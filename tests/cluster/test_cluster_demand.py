"""What waits, by pool."""

import contextlib

import pytest

from ourvidz.catalog.config import Settings
from ourvidz.cluster.demand import waiting
from ourvidz.cluster.shape import Pool
from ourvidz.jobs.open import open_store
from tests.jobs.factory import make_enhance_job, make_job, make_request

VIDEO = Pool(name="video", models=("video-model",))
IMAGE = Pool(name="image", models=("image-model",))
ENHANCER = Pool(name="enhancer", models=("enhancer-model",))
ANY = Pool(name="any")


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(open_store(Settings(data_dir=tmp_path))) as made:
        made.migrate()
        yield made


def submit(store, *, videos=0, images=0, enhancements=0, **fields):
    video = make_request(job_type="video_fast")
    jobs = [
        *(make_job(request=video, predicted_s=4.0, **fields) for _ in range(videos)),
        *(make_job(predicted_s=1.0, **fields) for _ in range(images)),
        *(make_enhance_job(predicted_s=0.5, **fields) for _ in range(enhancements)),
    ]
    store.submit(jobs)


def seconds(store, *pools):
    return dict(waiting(store.queued_work(), pools).seconds)


def test_a_pool_is_asked_for_what_it_may_claim(store):
    submit(store, videos=4, images=2)
    assert seconds(store, VIDEO, IMAGE) == {"video": 16.0, "image": 2.0}


def test_what_several_may_claim_is_shared(store):
    submit(store, videos=4, images=2)
    assert seconds(store, VIDEO, IMAGE, ANY) == {"video": 8.0, "image": 1.0, "any": 9.0}


def test_who_stands_behind_a_long_queue_of_others_is_counted(store):
    submit(store, videos=500)
    submit(store, images=400)
    assert seconds(store, VIDEO, IMAGE) == {"video": 2000.0, "image": 400.0}


def test_paused_and_delayed_jobs_ask_for_nothing(store):
    submit(store, videos=1, images=1)
    store.pause("video_fast")
    submit(store, images=1, delay_s=3600.0)
    assert seconds(store, VIDEO, IMAGE) == {"image": 1.0}


def test_an_enhancement_asks_for_who_has_the_enhancer(store):
    submit(store, enhancements=4)
    assert seconds(store, IMAGE, ENHANCER) == {"enhancer": 2.0}


def test_what_no_pool_may_claim_asks_nobody_and_is_told(store):
    submit(store, videos=4, enhancements=3, images=1)
    found = waiting(store.queued_work(), [IMAGE])
    assert dict(found.seconds) == {"image": 1.0}
    assert found.unclaimed == {"generate:video-model": 4, "enhance:enhancer-model": 3}
