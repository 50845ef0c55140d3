"""What only the embedded store has: its clock, its file system, its room."""

import sqlite3

import pytest

from ourvidz.core.errors import ConfigInvalid, StoreFull
from ourvidz.core.job import JobState
from ourvidz.jobs.clocks import BootClock
from ourvidz.jobs.migrate import Migration, schema_text, shipped_migrations, split
from ourvidz.jobs.sqlite import SqliteDatabase, file_system_of
from ourvidz.jobs.sqlstore import SqlStore
from ourvidz.jobs.statements import POSTGRES, SQLITE
from tests.jobs.factory import make_asset, make_job


class Machine:
    def __init__(self, boot_id="boot-1"):
        self.wall_s, self.monotonic_s, self.boot_id = 1_000_000.0, 50.0, boot_id

    def pass_time(self, seconds):
        self.wall_s += seconds
        self.monotonic_s += seconds

    def open(self, folder):
        boot = BootClock(
            wall_s=lambda: self.wall_s,
            monotonic_s=lambda: self.monotonic_s,
            boot_id=self.boot_id,
        )
        store = SqlStore(SqliteDatabase(folder / "ourvidz.db", boot_clock=boot))
        store.migrate()
        return store


def claim(store):
    return store.claim("w", lease_s=20.0, overdue_s=900.0)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_step_of_the_wall_clock_ends_no_lease_and_starts_nothing_early(tmp_path, step_s):
    machine = Machine()
    store = machine.open(tmp_path)
    store.submit([make_job(), make_job(delay_s=60.0)])
    job = claim(store)
    machine.wall_s += step_s
    other = machine.open(tmp_path)  # a second process, started after the step
    assert other.reap(max_crashes=3) == ()
    assert claim(other) is None
    machine.pass_time(21.0)
    assert other.reap(max_crashes=3) == (job.id,)


def test_an_idle_store_takes_the_corrected_time_when_opened(tmp_path):
    machine = Machine()
    store = machine.open(tmp_path)
    machine.wall_s += 3600.0
    assert store.now() == 1_000_000.0
    assert machine.open(tmp_path).now() == 1_003_600.0
    assert store.now() == 1_003_600.0


def test_another_boot_frees_what_was_running_at_once(tmp_path):
    machine = Machine()
    store = machine.open(tmp_path)
    store.submit([make_job()])
    job = claim(store)
    rebooted = Machine("boot-2")
    rebooted.monotonic_s = 3.0
    after = rebooted.open(tmp_path)
    assert after.reap(max_crashes=3) == (job.id,)
    assert claim(after).token == 2


def test_a_full_store_refuses_jobs_and_lets_running_ones_finish(tmp_path, clock):
    path = tmp_path / "ourvidz.db"
    store = SqlStore(SqliteDatabase(path, clock=clock, max_pages=200))
    store.migrate()
    ids = []

    def fill():
        while True:
            ids.append(store.submit([make_job(metadata={"text": "x" * 2000})]).jobs[0].id)

    with pytest.raises(StoreFull):
        fill()
    assert len(ids) > 5
    running = [claim(store) for _ in range(5)]
    for job in running:
        assert store.finish(job.id, job.token, result={"ok": 1}, assets=[make_asset()], record={})
    assert [store.get(job.id).state for job in running] == [JobState.SUCCEEDED] * 5
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM job").fetchone() == (len(ids),)


def test_the_file_system_of_a_path(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\n"
        "srv:/x /mnt/share\\040one nfs4 rw 0 0\n"
        "t /mnt/share tmpfs rw 0 0\n",
        encoding="utf-8",
    )

    def kind(path):
        return file_system_of(path, mounts)

    assert kind(tmp_path) == "ext4"
    assert kind("/mnt/share/data") == "tmpfs"
    assert kind("/mnt/share one/data") == "nfs4"
    assert kind("/mnt/shared") == "ext4"


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ourvidz.jobs.sqlite.file_system_of", lambda path: "nfs4")
    with pytest.raises(ConfigInvalid, match="nfs4"):
        SqliteDatabase(tmp_path / "ourvidz.db")


def schema_of(connection):
    return sorted(connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall())


def test_migrations_give_the_schema_sqlite(tmp_path, clock):
    database = SqliteDatabase(tmp_path / "a.db", clock=clock)
    database.migrate()
    database.migrate()
    database.close()
    migrated, whole = sqlite3.connect(tmp_path / "a.db"), sqlite3.connect(tmp_path / "b.db")
    migrated.execute("DROP TABLE schema_version")
    for statement in split(SQLITE.schema(schema_text())):
        whole.execute(statement)
    assert schema_of(migrated) == schema_of(whole)


def test_migrations_give_the_schema_postgres(empty_postgres_url, clock):
    import psycopg

    from ourvidz.jobs.postgres import PostgresDatabase

    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name,"
        " is_identity FROM information_schema.columns WHERE table_schema = %s"
        " AND table_name <> 'schema_version' ORDER BY 1, ordinal_position"
    )
    indexes = (
        "SELECT tablename, indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes"
        " WHERE schemaname = %s AND tablename <> 'schema_version' ORDER BY 1, 2"
    )
    database = PostgresDatabase(empty_postgres_url, clock=clock)
    database.migrate()
    database.migrate()
    database.close()
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("CREATE SCHEMA other")
        connection.execute("SET search_path TO other")
        for statement in split(POSTGRES.schema(schema_text())):
            connection.execute(statement)
        for query in (columns, indexes):
            found = connection.execute(query, ("public",)).fetchall()
            assert found == connection.execute(query, ("other",)).fetchall()
            assert found
        connection.rollback()


def test_a_failing_migration_leaves_nothing_and_a_newer_schema_is_refused(tmp_path, clock):
    path = tmp_path / "ourvidz.db"
    shipped = shipped_migrations()
    newest = shipped[-1].version
    good = (*shipped, Migration(version=newest + 1, text="CREATE TABLE extra (a TEXT);"))
    broken = "CREATE TABLE more (a TEXT); CREATE TABLE extra (a);"
    bad = (*good, Migration(version=newest + 2, text=broken))
    with pytest.raises(sqlite3.OperationalError):
        SqliteDatabase(path, clock=clock, migrations=bad).migrate()
    SqliteDatabase(path, clock=clock).migrate()
    SqliteDatabase(path, clock=clock, migrations=good).migrate()
    with sqlite3.connect(path) as connection:
        versions = connection.execute("SELECT version FROM schema_version").fetchall()
        assert versions == [(version,) for version in range(1, newest + 2)]
    with pytest.raises(ConfigInvalid, match=f"version {newest + 1}"):
        SqliteDatabase(path, clock=clock).migrate()
