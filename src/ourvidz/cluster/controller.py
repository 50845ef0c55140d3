"""Makes the wish so: looks at Ray, the store and the wish, acts, and reports.

It keeps nothing that matters. Any number may run; one leads. Losing all of them, the head or Ray
itself leaves the groups that live working, since those need the store alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from ourvidz.cluster.demand import queued_seconds
from ourvidz.cluster.plan import Action, Drain, Group, GroupState, Node, Plan, Remove, Start, plan
from ourvidz.cluster.scaling import Scale, scaled
from ourvidz.cluster.shape import ClusterShape
from ourvidz.cluster.wishes import Wishes
from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.store import JobStore

_log = logging.getLogger(__name__)

LOOK_S = 1.0
_LEAD_S = 8.0
_SEEN_BEATS = 3.0  # of silence, after which a worker does not count as ready

Answer = Mapping[str, Any]


class Placer(Protocol):
    """What the controller asks of Ray; see ``RayCluster``."""

    @property
    def session(self) -> str:
        """See ``RayCluster``."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """See ``RayCluster``."""
        ...

    def groups(self) -> Mapping[str, Answer | None]:
        """See ``RayCluster``."""
        ...

    def start(self, action: Start) -> bool:
        """See ``RayCluster``."""
        ...

    def drain(self, name: str) -> None:
        """See ``RayCluster``."""
        ...

    def remove(self, name: str) -> None:
        """See ``RayCluster``."""
        ...


class Controller:
    """One controller. One thread drives it."""

    def __init__(
        self,
        *,
        holder: str,
        wishes: Wishes,
        store: JobStore,
        placer: Placer,
        beat_s: float,
    ) -> None:
        """Prepare.

        Args:
            holder: this controller's name, another one for each process.
            wishes: the cluster's row.
            store: where jobs wait and workers report.
            placer: Ray.
            beat_s: between two reports of a worker (``queue.beat_s``).
        """
        self._holder = holder
        self._wishes = wishes
        self._store = store
        self._placer = placer
        self._seen_s = max(5.0, _SEEN_BEATS * beat_s)
        self._scales: dict[str, Scale] = {}
        self._places: dict[str, str] = {}  # group -> node, of those that do not answer
        self._is_leading = False

    def run(self, stopping: threading.Event, *, look_s: float = LOOK_S) -> None:
        """Act until ``stopping``. A store that is down is waited for; what Ray raises goes on."""
        while not stopping.is_set():
            try:
                self.step()
            except OurVidzError as error:
                _log.warning("the cluster stays as it is: %s", error.message)
            stopping.wait(look_s)
        if self._is_leading:
            self._wishes.let_go(self._holder)

    def step(self) -> Plan | None:
        """Look once and act; None while another controller leads."""
        was_leading, self._is_leading = (
            self._is_leading,
            self._wishes.lead(self._holder, for_s=_LEAD_S),
        )
        if not self._is_leading:
            return None
        if not was_leading:
            _log.info("this controller leads")
        nodes, answers = self._placer.nodes(), self._placer.groups()
        shape = self._known(self._wishes.shape(), nodes)
        groups = self._groups(answers)
        targets = self._targets(shape, groups)
        found = plan(shape, targets, groups, nodes)
        for action in found.actions:
            self._do(action)
        self._wishes.report(
            self._holder,
            session=self._placer.session,
            report=_report(shape, targets, nodes, groups, answers, found),
        )
        return found

    def _known(self, shape: ClusterShape, nodes: Sequence[Node]) -> ClusterShape:
        """Forget drained nodes that are gone: Ray gives no id twice."""
        alive = {node.id for node in nodes}
        for node_id in shape.cordoned:
            if node_id not in alive:
                shape = self._wishes.change(lambda each, gone=node_id: each.uncordon(gone))
        return shape

    def _groups(self, answers: Mapping[str, Answer | None]) -> list[Group]:
        alive = {
            (worker.host, worker.pid)
            for worker in self._store.workers(seen_within_s=self._seen_s)
            if worker.state in {"idle", "busy"}
        }
        groups: list[Group] = []
        for name, answer in sorted(answers.items()):
            if answer is not None:
                self._places[name] = answer["node_id"]
            groups.append(
                Group(
                    name=name,
                    state=_state(answer, alive),
                    node_id=self._places.get(name),
                    num_gpus=len(answer["gpus"]) if answer is not None else self._size(name),
                )
            )
        self._places = {name: node for name, node in self._places.items() if name in answers}
        return groups

    def _size(self, name: str) -> int:
        pools = {pool.name: pool.num_gpus for pool in self._wishes.shape().pools}
        return pools.get(name.split("/")[0], 1)

    def _targets(self, shape: ClusterShape, groups: Sequence[Group]) -> Mapping[str, int]:
        queued_s = queued_seconds(self._store, shape.pools)
        for pool in shape.pools:
            # A controller that starts anew finds the pool as the last one left it.
            staying = sum(g.pool == pool.name and not g.is_leaving for g in groups)
            now = self._scales.get(pool.name, Scale(target=staying))
            self._scales[pool.name] = scaled(
                pool, now, queued_s=queued_s.get(pool.name, 0.0), at_s=time.monotonic()
            )
        return {pool.name: self._scales[pool.name].target for pool in shape.pools}

    def _do(self, action: Action) -> None:
        match action:
            case Start():
                if self._placer.start(action):
                    _log.info("group %s starts on node %s", action.name, action.node_id[:8])
                self._places[action.name] = action.node_id
            case Drain():
                _log.info("group %s is drained: %s", action.name, action.why)
                self._placer.drain(action.name)
            case Remove():
                _log.info("group %s has ended", action.name)
                self._placer.remove(action.name)


def _state(answer: Answer | None, alive: set[tuple[str, int]]) -> GroupState:
    if answer is None:
        return GroupState.STARTING
    if answer["is_drained"]:
        return GroupState.DRAINED
    if answer["is_draining"]:
        return GroupState.DRAINING
    is_ready = (answer["host"], answer["pid"]) in alive
    return GroupState.READY if is_ready else GroupState.STARTING


def _report(
    shape: ClusterShape,
    targets: Mapping[str, int],
    nodes: Sequence[Node],
    groups: Sequence[Group],
    answers: Mapping[str, Answer | None],
    found: Plan,
) -> dict[str, Any]:
    return {
        "pools": {
            pool.name: {
                "generation": pool.generation,
                "target": targets[pool.name],
                "ready": sum(
                    g.pool == pool.name
                    and g.generation == pool.generation
                    and g.state is GroupState.READY
                    for g in groups
                ),
                "unplaced": found.unplaced.get(pool.name, 0),
            }
            for pool in shape.pools
        },
        "nodes": [asdict(node) for node in nodes],
        "groups": [_group_report(group, answers[group.name]) for group in groups],
    }


def _group_report(group: Group, answer: Answer | None) -> dict[str, Any]:
    kept = ("host", "pid", "actor_pid", "gpus", "starts", "last_exit", "fault")
    facts = {} if answer is None else {name: answer[name] for name in kept}
    return {"name": group.name, "state": group.state.value, "node_id": group.node_id, **facts}
