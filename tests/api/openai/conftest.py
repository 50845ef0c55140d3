from __future__ import annotations

from collections.abc import Iterator

import pytest

from ourvidz.catalog.config import Settings
from tests.api.openai.service import Service, forget_all, serve


@pytest.fixture(scope="module")
def running_service(tmp_path_factory) -> Iterator[Service]:
    yield from serve(Settings(data_dir=tmp_path_factory.mktemp("data")))


@pytest.fixture
def service(running_service) -> Iterator[Service]:
    """A server whose store is empty at each test's start."""
    yield running_service
    forget_all(running_service.deps.store)


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture
def worker(service):
    return service.worker()
