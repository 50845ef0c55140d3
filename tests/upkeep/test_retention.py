"""Retention over a real store and real files."""

from __future__ import annotations

import pytest

from ourvidz.catalog.config import Settings
from ourvidz.core.errors import NotFound, StorageFailed
from ourvidz.jobs.open import open_store
from ourvidz.upkeep import retention
from ourvidz.upkeep.retention import Expired, expire
from tests.clocks import ManualClock
from tests.storage.service import BUCKET, Service

DAY_S = 86_400.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def service(tmp_path, clock):
    service = Service(Settings(data_dir=tmp_path / "data"), tmp_path)
    service.store.close()
    service.store = open_store(service.settings, clock=clock)
    yield service
    service.store.close()


def _expire(service, *, keep_days=None, keep_bytes=None) -> Expired:
    return expire(service.store, service.storage, keep_days=keep_days, keep_bytes=keep_bytes)


def test_without_limits_nothing_is_deleted(service, clock):
    asset = service.published()
    clock.advance(10_000 * DAY_S)
    assert _expire(service) == Expired(assets=0, num_bytes=0)
    assert service.kept() == {asset.key, asset.thumbnail_key}


def test_what_is_too_old_goes_with_its_thumbnail_and_legacy_copy(service, clock):
    old = service.published(published_key="user-1/video-1.png")
    service.storage.copy(BUCKET, old.key, "user-1/video-1.png")
    clock.advance(2 * DAY_S)
    young = service.published()
    clock.advance(0.5 * DAY_S)
    assert _expire(service, keep_days=2) == Expired(assets=1, num_bytes=6)
    assert service.kept() == {young.key, young.thumbnail_key}
    with pytest.raises(NotFound):
        service.store.asset(old.id)
    assert service.store.asset(young.id).key == young.key
    assert _expire(service, keep_days=2) == Expired(assets=0, num_bytes=0)


def test_beyond_a_total_the_oldest_go(service, clock):
    assets = []
    for _ in range(4):
        assets.append(service.published())
        clock.advance(60.0)
    assert _expire(service, keep_bytes=13) == Expired(assets=2, num_bytes=12)
    assert service.kept() == {key for a in assets[2:] for key in (a.key, a.thumbnail_key)}


def test_more_than_one_batch_goes_in_one_call(service, clock, monkeypatch):
    monkeypatch.setattr(retention, "_BATCH", 3)
    for _ in range(7):
        service.published()
    clock.advance(2 * DAY_S)
    assert _expire(service, keep_days=1) == Expired(assets=7, num_bytes=42)
    assert service.kept() == set()


def test_a_crash_between_deleting_and_saying_so_is_mended(service, clock):
    asset = service.published(published_key="user-1/video-1.png")
    # As a process that died after the storage's part: the copy was never even made.
    service.storage.delete(asset.bucket, asset.key)
    clock.advance(2 * DAY_S)
    assert _expire(service, keep_days=1) == Expired(assets=1, num_bytes=6)
    assert service.kept() == set()
    with pytest.raises(NotFound):
        service.store.asset(asset.id)


def test_a_file_that_cannot_be_deleted_keeps_no_other(service, clock, tmp_path):
    stuck, other = service.published(), service.published()
    # A folder where the file should be, which no unlink removes.
    path = tmp_path / "data/assets" / BUCKET / stuck.key
    path.unlink()
    path.mkdir()
    clock.advance(2 * DAY_S)
    with pytest.raises(StorageFailed):
        _expire(service, keep_days=1)
    assert service.store.asset(stuck.id).deleted_at is None
    with pytest.raises(NotFound):
        service.store.asset(other.id)
    path.rmdir()
    assert _expire(service, keep_days=1) == Expired(assets=1, num_bytes=6)
