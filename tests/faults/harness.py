"""A whole site on one machine for fault tests: a store, storage, and real worker processes."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from ourvidz.catalog.config import catalogue_of, load_settings
from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.model import TERMINAL_STATES, JobFilter
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy
from ourvidz.storage.open import open_storage
from tests.jobs.checker import check_store

# Short enough for tests; the same proportions as the defaults.
LEASE_S, BEAT_S, REAP_S = 3.0, 0.5, 0.3
QUEUE = {
    "lease_s": LEASE_S,
    "beat_s": BEAT_S,
    "reap_s": REAP_S,
    "poll_s": 0.05,
    "retry_s": 0.05,
    "hang_s": 30.0,
    "drain_s": 10.0,
}
CLI = [sys.executable, "-m", "ourvidz.cli"]
WORKER = [*CLI, "worker", "--test-engine"]
API = [*CLI, "serve", "--no-worker", "--port"]
CHILD = Path(__file__).parent / "child"  # what a child process runs first, if it asks for it
ANSWER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Api:
    """A server of a site, and how to talk to it."""

    process: subprocess.Popen
    url: str

    @property
    def port(self):
        return httpx.URL(self.url).port

    def post(self, path, body=None, **headers):
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=ANSWER_S)

    def get(self, path):
        return httpx.get(f"{self.url}{path}", timeout=ANSWER_S)

    def delete(self, path):
        return httpx.delete(f"{self.url}{path}", timeout=ANSWER_S)

    def submit(self, prompt, *, key=None, **values):
        """Submit over HTTP as a client would."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.post("/api/v1/jobs", {"prompt": prompt, **values}, **headers)

    def wait_killed(self):
        """Wait for its death by SIGKILL."""
        assert self.process.wait(timeout=30) == -signal.SIGKILL


