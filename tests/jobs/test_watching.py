"""Seeing others' writes without asking a query."""

import pytest

from ourvidz.jobs.open import open_store
from ourvidz.jobs.watching import ChangeWatch
from tests.jobs.factory import make_job


@pytest.fixture
def other(store_settings, store, clock):
    opened = open_store(store_settings, clock=clock)
    yield opened
    opened.close()


def test_a_write_of_anybody_is_a_change_and_a_read_is_none(store, other):
    watch = ChangeWatch(store)
    is_sqlite = store.version() is not None
    assert watch.can_tell is is_sqlite
    assert not watch.has_changed()
    store.counts()
    other.counts()
    store.claim("w", lease_s=20.0, overdue_s=60.0)  # nothing waits
    assert not watch.has_changed()
    for writer in (store, other):
        writer.submit([make_job()])
        assert watch.has_changed() is is_sqlite
        assert not watch.has_changed()


def test_only_sqlite_can_tell(store, store_settings):
    assert (store.version() is None) is (store_settings.database_url is not None)


def test_a_store_that_is_away_has_not_changed(store):
    watch = ChangeWatch(store)
    store.submit([make_job()])
    store.close()
    assert not watch.has_changed()
    assert not ChangeWatch(store).can_tell
