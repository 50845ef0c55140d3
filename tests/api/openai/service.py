"""The official client, unmodified, against a real server on a real store and real files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import openai
import uvicorn
from fastapi import FastAPI

from ourvidz.api.app import create_app
from ourvidz.api.deps import AppDeps
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.core.clock import SystemClock
from ourvidz.core.job import JobState
from ourvidz.jobs.model import JobFilter
from ourvidz.jobs.open import open_store
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.submission import Submitter
from ourvidz.policy.build import build_policy
from ourvidz.storage.open import open_signer, open_storage
from tests.api.openai.hand_worker import HandWorker, until


@dataclass(frozen=True, kw_only=True)
class Service:
    """A server in a thread of this process."""

    deps: AppDeps
    app: FastAPI
    url: str

    def client(self, **options) -> openai.OpenAI:
        options = {"api_key": "any", "max_retries": 0, "timeout": 30.0} | options
        return openai.OpenAI(base_url=f"{self.url}/v1", **options)

    def worker(self) -> HandWorker:
        return HandWorker(self.deps)


def make_deps(settings: Settings) -> AppDeps:
    store = open_store(settings)
    store.migrate()
    catalogue, policy = catalogue_of(settings), build_policy(settings.policy)
    return AppDeps(
        settings=settings,
        catalogue=catalogue,
        store=store,
        storage=open_storage(settings),
        submitter=Submitter(
            store=store, catalogue=catalogue, settings=settings, policy=policy, clock=SystemClock()
        ),
        policy=policy,
        signer=open_signer(settings),
    )


def serve(settings: Settings) -> Iterator[Service]:
    deps = make_deps(settings)
    app = create_app(deps)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Service(deps=deps, app=app, url=f"http://127.0.0.1:{port}")
    finally:
        deps.closing.set()
        server.should_exit = True
        thread.join()
        deps.store.close()


def forget_all(store: JobStore) -> None:
    for job in store.list_jobs(JobFilter(), limit=1000):
        if store.cancel(job.id).state is JobState.RUNNING:
            assert store.confirm_cancel(job.id, job.token)
        store.delete_job(job.id)
