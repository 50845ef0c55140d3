"""A real Postgres a session, empty for each test."""

import psycopg
import pytest

from tests.jobs.servers import postgres_server


@pytest.fixture(scope="session")
def cluster_postgres():
    with postgres_server() as url:
        yield url


@pytest.fixture
def database_url(cluster_postgres):
    with psycopg.connect(cluster_postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return cluster_postgres


@pytest.fixture
def shared_environment(database_url, tmp_path, monkeypatch):
    """What a node's settings are read from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OURVIDZ_DATABASE_URL", database_url)
    monkeypatch.setenv("OURVIDZ_STORAGE", '{"kind": "s3", "endpoint": "http://127.0.0.1:1"}')
    monkeypatch.setenv("OURVIDZ_DATA_DIR", str(tmp_path / "data"))
    return database_url
