"""Both stores, empty and with a clock that only moves when told to."""

import psycopg
import pytest

from ourvidz.catalog.config import Settings
from ourvidz.jobs.open import open_store
from tests.clocks import ManualClock
from tests.jobs.servers import postgres_server


@pytest.fixture(scope="session")
def postgres_url():
    with postgres_server() as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_url


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgres"])
def store_settings(request, tmp_path):
    """Settings of an empty store of each kind."""
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path)
    return Settings(data_dir=tmp_path, database_url=request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def store(store_settings, clock):
    opened = open_store(store_settings, clock=clock)
    opened.migrate()
    yield opened
    opened.close()
