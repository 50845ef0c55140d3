"""SQLite as a job store: write-ahead log, full synchronisation, short immediate transactions."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ourvidz.core.clock import Clock
from ourvidz.core.errors import (
    ConfigInvalid,
    IllegalState,
    NotFound,
    StoreFull,
    StoreUnavailable,
)
from ourvidz.jobs.clocks import MAX_IDLE_DRIFT_S, BootClock
from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.migrate import VERSION_TABLE, Migration, apply, shipped_migrations
from ourvidz.jobs.statements import SQLITE

T = TypeVar("T")

_BUSY_S = 10.0
_BUSY_SLEEP_S = (0.0005, 0.004)
_SMALLEST_SQLITE = (3, 35, 0)  # RETURNING

# Room that only running jobs may use, so that they can finish in a store that is full.
_RESERVE_BYTES = 32 * 2**20
_RESERVE_SHARE = 0.1
# A backlog may use so much less of it that what it started can still be finished.
_STARTS_SHARE = 0.5

# Their locks or their shared memory don't hold what the write-ahead log needs.
_NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs", "wekafs"),
        *("fuse.ceph", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.mfs"),
        *("fuse.moosefs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs", "fuse.weka"),
    }
)


class SqliteDatabase:
    """One file on a local disk. Callable from any thread; many processes may share the file."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        boot_clock: BootClock | None = None,
        migrations: Sequence[Migration] | None = None,
        max_pages: int | None = None,
    ) -> None:
        if sqlite3.sqlite_version_info < _SMALLEST_SQLITE:
            raise ConfigInvalid(
                f"SQLite {sqlite3.sqlite_version} is too old; 3.35 or later is needed.",
                hint="Take a newer Python, or set database_url to Postgres.",
            )
        refuse_network_file_system(path)
        self._path = path
        self._clock = clock
        self._boot_clock = boot_clock or BootClock()
        self._migrations = migrations or shipped_migrations()
        self._max_pages = max_pages
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._is_closed = False
        # It never writes: its number changes with everybody's writes, this process's too.
        self._watching: sqlite3.Connection | None = None
        self._watch_lock = threading.Lock()
        # Threads of one process queue here, fairly; only processes meet at the file's lock.
        self._write_lock = threading.Lock()

    def read(self, body: Callable[[Transaction], T]) -> T:
        """See ``Database``."""
        with _mapped_errors(), self._connection() as connection:
            return body(_SqliteTransaction(connection, self._now))

    def write(
        self, body: Callable[[Transaction], T], *, admits: bool = False, starts: bool = False
    ) -> T:
        """See ``Database``."""
        with self._writing() as connection:
            if admits or starts:
                self._require_room(connection, share=1.0 if admits else _STARTS_SHARE)
            return body(_SqliteTransaction(connection, self._now))

    def version(self) -> int | None:
        """See ``Database``."""
        with _mapped_errors(), self._watch_lock:
            if self._is_closed:
                raise _closed()
            if self._watching is None:
                self._watching = self._connect()
            return self._watching.execute("PRAGMA data_version").fetchone()["data_version"]

    def migrate(self) -> None:
        """See ``Database``."""
        with self._writing() as connection:
            connection.execute(VERSION_TABLE)
            row = connection.execute("SELECT max(version) AS v FROM schema_version").fetchone()
            apply(
                self._migrations,
                current=row["v"] or 0,
                execute=lambda text: connection.execute(SQLITE.schema(text)),
                note=lambda version: connection.execute(
                    "INSERT INTO schema_version VALUES (?, ?)",
                    (version, self._boot_clock.wall_s()),
                ),
            )
            self._anchor(_SqliteTransaction(connection, self._now))

    def close(self) -> None:
        """See ``Database``."""
        with self._idle_lock, self._watch_lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            if self._watching is not None:
                idle.append(self._watching)
                self._watching = None
        for connection in idle:
            connection.close()

    def _now(self, transaction: _SqliteTransaction) -> float:
        if self._clock is not None:
            return self._clock.now().timestamp()
        anchor = transaction.row("get_clock")
        if anchor is None or anchor["boot_id"] != self._boot_clock.boot_id:
            # Only a store that another boot migrated and this one has not opened properly.
            raise StoreUnavailable(
                "The job store was not opened for this boot of the machine.",
                hint="Migrate it first: every command of the service does.",
            )
        return anchor["wall_s"] + self._boot_clock.monotonic_s() - anchor["monotonic_s"]

    def _anchor(self, transaction: _SqliteTransaction) -> None:
        """Tie the store's clock to this boot, and free what workers of another boot held."""
        if self._clock is not None:
            return
        boot = self._boot_clock
        wall_s, monotonic_s = boot.wall_s(), boot.monotonic_s()
        anchor = transaction.row("get_clock")
        if anchor is not None and anchor["boot_id"] == boot.boot_id:
            drift_s = wall_s - (anchor["wall_s"] + monotonic_s - anchor["monotonic_s"])
            timed = transaction.row("has_timed_jobs") or {}
            if abs(drift_s) <= MAX_IDLE_DRIFT_S or any(timed.values()):
                return
        else:
            transaction.run("free_leases")
        transaction.run("set_clock", boot_id=boot.boot_id, wall_s=wall_s, monotonic_s=monotonic_s)

    def _require_room(self, connection: sqlite3.Connection, *, share: float) -> None:
        pragmas = ("page_size", "page_count", "freelist_count", "max_page_count")
        size, count, free, most = (
            next(iter(connection.execute(f"PRAGMA {name}").fetchone().values())) for name in pragmas
        )
        reserve_pages = min(_RESERVE_BYTES // size, int(most * _RESERVE_SHARE))
        if most - count + free < reserve_pages * share:
            raise _full()
        disk = shutil.disk_usage(self._path.parent)
        if disk.free < min(_RESERVE_BYTES, disk.total * _RESERVE_SHARE) * share:
            raise _full()

    @contextlib.contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        with (
            _mapped_errors(),
            self._connection() as connection,
            self._exclusive(),
            _immediate(connection),
        ):
            yield connection

    @contextlib.contextmanager
    def _exclusive(self) -> Generator[None]:
        if not self._write_lock.acquire(timeout=_BUSY_S):
            raise StoreUnavailable("The job store stayed locked; try again.")
        try:
            yield
        finally:
            self._write_lock.release()

    @contextlib.contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        with self._idle_lock:
            if self._is_closed:
                raise _closed()
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        finally:
            with self._idle_lock:
                is_kept = not self._is_closed
                if is_kept:
                    self._idle.append(connection)
            if not is_kept:
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        _make_folder(self._path.parent)
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = _dict_row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")
        if self._max_pages is not None:
            connection.execute(f"PRAGMA max_page_count = {self._max_pages}")
        return connection


class _SqliteTransaction:
    def __init__(
        self, connection: sqlite3.Connection, now: Callable[[_SqliteTransaction], float]
    ) -> None:
        self._connection = connection
        self._read_now = now
        self._now: float | None = None

    @property
    def now(self) -> float:
        if self._now is None:
            self._now = self._read_now(self)
        return self._now

    def rows(self, name: str, /, *, where: str = "", **params: Any) -> list[Row]:
        return self._execute(name, where, params).fetchall()

    def row(self, name: str, /, *, where: str = "", **params: Any) -> Row | None:
        found = self.rows(name, where=where, **params)
        return found[0] if found else None

    def run(self, name: str, /, *, where: str = "", **params: Any) -> int:
        return self._execute(name, where, params).rowcount

    def run_last(self, name: str, /, **params: Any) -> None:
        self.run(name, **params)  # no trips to save

    def run_many(self, name: str, params: Sequence[Mapping[str, Any]], /) -> None:
        if params:
            text, _ = SQLITE.statement(name, params[0], "")
            self._connection.executemany(text, params)

    def _execute(self, name: str, where: str, params: Mapping[str, Any]) -> sqlite3.Cursor:
        return self._connection.execute(*SQLITE.statement(name, params, where))


@contextlib.contextmanager
def _immediate(connection: sqlite3.Connection) -> Generator[None]:
    _begin(connection)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have rolled back already
            connection.execute("ROLLBACK")
        raise


def _begin(connection: sqlite3.Connection) -> None:
    """Take the file's write lock.

    SQLite's own waiting sleeps up to 100 ms between two looks and starves some processes; short
    random sleeps share the lock evenly.
    """
    give_up_s = time.monotonic() + _BUSY_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if _code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_s:
                    raise
            time.sleep(random.uniform(*_BUSY_SLEEP_S))
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_S * 1000)}")