class Site:
    """Everything of one site; ``close`` ends what it started, by process id."""

    def __init__(self, root, *, data_dir=None, database_url=None, queue=None, storage=None):
        self.root = root
        self._storage = storage or {}
        self.settings = load_settings(
            data_dir=data_dir or root / "data",
            database_url=database_url,
            queue={**QUEUE, **(queue or {})},
            storage=self._storage,
        )
        self.catalogue = catalogue_of(self.settings)
        self.store = open_store(self.settings)
        self.store.migrate()
        self.storage = open_storage(self.settings)
        self.submitter = Submitter(
            store=self.store,
            catalogue=self.catalogue,
            settings=self.settings,
            policy=build_policy(self.settings.policy),
        )
        self.processes: list[subprocess.Popen] = []

    def submit(self, *prompts, job_type="sdxl_image_fast", **values):
        """Submit one job a prompt; return their ids."""
        drafts = [Draft(prompt=prompt, job_type=job_type, values=values) for prompt in prompts]
        return [job.id for job in self.submitter.submit(drafts).jobs]

    def start_worker(self, *, fail_at=None, fail_once=True, **environment):
        """Start one worker process, leader of its own group."""
        return self.start("worker", WORKER, fail_at=fail_at, fail_once=fail_once, **environment)

    def start_api(self, *, port=0, fail_at=None, fail_once=True, **environment):
        """Start a server without workers; return once it answers."""
        command = [*API, str(port)]
        process = self.start("api", command, fail_at=fail_at, fail_once=fail_once, **environment)
        log = Path(process.log)

        def url():
            assert process.poll() is None, self.logs()
            text = log.read_text(encoding="utf-8")
            return re.findall(r"ready at (http://127\.0\.0\.1:\d+)", text)

        self.wait_until(url, timeout_s=ANSWER_S, what="server")
        return Api(process=process, url=url()[0])

    def start(self, name, command, *, fail_at=None, fail_once=True, **environment):
        """Start a process of this site; its output goes to a log of its own."""
        extra = dict(environment)
        if fail_at:
            extra["OURVIDZ_FAIL_AT"] = fail_at
        if fail_at and fail_once:
            extra["OURVIDZ_FAIL_ONCE"] = str(self.root / "failed")
        path = self.root / f"{name}-{len(self.processes)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, **self.environment(), **extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process.log = str(path)
        self.processes.append(process)
        return process

    def freeze(self, process):
        """Stop a worker and its helpers, but not inside a transaction.

        A frozen process keeps the locks of an open transaction: on SQLite the whole database's.
        Nothing but its end or its thaw helps then, and that is not what these tests are about.
        """
        for _ in range(100):
            os.killpg(process.pid, signal.SIGSTOP)
            if self._is_writable():
                return
            os.killpg(process.pid, signal.SIGCONT)
            threading.Event().wait(0.01)
        raise AssertionError("the worker was in a transaction each time it was frozen")

    def _is_writable(self):
        if self.settings.database_url is not None:
            return True
        connection = sqlite3.connect(self.settings.data_dir / "ourvidz.db", timeout=0.5)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True

    def environment(self):
        """What makes another process part of this site."""
        found = {
            "OURVIDZ_DATA_DIR": str(self.settings.data_dir),
            "OURVIDZ_QUEUE": self.settings.queue.model_dump_json(),
            "OMP_NUM_THREADS": "1",
        }
        if self._storage:
            found["OURVIDZ_STORAGE"] = json.dumps(self._storage)
        if self.settings.database_url:
            found["OURVIDZ_DATABASE_URL"] = self.settings.database_url
        return found

    def jobs(self):
        """Every job."""
        return self.store.list_jobs(JobFilter(), limit=20_000, newest_first=False)

    def wait_ready(self, count=1, *, timeout_s=30.0):
        """Wait until so many workers wait for jobs."""

        def are_ready():
            states = [worker.state for worker in self.store.workers(seen_within_s=60.0)]
            return states.count("idle") >= count

        self.wait_until(are_ready, timeout_s=timeout_s, what=f"{count} idle workers")

    def wait_done(self, ids, *, timeout_s=60.0):
        """Wait until all jobs are terminal; return them."""

        def are_done():
            return all(self.store.get(job_id).state in TERMINAL_STATES for job_id in ids)

        self.wait_until(are_done, timeout_s=timeout_s, what="terminal jobs")
        return [self.store.get(job_id) for job_id in ids]

    def wait_until(self, condition, *, timeout_s, what, look_s=0.02):
        """Poll with a deadline; tell all logs when it passes."""
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} within {timeout_s} s\n{self.logs()}")
            pause.wait(look_s)

    def logs(self):
        """The end of every process's log."""
        paths = sorted(self.root.glob("*-*.log"))
        return "\n".join(f"{path.name}\n{path.read_text()[-3000:]}" for path in paths)

    def asset_bytes(self, job_id):
        """The bytes of a job's published files."""
        return [
            b"".join(self.storage.open(asset.bucket, asset.key).chunks)
            for asset in self.store.assets(job_id)
        ]

    def close(self):
        """End every process of ours, its group included, and close the store."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.store.close()


def check_history(site):
    """Hold the history of every job against what is promised of all."""
    jobs = site.jobs()
    problems = check_store(site.store, [job.id for job in jobs])
    problems += [problem for job in jobs for problem in damaged_files(site, job)]
    assert not problems, "\n".join([*problems, site.logs()])


def damaged_files(site, job):
    """What is wrong with the published files of a job: gone, of another size, cut off."""
    problems = []
    for asset in site.store.assets(job.id):
        try:
            content = b"".join(site.storage.open(asset.bucket, asset.key).chunks)
        except OurVidzError as error:
            problems.append(f"{job.id}: {asset.key} can't be read ({error.code})")
            continue
        is_whole = content.startswith(b"\x89PNG") and content.endswith(b"IEND\xaeB`\x82")
        if len(content) != asset.num_bytes or not is_whole:
            problems.append(f"{job.id}: {asset.key} is damaged ({len(content)} bytes)")
    return problems
