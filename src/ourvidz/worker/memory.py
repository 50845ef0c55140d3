"""A job's peak of host memory, and how many jobs shared the process while it was measured."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import psutil

from ourvidz.perf.sampling import Sampler

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def reset_host_peak() -> None:
    """Begin a new measurement where the system allows it (Linux: proc(5), clear_refs, value 5)."""
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text("5", encoding="ascii")


def host_peak_bytes() -> int:
    """Return this process's peak resident bytes since ``reset_host_peak``.

    Where the system keeps no peak, the bytes resident now.
    """
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)


class Company:
    """Who runs in this process at the same time: peaks of memory are shared among them.

    Callable from any thread.
    """

    def __init__(self, sampler: Sampler | None = None) -> None:
        """Begin; ``sampler`` looks at device and process while anybody runs."""
        self._sampler = sampler
        self._lock = threading.Lock()
        self._most_at_once: dict[object, int] = {}

    def enter(self, job: object) -> None:
        """Begin to count for ``job``; a job that is alone begins a new peak of memory."""
        with self._lock:
            if not self._most_at_once:
                reset_host_peak()
            self._most_at_once[job] = 0
            now = len(self._most_at_once)
            for other, most in self._most_at_once.items():
                self._most_at_once[other] = max(most, now)
        if self._sampler is not None:
            self._sampler.begin(job)

    def most_at_once(self, job: object) -> int:
        """Return the most jobs that ran at once since ``job`` entered, itself included."""
        with self._lock:
            return self._most_at_once[job]

    def leave(self, job: object) -> None:
        """Stop counting. Idempotent."""
        with self._lock:
            self._most_at_once.pop(job, None)
        if self._sampler is not None:
            self._sampler.end(job)
