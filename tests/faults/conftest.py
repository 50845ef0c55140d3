"""A fresh site a test, on either store."""

import psycopg
import pytest

from tests.faults.harness import Site
from tests.jobs.servers import postgres_server


@pytest.fixture(scope="session")
def postgres_url():
    with postgres_server() as url:
        yield url


@pytest.fixture
def make_site(tmp_path, request):
    """Make sites that are ended after the test; ``store`` chooses which store they use."""
    made = []

    def make(store="sqlite", *, storage=None, **queue):
        url = None
        if store == "postgres":
            url = request.getfixturevalue("postgres_url")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
        root = tmp_path / f"site{len(made)}"
        root.mkdir()
        made.append(Site(root, database_url=url, queue=queue, storage=storage))
        return made[-1]

    yield make
    for site in made:
        site.close()
