"""Writes jobs' events beside the thread that drives the device, in order."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass

from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.model import EventKind, Json
from ourvidz.jobs.store import JobStore
from ourvidz.worker.heartbeat import Attempt

_log = logging.getLogger(__name__)

# A job's log is for a person to read along; what goes beyond stands in the worker's own log.
_MAX_LOG_EVENTS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    attempt: Attempt
    kind: EventKind
    data: Json


class History:
    """A queue of events and the one thread that writes them."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._queue: queue.Queue[_Entry | threading.Event | None] = queue.Queue()
        self._num_logs: dict[str, int] = {}
        self._thread = threading.Thread(target=self._write_forever, name="history", daemon=True)
        self._thread.start()

    def tell(self, attempt: Attempt, kind: EventKind, data: Json) -> None:
        """Append an event to the job's history, soon. Any thread."""
        if kind is EventKind.LOG:
            self._num_logs[attempt.key] = count = self._num_logs.get(attempt.key, 0) + 1
            if count > _MAX_LOG_EVENTS:
                return
        self._queue.put(_Entry(attempt=attempt, kind=kind, data=data))

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything told so far was written or given up."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def forget(self, attempt: Attempt) -> None:
        """The attempt is over."""
        self._num_logs.pop(attempt.key, None)

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout=5.0)

    def _write_forever(self) -> None:
        while (entry := self._queue.get()) is not None:
            if isinstance(entry, threading.Event):
                entry.set()
            else:
                self._write(entry)

    def _write(self, entry: _Entry) -> None:
        attempt = entry.attempt
        try:
            self._store.add_event(attempt.job.id, attempt.job.token, entry.kind, entry.data)
        except OurVidzError as error:  # the job matters more than its story
            _log.warning("event %s of %s was not kept: %s", entry.kind, attempt.job.id, error.code)
