"""Postgres as a job store: short explicit transactions, the server's clock, no session state.

Works through a pooler in transaction mode: nothing is prepared, listened to or locked beyond one
transaction.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, LiteralString, TypeVar, cast

from ourvidz.core.clock import Clock
from ourvidz.core.errors import (
    IllegalState,
    MissingDependency,
    NotFound,
    StoreFull,
    StoreUnavailable,
)
from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.migrate import VERSION_TABLE, Migration, apply, shipped_migrations
from ourvidz.jobs.statements import POSTGRES

try:
    import psycopg
    from psycopg import errors
    from psycopg.rows import DictRow, dict_row
    from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout
except ImportError as error:
    raise MissingDependency(
        "database_url names Postgres, and psycopg is not installed.",
        hint='Install it: pip install "ourvidz[postgres]".',
    ) from error

T = TypeVar("T")
Connection = psycopg.Connection[DictRow]

_CONNECT_S = 5
_SILENCE_MS = 10_000  # unanswered bytes for so long: the server is gone
_POOL_S = 8.0
_MAX_CONNECTIONS = 16
_RECONNECT_S = 2.0
_MIGRATION_LOCK = 0x6F757276  # "ourv"

# Lost races, told by the server after it undid everything. Wait a little longer each time.
_RACES = (errors.DeadlockDetected, errors.SerializationFailure)
_RACE_TRIES = 5
_RACE_WAIT_S = 0.01

_LOST = (
    PoolTimeout,
    PoolClosed,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,  # this process was frozen; all of it was undone
)

# In one trip, for this transaction alone: a frozen client must not keep others waiting for its
# locks, and no lock is worth waiting for longer than a beat.
_BEGIN = (
    "BEGIN; SELECT set_config('idle_in_transaction_session_timeout', '8s', true),"
    " set_config('lock_timeout', '8s', true), set_config('statement_timeout', '30s', true),"
    # After a look at statistics the planner might read the table to find one job of many.
    " set_config('enable_seqscan', 'off', true),"
    " set_config('jit', 'off', true),"  # compiling takes longer than any statement here
    " extract(epoch FROM clock_timestamp())::float8 AS now"
)
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
# A schema may take its time.
_BEGIN_MIGRATION = "SELECT pg_advisory_xact_lock(%s)"


class PostgresDatabase:
    """One Postgres database, by URL. Callable from any thread."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        migrations: Sequence[Migration] | None = None,
    ) -> None:
        self._clock = clock
        self._migrations = migrations or shipped_migrations()
        self._pool = ConnectionPool(
            url,
            connection_class=Connection,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "row_factory": dict_row,
                "connect_timeout": _CONNECT_S,
                "tcp_user_timeout": _SILENCE_MS,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "application_name": "ourvidz",
            },
            min_size=0,
            max_size=_MAX_CONNECTIONS,
            timeout=_POOL_S,
            reconnect_timeout=_RECONNECT_S,
            open=False,
            name="ourvidz-jobs",
        )
        self._pool.open(wait=False)

    def read(self, body: Callable[[Transaction], T]) -> T:
        """See ``Database``."""

        def run(connection: Connection) -> T:
            try:
                return body(_PostgresTransaction(connection, self._now))
            except psycopg.OperationalError as error:
                if connection.closed:
                    raise _DeadConnectionError from error
                raise

        return self._run(run)

    def write(
        self, body: Callable[[Transaction], T], *, admits: bool = False, starts: bool = False
    ) -> T:
        """See ``Database``. The server keeps no reserve: neither flag changes anything."""
        del admits, starts
        for attempt in range(_RACE_TRIES):
            try:
                return self._run(lambda connection: self._write_once(connection, body))
            except _RACES:
                time.sleep(_RACE_WAIT_S * 2**attempt * random.uniform(0.5, 1.5))
        raise StoreUnavailable("The job store was too busy; try again.")

    def _write_once(self, connection: Connection, body: Callable[[Transaction], T]) -> T:
        try:
            begun = connection.execute(_BEGIN)
        except psycopg.OperationalError as error:
            raise _DeadConnectionError from error  # nothing was written yet
        begun.nextset()  # past BEGIN's own answer
        row = begun.fetchone()
        assert row is not None
        injected = self._injected()
        now: float = row["now"] if injected is None else injected
        transaction = _PostgresTransaction(connection, lambda _: now)
        try:
            result = body(transaction)
            transaction.commit()
        except BaseException:
            with contextlib.suppress(psycopg.Error):  # a lost server undoes it by itself
                connection.execute("ROLLBACK")
            raise
        return result

    def version(self) -> int | None:
        """See ``Database``. Without a session of its own, asking is a query like any other."""
        return None

    def migrate(self) -> None:
        """See ``Database``."""
        self._run(self._migrate)

    def _migrate(self, connection: Connection) -> None:
        with connection.transaction():
            connection.execute(_BEGIN_MIGRATION, (_MIGRATION_LOCK,))
            connection.execute(VERSION_TABLE)
            row = connection.execute("SELECT max(version) AS v FROM schema_version").fetchone()
            apply(
                self._migrations,
                current=(row or {}).get("v") or 0,
                execute=lambda text: connection.execute(_sql(POSTGRES.schema(text))),
                note=lambda version: connection.execute(
                    "INSERT INTO schema_version"
                    " VALUES (%s, extract(epoch FROM clock_timestamp())::float8)",
                    (version,),
                ),
            )

    def close(self) -> None:
        """See ``Database``."""
        self._pool.close()

    def _injected(self) -> float | None:
        return None if self._clock is None else self._clock.now().timestamp()

    def _now(self, connection: Connection) -> float:
        injected = self._injected()
        if injected is not None:
            return injected
        row = connection.execute(_NOW).fetchone()
        assert row is not None
        return row["now"]

    def _run(self, body: Callable[[Connection], T]) -> T:
        """Run with a connection; again while the pool's old ones turn out to be dead.

        A server that restarted has cut every pooled connection, which shows at the first statement.
        """
        with _mapped_errors():
            for _ in range(_MAX_CONNECTIONS):
                with self._pool.connection() as connection:
                    try:
                        return body(connection)
                    except _DeadConnectionError:
                        continue
        raise StoreUnavailable()


