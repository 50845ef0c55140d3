"""What a command waits for after it has written a wish, and what it says when that never comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ourvidz.cluster.shape import Pool
from ourvidz.cluster.wishes import Seen, Wishes
from ourvidz.core.errors import CapacityMissing, ClusterUnavailable, InvalidRequest, UnknownName

_LOOK_S = 0.5
Report = Mapping[str, Any]


def wait_ready(wishes: Wishes, pool: Pool, *, timeout_s: float) -> None:
    """Wait until a pool has its floor of groups, all of its present version.

    Raises:
        ClusterUnavailable: nobody makes it so.
        CapacityMissing: there was no room in time, or its workers do not start.
    """
    if not _wait(wishes, lambda report: _is_ready(report, pool), timeout_s):
        raise CapacityMissing(
            f"Pool {pool.name!r} has {_ready(wishes.seen().report, pool)} of {pool.floor} groups"
            f" after {timeout_s:.0f} s: {reason(wishes.seen().report, pool)}.",
            hint="The wish stays: groups start as room comes. ourvidz cluster status shows them.",
        )


def wait_gone(
    wishes: Wishes, is_meant: Callable[[Mapping[str, Any]], bool], *, timeout_s: float
) -> None:
    """Wait until no group of the report is meant any more. Raises as ``wait_ready``."""

    def is_done(report: Report) -> bool:
        return not any(is_meant(group) for group in report.get("groups", ()))

    if not _wait(wishes, is_done, timeout_s):
        raise CapacityMissing(
            f"Groups are still draining after {timeout_s:.0f} s.",
            hint="They go on. queue.drain_s says how long a job may take; wait with --timeout.",
        )


def reason(report: Report, pool: Pool) -> str:
    """Say why a pool has fewer groups than it should."""
    faults = [group["fault"]["message"] for group in _groups_of(report, pool) if group.get("fault")]
    if faults:
        return f"on its node, {faults[0].rstrip('.')}"
    sizes = [
        node["num_gpus"]
        for node in report.get("nodes", ())
        if all(node["labels"].get(key) == value for key, value in pool.labels.items())
    ]
    if not sizes:
        return f"no node has the labels {dict(pool.labels)}" if pool.labels else "there is no node"
    if max(sizes) < pool.num_gpus:
        return f"a group needs {pool.num_gpus} GPUs on one node, and the largest has {max(sizes)}"
    missing = report.get("pools", {}).get(pool.name, {}).get("unplaced", 0)
    if missing:
        return f"{missing} more need {pool.num_gpus} free GPU(s) on one node each"
    return "their workers have not reported yet; the nodes' logs say why"


def unclaimed(report: Report) -> str | None:
    """Say what waits that no pool claims; None where there is nothing."""
    lanes: Mapping[str, int] = report.get("unclaimed", {})
    if not lanes:
        return None
    found = ", ".join(f"{lane} ({count})" for lane, count in sorted(lanes.items()))
    return f"jobs wait that no pool claims: {found}"


def is_on(group: Mapping[str, Any], node_id: str) -> bool:
    """Whether a group is on a node, or may be: of one that is only starting it isn't known yet."""
    return group["node_id"] in {node_id, None}


def own_hostname(report: Report, node_id: str) -> str | None:
    """Return a node's host name where no other node has it: then it means that node for good."""
    nodes: Sequence[Mapping[str, Any]] = report.get("nodes", ())
    names = [node["hostname"] for node in nodes if node["id"] == node_id]
    is_own = bool(names) and sum(node["hostname"] == names[0] for node in nodes) == 1
    return names[0] if is_own else None


def node_named(report: Report, name: str) -> str:
    """Return the id of the node of that id, beginning of an id, address or host name.

    Raises:
        UnknownName: there is none.
        InvalidRequest: several are meant.
    """
    nodes: Sequence[Mapping[str, Any]] = report.get("nodes", ())
    found = [
        node["id"]
        for node in nodes
        if name in {node["address"], node["hostname"]} or node["id"].startswith(name)
    ]
    if not found:
        known = ", ".join(f"{node['id'][:8]} ({node['hostname']})" for node in nodes)
        raise UnknownName(f"No node {name!r}.", param="node", hint=f"There are: {known or 'none'}.")
    if len(found) > 1:
        raise InvalidRequest(
            f"{name!r} means {len(found)} nodes.",
            param="node",
            hint=f"Give the beginning of an id: {', '.join(node[:8] for node in found)}.",
        )
    return found[0]


def _wait(wishes: Wishes, is_done: Callable[[Report], bool], timeout_s: float) -> bool:
    """Return whether a report about the present wish, or a later one, says so in time."""
    start_s = time.monotonic()
    revision = wishes.shape().revision
    while True:
        seen = wishes.seen()
        waited_s = time.monotonic() - start_s
        if seen.report.get("revision", -1) >= revision and is_done(seen.report):
            return True
        if waited_s >= timeout_s:
            _require_controller(seen)
            return False
        time.sleep(_LOOK_S)


def _require_controller(seen: Seen) -> None:
    if not seen.has_controller:
        raise ClusterUnavailable(
            "No controller makes the wish so; it is kept.",
            hint="ourvidz cluster head runs one, or ourvidz cluster up --watch.",
        )


def _groups_of(report: Report, pool: Pool) -> list[Mapping[str, Any]]:
    return [
        group for group in report.get("groups", ()) if group["name"].startswith(f"{pool.name}/")
    ]


def _ready(report: Report, pool: Pool) -> int:
    found = report.get("pools", {}).get(pool.name, {})
    return found.get("ready", 0) if found.get("generation") == pool.generation else 0


def _is_ready(report: Report, pool: Pool) -> bool:
    groups = _groups_of(report, pool)
    return _ready(report, pool) >= pool.floor and all(
        group["name"].endswith(f"/{pool.generation}") for group in groups
    )
