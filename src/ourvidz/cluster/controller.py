"""Makes the wish so: looks at Ray, the store and the wish, acts, and reports.

It keeps nothing that matters. Any number may run; one leads. Losing all of them, the head or Ray
itself leaves the groups that live working, since those need the store alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from ourvidz.cluster.demand import Waiting, waiting
from ourvidz.cluster.plan import Action, Drain, Group, GroupState, Node, Plan, Remove, Start, plan
from ourvidz.cluster.scaling import Scale, scaled
from ourvidz.cluster.shape import ClusterShape
from ourvidz.cluster.wishes import Seen, Wishes
from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.model import QueuedWork
from ourvidz.jobs.store import JobStore

_log = logging.getLogger(__name__)

LOOK_S = 1.0
_LEAD_S = 8.0
_SILENT_S = 10.0  # several looks: a group that has not answered for so long is lost
_QUEUE_SHARE = 0.05  # of its time that the database may spend on counting the queue
_GONE_S = 300.0  # after so long a drained node that is away is forgotten, unless by host name
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
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            holder: this controller's name, another one for each process.
            wishes: the cluster's row.
            store: where jobs wait and workers report.
            placer: Ray.
            beat_s: between two reports of a worker (``queue.beat_s``).
            monotonic_s: the clock of what lasts.
        """
        self._holder = holder
        self._wishes = wishes
        self._store = store
        self._placer = placer
        self._monotonic_s = monotonic_s
        self._seen_s = max(5.0, _SEEN_BEATS * beat_s)
        self._scales: dict[str, Scale] = {}
        self._places: dict[str, str] = {}  # group -> node, of those that do not answer
        self._silent_since_s: dict[str, float] = {}  # by group
        self._gone_since_s: dict[str, float] = {}  # by drained node
        self._queued: tuple[QueuedWork, ...] = ()
        self._next_queue_s = float("-inf")
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
        lead = self._wishes.lead(self._holder, for_s=_LEAD_S)
        if lead is None:
            self._is_leading = False
            return None
        if lead.is_new or not self._is_leading:
            self._is_leading = False
            self._begin()
            self._is_leading = True
        nodes, answers = self._placer.nodes(), self._placer.groups()
        shape = self._known(self._wishes.shape(), nodes)
        groups = self._groups(answers, nodes)
        queue = waiting(self._work(), shape.pools)
        targets = self._targets(shape, groups, queue.seconds)
        found = plan(shape, targets, groups, nodes)
        for action in found.actions:
            self._do(action)
        self._wishes.report(
            self._holder,
            session=self._placer.session,
            report=_report(shape, targets, nodes, groups, answers, found, queue),
        )
        return found

    def _begin(self) -> None:
        """Forget what was so when this controller led last: another one has acted since."""
        _log.info("this controller leads")
        self._scales.clear()
        self._places = _places(self._wishes.seen(), self._placer.session)
        self._silent_since_s.clear()
        self._gone_since_s.clear()
        self._next_queue_s = float("-inf")

    def _work(self) -> tuple[QueuedWork, ...]:
        """Return what waits; of a very long queue, what did a few looks ago."""
        at_s = self._monotonic_s()
        if at_s >= self._next_queue_s:
            self._queued = self._store.queued_work()
            self._next_queue_s = at_s + (self._monotonic_s() - at_s) / _QUEUE_SHARE
        return self._queued

    def _known(self, shape: ClusterShape, nodes: Sequence[Node]) -> ClusterShape:
        """Forget the ids of drained nodes that are gone for long: Ray gives no id twice."""
        now_s = self._monotonic_s()
        alive = {node.id for node in nodes}
        self._gone_since_s = {
            node_id: self._gone_since_s.get(node_id, now_s)
            for node_id in shape.cordoned
            if node_id not in alive
        }
        gone = [each for each, since_s in self._gone_since_s.items() if now_s - since_s >= _GONE_S]
        return self._wishes.change(lambda each: each.uncordon(*gone)) if gone else shape

    def _groups(self, answers: Mapping[str, Answer | None], nodes: Sequence[Node]) -> list[Group]:
        workers = self._store.workers(seen_within_s=self._seen_s)
        alive = {
            (worker.host, worker.pid) for worker in workers if worker.state in {"idle", "busy"}
        }
        busy = {(worker.host, worker.pid) for worker in workers if worker.jobs}
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
                    is_busy=answer is not None and (answer["host"], answer["pid"]) in busy,
                    is_lost=self._is_lost(name, answer, nodes),
                )
            )
        self._places = {name: node for name, node in self._places.items() if name in answers}
        self._silent_since_s = {
            name: since_s for name, since_s in self._silent_since_s.items() if name in answers
        }
        return groups

    def _is_lost(self, name: str, answer: Answer | None, nodes: Sequence[Node]) -> bool:
        if answer is not None:
            self._silent_since_s.pop(name, None)
            return False
        now_s = self._monotonic_s()
        silent_s = now_s - self._silent_since_s.setdefault(name, now_s)
        node_id = self._places.get(name)
        is_node_gone = node_id is not None and node_id not in {node.id for node in nodes}
        return is_node_gone or silent_s >= _SILENT_S

    def _size(self, name: str) -> int:
        pools = {pool.name: pool.num_gpus for pool in self._wishes.shape().pools}
        return pools.get(name.split("/")[0], 1)

    def _targets(
        self, shape: ClusterShape, groups: Sequence[Group], queued_s: Mapping[str, float]
    ) -> Mapping[str, int]:
        for pool in shape.pools:
            # A controller that starts anew finds the pool as the last one left it.
            staying = [g for g in groups if g.pool == pool.name and not g.is_leaving]
            now = self._scales.get(pool.name, Scale(target=len(staying)))
            self._scales[pool.name] = scaled(
                pool,
                now,
                queued_s=queued_s.get(pool.name, 0.0),
                num_busy=sum(group.is_busy for group in staying),
                at_s=self._monotonic_s(),
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
                _log.info("group %s has ended, or can't be reached", action.name)
                self._placer.remove(action.name)


def _places(seen: Seen, session: str) -> dict[str, str]:
    """Return where groups were when a controller reported last: who is silent can't say it now."""
    if seen.session != session:
        return {}  # ids of another head's nodes
    groups: Sequence[Mapping[str, Any]] = seen.report.get("groups", ())
    return {group["name"]: group["node_id"] for group in groups if group["node_id"] is not None}


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
    queue: Waiting,
) -> dict[str, Any]:
    return {
        "revision": shape.revision,  # of the wish that this is about
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
        "unclaimed": dict(queue.unclaimed),
        "nodes": [asdict(node) for node in nodes],
        "groups": [_group_report(group, answers[group.name]) for group in groups],
    }


def _group_report(group: Group, answer: Answer | None) -> dict[str, Any]:
    kept = ("host", "pid", "actor_pid", "gpus", "starts", "last_exit", "fault")
    facts = {} if answer is None else {name: answer[name] for name in kept}
    return {"name": group.name, "state": group.state.value, "node_id": group.node_id, **facts}
