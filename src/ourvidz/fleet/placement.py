"""Which models lie where, before jobs ask for them: values in, a list of models a worker out.

Every worker computes the same plan from the same rows of the store and takes its own part: nobody
has to agree with anybody, and a worker that dies is left out of the next plan.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPlace:
    """A worker as the plan sees it: one whose room is known."""

    id: str
    room_bytes: int  # for weights on its device
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
    expected loading a byte: the first ones of rare models before the tenth of a common one. Workers
    that run few models alone are filled before those that run any. A model stays where it is
    resident if it may; others go where most room is left.

    Args:
        workers: who there is, in any order.
        demand: by model; without uses it is not placed.
        horizon_s: over which the uses are expected.
    """
    wanted = {model: each for model, each in demand.items() if each.uses > 0}
    pools = _pools_of(workers)
    homes = _homes(pools, wanted, horizon_s)
    copies = dict.fromkeys(wanted, 0)
    for pool in pools:
        firsts = [model for model, home in homes.items() if home is pool]
        copies |= dict.fromkeys(pool.settle_firsts(firsts, wanted), 1)
    _spread(
        wanted,
        copies,
        horizon_s,
        lambda model: any(pool.settle(model, wanted[model].num_bytes) for pool in pools),
    )
    return Placement(
        models={
            worker_id: tuple(sorted(models, key=lambda model: (-wanted[model].uses, model)))
            for pool in pools
            for worker_id, models in pool.held.items()
        },
        copies={model: count for model, count in copies.items() if count},
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
    room_bytes: int,
    sizes: Mapping[str, int],
) -> Exchange:
    """Return what an idle worker should exchange, so that some worker has each planned model.

    A second copy is never worth a first one: only what nobody holds makes others leave, and only
    what is planned elsewhere leaves.

    Args:
        part: what the worker should hold.
        resident: what it holds, the least useful first.
        held: what anybody holds or is loading.
        room_bytes: for weights on its device.
        sizes: bytes by model.
    """
    missing = tuple(model for model in part if model not in held)
    if not missing:
        return Exchange()
    needed = sum(sizes.get(model, 0) for model in (*missing, *resident)) - room_bytes
    leaving: list[str] = []
    for model in resident:
        if needed > 0 and model not in part:
            needed -= sizes.get(model, 0)
            leaving.append(model)
    return Exchange(missing=missing, leaving=tuple(leaving))


def _homes(
    pools: Sequence[_Pool], wanted: Mapping[str, ModelDemand], horizon_s: float
) -> dict[str, _Pool]:
    """Return which models get a copy, and where their first: as if each pool were one worker."""
    found: dict[str, _Pool] = {}

    def take(model: str) -> bool:
        for pool in pools:
            if pool.count(model, wanted[model].num_bytes):
                found.setdefault(model, pool)
                return True
        return False

    _spread(wanted, dict.fromkeys(wanted, 0), horizon_s, take)
    return found


def _spread(
    wanted: Mapping[str, ModelDemand],
    copies: dict[str, int],
    horizon_s: float,
    take: Callable[[str], bool],
) -> None:
    """Add copies, the dearest first, until none is taken any more."""
    heap = [(-_value(each, copies[model], horizon_s), model) for model, each in wanted.items()]
    heapq.heapify(heap)
    while heap:
        model = heap[0][1]
        if take(model):
            copies[model] += 1
            value = _value(wanted[model], copies[model], horizon_s)
            heapq.heapreplace(heap, (-value, model))
        else:
            heapq.heappop(heap)


def _value(demand: ModelDemand, copies: int, horizon_s: float) -> float:
    """Return the expected seconds of loading that one more copy saves, a byte."""
    busy = math.ceil(demand.uses * demand.work_s / horizon_s)
    spare = max(0, copies - busy)
    saved_s = demand.uses * demand.load_s / ((spare + 1) * (spare + 2))
    if copies < busy:  # each of these always has something to do
        saved_s = demand.uses * demand.load_s
    return saved_s / max(1, demand.num_bytes)


def _pools_of(workers: Sequence[WorkerPlace]) -> list[_Pool]:
    """Return the workers by what they run: those that run least first, those that run any last."""
    by_models: dict[frozenset[str], list[WorkerPlace]] = defaultdict(list)
    for worker in workers:
        by_models[worker.models].append(worker)
    keys = sorted(by_models, key=lambda models: (not models, len(models), sorted(models)))
    return [_Pool(by_models[key]) for key in keys]


