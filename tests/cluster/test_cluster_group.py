"""A group without Ray: it starts a real worker on real settings, and drains it."""

import contextlib
import dataclasses
import json
import threading
import time

import pytest

from ourvidz.catalog.config import load_settings
from ourvidz.cluster import group as module
from ourvidz.cluster.group import WorkerGroup
from ourvidz.cluster.shape import Pool
from ourvidz.cluster.wishes import Wishes
from ourvidz.jobs.open import open_store
from tests.storage.servers import MotoS3

POOL = dataclasses.asdict(
    Pool(name="video", num_gpus=2, models=("pocket-video",), uses_test_engine=True)
)


def wait_for(condition, what):
    deadline_s = time.monotonic() + 90
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, what
        pause.wait(0.05)


@pytest.mark.slow
def test_a_group_keeps_a_worker_that_claims_its_models_and_drains_it(
    shared_environment, monkeypatch
):
    with MotoS3() as s3:
        storage = {"kind": "s3", "endpoint": s3.url, "access_key_id": "a", "secret_access_key": "b"}
        monkeypatch.setenv("OURVIDZ_STORAGE", json.dumps(storage))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
        Wishes(shared_environment, name="main").create()
        store = open_store(load_settings())
        store.migrate()
        group = WorkerGroup(cluster="main", name="video/0/x", pool=POOL)
        try:
            wait_for(lambda: [w.state for w in store.workers()] == ["idle"], "no worker")
            (worker,) = store.workers()
            status = group.status()
            assert (worker.pid, worker.host) == (status["pid"], status["host"])
            assert worker.models == ("pocket-video",)
            assert status["gpus"] == ["4", "5"]
            assert not status["is_draining"]
        finally:
            group.drain()
            wait_for(lambda: group.status()["is_drained"], "not drained")
        assert store.workers() == ()
        store.close()


@pytest.mark.slow
def test_a_group_whose_worker_was_drained_by_command_has_ended(shared_environment, monkeypatch):
    with MotoS3() as s3:
        storage = {"kind": "s3", "endpoint": s3.url, "access_key_id": "a", "secret_access_key": "b"}
        monkeypatch.setenv("OURVIDZ_STORAGE", json.dumps(storage))
        Wishes(shared_environment, name="main").create()
        with contextlib.closing(open_store(load_settings())) as store:
            store.migrate()
            group = WorkerGroup(cluster="main", name="video/0/x", pool=POOL)
            try:
                wait_for(lambda: [w.state for w in store.workers()] == ["idle"], "no worker")
                store.command_worker(store.workers()[0].id, "drain")
                wait_for(lambda: group.status()["is_drained"], "not drained")
                assert group.status()["starts"] == 1
            finally:
                group.drain()


def test_a_node_with_another_database_starts_nothing_and_says_so(shared_environment):
    group = WorkerGroup(cluster="main", name="video/0/x", pool=POOL)
    wait_for(lambda: group.status()["fault"], "no fault")
    assert group.status()["fault"]["code"] == "config_invalid"
    assert group.status()["pid"] is None


def test_a_database_that_is_away_for_a_while_is_waited_for(shared_environment, monkeypatch):
    Wishes(shared_environment, name="main").create()
    monkeypatch.setenv("OURVIDZ_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    group = WorkerGroup(cluster="main", name="video/0/x", pool=POOL)
    wait_for(lambda: group.status()["fault"], "no fault")
    assert group.status()["fault"]["code"] == "store_unavailable"
    monkeypatch.setenv("OURVIDZ_DATABASE_URL", shared_environment)
    try:
        wait_for(lambda: group.status()["starts"], "no worker")
        assert group.status()["fault"] is None
    finally:
        group.drain()
        wait_for(lambda: group.status()["is_drained"], "not drained")


def test_who_waits_for_a_database_can_be_drained(shared_environment, monkeypatch):
    monkeypatch.setenv("OURVIDZ_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    group = WorkerGroup(cluster="main", name="video/0/x", pool=POOL)
    wait_for(lambda: group.status()["fault"], "no fault")
    group.drain()
    wait_for(lambda: group.status()["is_drained"], "not drained")


def test_a_defect_that_keeps_the_worker_from_starting_is_shown(shared_environment, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("a secret")

    Wishes(shared_environment, name="main").create()
    monkeypatch.setattr(module, "end_orphans", fail)
    group = WorkerGroup(cluster="main", name="video/0/x", pool=POOL)
    wait_for(lambda: group.status()["fault"], "no fault")
    assert group.status()["fault"]["message"] == "The group did not start: RuntimeError."


def test_a_node_with_files_of_its_own_starts_nothing_and_says_so(shared_environment, monkeypatch):
    monkeypatch.setenv("OURVIDZ_STORAGE", '{"kind": "local"}')
    group = WorkerGroup(cluster="main", name="video/0/x", pool=POOL)
    wait_for(lambda: group.status()["fault"], "no fault")
    assert group.status()["fault"]["param"] == "storage.kind"
    group.drain()
    wait_for(lambda: group.status()["is_drained"], "not drained")
