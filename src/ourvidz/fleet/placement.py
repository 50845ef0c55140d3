"""Which models lie where, before jobs ask for them: values in, a list of models a worker out.

Every worker computes the same plan from the same rows of the store and takes its own part: nobody
has to agree with anybody, and a worker that dies is left out of the next plan.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPlace:
    """A worker as the plan sees it."""

    id: str
    room_bytes: int | None = None  # for weights on its device; None: no limit is known
    resident: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()  # that it runs; empty: any


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDemand:
    """What is expected of one model, over the plan's horizon."""

    uses: float  # jobs: those that wait and those that are expected
    work_s: float = 0.0  # seconds of a worker that a job takes
    num_bytes: int = 0  # on a device
    load_s: float = 1.0  # what a job waits where it is not resident


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What each worker should hold, most wanted first."""

    models: Mapping[str, tuple[str, ...]]  # by worker
    copies: Mapping[str, int] = field(default_factory=dict[str, int])  # by model

    def of(self, worker_id: str) -> tuple[str, ...]:
        """Return a worker's part; of one that is not in the plan, nothing."""
        return self.models.get(worker_id, ())


def place(
    workers: Sequence[WorkerPlace], demand: Mapping[str, ModelDemand], *, horizon_s: float
) -> Placement:
    """Spread models over workers.

    As many copies of a model as its work keeps busy come first, then whatever copy saves most
    expected loading a byte: the first ones of rare models before the tenth of a common one. A model
    stays where it is resident if it may; others go where most room is left.

    Args:
        workers: who there is, in any order.
        demand: by model; without uses it is not placed.
        horizon_s: over which the uses are expected.
    """
    wanted = {model: each for model, each in demand.items() if each.uses > 0}
    copies = _count_copies(workers, wanted, horizon_s)
    rooms = _Rooms(workers)
    # First copies before all others, the largest first: small ones find room in what is left.
    largest_first = sorted(copies, key=lambda model: (-wanted[model].num_bytes, model))
    waves = [(model, 1) for model in largest_first]
    waves += [(model, copies[model] - 1) for model in largest_first if copies[model] > 1]
    for model, count in waves:
        rooms.settle(model, count, wanted[model].num_bytes)
    return Placement(
        models={
            worker_id: tuple(sorted(models, key=lambda model: (-wanted[model].uses, model)))
            for worker_id, models in rooms.held.items()
        },
        copies=copies,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """What an idle worker brings that nobody has, and what it unloads for that."""

    missing: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()


def exchange(
    part: Sequence[str],
    *,
    resident: Sequence[str],
    held: Collection[str],
    room_bytes: int | None,
    sizes: Mapping[str, int],
) -> Exchange:
    """Return what an idle worker should exchange, so that some worker has each planned model.

    A second copy is never worth a first one: only what nobody holds makes others leave, and only
    what is planned elsewhere leaves.

    Args:
        part: what the worker should hold.
        resident: what it holds, the least useful first.
        held: what anybody holds or is loading.
        room_bytes: for weights on its device; None: no limit is known.
        sizes: bytes by model.
    """
    missing = tuple(model for model in part if model not in held)
    if room_bytes is None or not missing:
        return Exchange(missing=missing)
    needed = sum(sizes.get(model, 0) for model in (*missing, *resident)) - room_bytes
    leaving: list[str] = []
    for model in resident:
        if needed > 0 and model not in part:
            needed -= sizes.get(model, 0)
            leaving.append(model)
    return Exchange(missing=missing, leaving=tuple(leaving))


def _count_copies(
    workers: Sequence[WorkerPlace], wanted: Mapping[str, ModelDemand], horizon_s: float
) -> dict[str, int]:
    """Return how many copies of each model there should be: the dearest first, until full."""
    free = sum(not worker.models for worker in workers)  # these run any model
    bound = [worker for worker in workers if worker.models]
    limits = {model: free + sum(model in worker.models for worker in bound) for model in wanted}
    rooms = [worker.room_bytes for worker in workers]
    total = None if None in rooms else sum(room for room in rooms if room is not None)
    copies = dict.fromkeys(wanted, 0)
    heap = [(-_value(each, 0, horizon_s), model) for model, each in wanted.items()]
    heapq.heapify(heap)
    used = 0
    while heap:
        _, model = heapq.heappop(heap)
        num_bytes = wanted[model].num_bytes
        if copies[model] >= limits[model] or (total is not None and used + num_bytes > total):
            continue
        copies[model] += 1
        used += num_bytes
        heapq.heappush(heap, (-_value(wanted[model], copies[model], horizon_s), model))
    return {model: count for model, count in copies.items() if count}


def _value(demand: ModelDemand, copies: int, horizon_s: float) -> float:
    """Return the expected seconds of loading that one more copy saves, a byte."""
    busy = math.ceil(demand.uses * demand.work_s / horizon_s)
    spare = max(0, copies - busy)
    saved_s = demand.uses * demand.load_s / ((spare + 1) * (spare + 2))
    if copies < busy:  # each of these always has something to do
        saved_s = demand.uses * demand.load_s
    return saved_s / max(1, demand.num_bytes)


class _Rooms:
    """What is left on each worker while a plan is made."""

    def __init__(self, workers: Sequence[WorkerPlace]) -> None:
        self._workers = {worker.id: worker for worker in sorted(workers, key=lambda it: it.id)}
        self._free = {
            worker.id: math.inf if worker.room_bytes is None else float(worker.room_bytes)
            for worker in self._workers.values()
        }
        self.held: dict[str, list[str]] = {worker_id: [] for worker_id in self._workers}
        self._holders: dict[str, list[str]] = {}
        for worker in self._workers.values():
            for model in worker.resident:
                self._holders.setdefault(model, []).append(worker.id)
        # The roomiest first; an entry that is not a worker's present order is out of date.
        self._heap = [self._order(worker_id) for worker_id in self._workers]
        heapq.heapify(self._heap)

    def settle(self, model: str, count: int, num_bytes: int) -> None:
        """Give a model to so many more workers, as far as it fits: to those that hold it first."""
        holders = [
            worker_id
            for worker_id in self._holders.get(model, ())
            if self._may_take(worker_id, model, num_bytes)
        ]
        homes = heapq.nsmallest(count, holders, key=self._order)
        for worker_id in homes:
            self._take(worker_id, model, num_bytes)
        passed: list[tuple[float, int, str]] = []
        left = count - len(homes)
        while left > 0 and self._heap:
            order = heapq.heappop(self._heap)
            worker_id = order[-1]
            if order != self._order(worker_id):
                continue
            if self._may_take(worker_id, model, num_bytes):
                self._take(worker_id, model, num_bytes)
                left -= 1
                continue
            passed.append(order)
            if self._free[worker_id] < num_bytes:
                break  # nobody has more room
        for order in passed:
            heapq.heappush(self._heap, order)

    def _may_take(self, worker_id: str, model: str, num_bytes: int) -> bool:
        return (
            self._free[worker_id] >= num_bytes
            and model not in self.held[worker_id]
            and _runs(self._workers[worker_id], model)
        )

    def _take(self, worker_id: str, model: str, num_bytes: int) -> None:
        self.held[worker_id].append(model)
        self._free[worker_id] -= num_bytes
        heapq.heappush(self._heap, self._order(worker_id))

    def _order(self, worker_id: str) -> tuple[float, int, str]:
        return -self._free[worker_id], len(self.held[worker_id]), worker_id


def _runs(worker: WorkerPlace, model: str) -> bool:
    return not worker.models or model in worker.models