def _dict_row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> dict[str, Any]:
    names = [column[0] for column in cursor.description]
    return dict(zip(names, values, strict=True))


@contextlib.contextmanager
def _mapped_errors() -> Generator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            raise NotFound("What this belongs to is not there any more.") from error
        raise IllegalState("A row of that id is stored already.") from error
    except sqlite3.Error as error:
        if _code_of(error) == sqlite3.SQLITE_FULL:
            raise _full() from error
        if _code_of(error) in _UNWRITABLE:
            raise _unwritable() from error
        if _code_of(error) in _UNAVAILABLE:
            raise StoreUnavailable() from error
        raise


_UNWRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)


def _code_of(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes keep the base below


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise (_full() if error.errno == errno.ENOSPC else _unwritable()) from error


def _closed() -> StoreUnavailable:
    return StoreUnavailable("The job store was closed.")


def _unwritable() -> StoreUnavailable:
    return StoreUnavailable(
        "The job store can't be opened for writing: ourvidz.db in data_dir.",
        hint="Give the user of this process write access to data_dir, or set another data_dir.",
    )


def _full() -> StoreFull:
    return StoreFull(hint="Free space on the disk of data_dir, or delete old jobs and files.")


def refuse_network_file_system(path: Path) -> None:
    """Refuse a folder where SQLite's locks don't hold.

    Raises:
        ConfigInvalid: the file system is a known network one.
    """
    kind = file_system_of(path.absolute().parent)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise ConfigInvalid(
            f"data_dir lies on a network file system ({kind}), where SQLite can lose jobs.",
            param="data_dir",
            hint="Put data_dir on a local disk (models_dir may stay), or set database_url.",
        )


def file_system_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the type of the file system that a path is on or would be created on, if known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    place = os.path.realpath(path)
    best, kind = "", None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").replace("\\011", "\t")
        inside = point == "/" or place == point or place.startswith(point + "/")
        if inside and len(point) >= len(best):  # a later mount on the same point hides the first
            best, kind = point, fields[2]
    return kind
