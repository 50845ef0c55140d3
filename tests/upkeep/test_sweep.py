"""The sweeper, over a real store and real files: orphans go, nothing else does."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from ourvidz.catalog.config import Settings, StorageConfig
from ourvidz.core.errors import StorageFailed, StoreUnavailable
from ourvidz.core.ids import new_job_id
from ourvidz.jobs.open import open_store
from ourvidz.upkeep.sweep import Swept, sweep_orphans
from tests.storage.servers import Fault, FaultyProxy, MotoS3
from tests.storage.service import BUCKET, LATER, Service


def _s3(endpoint: str) -> StorageConfig:
    return StorageConfig(
        kind="s3",
        endpoint=endpoint,
        access_key_id="AKIDEXAMPLE",
        secret_access_key=SecretStr("secret"),
        bucket_prefix=f"t{time.time_ns()}-",
    )


@pytest.fixture(scope="module")
def moto():
    with MotoS3() as server:
        yield server


@pytest.fixture(params=["local", "s3"])
def service(request, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    is_s3 = request.param == "s3"
    storage = _s3(request.getfixturevalue("moto").url) if is_s3 else StorageConfig()
    service = Service(Settings(data_dir=tmp_path / "data", storage=storage), tmp_path)
    yield service
    service.store.close()


def test_what_is_published_stays_with_its_thumbnail(service):
    asset = service.published()
    assert service.sweep() == Swept(objects=0, num_bytes=0)
    assert service.kept() == {asset.key, asset.thumbnail_key}


def test_what_a_published_attempt_left_beside_its_files_goes(service):
    asset = service.published()
    job_id = asset.key.split("/")[0]
    extra = service.write_attempt(job_id, 1, "preview.png")
    assert service.sweep() == Swept(objects=1, num_bytes=6)
    assert extra not in service.kept()
    assert service.kept() == {asset.key, asset.thumbnail_key}


def test_a_zombies_files_go_while_the_job_runs_on(service):
    service.submit()
    job_id, token = service.claim()
    zombie = service.write_attempt(job_id, token)
    assert service.sweep().objects == 0  # it may still finish
    assert service.store.release(job_id, token, reason="test")
    assert service.sweep().objects == 0  # queued, not yet claimed by another
    _, newer = service.claim()
    current = service.write_attempt(job_id, newer)
    assert service.sweep() == Swept(objects=1, num_bytes=6)
    assert service.kept() == {current}
    assert zombie != current


def test_files_of_failed_cancelled_and_forgotten_jobs_go(service):
    for end in ("fail", "cancel", "delete"):
        service.submit()
        job_id, token = service.claim()
        service.write_attempt(job_id, token)
        if end == "cancel":
            service.store.cancel(job_id)
            assert service.store.confirm_cancel(job_id, token)
        else:
            assert service.store.fail(job_id, token, error={"code": "x"}, retry_in_s=None)
        if end == "delete":
            service.store.delete_job(job_id)
    assert service.sweep() == Swept(objects=3, num_bytes=18)
    assert service.kept() == set()


def test_what_is_young_stays(service):
    service.write_attempt(new_job_id(datetime.now(UTC)), 1)
    modified_at = next(service.storage.list_objects(BUCKET)).modified_at
    assert service.sweep(now=modified_at + 3600.0).objects == 0
    assert service.sweep(now=modified_at + 3600.1).objects == 1


def test_nothing_but_attempts_is_ever_touched(service):
    job_id = new_job_id(datetime.now(UTC))
    kept = {
        service.write(key)
        for key in (
            "5f2b0a8e-user/3c1d-video.mp4",
            "user/1/video.mp4",
            f"{job_id}.png",
            f"{job_id}/video.mp4",
            f"{job_id}/one/video.mp4",
            f"{job_id}/-1/video.mp4",
            f"{job_id[:-1]}/1/video.mp4",
            f"{job_id}0/1/video.mp4",
            f"user/{job_id}/1/video.mp4",
            "job_short/1/video.mp4",
        )
    }
    assert service.sweep().objects == 0
    assert service.kept() == kept


def test_sweeping_again_finds_nothing(service):
    service.write_attempt(new_job_id(datetime.now(UTC)), 1)
    assert service.sweep().objects == 1
    assert service.sweep() == Swept(objects=0, num_bytes=0)


def test_one_bad_bucket_does_not_keep_the_others_from_being_swept(moto, tmp_path):
    with FaultyProxy(moto) as proxy:
        service = Service(Settings(data_dir=tmp_path, storage=_s3(proxy.url)), tmp_path)
        job_id = new_job_id(datetime.now(UTC))
        orphan = service.write_attempt(job_id, 1)
        service.storage.put_file(
            "image_high", orphan, tmp_path / "image.png", media_type="image/png"
        )
        proxy.fail(Fault(how="answer", method="GET", path="image-fast?list", status=403))
        with pytest.raises(StorageFailed):
            service.sweep()
        assert list(service.storage.list_objects("image_high")) == []
        assert service.kept() == {orphan}
        assert service.sweep() == Swept(objects=1, num_bytes=6)
        service.store.close()


def test_without_the_job_store_nothing_is_removed(tmp_path):
    service = Service(Settings(data_dir=tmp_path / "data"), tmp_path)
    key = service.write_attempt(new_job_id(datetime.now(UTC)), 1)
    service.store.close()
    for leftover in (tmp_path / "data").glob("ourvidz.db*"):
        leftover.unlink()
    (tmp_path / "data" / "ourvidz.db").write_bytes(b"not a database" * 1000)
    broken = open_store(service.settings)
    with pytest.raises(StoreUnavailable):
        sweep_orphans(broken, service.storage, older_than_s=3600.0, now=LATER)
    assert service.kept() == {key}
