"""Workers' rows: who vanishes while he is asked for something, and who never came back."""

import threading
import time

import psycopg
import pytest

from ourvidz.catalog.config import Settings
from ourvidz.core.errors import NotFound
from ourvidz.jobs.model import WorkerInfo
from ourvidz.jobs.open import open_database, open_store

DAY_S = 86400.0


def put(store, worker_id):
    store.put_worker(
        WorkerInfo(
            id=worker_id,
            host="h",
            pid=1,
            device="cpu",
            state="idle",
            started_at=1.0,
            seen_at=0.0,
            models=(),
            resident={},
            jobs=(),
            facts={},
        )
    )


def ids_of(store):
    return {worker.id for worker in store.workers(seen_within_s=1e9)}


def wait_until(condition):
    pause, deadline_s = threading.Event(), time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        pause.wait(0.005)


def test_a_worker_that_goes_while_it_is_asked_is_not_found(empty_postgres_url, clock, tmp_path):
    store = open_store(Settings(data_dir=tmp_path, database_url=empty_postgres_url), clock=clock)
    store.migrate()
    put(store, "w1")
    found: list[Exception] = []

    def ask():
        try:
            store.command_worker("w1", "drain")
        except Exception as error:  # noqa: BLE001 - whatever comes is the answer
            found.append(error)

    with (
        psycopg.connect(empty_postgres_url) as leaving,
        psycopg.connect(empty_postgres_url, autocommit=True) as watching,
    ):
        leaving.execute("DELETE FROM worker WHERE id = 'w1'")
        asking = threading.Thread(target=ask)
        asking.start()
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
        wait_until(lambda: watching.execute(waits).fetchone() is not None)
        leaving.commit()
        asking.join(30)
    store.close()
    assert [type(error) for error in found] == [NotFound]
    assert "'w1'" in found[0].message


def test_what_belongs_to_nothing_is_not_found(store, store_settings):
    database = open_database(store_settings)
    with pytest.raises(NotFound):
        database.write(lambda tx: tx.run("add_command", worker_id="no", verb="drain", model=None))
    database.close()


def test_rows_of_workers_that_never_came_back_go_after_a_day(store, clock):
    for worker_id in ("killed", "alive"):
        put(store, worker_id)
    store.command_worker("killed", "drain")
    clock.advance(DAY_S - 1.0)
    store.reap(max_crashes=3)
    assert ids_of(store) == {"killed", "alive"}
    store.beat("alive", [], lease_s=20.0)
    clock.advance(100.0)
    store.reap(max_crashes=3)
    assert ids_of(store) == {"alive"}
    put(store, "killed")  # it was only frozen, and its commands are out of date
    assert store.take_commands("killed") == ()
