"""Performance records in both stores: who leaves one, and how they are read."""

from datetime import UTC, datetime

import pytest

from ourvidz.core.errors import Crashed
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.model import Source
from ourvidz.perf.records import StoreRecords
from tests.jobs.factory import make_asset, make_enhance_job, make_job, make_request

LEASE_S = 20.0
ERROR = {"code": "out_of_memory", "message": "It was too large.", "param": None, "hint": None}


def claimed(store, new=None):
    job = new or make_job()
    store.submit((job,))
    return store.claim("w1", lease_s=LEASE_S, overdue_s=900.0)


def finished(store, new=None, **body):
    job = claimed(store, new)
    assert store.finish(
        job.id, job.token, result={}, assets=[make_asset(job.token)], record={"n": 1, **body}
    )
    return job


def test_records_come_oldest_first_with_whose_and_when(store, clock):
    jobs = []
    for index in range(3):
        clock.advance(1.0)
        jobs.append(finished(store, n=index))
    found = store.perf_records()
    assert [one.job_id for one in found] == [job.id for job in jobs]
    assert [one.body for one in found] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [one.at for one in found] == pytest.approx(
        [store.now() - 2, store.now() - 1, store.now()]
    )
    assert {one.job_type for one in found} == {"sdxl_image_fast"}
    assert {one.workload for one in found} == {jobs[0].request.workload}
    assert [one.id for one in found] == sorted(one.id for one in found)


def test_records_are_chosen_by_type_time_place_and_number(store, clock):
    for index in range(3):
        clock.advance(1.0)
        finished(store, n=index)
        since = store.now()
    finished(store, make_job(request=make_request(job_type="video_fast")), n=3)

    def numbers(**options):
        return [one.body["n"] for one in store.perf_records(**options)]

    assert numbers(job_type="video_fast") == [3]
    assert numbers(job_type="other") == []
    assert numbers(since=since) == [2, 3]
    assert numbers(limit=2) == [0, 1]
    assert numbers(limit=2, newest=True) == [2, 3]
    first, second, *_ = store.perf_records()
    assert numbers(after=first.id, limit=1) == [1]
    assert numbers(after=second.id, since=since, job_type="sdxl_image_fast") == [2]


def test_a_job_that_fails_for_good_leaves_a_record(store):
    job = claimed(store)
    record = {"is_success": False, "failure": "out_of_memory"}
    assert store.fail(job.id, job.token, error=ERROR, retry_in_s=None, record=record)
    (found,) = store.perf_records()
    assert (found.job_id, found.body) == (job.id, record)


def test_a_job_that_is_tried_again_leaves_one_record_in_the_end(store):
    new = make_job(max_errors=2)
    job = claimed(store, new)
    record = {"is_success": False, "failure": "out_of_memory"}
    assert store.fail(job.id, job.token, error=ERROR, retry_in_s=0.0, record=record)
    assert store.perf_records() == ()
    again = store.claim("w1", lease_s=LEASE_S, overdue_s=900.0)
    assert again.id == job.id
    assert store.fail(job.id, again.token, error=ERROR, retry_in_s=0.0, record=record)
    assert len(store.perf_records()) == 1


def test_who_lost_the_job_leaves_none(store, clock):
    job = claimed(store)
    clock.advance(LEASE_S + 1)
    store.reap(max_crashes=3)
    assert not store.fail(job.id, job.token, error=ERROR, retry_in_s=None, record={"n": 1})
    assert store.perf_records() == ()


def test_a_cancelled_job_leaves_none(store):
    job = claimed(store)
    store.cancel(job.id)
    assert store.fail(job.id, job.token, error=ERROR, retry_in_s=None, record={"n": 1})
    assert store.perf_records() == ()


@pytest.mark.parametrize("source", [Source.API, Source.CLI])
def test_a_crashed_job_leaves_what_the_store_knows(store, clock, source):
    job = claimed(store, make_job(source=source))
    clock.advance(LEASE_S + 1)
    store.reap(max_crashes=1)
    (record,) = StoreRecords(store).records()
    assert (record.id, record.is_success, record.failure) == (job.id, False, Crashed.code)
    assert record.workload == workload_facts(job.request)
    assert (record.source, record.total_s) == (source.value, None)
    assert job.request.prompt not in str(store.perf_records())


def test_an_enhancement_that_crashes_leaves_none(store, clock):
    claimed(store, make_enhance_job())
    clock.advance(LEASE_S + 1)
    store.reap(max_crashes=1)
    assert store.perf_records() == ()


def test_a_record_outlives_its_job(store):
    job = finished(store)
    store.delete_job(job.id)
    assert [one.job_id for one in store.perf_records()] == [job.id]


def test_the_reader_gives_records_of_either_store(store, clock):
    clock.advance(1.0)
    finished(store, total_s=2.0, phases_s={"denoise": 1.5}, origin="protocol")
    since = datetime.fromtimestamp(store.now(), UTC)
    clock.advance(1.0)
    finished(store, total_s=3.0, state="resident")
    reader = StoreRecords(store)
    assert [record.total_s for record in reader.records()] == [2.0, 3.0]
    assert [record.total_s for record in reader.records(limit=1)] == [3.0]
    first = next(iter(reader.records(since=since, job_type="sdxl_image_fast")))
    assert first.phases_s == {"denoise": 1.5}
    assert first.at == since


def test_an_environment_is_kept_once_and_comes_back_with_every_record(store):
    here, there = {"machine": {"gpu": "one"}}, {"machine": {"gpu": "two"}}
    for environment in (here, here, there):
        finished(store, environment=environment)
    finished(store)
    found = [one.body.get("environment") for one in store.perf_records()]
    assert found == [here, here, there, None]
    assert [body.get("environment") for body in store.records()] == [None, there, here, here]
