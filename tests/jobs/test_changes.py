"""What changed lately: nothing is left out, and old jobs are not read for it."""

import sqlite3

import pytest

from ourvidz.jobs.model import Beat, EventKind
from ourvidz.jobs.sqlite import SqliteDatabase
from ourvidz.jobs.statements import SQLITE
from tests.jobs.factory import make_asset, make_job

LEASE_S = 60.0


def submit(store, **values):
    return store.submit([make_job(**values)]).jobs[0].id


def claim(store):
    job = store.claim("w", lease_s=LEASE_S, overdue_s=1e9)
    assert job is not None
    return job


class Looking:
    """Which jobs another look shows that differ from the look before."""

    def __init__(self, store):
        self.store = store
        self.marks = {}
        self.new()

    def new(self):
        before = self.marks
        changes = self.store.changes(since=0.0, after=0)
        self.marks = {each.job_id: each.mark for each in changes.touched}
        return {job_id for job_id, mark in self.marks.items() if before.get(job_id) != mark}


# Each is told of by what is stored, at a clock that stands still.
def moved(store, job_id):
    store.move(job_id, front=True)


def prioritised(store, job_id):
    store.move(job_id, priority=7)


def held(store, job_id):
    store.pause("all")


def freed(store, job_id):
    store.resume("all")


def marked(store, job_id):
    store.favourite(job_id, is_favourite=True)


def cancelled(store, job_id):
    store.cancel(job_id)


@pytest.mark.parametrize("act", [moved, prioritised, held, marked, cancelled])
def test_what_people_do_to_a_waiting_job_shows(store, act):
    job_id = submit(store)
    look = Looking(store)
    assert look.new() == set()
    act(store, job_id)
    assert look.new() == {job_id}
    assert look.new() == set()


def test_what_comes_after_shows_too(store):
    job_id = submit(store)
    held(store, job_id)
    look = Looking(store)
    freed(store, job_id)
    assert look.new() == {job_id}
    cancelled(store, job_id)
    look.new()
    store.retry(job_id)
    assert look.new() == {job_id}


def test_each_step_of_a_run_shows(store):
    job_id = submit(store)
    look = Looking(store)
    job = claim(store)
    assert look.new() == {job_id}
    store.beat("w", [Beat(job_id=job_id, token=job.token)], lease_s=LEASE_S)
    assert look.new() == set()  # a sign of life says nothing new
    store.beat("w", [Beat(job_id=job_id, token=job.token, progress={"done": 1})], lease_s=LEASE_S)
    assert look.new() == {job_id}
    store.add_event(job_id, job.token, EventKind.PHASE, {"phase": "denoise"})
    assert look.new() == {job_id}
    store.set_enhancement(job_id, job.token, {"verdict": "usable"})
    assert look.new() == {job_id}
    store.cancel(job_id)
    assert look.new() == {job_id}
    store.confirm_cancel(job_id, job.token)
    assert look.new() == {job_id}


@pytest.mark.parametrize("how", ["finish", "fail", "requeue", "release", "reap"])
def test_each_end_of_an_attempt_shows(store, clock, how):
    job_id = submit(store)
    job = claim(store)
    look = Looking(store)
    error = {"code": "x", "message": "x"}
    if how == "finish":
        store.finish(job_id, job.token, result={}, assets=[])
    elif how in ("fail", "requeue"):
        store.fail(job_id, job.token, error=error, retry_in_s=None if how == "fail" else 0.0)
    elif how == "release":
        store.release(job_id, job.token, reason="drain")
    else:
        clock.advance(LEASE_S + 1)
        assert store.reap(max_crashes=3) == (job_id,)
    assert look.new() == {job_id}


def test_a_deleted_file_shows_as_a_change_of_its_job(store, clock):
    job_id = submit(store)
    job = claim(store)
    asset = make_asset()
    store.finish(job_id, job.token, result={}, assets=[asset])
    look = Looking(store)
    clock.advance(1)
    store.mark_assets_deleted([asset.id])
    assert look.new() == {job_id}


def test_a_band_that_is_numbered_anew_shows(store):
    first, second, *others = (submit(store) for _ in range(4))
    # Between two neighbours fit only so many floats.
    for _ in range(80):
        look = Looking(store)
        store.move(others[0], after=first)
        store.move(others[1], after=first)
        others.reverse()
        if second in look.new():
            return
    raise AssertionError("the band was never numbered anew")


def test_only_what_was_touched_lately_is_told(store, clock):
    old = submit(store)
    clock.advance(60)
    new = submit(store)
    changes = store.changes(since=store.now() - 10, after=None)
    assert [each.job_id for each in changes.touched] == [new]
    assert changes.now == store.now()
    store.pause("video_fast")
    assert store.changes(since=store.now(), after=None).paused == ("video_fast",)
    marked(store, old)
    assert {each.job_id for each in store.changes(since=store.now(), after=0).touched} == {old, new}


def test_deleted_jobs_are_told_and_forgotten_after_a_while(store, clock):
    ids = [submit(store, tenant="a") for _ in range(2)]
    for job_id in ids:
        store.cancel(job_id)
    assert store.changes(since=0.0, after=0).deletions == ()
    store.delete_job(ids[0])
    first = store.changes(since=0.0, after=0).deletions
    assert [(each.job_id, each.tenant) for each in first] == [(ids[0], "a")]
    clock.advance(20)
    store.delete_jobs([ids[1]])
    assert [each.job_id for each in store.changes(since=0.0, after=first[0].seq).deletions] == [
        ids[1]
    ]
    late = store.changes(since=store.now() - 10, after=None)
    assert late.before == first[0].seq
    assert [each.job_id for each in late.deletions] == [ids[1]]
    clock.advance(2 * 3600)
    store.reap(max_crashes=3)
    assert store.changes(since=0.0, after=0).deletions == ()


def test_a_look_reads_the_end_of_an_index(tmp_path):
    database = SqliteDatabase(tmp_path / "ourvidz.db")
    database.migrate()
    database.close()
    with sqlite3.connect(tmp_path / "ourvidz.db") as connection:
        text, flat = SQLITE.statement("changed_jobs", {"since": 0.0}, "")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", flat)]
    assert plan == ["SEARCH job USING INDEX job_changed (changed_at>?)"]
