"""The work before a job in expected seconds, in both stores."""

import pytest

from ourvidz.core.errors import NotFound
from tests.jobs.factory import make_job, make_request


def submit(store, *seconds, **fields):
    return store.submit([make_job(predicted_s=each, **fields) for each in seconds]).jobs


def claim(store):
    return store.claim("w", lease_s=1e4, overdue_s=1e4)


def test_an_empty_queue_has_no_work(store):
    load = store.queue_load()
    assert (load.num_queued, load.queued_s, load.running_s) == (0, 0.0, 0.0)


def test_work_before_a_job_and_in_all(store):
    first, second, third = submit(store, 10.0, 20.0, 30.0)
    assert store.queue_load(first.id).queued_s == 0.0
    assert store.queue_load(third.id).queued_s == pytest.approx(30.0)
    assert store.queue_load(third.id).num_queued == 2
    assert store.queue_load().queued_s == pytest.approx(60.0)
    store.move(third.id, front=True)
    assert store.queue_load(third.id).queued_s == 0.0
    assert store.queue_load(second.id).queued_s == pytest.approx(40.0)


def test_a_running_job_needs_what_it_has_not_had(store, clock):
    submit(store, 10.0)
    claim(store)
    clock.advance(4.0)
    assert store.queue_load().running_s == pytest.approx(6.0)
    clock.advance(60.0)
    assert store.queue_load().running_s == 0.0


def test_paused_jobs_hold_nobody_up(store):
    submit(store, 10.0, request=make_request(job_type="sdxl_image_fast"))
    (last,) = submit(store, 20.0, request=make_request(job_type="video_fast"))
    store.pause("sdxl_image_fast")
    assert store.queue_load(last.id).queued_s == 0.0
    assert store.queue_load().num_queued == 1


def test_an_unknown_job_is_not_found(store):
    with pytest.raises(NotFound):
        store.queue_load("job_that_never_was")
