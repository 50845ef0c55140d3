"""The worker's end of its heartbeat: what it holds goes out, what the store says comes back."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from ourvidz.catalog.config import Settings
from ourvidz.core.cancel import CancelToken
from ourvidz.jobs.model import Job, Json

_log = logging.getLogger(__name__)

_SEND_EVERY_S = 0.05  # progress between two sends is merged: steps may take microseconds
_RESTART_S = 0.5
_NEWS_LOOKS, _NEWS_LOOK_S = 25, 0.01


class Stop(StrEnum):
    """Why an attempt must end before its time; the first reason counts."""

    CANCELLED = "cancelled"  # a person asked for it
    LOST = "lost"  # the lease is lost: publish nothing
    DEADLINE = "deadline"
    DRAINED = "drained"  # the worker ends; the job was given back


@dataclass(kw_only=True, slots=True, eq=False)
class Attempt:
    """One claimed job for as long as this worker holds it. Times are ``time.monotonic``."""

    job: Job
    started_s: float  # before the claim was asked for
    renewed_s: float  # the lease runs from here at the earliest
    lease_s: float
    beat_s: float
    cancel: CancelToken = field(default_factory=CancelToken)
    stop: Stop | None = None
    is_settled: bool = False  # the store knows how it ended
    preview: Json | None = None  # where a picture of what comes lies
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def key(self) -> str:
        """Names the attempt: a job comes back under another token."""
        return f"{self.job.id}/{self.job.token}"

    def end(self, reason: Stop) -> None:
        """Stop the work at its next unit. Any thread."""
        with self._lock:
            self.stop = self.stop or reason
        self.cancel.cancel()

    def lose(self) -> None:
        """The lease is lost: whatever else was to be, nothing may be published."""
        with self._lock:
            self.stop = Stop.LOST
        self.cancel.cancel()

    def is_held(self) -> bool:
        """Whether the lease surely lasts for another beat; if not, the attempt is lost."""
        for _ in range(_NEWS_LOOKS):
            if self.stop is Stop.LOST:
                return False
            limit_s = max(self.lease_s - self.beat_s, self.lease_s / 2)
            if time.monotonic() < self.renewed_s + limit_s:
                return True
            # Code that kept the interpreter's lock may have kept the good news from arriving.
            time.sleep(_NEWS_LOOK_S)
        self.lose()
        return False


class Heartbeat:
    """Starts the heartbeat process, restarts it if it dies, and passes messages both ways."""

    def __init__(
        self,
        *,
        settings: Settings,
        worker_id: str,
        on_command: Callable[[str, str | None], None],
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            settings: lease, beat and hang times, and where the store is.
            worker_id: in whose name leases are renewed.
            on_command: gets the verb and the model of an operator's command, on a thread here.
        """
        self._settings = settings
        self._worker_id = worker_id
        self._on_command = on_command
        self._lock = threading.Lock()
        self._held: dict[str, Attempt] = {}
        self._moved_s: dict[str, float] = {}
        self._worker: Json = {}
        self._outgoing: dict[str, Any] = {}
        self._has_outgoing = threading.Event()
        self._closing = threading.Event()
        self._is_ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the process and the threads that talk with it."""
        self._spawn()
        for target in (self._send_forever, self._receive_forever):
            thread = threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until leases can be kept; before that nothing should be claimed."""
        return self._is_ready.wait(timeout_s)

    @property
    def pid(self) -> int | None:
        """Process id of the heartbeat process."""
        return self._process.pid if self._process else None

    def hold(self, attempt: Attempt) -> None:
        """Keep the lease of ``attempt`` until ``drop``."""
        now_s = time.monotonic()
        with self._lock:
            self._held[attempt.key] = attempt
            self._moved_s[attempt.key] = now_s
            self._outgoing.setdefault("hold", []).append(_hold_message(attempt, now_s))
        self._has_outgoing.set()

    def drop(self, attempt: Attempt) -> None:
        """Stop keeping its lease."""
        with self._lock:
            self._held.pop(attempt.key, None)
            self._moved_s.pop(attempt.key, None)
            self._outgoing.setdefault("drop", []).append(attempt.key)
        self._has_outgoing.set()

    def moved(self, attempts: Sequence[Attempt]) -> None:
        """The work on these goes on: they did not hang."""
        now_s = time.monotonic()
        with self._lock:
            for attempt in attempts:
                if attempt.key in self._held:
                    self._moved_s[attempt.key] = now_s
                    self._outgoing.setdefault("moved", {})[attempt.key] = now_s
        self._has_outgoing.set()

    def progress(self, attempt: Attempt, progress: Json) -> None:
        """Have ``progress`` written with the next beat."""
        with self._lock:
            if attempt.key in self._held:
                self._outgoing.setdefault("progress", {})[attempt.key] = progress
        self._has_outgoing.set()

    def describe(self, worker: Json) -> None:
        """Have the worker's own row say this from the next beat on."""
        with self._lock:
            if worker == self._worker:
                return
            self._worker = worker
            self._outgoing["worker"] = worker
        self._has_outgoing.set()

    def close(self) -> None:
        """End the process. Idempotent."""
        self._closing.set()
        self._has_outgoing.set()
        process = self._process
        if process is not None:
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            try:
                process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self._threads:
            thread.join(timeout=5.0)

    def _spawn(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "ourvidz.worker.heartbeat_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        now_s = time.monotonic()
        settings = self._settings
        with self._lock:
            self._outgoing = {
                "hold": [_hold_message(held, now_s) for held in self._held.values()],
                "worker": self._worker,
            }
            if not self._worker:
                del self._outgoing["worker"]
            self._process = process
        first = {
            "worker_id": self._worker_id,
            # Over the pipe, not as arguments: the database's address may hold a password.
            "settings": {
                "data_dir": str(settings.data_dir.resolve()),
                "database_url": settings.database_url,
                "queue": settings.queue.model_dump(),
            },
        }
        self._write(process, first)
        self._has_outgoing.set()

    def _write(self, process: subprocess.Popen[str], message: Json) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it died: the receiver starts another
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()

    def _send_forever(self) -> None:
        while not self._closing.is_set():
            self._has_outgoing.wait()
            with self._lock:
                message, self._outgoing = self._outgoing, {}
                self._has_outgoing.clear()
                process = self._process
            if message and process is not None:
                self._write(process, message)
            self._closing.wait(_SEND_EVERY_S)

    def _receive_forever(self) -> None:
        while not self._closing.is_set():
            process = self._process
            assert process is not None
            assert process.stdout is not None
            for line in process.stdout:
                self._hear(cast("dict[str, Any]", json.loads(line)))
            process.wait()
            if not self._closing.is_set():
                code = process.returncode
                _log.warning("the heartbeat process ended (%s); another is started", code)
                self._closing.wait(_RESTART_S)
                self._spawn()

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("ready"):
            self._is_ready.set()
        with self._lock:
            renewed = [self._held.get(key) for key in message.get("renewed", ())]
            lost = [self._held.get(key) for key in message.get("lost", ())]
            cancel = [self._held.get(key) for key in message.get("cancel", ())]
        for attempt in renewed:
            if attempt is not None:
                attempt.renewed_s = message["at_s"]
        for attempt in lost:
            if attempt is not None:
                attempt.lose()
        for attempt in cancel:
            if attempt is not None:
                attempt.end(Stop.CANCELLED)
        for command in message.get("commands", ()):
            self._on_command(command["verb"], command["model"])


def _hold_message(attempt: Attempt, now_s: float) -> Json:
    return {
        "key": attempt.key,
        "job_id": attempt.job.id,
        "token": attempt.job.token,
        "renewed_s": attempt.renewed_s,
        "moved_s": now_s,
    }
