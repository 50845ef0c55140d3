"""What to do next, from what is wanted and what is there: values in, actions out.

It is asked again every second, so each answer may be small, and nothing need be remembered: a
controller that starts anew goes on where the last one was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ourvidz.cluster.shape import ClusterShape, Pool


class GroupState(StrEnum):
    """How far a group is."""

    STARTING = "starting"  # not placed yet, restarting, or its worker has not reported yet
    READY = "ready"  # its worker reports to the store
    DRAINING = "draining"
    DRAINED = "drained"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A worker group as the controller sees it."""

    name: str  # pool/index/generation
    state: GroupState
    node_id: str | None = None  # None: not known (yet)
    num_gpus: int = 1
    is_busy: bool = False  # its worker has a job
    is_lost: bool = False  # silent for a while, or its node is gone: it can't be asked to drain

    @property
    def pool(self) -> str:
        """Its pool's name."""
        return self.name.split("/")[0]

    @property
    def index(self) -> int:
        """Its number in the pool."""
        return int(self.name.split("/")[1])

    @property
    def generation(self) -> str:
        """What it was made as; see ``Pool.generation``."""
        return self.name.split("/")[2]

    @property
    def is_leaving(self) -> bool:
        """Whether it claims no more."""
        return self.state in {GroupState.DRAINING, GroupState.DRAINED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A node that lives."""

    id: str
    address: str
    hostname: str
    num_gpus: int
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Make a group, on this node if that still has room."""

    name: str
    pool: Pool
    node_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Drain:
    """Have a group claim no more and finish what runs."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """End an actor whose worker has ended, or that nobody can reach.

    Where such a worker still lives it gets SIGTERM as its actor ends, which drains it.
    """

    name: str


Action = Start | Drain | Remove


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do now, and which pools lack room."""

    actions: tuple[Action, ...]
    unplaced: Mapping[str, int]  # groups by pool that no node has room for


def plan(
    shape: ClusterShape,
    targets: Mapping[str, int],
    groups: Sequence[Group],
    nodes: Sequence[Node],
) -> Plan:
    """Return the next actions.

    Args:
        shape: what is wanted.
        targets: groups by pool, as the scaler says; left out, the pool's floor.
        groups: those that exist.
        nodes: those that live.
    """
    cordoned = (
        *shape.cordoned,
        *(node.id for node in nodes if node.hostname in shape.cordoned_hosts),
    )
    room = _Room(nodes, groups, cordoned)
    actions: list[Action] = [
        Remove(name=group.name) for group in groups if group.state is GroupState.DRAINED
    ]
    wanted = {pool.name: pool for pool in shape.pools}
    actions += [
        Drain(name=group.name, why="its pool is gone")
        for group in groups
        if group.pool not in wanted and not group.is_leaving
    ]
    unplaced: dict[str, int] = {}
    # The largest first: one of eight needs an empty node, and singles fit wherever.
    for pool in sorted(shape.pools, key=lambda pool: (-pool.num_gpus, pool.name)):
        own = [group for group in groups if group.pool == pool.name]
        found, missing = _plan_pool(pool, targets.get(pool.name, pool.floor), own, room, cordoned)
        actions += found
        if missing:
            unplaced[pool.name] = missing
    lost = {group.name for group in groups if group.is_lost}
    return Plan(
        actions=tuple(
            Remove(name=action.name)
            if isinstance(action, Drain) and action.name in lost
            else action
            for action in actions
        ),
        unplaced=unplaced,
    )


def _plan_pool(
    pool: Pool, target: int, own: Sequence[Group], room: _Room, cordoned: Sequence[str]
) -> tuple[list[Action], int]:
    staying = [group for group in own if not group.is_leaving]
    leaving = [group for group in staying if group.node_id in cordoned]
    staying = [group for group in staying if group not in leaving]
    new = [group for group in staying if group.generation == pool.generation]
    old = [group for group in staying if group.generation != pool.generation]
    actions: list[Action] = [Drain(name=each.name, why="its node is drained") for each in leaving]
    if old:
        is_busy = len(own) > len(staying) or any(
            group.state is not GroupState.READY for group in new
        )
        return actions + ([] if is_busy else _replace(pool, target, new, old, own, room)), 0
    for group in _surplus(new, len(new) - target):
        actions.append(Drain(name=group.name, why=f"{target} groups are enough"))
    missing = target - len(new)
    started = _start(pool, missing, own, room)
    return actions + started, max(0, missing - len(started))


def _replace(
    pool: Pool,
    target: int,
    new: Sequence[Group],
    old: Sequence[Group],
    own: Sequence[Group],
    room: _Room,
) -> list[Action]:
    """Take one step of a roll: a new group first; where no room is left, an old one goes first."""
    if len(new) + len(old) <= target:
        started = _start(pool, 1, own, room)
        if started:
            return started
    oldest = max(old, key=lambda group: group.index)
    return [Drain(name=oldest.name, why=f"version {pool.version!r} replaces it")]


def _surplus(groups: Sequence[Group], count: int) -> list[Group]:
    """Return those that are missed least: not ready yet, then idle, then the highest number."""
    ordered = sorted(
        groups,
        key=lambda group: (group.state is GroupState.READY, group.is_busy, -group.index),
    )
    return ordered[: max(0, count)]


def _start(pool: Pool, count: int, own: Sequence[Group], room: _Room) -> list[Action]:
    taken = {group.index for group in own}
    started: list[Action] = []
    for index in range(len(own) + max(0, count)):
        if len(started) >= count:
            break
        if index in taken:
            continue
        node_id = room.take(pool)
        if node_id is None:
            break
        name = f"{pool.name}/{index}/{pool.generation}"
        started.append(Start(name=name, pool=pool, node_id=node_id))
    return started


class _Room:
    """GPUs that are free, and which pools are on which node."""

    def __init__(
        self, nodes: Sequence[Node], groups: Sequence[Group], cordoned: Sequence[str]
    ) -> None:
        self._nodes = {node.id: node for node in nodes if node.id not in cordoned}
        self._free = {node.id: node.num_gpus for node in self._nodes.values()}
        self._pools: Counter[tuple[str, str]] = Counter()
        for group in groups:
            if group.node_id in self._free:
                self._use(group.node_id, group.pool, group.num_gpus)

    def take(self, pool: Pool) -> str | None:
        """Return a node for one more group: where the pool has fewest, then where most is free."""
        fitting = [
            node
            for node in self._nodes.values()
            if self._free[node.id] >= pool.num_gpus
            and all(node.labels.get(key) == value for key, value in pool.labels.items())
        ]
        if not fitting:
            return None
        best = min(
            fitting,
            key=lambda node: (self._pools[node.id, pool.name], -self._free[node.id], node.id),
        )
        self._use(best.id, pool.name, pool.num_gpus)
        return best.id

    def _use(self, node_id: str | None, pool: str, num_gpus: int) -> None:
        assert node_id is not None
        self._free[node_id] -= num_gpus
        self._pools[node_id, pool] += 1
