"""Open the job store that the settings name."""

from __future__ import annotations

from ourvidz.catalog.config import Settings
from ourvidz.core.clock import Clock
from ourvidz.core.errors import ConfigInvalid
from ourvidz.jobs.database import Database
from ourvidz.jobs.sqlite import SqliteDatabase
from ourvidz.jobs.sqlstore import SqlStore
from ourvidz.jobs.store import JobStore

DATABASE_FILE = "ourvidz.db"
_POSTGRES_SCHEMES = ("postgres", "postgresql")


def open_store(settings: Settings, *, clock: Clock | None = None) -> JobStore:
    """Return the store, whose schema ``migrate`` then creates or checks.

    Args:
        settings: ``database_url`` names Postgres; without it, SQLite lies in ``data_dir``.
        clock: Times everything, in place of the store's own clock; for tests.

    Raises:
        ConfigInvalid: the URL is of another database, or the data directory is on a network
            file system.
        MissingDependency: Postgres is asked for and psycopg is not installed.
    """
    return SqlStore(open_database(settings, clock=clock))


def open_database(settings: Settings, *, clock: Clock | None = None) -> Database:
    """Return the database under the store; see ``open_store``."""
    url = settings.database_url
    if url is None:
        return SqliteDatabase(settings.data_dir / DATABASE_FILE, clock=clock)
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] not in _POSTGRES_SCHEMES or not rest:
        raise ConfigInvalid(  # never with the URL, which may hold a password
            "database_url is of an unknown kind.",
            param="database_url",
            hint="Give postgresql://user:password@host/name, or leave it out for SQLite.",
        )
    from ourvidz.jobs.postgres import PostgresDatabase

    return PostgresDatabase(f"postgresql://{rest}", clock=clock)