class _Pool:
    """Workers that run the same models."""

    def __init__(self, workers: Sequence[WorkerPlace]) -> None:
        self._workers = workers
        self._models = workers[0].models
        self._rooms = _Rooms(workers)
        self._left = sum(worker.room_bytes for worker in workers)
        self._counts: dict[str, int] = {}  # how many more workers are large enough

    @property
    def held(self) -> Mapping[str, list[str]]:
        """What was settled, by worker."""
        return self._rooms.held

    def count(self, model: str, num_bytes: int) -> bool:
        """Count a copy against the room of all of them; False if it is too much."""
        if model not in self._counts:
            self._counts[model] = self._runs(model) * sum(
                worker.room_bytes >= num_bytes for worker in self._workers
            )
        if not self._counts[model] or num_bytes > self._left:
            return False
        self._counts[model] -= 1
        self._left -= num_bytes
        return True

    def settle_firsts(
        self, models: Sequence[str], wanted: Mapping[str, ModelDemand]
    ) -> Collection[str]:
        """Settle a copy of each as far as it fits; return which did. Comes before any other.

        The largest first: small ones find room in what is left. Where that leaves out what is
        dearer, the dearest first.
        """
        orders = (
            sorted(models, key=lambda model: (-wanted[model].num_bytes, model)),
            sorted(models, key=lambda model: (-_density(wanted[model]), model)),
        )
        best: set[str] = set()
        for order in orders:
            rooms = _Rooms(self._workers)
            found = {model for model in order if rooms.settle(model, wanted[model].num_bytes)}
            if _saved_s(found, wanted) > _saved_s(best, wanted):
                self._rooms, best = rooms, found
            if len(found) == len(order):
                break
        return best

    def settle(self, model: str, num_bytes: int) -> bool:
        """Give a model to one more worker; False if none can take it."""
        return self._runs(model) and self._rooms.settle(model, num_bytes)

    def _runs(self, model: str) -> bool:
        return not self._models or model in self._models


def _density(demand: ModelDemand) -> float:
    """Return the loading that a first copy saves, a byte."""
    return demand.uses * demand.load_s / max(1, demand.num_bytes)


def _saved_s(models: Collection[str], wanted: Mapping[str, ModelDemand]) -> float:
    """Return the loading that first copies save, added up in the same order everywhere."""
    return sum(wanted[model].uses * wanted[model].load_s for model in sorted(models))


# Whether a model is not resident there, then the roomiest first, then whoever has least to hold.
_Order = tuple[bool, int, int, str]


class _Rooms:
    """What is left on each worker of a pool while a plan is made."""

    def __init__(self, workers: Sequence[WorkerPlace]) -> None:
        self._workers = workers
        self._free = {worker.id: worker.room_bytes for worker in workers}
        self.held: dict[str, list[str]] = {worker_id: [] for worker_id in sorted(self._free)}
        # For each model who may still take it. Room only shrinks, so that an entry that is out of
        # date stands too far to the front, and is put right when it gets there.
        self._heaps: dict[str, list[_Order]] = {}

    def settle(self, model: str, num_bytes: int) -> bool:
        """Give a model to one more worker, to one that holds it if it fits there."""
        heap = self._heaps.get(model)
        if heap is None:
            heap = self._heaps[model] = [
                self._order(worker.id, is_new=model not in worker.resident)
                for worker in self._workers
            ]
            heapq.heapify(heap)
        while heap:
            is_new, negative_free, _, worker_id = heap[0]
            free = self._free[worker_id]
            if negative_free != -free:
                heapq.heapreplace(heap, self._order(worker_id, is_new=is_new))
            elif free >= num_bytes:
                heapq.heappop(heap)
                self.held[worker_id].append(model)
                self._free[worker_id] = free - num_bytes
                return True
            elif is_new:
                return False  # nobody has more room
            else:
                heapq.heappop(heap)
        return False

    def _order(self, worker_id: str, *, is_new: bool) -> _Order:
        return is_new, -self._free[worker_id], len(self.held[worker_id]), worker_id
