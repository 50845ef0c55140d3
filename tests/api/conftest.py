"""The service over a real SQLite store and real local storage; no worker runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from ourvidz.api.app import create_app
from ourvidz.api.deps import make_deps
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.jobs.open import open_store
from ourvidz.net.client import GuardedClient
from ourvidz.policy.build import build_policy
from ourvidz.storage.open import open_signer, open_storage

LOOPBACK = "http://127.0.0.1:8000"


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", queue={"poll_s": 0.02})


@pytest.fixture(scope="session")
def guarded_client():
    """Reading the certificates of the public authorities takes longer than most tests."""
    return GuardedClient()


@contextmanager
def making_deps(settings, client):
    """Yield what makes the parts of a service; every store is closed at the end."""
    stores = []

    def make(settings=settings, **parts):
        store = open_store(settings)
        store.migrate()
        stores.append(store)
        return make_deps(
            settings=settings,
            catalogue=catalogue_of(settings),
            store=store,
            storage=open_storage(settings),
            policy=build_policy(settings.policy),
            signer=open_signer(settings),
            client=client,
            **parts,
        )

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def make_app_deps(settings, guarded_client):
    """Make the parts of a service."""
    with making_deps(settings, guarded_client) as make:
        yield make


@pytest.fixture(scope="module")
def shared_client(tmp_path_factory, guarded_client):
    """A client for tests that leave nothing behind in the store."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("shared"))
    with making_deps(settings, guarded_client) as make:
        yield client_of(make())


@pytest.fixture
def deps(make_app_deps):
    return make_app_deps()


def client_of(deps, *, host="127.0.0.1", base_url=LOOPBACK, **options):
    """Return a client of a new application over ``deps`` that seems to call from ``host``."""
    return TestClient(create_app(deps), base_url=base_url, client=(host, 50000), **options)


@pytest.fixture
def client(deps):
    return client_of(deps)


def parse(text: str) -> list[dict]:
    """Read a stream as the standard says: events by blank lines, comments left out."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":")
        )
        if "data" in fields:
            events.append(fields)
    return events


@pytest.fixture
def server(deps):
    """A real server on a free port of loopback: streams need a connection."""
    config = uvicorn.Config(create_app(deps), port=0, log_config=None, timeout_graceful_shutdown=2)
    running = uvicorn.Server(config)
    ready = threading.Event()
    startup = running.startup

    async def announce(sockets=None):
        await startup(sockets=sockets)
        ready.set()

    running.startup = announce
    thread = threading.Thread(target=running.run)
    thread.start()
    assert ready.wait(20)
    port = running.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
        yield http
    deps.closing.set()
    running.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
