"""What the next jobs will need, told to the engine beside the thread that drives the device.

While a job runs: the models of what waits in the queue. While none does: those too, then the models
that jobs used in the last hour, so that after a restart what is used comes back before it is asked
for. And how full the device is, for the worker's row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.model import Demand
from ourvidz.jobs.store import JobStore
from ourvidz.worker.ports import Runner

_log = logging.getLogger(__name__)

USED_WITHIN_S = 3600.0
# Between two looks, as multiples of the pause between two looks for work: what is on its way takes
# seconds, and an idle service should hardly be heard in its store.
_BUSY_POLLS = 2.0
_IDLE_POLLS = 10.0
_USED_POLLS = 60.0  # what was used changes slowly, and is told by 200 jobs' requests


class Foresight:
    """Looks ahead on a thread of its own. ``look`` costs the caller next to nothing."""

    def __init__(
        self, *, store: JobStore, runner: Runner[Any], models: Sequence[str], poll_s: float
    ) -> None:
        """Prepare.

        Args:
            store: where jobs wait.
            runner: what is told.
            models: catalogue ids that this worker claims jobs of; empty means any.
            poll_s: between two looks for work.
        """
        self._store = store
        self._runner = runner
        self._models = frozenset(models)
        self._poll_s = poll_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="foresight")
        self._lock = threading.Lock()
        self._is_looking: bool = False
        self._next_s = float("-inf")
        self._was_idle: bool = False
        self._next_memory_s = self._next_used_s = float("-inf")
        self._used: list[str] = []
        self._memory: Mapping[str, Any] = {}

    @property
    def memory(self) -> Mapping[str, Any]:
        """What is where and how full the device is, as of the last look."""
        return self._memory

    def look(self, *, is_idle: bool) -> None:
        """Look if it is time, and return at once. When a job ends or begins, it is."""
        now_s = time.monotonic()
        with self._lock:
            if self._is_looking or (now_s < self._next_s and is_idle == self._was_idle):
                return
            self._is_looking, self._was_idle = True, is_idle
            self._next_s = now_s + self._poll_s * (_IDLE_POLLS if is_idle else _BUSY_POLLS)
        try:
            self._pool.submit(self._look, is_idle)
        except RuntimeError:  # closed meanwhile
            return

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _look(self, is_idle: bool) -> None:
        try:
            self._runner.expect(self._models_ahead(is_idle=is_idle), is_idle=is_idle)
            now_s = time.monotonic()
            if now_s >= self._next_memory_s:  # it asks the disk what is cached
                self._next_memory_s = now_s + self._poll_s * _IDLE_POLLS
                self._memory = self._runner.memory()
        except OurVidzError as error:  # the store is away, which others tell
            _log.debug("no look ahead: %s", error.code)
        except Exception:  # noqa: BLE001 - jobs go on without
            _log.exception("no look ahead")
        finally:
            with self._lock:
                self._is_looking = False

    def _models_ahead(self, *, is_idle: bool) -> list[str]:
        ahead = list(self._expanded(self._store.upcoming()))
        if is_idle and (now_s := time.monotonic()) >= self._next_used_s:
            self._next_used_s = now_s + self._poll_s * _USED_POLLS
            used = self._store.demand(within_s=USED_WITHIN_S)
            self._used = [demand.model for demand in used if self._may_run(demand.model)]
        return ahead + self._used if is_idle else ahead

    def _expanded(self, demands: Sequence[Demand]) -> Iterator[str]:
        """Yield a model for each job, the enhancer before the model that waits for it."""
        for demand in demands:
            if self._may_run(demand.model):
                for _ in range(demand.num_jobs):
                    if demand.enhancer is not None:
                        yield demand.enhancer
                    yield demand.model

    def _may_run(self, model_id: str) -> bool:
        return not self._models or model_id in self._models
