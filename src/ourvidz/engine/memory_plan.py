"""Which weights stay on the device: values in, decisions out. Knows no torch and no clock.

Weights have four places: the device, a copy in host memory, the page cache, the disk. What must
leave the device is what is cheapest to do without: the seconds that its return takes, times the
uses expected soon, over the bytes that it frees. What running jobs hold never leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

Key = tuple[str, str]  # model, component

# A use counts half after so long: about as long as a person's session with one model.
USE_HALF_LIFE_S = 600.0
# Below this share of the budget the next load or a larger job may have to evict.
_TIGHT_SHARE = 0.1


class Place(StrEnum):
    """Where weights are, dearest first."""

    DEVICE = "device"
    HOST = "host"
    PAGE_CACHE = "page_cache"
    DISK = "disk"


@dataclass(frozen=True, kw_only=True, slots=True)
class Speeds:
    """Bytes per second; measured where it can be. Defaults: one H200's host."""

    to_host: float = 3e9  # into memory that has to be found and pinned first
    from_host: float = 50e9  # pinned, over PCIe 5
    from_page_cache: float = 10e9
    from_disk: float = 1.4e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """Something made of a component's weights: 8-bit copies, graphs."""

    name: str
    num_bytes: int
    build_s: float  # to make it again


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """One component that is on the device."""

    key: Key
    num_bytes: int
    file_bytes: int  # what loading it from its files reads
    use: float  # uses expected soon: recent ones, decayed, and the queue's
    is_held: bool = False
    is_in_page_cache: bool = False
    has_host_copy: bool = False
    is_whole: bool = True  # False: what is derived took weights of it; they go together
    derived: tuple[Derived, ...] = ()

    @property
    def total_bytes(self) -> int:
        """With everything derived from it."""
        return self.num_bytes + sum(each.num_bytes for each in self.derived)


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCopy:
    """A component's weights in host memory."""

    key: Key
    num_bytes: int
    value: float  # seconds that it is expected to save, per byte
    is_on_device: bool = False  # the weights themselves are there too


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCache:
    """The host memory that copies may take, and those in it."""

    budget_bytes: int = 0
    copies: tuple[HostCopy, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Eviction:
    """One thing that leaves the device."""

    key: Key
    derived: str | None = None  # only this; None is the component with all that is derived from it
    to: Place | None = None  # where its weights are afterwards; None for something derived
    freed_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do so that enough memory is free."""

    evictions: tuple[Eviction, ...] = ()
    dropped_copies: tuple[Key, ...] = ()  # of the host cache, before anything moves into it
    is_enough: bool = True  # False: all that may go does, and it is still too little

    @property
    def freed_bytes(self) -> int:
        """Bytes of the device that are free afterwards and were not before."""
        return sum(each.freed_bytes for each in self.evictions)


def plan_evictions(
    weights: Iterable[Weights],
    *,
    needed_bytes: int,
    host: HostCache | None = None,
    speeds: Speeds | None = None,
) -> Plan:
    """Choose what leaves the device so that ``needed_bytes`` more of it are free.

    Derived things may go alone, before their component. Equal inputs in any order give equal
    plans; nothing is evicted that the others make unnecessary.
    """
    speeds, host = speeds or Speeds(), host or HostCache()
    by_key = {each.key: each for each in weights}
    loose = {key: each for key, each in by_key.items() if not each.is_held}
    chosen = _trim(_choose(loose, needed_bytes, host, speeds), needed_bytes)
    leaving = [by_key[unit.key] for unit in chosen if unit.derived is None]
    to_host, dropped = _fill_host(leaving, host, speeds)
    evictions = tuple(
        Eviction(
            key=unit.key,
            derived=unit.derived,
            to=None if unit.derived is not None else _place(by_key[unit.key], to_host),
            freed_bytes=unit.num_bytes,
        )
        for unit in chosen
    )
    freed = sum(unit.num_bytes for unit in chosen)
    return Plan(evictions=evictions, dropped_copies=dropped, is_enough=freed >= needed_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unit:
    """Something that can leave, and what its return is expected to cost."""

    key: Key
    derived: str | None
    num_bytes: int
    cost_s: float

    @property
    def order(self) -> tuple[float, Key, str]:
        return (self.cost_s / self.num_bytes, self.key, self.derived or "")


def _choose(
    loose: Mapping[Key, Weights], needed_bytes: int, host: HostCache, speeds: Speeds
) -> list[_Unit]:
    """Take the cheapest a byte until it is enough; what goes alone no longer goes with another."""
    left = dict(loose)
    chosen: list[_Unit] = []
    freed = 0
    while freed < needed_bytes and left:
        units = [unit for each in left.values() for unit in _units(each, host, speeds)]
        cheapest = min(units, key=lambda unit: unit.order, default=None)
        if cheapest is None:
            break
        chosen.append(cheapest)
        freed += cheapest.num_bytes
        parent = left.pop(cheapest.key)
        if cheapest.derived is not None:
            rest = tuple(each for each in parent.derived if each.name != cheapest.derived)
            left[parent.key] = replace(parent, derived=rest)
    return chosen


def _units(weights: Weights, host: HostCache, speeds: Speeds) -> list[_Unit]:
    alone = [
        _Unit(
            key=weights.key,
            derived=each.name,
            num_bytes=each.num_bytes,
            cost_s=each.build_s * weights.use,
        )
        for each in (weights.derived if weights.is_whole else ())
    ]
    rebuild_s = sum(each.build_s for each in weights.derived)
    whole = _Unit(
        key=weights.key,
        derived=None,
        num_bytes=weights.total_bytes,
        cost_s=(_return_s(weights, host, speeds) + rebuild_s) * weights.use,
    )
    return [unit for unit in (*alone, whole) if unit.num_bytes > 0]


def _trim(chosen: list[_Unit], needed_bytes: int) -> list[_Unit]:
    """Leave out what the later choices made unnecessary, the dearest first."""
    kept = list(chosen)
    while True:
        spare = sum(unit.num_bytes for unit in kept) - needed_bytes
        gone = {unit.key for unit in kept if unit.derived is None}
        unneeded = [
            unit
            for unit in kept
            # Without its component something derived is worth nothing.
            if unit.num_bytes <= spare and (unit.derived is None or unit.key not in gone)
        ]
        if not unneeded:
            return kept
        kept.remove(min(unneeded, key=lambda unit: (-unit.cost_s, unit.order)))


# ---- The host's copies


def host_value(weights: Weights, speeds: Speeds) -> float:
    """Return the seconds a byte that a copy in host memory is expected to save, 0 or more."""
    if weights.num_bytes == 0:
        return 0.0
    saved_s = _reload_s(weights, speeds) - weights.num_bytes / speeds.from_host
    return max(0.0, saved_s * weights.use / weights.num_bytes)


def _reload_s(weights: Weights, speeds: Speeds) -> float:
    speed = speeds.from_page_cache if weights.is_in_page_cache else speeds.from_disk
    return weights.file_bytes / speed


def _return_s(weights: Weights, host: HostCache, speeds: Speeds) -> float:
    fits = weights.num_bytes <= host.budget_bytes and _is_worth_moving(weights, speeds)
    if weights.has_host_copy or fits:
        return weights.num_bytes / speeds.from_host
    return _reload_s(weights, speeds)


def _is_worth_moving(weights: Weights, speeds: Speeds) -> bool:
    """Whether one return from a copy saves more than the copy costs to make.

    Out of the page cache it often does not; out of a disk it does.
    """
    saved_s = _reload_s(weights, speeds) - weights.num_bytes / speeds.from_host
    return weights.is_whole and saved_s > weights.num_bytes / speeds.to_host


def _fill_host(
    leaving: Sequence[Weights], host: HostCache, speeds: Speeds
) -> tuple[frozenset[Key], tuple[Key, ...]]:
    """Return what moves into host memory, and the copies dropped for it."""
    gone = {each.key for each in leaving}
    copies = {copy.key: copy for copy in host.copies}
    used = sum(copy.num_bytes for copy in copies.values())
    moving: set[Key] = set()
    dropped: list[Key] = []
    movable = [
        each for each in leaving if not each.has_host_copy and _is_worth_moving(each, speeds)
    ]
    for each in sorted(movable, key=lambda each: (-host_value(each, speeds), each.key)):
        # First copies of what stays on the device: nobody needs those now.
        worse = sorted(
            (
                (copy.is_on_device and key not in gone, copy.value, key)
                for key, copy in copies.items()
                if key not in gone
            ),
            key=lambda item: (not item[0], item[1], item[2]),
        )
        room = host.budget_bytes - used
        victims: list[Key] = []
        for is_spare, value, key in worse:
            if room >= each.num_bytes or not (is_spare or value < host_value(each, speeds)):
                break
            victims.append(key)
            room += copies[key].num_bytes
        if room < each.num_bytes:
            continue
        for key in victims:
            used -= copies.pop(key).num_bytes
        dropped += victims
        moving.add(each.key)
        used += each.num_bytes
    return frozenset(moving), tuple(dropped)


def _place(weights: Weights, to_host: frozenset[Key]) -> Place:
    if weights.has_host_copy or weights.key in to_host:
        return Place.HOST
    return Place.PAGE_CACHE if weights.is_in_page_cache else Place.DISK


# ---- How often, how much


def decayed(use: float, age_s: float) -> float:
    """Return what uses of ``age_s`` seconds ago count now."""
    return use * 0.5 ** (max(0.0, age_s) / USE_HALF_LIFE_S)


@dataclass(kw_only=True, slots=True)
class ActivationPeaks:
    """What the last few workloads took beside the weights, as it was measured."""

    floor_bytes: int = 2 * 2**30  # for a workload that was never measured
    max_workloads: int = 8  # one large job must not keep weights out for ever
    _peaks: dict[str, int] = field(default_factory=dict[str, int])  # the last used one is last

    def learn(self, workload: str, num_bytes: int) -> None:
        """Keep a measured peak; of several of one workload the largest."""
        self._peaks[workload] = max(num_bytes, self._peaks.pop(workload, 0))
        while len(self._peaks) > self.max_workloads:
            del self._peaks[next(iter(self._peaks))]

    def of(self, workload: str) -> int | None:
        """Return a workload's peak, None where it is not known."""
        return self._peaks.get(workload)

    @property
    def expected_bytes(self) -> int:
        """What must stay free beside all weights: jobs take turns, so the largest of them."""
        return max(self.floor_bytes, *self._peaks.values(), 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceView:
    """A device's memory as the driver and torch's allocator tell it, in bytes."""

    total_bytes: int
    free_bytes: int  # that no process has
    reserved_bytes: int  # that this process's allocator has
    allocated_bytes: int  # of those, in tensors


# What a CUDA context and the libraries' handles take beside the allocator: 0.5 GiB and a little.
_MAX_CONTEXT_BYTES = 2**30


def budget_of(view: DeviceView, *, vram_bytes: int | None) -> int:
    """Return what tensors of this process may take.

    What others have, and this process beside its allocator, is never ours. ``vram_bytes`` pretends
    that the device is smaller: then the part that a context takes is taken off that too, as it
    would be on a real device of that size; more of the others is not, because on the pretended
    device they would not be.
    """
    others = max(0, view.total_bytes - view.free_bytes - view.reserved_bytes)
    budget = view.total_bytes - others
    if vram_bytes is not None:
        budget = min(budget, vram_bytes - min(others, _MAX_CONTEXT_BYTES))
    return max(1, budget)  # 0 would say that no limit is known


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPressure:
    """The device's memory as the plan sees it, in bytes. Without a budget all is ``ok``."""

    budget_bytes: int  # 0: no limit is known
    weights_bytes: int
    derived_bytes: int
    arriving_bytes: int  # being loaded
    activations_bytes: int  # kept free for the work itself
    host_bytes: int
    host_budget_bytes: int

    @property
    def free_bytes(self) -> int:
        """What could still be loaded without evicting; negative when too much is on the device."""
        if self.budget_bytes == 0:
            return 0
        taken = self.weights_bytes + self.derived_bytes + self.arriving_bytes
        return self.budget_bytes - taken - self.activations_bytes

    @property
    def level(self) -> Literal["ok", "tight", "full"]:
        """``tight`` below a tenth of the budget, ``full`` when nothing is left."""
        if self.budget_bytes == 0:
            return "ok"
        if self.free_bytes < 0:
            return "full"
        return "tight" if self.free_bytes < _TIGHT_SHARE * self.budget_bytes else "ok"

    def facts(self) -> dict[str, int]:
        """Return the numbers by name, for a job's memory facts, metrics and the worker's row."""
        return {
            "budget_bytes": self.budget_bytes,
            "weights_bytes": self.weights_bytes,
            "derived_bytes": self.derived_bytes,
            "arriving_bytes": self.arriving_bytes,
            "activations_bytes": self.activations_bytes,
            "free_bytes": self.free_bytes,
            "host_bytes": self.host_bytes,
            "host_budget_bytes": self.host_budget_bytes,
        }