class _DeadConnectionError(Exception):
    """The connection was lost before anything happened over it; another one may do."""


class _PostgresTransaction:
    def __init__(self, connection: Connection, now: Callable[[Connection], float]) -> None:
        self._connection = connection
        self._read_now = now
        self._now: float | None = None
        self._last: list[tuple[str, Mapping[str, Any]]] = []

    @property
    def now(self) -> float:
        if self._now is None:
            self._now = self._read_now(self._connection)
        return self._now

    def rows(self, name: str, /, *, where: str = "", **params: Any) -> list[Row]:
        return [*self._execute(name, where, params)]

    def row(self, name: str, /, *, where: str = "", **params: Any) -> Row | None:
        return self._execute(name, where, params).fetchone()

    def run(self, name: str, /, *, where: str = "", **params: Any) -> int:
        return self._execute(name, where, params).rowcount

    def run_last(self, name: str, /, **params: Any) -> None:
        self._last.append((name, params))

    def commit(self) -> None:
        """Run what was left for the end, and end the transaction, in one trip."""
        with self._connection.pipeline() if self._last else contextlib.nullcontext():
            for name, params in self._last:
                self._execute(name, "", params)
            ended = self._connection.execute("COMMIT")
        # What failed is undone at the end, which the server calls a success.
        assert ended.statusmessage == "COMMIT", f"the transaction ended in {ended.statusmessage}"

    def run_many(self, name: str, params: Sequence[Mapping[str, Any]], /) -> None:
        if len(params) == 1:
            self._execute(name, "", params[0])
        elif params:
            text, _ = POSTGRES.statement(name, params[0], "")
            with self._connection.cursor() as cursor:
                cursor.executemany(_sql(text), params)
            # The server's watch over idle transactions sleeps after a pipeline; this wakes it.
            self._connection.execute("SELECT 1")

    def _execute(self, name: str, where: str, params: Mapping[str, Any]) -> psycopg.Cursor[DictRow]:
        text, flat = POSTGRES.statement(name, params, where)
        return self._connection.execute(_sql(text), flat)


def _sql(text: str) -> LiteralString:
    # Every text comes from the package's own files; values are always parameters.
    return cast("LiteralString", text)


@contextlib.contextmanager
def _mapped_errors() -> Generator[None]:
    try:
        yield
    except _RACES:
        raise
    except (errors.DiskFull, errors.OutOfMemory) as error:
        raise StoreFull(hint="Free space on the database server.") from error
    except errors.UniqueViolation as error:
        raise IllegalState("A row of that id is stored already.") from error
    except errors.ForeignKeyViolation as error:
        raise NotFound("What this belongs to is not there any more.") from error
    except _LOST as error:
        raise StoreUnavailable() from error  # never the driver's text: it may name hosts and users
