"""What the next jobs will need, told to the engine beside the thread that drives the device.

While a job runs: the models of what waits in the queue. While none does: those too, then the models
that jobs used in the last hour, so that after a restart what is used comes back before it is asked
for. Beside other workers: this one's part of a plan for all of them (``fleet.placement``), made of
what waits, what was used in the last hour and what was used at this hour of earlier weeks. And how
full the device is, for the worker's row.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ourvidz.core.errors import IllegalState, OurVidzError
from ourvidz.engine.memory_plan import Speeds
from ourvidz.fleet.peers import bytes_of, held_by_idle, places_of
from ourvidz.fleet.placement import ModelDemand, exchange, place
from ourvidz.fleet.usage import Usage, work_by_model
from ourvidz.jobs.model import Demand, WorkerInfo
from ourvidz.jobs.store import JobStore
from ourvidz.perf.records import record_from
from ourvidz.worker.ports import Runner

_log = logging.getLogger(__name__)

USED_WITHIN_S = 3600.0
# Between two looks, as multiples of the pause between two looks for work: what is on its way takes
# seconds, and an idle service should hardly be heard in its store.
_BUSY_POLLS = 2.0
_IDLE_POLLS = 10.0
_USED_POLLS = 60.0  # what was used changes slowly, and is told by 200 jobs' requests
# A plan looks this far ahead: longer than loading, shorter than the hours of a day's course.
HORIZON_S = 1800.0
# Other workers' rows are read less often the more there are: all of them read all of theirs.
_PEER_S = 0.05
_PEER_SEEN_S = 20.0  # a worker whose row is older may be gone
_PAGE = 200  # records of one look: enough to follow, and none takes long from who drives the device
_KEPT_WEEKS = 6
_FIRST_RECORDS = 2000
_WEEK_S = 7 * 24 * 3600.0
_SPEEDS = Speeds()


class Foresight:
    """Looks ahead on a thread of its own. ``look`` costs the caller next to nothing."""

    def __init__(
        self,
        *,
        store: JobStore,
        runner: Runner[Any],
        models: Sequence[str],
        poll_s: float,
        worker_id: str = "",
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Prepare.

        Args:
            store: where jobs wait.
            runner: what is told.
            models: catalogue ids that this worker claims jobs of; empty means any.
            poll_s: between two looks for work.
            worker_id: this worker's.
            sizes: bytes of models that no worker may have loaded yet, about.
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
        self._worker_id = worker_id
        self._sizes = dict(sizes or {})
        self._usage = Usage()
        self._after: int | None = None  # the last record that was counted
        self._recent: Sequence[Demand] = ()
        self._peers: tuple[WorkerInfo, ...] = ()
        self._next_peers_s = float("-inf")
        self._idle_elsewhere: frozenset[str] = frozenset()

    @property
    def idle_elsewhere(self) -> frozenset[str]:
        """Models that another worker has loaded and does nothing with, as of the last look."""
        return self._idle_elsewhere

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
            self._see_peers()
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

    def _see_peers(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_peers_s:
            return
        self._peers = self._store.workers(seen_within_s=_PEER_SEEN_S)
        pause_s = max(self._poll_s * _IDLE_POLLS, _PEER_S * len(self._peers))
        self._next_peers_s = now_s + pause_s
        self._idle_elsewhere = held_by_idle(self._peers, but=self._worker_id)

    def _models_ahead(self, *, is_idle: bool) -> list[str]:
        upcoming = self._store.upcoming()
        ahead = list(self._expanded(upcoming))
        if not is_idle:
            return ahead
        if (now_s := time.monotonic()) >= self._next_used_s:
            self._next_used_s = now_s + self._poll_s * _USED_POLLS
            self._recent = self._store.demand(within_s=USED_WITHIN_S)
            if len(self._peers) > 1:
                self._count_records()
            self._used = [demand.model for demand in self._recent if self._may_run(demand.model)]
        part = self._part(upcoming)
        return ahead + self._used if part is None else part

    def _part(self, upcoming: Sequence[Demand]) -> list[str] | None:
        """Return this worker's part of the plan for all, None where there is none with it."""
        places = places_of(self._peers)
        if len(places) < 2 or all(each.id != self._worker_id for each in places):
            return None
        uses = dict(self._usage.expected(self._store.now(), within_s=HORIZON_S))
        for demand in self._recent:
            lately = demand.num_jobs * HORIZON_S / USED_WITHIN_S
            uses[demand.model] = max(lately, uses.get(demand.model, 0.0))
        for demand in upcoming:
            for model in (demand.model, demand.enhancer):
                if model is not None:
                    uses[model] = uses.get(model, 0.0) + demand.num_jobs
        sizes = bytes_of(self._peers, self._sizes)
        plan = place(
            places,
            {
                model: ModelDemand(
                    uses=each,
                    work_s=self._usage.work_s(model),
                    num_bytes=sizes.get(model, 0),
                    load_s=max(1, sizes.get(model, 0)) / _SPEEDS.from_page_cache,
                )
                for model, each in sorted(uses.items())
            },
            horizon_s=HORIZON_S,
        )
        (own,) = (each for each in places if each.id == self._worker_id)
        resident = self._runner.resident()
        part = plan.of(self._worker_id)
        found = exchange(
            [model for model in part if self._usage.knows(model)],  # others may not be here at all
            resident=sorted(resident, key=lambda model: (uses.get(model, 0.0), model)),
            held={model for each in places for model in each.resident} | resident.keys(),
            room_bytes=own.room_bytes,
            sizes={**sizes, **resident},
        )
        for model in found.leaving:
            _log.info("%s makes room for %s", model, ", ".join(found.missing))
            with contextlib.suppress(IllegalState):  # a job that has just begun uses it
                self._runner.unload(model)
        return list(dict.fromkeys([*found.missing, *part]))

    def _count_records(self) -> None:
        """Count what finished jobs used, a page at a time: by hour, for the weeks that are kept."""
        since = self._store.now() - _KEPT_WEEKS * _WEEK_S
        is_first = self._after is None
        records = self._store.perf_records(
            since=since,
            after=self._after,
            limit=_FIRST_RECORDS if is_first else _PAGE,
            newest=is_first,
        )
        for stored in records:
            record = record_from(stored)
            if record.is_success:
                for model, work_s in work_by_model(record).items():
                    self._usage.add(model, stored.at, work_s=work_s)
        self._after = records[-1].id if records else self._after or 0

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
