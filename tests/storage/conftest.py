from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from ourvidz.catalog.config import Settings, StorageConfig
from ourvidz.storage.open import open_storage, s3_place
from ourvidz.storage.s3 import RetryPolicy, S3Storage
from tests.storage.servers import FaultyProxy, MotoS3

SECRET_KEY = "not-to-be-seen-anywhere"
QUICK = RetryPolicy(
    max_retries=3,
    first_wait_s=0.01,
    max_wait_s=0.02,
    request_timeout_s=0.5,
    connect_timeout_s=0.5,
    give_up_after_s=20.0,
)
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def no_foreign_credentials(monkeypatch):
    """Another program's AWS settings must not matter; these point nowhere."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")


@pytest.fixture(scope="session")
def moto():
    with MotoS3() as server:
        yield server


@pytest.fixture
def proxy(moto):
    with FaultyProxy(moto) as server:
        yield server


def remote_settings(kind: Literal["s3", "supabase"], endpoint: str, data_dir: Path) -> Settings:
    """Settings with buckets of this test alone."""
    return Settings(
        data_dir=data_dir,
        storage=StorageConfig(
            kind=kind,
            endpoint=endpoint,
            access_key_id="AKIDEXAMPLE",
            secret_access_key=SecretStr(SECRET_KEY),
            bucket_prefix=f"t{next(_numbers)}-",
        ),
    )


@pytest.fixture
def settings_of(tmp_path):
    def make(kind: Literal["local", "s3", "supabase"], endpoint: str | None = None) -> Settings:
        if kind == "local":
            return Settings(data_dir=tmp_path / "data")
        return remote_settings(kind, endpoint or "", tmp_path / "data")

    return make


@pytest.fixture(params=["local", "s3", "supabase"])
def storage(request, settings_of):
    """Each kind, opened from settings as the service does."""
    endpoint = None if request.param == "local" else request.getfixturevalue("moto").url
    return open_storage(settings_of(request.param, endpoint))


@pytest.fixture
def faulty(proxy, settings_of):
    """An S3 storage behind the proxy, with little patience; and the waits that it took."""
    return S3Storage(s3_place(settings_of("s3", proxy.url)), retry=QUICK)


@pytest.fixture
def a_file(tmp_path):
    def make(content: bytes = b"0123456789", name: str = "source.bin"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make
