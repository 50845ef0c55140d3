"""Re-forms a machine's groups of GPUs as the queue changes: the policy ``mixed``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from ourvidz.catalog.config import Settings
from ourvidz.core.errors import OurVidzError
from ourvidz.fleet.policy import Decision, Hysteresis, PolicyKind, decide, fixed_shape
from ourvidz.fleet.queue import look
from ourvidz.fleet.shape import Shape
from ourvidz.jobs.store import JobStore
from ourvidz.worker.supervisor import Supervisor, slots_of

_log = logging.getLogger(__name__)

Seconds = Callable[[], float]


class Reformer:
    """Looks at the queue now and then, and tells the supervisor which groups there should be."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: JobStore,
        supervisor: Supervisor,
        gpus: Sequence[str],
        monotonic_s: Seconds = time.monotonic,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            settings: ``fleet`` says when.
            store: where jobs wait; stays open.
            supervisor: which runs the slots of ``plan_slots`` for the same GPUs.
            gpus: the machine's, as CUDA_VISIBLE_DEVICES names them.
            monotonic_s: the clock.
        """
        self._settings = settings
        self._store = store
        self._supervisor = supervisor
        self._gpus = tuple(gpus)
        self._monotonic_s = monotonic_s
        self._kind = PolicyKind(settings.fleet.policy)
        self._shape = fixed_shape(self._kind, self._gpus)
        self._reformed_s = monotonic_s() - settings.fleet.min_stay_s  # it may at once
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def shape(self) -> Shape:
        """The groups that there are, or are on their way."""
        return self._shape

    def start(self) -> None:
        """Look every ``fleet.look_s``, on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="reformer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; before the supervisor's ``stop``. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def step(self) -> Decision:
        """Look once, and re-form if that is worth it."""
        fleet = self._settings.fleet
        decision = decide(
            self._kind,
            gpus=self._gpus,
            current=self._shape,
            queue=look(self._store, overdue_s=self._settings.queue.overdue_s),
            since_reform_s=self._monotonic_s() - self._reformed_s,
            speedups={name: dict(sizes) for name, sizes in fleet.speedups.items()},
            share=1 / max(1, len({worker.host for worker in self._store.workers()})),
            hysteresis=Hysteresis(min_stay_s=fleet.min_stay_s),
        )
        if decision.is_change:
            _log.info("GPUs are grouped anew: %s", decision.reason)
            self._shape, self._reformed_s = decision.shape, self._monotonic_s()
            self._supervisor.reform(slots_of(self._settings, decision.shape, gpus=self._gpus))
        return decision

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.fleet.look_s):
            try:
                self.step()
            except OurVidzError as error:  # the store is away, which others tell
                _log.debug("the groups stay: %s", error.code)
            except Exception:  # noqa: BLE001 - workers go on as they are
                _log.exception("the groups stay")
