"""The wish and who makes it so, in Postgres beside the jobs: one row a cluster.

It is a table of its own, which SQLite never has: a store of one machine has no cluster. Statements
are single and short, and work through a pooler in transaction mode.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ourvidz.catalog.config import Settings
from ourvidz.cluster.shape import ClusterShape
from ourvidz.core.errors import ConfigInvalid, MissingDependency, StoreUnavailable

_CONNECT_S = 5
_LOCK = 0x6F767263  # "ovrc": two commands may make the table at once
_NOW = "extract(epoch FROM clock_timestamp())::float8"
_TABLE = """
CREATE TABLE IF NOT EXISTS cluster (
    name TEXT PRIMARY KEY,
    shape TEXT NOT NULL,
    holder TEXT,
    held_until DOUBLE PRECISION NOT NULL DEFAULT 0,
    session TEXT,
    report TEXT,
    reported_at DOUBLE PRECISION
)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the leading controller reported last."""

    age_s: float | None  # None: no controller has ever reported
    session: str | None  # of the Ray head: another one after each start of the head
    report: Mapping[str, Any]
    has_controller: bool  # one holds the lead now


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """The lead, for a while."""

    is_new: bool  # another controller, or none, led before


def require_shared(settings: Settings) -> str:
    """Return the database's URL where jobs and files are reachable from every node.

    Raises:
        ConfigInvalid: jobs in SQLite, or files on one machine's disk.
    """
    if settings.database_url is None:
        raise ConfigInvalid(
            "Several machines can't share the jobs of a SQLite file.",
            param="database_url",
            hint="Set OURVIDZ_DATABASE_URL=postgresql://... on every node.",
        )
    if settings.storage.kind == "local":
        raise ConfigInvalid(
            "Several machines can't share files in a local folder.",
            param="storage.kind",
            hint="Set [storage] kind to s3 or supabase on every node.",
        )
    return settings.database_url


class Wishes:
    """The row of one cluster. Every method is one transaction; callable from any thread.

    Raises, from every method:
        StoreUnavailable: the database can't be reached.
    """

    def __init__(self, url: str, *, name: str) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: of the Postgres that holds the jobs.
            name: of the cluster; several may share a database.
        """
        self._url = f"postgresql://{url.partition('://')[2]}"
        self._name = name

    def create(self) -> None:
        """Create the table and the row. Idempotent."""
        with self._transaction() as run:
            run("SELECT pg_advisory_xact_lock(%s)", _LOCK)
            run(_TABLE)
            run(
                "INSERT INTO cluster (name, shape) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                self._name,
                ClusterShape().to_json(),
            )

    def shape(self) -> ClusterShape:
        """Return what is wanted."""
        with self._transaction() as run:
            (text,) = self._row(run, "SELECT shape FROM cluster WHERE name = %s", self._name)
        return ClusterShape.from_json(text)

    def change(self, change: Callable[[ClusterShape], ClusterShape]) -> ClusterShape:
        """Put ``change`` of the present wish in its place, with the next revision; return it.

        What ``change`` raises goes on.
        """
        with self._transaction() as run:
            (text,) = self._row(
                run, "SELECT shape FROM cluster WHERE name = %s FOR UPDATE", self._name
            )
            found = ClusterShape.from_json(text)
            shape = replace(change(found), revision=found.revision + 1)
            run("UPDATE cluster SET shape = %s WHERE name = %s", shape.to_json(), self._name)
        return shape

    def lead(self, holder: str, *, for_s: float) -> Lead | None:
        """Take or keep the lead for a while; None: another controller has it."""
        with self._transaction() as run:
            rows = run(
                f"UPDATE cluster SET holder = %s, held_until = {_NOW} + %s"
                " FROM (SELECT name, holder FROM cluster WHERE name = %s FOR UPDATE) AS old"
                f" WHERE cluster.name = old.name AND (old.holder = %s OR held_until < {_NOW})"
                " RETURNING old.holder",
                holder,
                for_s,
                self._name,
                holder,
            )
        return Lead(is_new=rows[0][0] != holder) if rows else None

    def let_go(self, holder: str) -> None:
        """Give the lead up, so that another controller need not wait for its end."""
        with self._transaction() as run:
            run(
                "UPDATE cluster SET held_until = 0 WHERE name = %s AND holder = %s",
                self._name,
                holder,
            )

    def report(self, holder: str, *, session: str, report: Mapping[str, Any]) -> None:
        """Tell what is there; nothing is written of a controller that lost the lead."""
        with self._transaction() as run:
            run(
                f"UPDATE cluster SET session = %s, report = %s, reported_at = {_NOW}"
                " WHERE name = %s AND holder = %s",
                session,
                json.dumps(report),
                self._name,
                holder,
            )

    def seen(self) -> Seen:
        """Return the last report."""
        with self._transaction() as run:
            age_s, session, report, has_controller = self._row(
                run,
                f"SELECT {_NOW} - reported_at, session, report, held_until > {_NOW}"
                " FROM cluster WHERE name = %s",
                self._name,
            )
        return Seen(
            age_s=age_s,
            session=session,
            report=json.loads(report) if report else {},
            has_controller=has_controller,
        )

    def _row(self, run: _Run, text: str, *values: Any) -> tuple[Any, ...]:
        rows = run(text, *values)
        if not rows:
            raise ConfigInvalid(
                f"This database knows no cluster {self._name!r}.",
                param="database_url",
                hint="Every node needs the cluster's own database; `ourvidz cluster up` makes it.",
            )
        return rows[0]

    @contextlib.contextmanager
    def _transaction(self) -> Generator[_Run]:
        try:
            import psycopg
        except ImportError as error:
            raise MissingDependency(
                "A cluster keeps its jobs in Postgres, and psycopg is not installed.",
                hint='Install it: pip install "ourvidz[cluster,postgres]".',
            ) from error
        try:
            with psycopg.connect(
                self._url, connect_timeout=_CONNECT_S, prepare_threshold=None
            ) as connection:

                def run(text: str, *values: Any) -> list[tuple[Any, ...]]:
                    cursor = connection.execute(text.encode(), values)
                    return cursor.fetchall() if cursor.description else []

                yield run
        except psycopg.errors.UndefinedTable as error:
            raise ConfigInvalid(
                "This database holds no cluster.",
                param="database_url",
                hint="Every node needs the cluster's own database; `ourvidz cluster up` makes it.",
            ) from error
        except psycopg.Error as error:  # never the driver's text: it may name hosts and users
            raise StoreUnavailable() from error


_Run = Callable[..., list[tuple[Any, ...]]]
