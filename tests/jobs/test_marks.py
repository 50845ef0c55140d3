"""Marked jobs, and what is read or deleted for many jobs at once, in both stores."""

import sqlite3

import pytest

from ourvidz.core.errors import IllegalState, NotFound
from ourvidz.core.opinion import Defect
from ourvidz.jobs.model import JobFilter
from ourvidz.jobs.statements import SQLITE
from tests.jobs.factory import make_job
from tests.jobs.test_ratings import finished


def marked_ids(store, **where):
    return [job.id for job in store.list_jobs(JobFilter(is_favourite=True, **where))]


def test_a_mark_is_kept_and_can_be_taken_back(store):
    first, second = store.submit([make_job(), make_job()]).jobs
    assert not first.is_favourite
    for _ in range(2):
        assert store.favourite(first.id, is_favourite=True).is_favourite
    assert store.get(first.id).is_favourite
    assert not store.get(second.id).is_favourite
    assert marked_ids(store) == [first.id]
    assert not store.favourite(first.id, is_favourite=False).is_favourite
    assert marked_ids(store) == []


def test_a_mark_is_no_event_and_survives_what_happens_to_the_job(store):
    job = store.submit([make_job(tenant="t1")]).jobs[0]
    store.favourite(job.id, is_favourite=True, tenant="t1")
    assert store.get(job.id).event_seq == job.event_seq
    assert store.cancel(job.id).is_favourite
    assert store.retry(job.id).is_favourite


def test_only_the_own_tenants_jobs_are_marked_and_listed(store):
    jobs = store.submit([make_job(tenant=tenant) for tenant in ("t1", "t2", "t1")]).jobs
    with pytest.raises(NotFound):
        store.favourite(jobs[0].id, is_favourite=True, tenant="t2")
    for job in jobs:
        store.favourite(job.id, is_favourite=True)
    assert marked_ids(store, tenant="t1") == [jobs[2].id, jobs[0].id]
    assert marked_ids(store, tenant="t2") == [jobs[1].id]


def test_favourites_are_listed_without_reading_the_other_jobs(store, store_settings):
    if store_settings.database_url is not None:
        pytest.skip("Postgres weighs its indexes by what it knows of the rows")
    where = "WHERE tenant = :tenant AND is_favourite = 1 AND id < :after ORDER BY id DESC"
    params = {"tenant": "t1", "after": "job_z", "limit": 50}
    text, flat = SQLITE.statement("list_favourites", params, where)
    with sqlite3.connect(store_settings.data_dir / "ourvidz.db") as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", flat)]
    assert plan == ["SEARCH job USING INDEX job_favourite (id<?)"]


def test_files_ratings_and_jobs_of_many_are_those_of_each(store):
    jobs = [finished(store, tenant=tenant) for tenant in ("t1", "t1", "t2")]
    ids = [job.id for job in jobs]
    store.put_rating(ids[0], rater="me", stars=4, tags=[Defect.TEXT])
    store.put_rating(ids[0], rater="you", stars=1)
    store.put_rating(ids[2], rater="me", stars=2)
    files = store.assets_of([*ids, "job_none"])
    assert {job_id: files.get(job_id, ()) for job_id in ids} == {
        job_id: store.assets(job_id) for job_id in ids
    }
    ratings = store.ratings_of(ids, rater="me")
    assert {job_id: each.stars for job_id, each in ratings.items()} == {ids[0]: 4, ids[2]: 2}
    assert ratings[ids[0]].tags == (Defect.TEXT,)
    assert set(store.jobs_of(ids, tenant="t1")) == set(ids[:2])
    assert set(store.jobs_of(ids)) == set(ids)
    assert store.assets_of([]) == store.ratings_of([], rater="me") == store.jobs_of([]) == {}


def test_many_jobs_are_deleted_and_those_that_stay_are_named(store):
    ended = [store.cancel(job.id).id for job in store.submit([make_job() for _ in range(120)]).jobs]
    queued = store.submit([make_job()]).jobs[0].id
    other = store.cancel(store.submit([make_job(tenant="t2")]).jobs[0].id).id
    tenant = store.get(queued).tenant
    kept = store.delete_jobs([*ended, queued, "job_none", other], tenant=tenant)
    assert {job_id: type(error) for job_id, error in kept.items()} == {
        queued: IllegalState,
        "job_none": NotFound,
        other: NotFound,
    }
    assert {job.id for job in store.list_jobs(JobFilter(), limit=200)} == {queued, other}


def test_a_mark_and_a_rating_are_changes_of_the_job(store, clock):
    job = finished(store)
    for act in (
        lambda: store.favourite(job.id, is_favourite=True),
        lambda: store.put_rating(job.id, rater="me", stars=3),
        lambda: store.remove_rating(job.id, rater="me"),
    ):
        clock.advance(10.0)
        before = store.now()
        clock.advance(1.0)
        act()
        found = store.changes(since=before, after=None)
        assert [each.job_id for each in found.touched] == [job.id]
