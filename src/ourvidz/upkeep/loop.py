"""Runs the chores beside the queue, each on a thread of its own, so that none can stop another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ourvidz.catalog.config import QueueConfig
from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.store import JobStore
from ourvidz.upkeep.outbox import OutboxSender

_log = logging.getLogger("ourvidz.upkeep")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chore:
    """Something done again and again. Seconds count from the end of one run to the next."""

    name: str
    run: Callable[[], object]
    first_s: float
    every_s: float


class Upkeep:
    """Reaps ended leases, sends the outbox, sweeps. Several processes may do so at once.

    Args:
        store: The job store.
        queue: ``reap_s`` and ``max_crashes``.
        outbox: What sends messages, if this process does.
        sweeps: Slow chores by name; each runs once after ``first_sweep_s``, then every
            ``sweep_s`` seconds.
        outbox_s: Between two looks at an outbox with nothing due; one indexed query each.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        queue: QueueConfig,
        outbox: OutboxSender | None = None,
        sweeps: Mapping[str, Callable[[], object]] | None = None,
        outbox_s: float = 1.0,
        sweep_s: float = 3600.0,
        first_sweep_s: float = 60.0,
    ) -> None:
        self._store = store
        self._max_crashes = queue.max_crashes
        self._outbox = outbox
        chores = [_Chore(name="reap", run=self._reap, first_s=0.0, every_s=queue.reap_s)]
        if outbox is not None:
            chores.append(_Chore(name="outbox", run=outbox.send_due, first_s=0.0, every_s=outbox_s))
        chores += [
            _Chore(name=name, run=run, first_s=first_sweep_s, every_s=sweep_s)
            for name, run in (sweeps or {}).items()
        ]
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._keep_doing,
                args=(chore,),
                name=f"ourvidz-upkeep-{chore.name}",
                daemon=True,
            )
            for chore in chores
        ]

    def start(self) -> None:
        """Start every chore. Once only."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, timeout_s: float = 30.0) -> bool:
        """Start nothing new and wait for what is under way. Idempotent.

        A message whose sending is cut off by the process's end is sent again after its lease.

        Args:
            timeout_s: Longest wait, for all chores together.

        Returns:
            Whether everything had ended by then.
        """
        self._stopping.set()
        if self._outbox is not None:
            self._outbox.stop()
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _reap(self) -> None:
        taken = self._store.reap(max_crashes=self._max_crashes)
        if taken:
            _log.warning("took back %d jobs whose lease had ended: %s", len(taken), taken)

    def _keep_doing(self, chore: _Chore) -> None:
        failures = 0
        wait_s = chore.first_s
        while not self._stopping.wait(wait_s):
            wait_s = chore.every_s
            try:
                chore.run()
            except Exception as error:  # noqa: BLE001 - whatever it was, the chore goes on
                failures += 1
                _log_failure(chore.name, failures, error)
            else:
                if failures:
                    _log.warning("%s works again after %d failures", chore.name, failures)
                failures = 0


def _log_failure(name: str, failures: int, error: Exception) -> None:
    """Log the 1st, 2nd, 4th, 8th... failure in a row: an outage must not fill the log."""
    if failures & (failures - 1):
        return
    if isinstance(error, OurVidzError):
        _log.error("%s failed (%d in a row): %s: %s", name, failures, error.code, error.message)
    else:
        _log.error("%s failed (%d in a row)", name, failures, exc_info=error)
