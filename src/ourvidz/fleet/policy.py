"""How a machine's GPUs are grouped, decided from what waits: values in, a shape and a reason out.

``throughput``: every GPU alone, since a group of k never does k times the work of one.
``latency``: groups as large as possible.
``mixed``: whichever shape lets jobs end soonest at the present load, changed only where that saves
more than the change costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ourvidz.fleet.shape import GROUP_SIZES, Shape, cut, divisions

# Speed of a group over one GPU, by class and size. What nobody has measured is assumed to be worth
# little, so that the policy forms no large group on hope.
Speedups = Mapping[str, Mapping[int, float]]
_ASSUMED_EFFICIENCY = 0.8  # of each doubling

# Above this share of a shape's capacity its queue would grow with every burst.
_MAX_LOAD = 0.9


class PolicyKind(StrEnum):
    """What a machine's groups are for."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    MIXED = "mixed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassLoad:
    """What waits and comes of one class of jobs, over the whole fleet."""

    num_waiting: int = 0
    num_overdue: int = 0  # of those
    arrivals_per_s: float = 0.0
    predicted_s: float = 0.0  # of one job on one GPU


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSummary:
    """The queue by class: ``video``, ``image``."""

    classes: Mapping[str, ClassLoad] = field(default_factory=dict[str, ClassLoad])

    @property
    def num_waiting(self) -> int:
        """All jobs that wait."""
        return sum(each.num_waiting for each in self.classes.values())

    @property
    def num_overdue(self) -> int:
        """Those that have waited too long."""
        return sum(each.num_overdue for each in self.classes.values())

    @property
    def work_s(self) -> float:
        """Seconds of one GPU that wait."""
        return sum(each.num_waiting * each.predicted_s for each in self.classes.values())

    @property
    def offered(self) -> float:
        """Seconds of one GPU that come each second."""
        return sum(each.arrivals_per_s * each.predicted_s for each in self.classes.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Hysteresis:
    """What keeps a machine from re-forming at every gust."""

    min_stay_s: float = 300.0  # between two re-formings
    min_gain: float = 0.2  # of the expected time of a job
    reform_s: float = 20.0  # a changed group does nothing: drain, start, load


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The shape that a machine should have, and why."""

    shape: Shape
    reason: str
    is_change: bool


def fixed_shape(kind: PolicyKind, gpus: Sequence[str]) -> Shape:
    """Return the shape to start with: the policy's own; of ``mixed`` every GPU alone."""
    if kind is not PolicyKind.LATENCY:
        return Shape(groups=tuple((gpu,) for gpu in gpus))
    sizes: list[int] = []
    while (left := len(gpus) - sum(sizes)) > 0:
        sizes.append(max(size for size in GROUP_SIZES if size <= left))
    return cut(gpus, sizes)


def decide(
    kind: PolicyKind,
    *,
    gpus: Sequence[str],
    current: Shape,
    queue: QueueSummary,
    since_reform_s: float,
    speedups: Speedups,
    share: float = 1.0,
    hysteresis: Hysteresis | None = None,
) -> Decision:
    """Return the shape that is wanted now.

    Args:
        kind: the policy.
        gpus: the machine's, in its order.
        current: its groups now.
        queue: of the whole fleet.
        since_reform_s: since the groups were last changed.
        speedups: measured speed of a group over one GPU, by class and size.
        share: this machine's of all GPUs that serve the queue; the others are taken to be
            grouped likewise.
        hysteresis: when a better shape is not worth a change.
    """
    rules = hysteresis or Hysteresis()
    if kind is not PolicyKind.MIXED:
        shape = fixed_shape(kind, gpus)
        return Decision(
            shape=shape, reason=f"the policy is {kind.value}", is_change=shape != current
        )
    if since_reform_s < rules.min_stay_s:
        return _stay(current, f"re-formed {since_reform_s:.0f} s ago")
    now_s = response_s(current.sizes, queue, speedups, share=share)
    if now_s is None:
        return _stay(current, "nothing waits and nothing came lately")
    if queue.num_overdue:
        return _relieve(gpus, current, queue, speedups)
    best, best_s = current.sizes, now_s
    for sizes in divisions(len(gpus)):
        expected_s = response_s(sizes, queue, speedups, share=share)
        if expected_s is not None and expected_s < best_s:
            best, best_s = sizes, expected_s
    wanted = cut(gpus, best, current=current)
    if not current.changed(wanted):
        return _stay(current, f"no shape is faster: {now_s:.1f} s a job")
    told = f"{_words(wanted)}: {best_s:.1f} s a job expected, {now_s:.1f} s as it is"
    if best_s > (1 - rules.min_gain) * now_s:
        return _stay(current, f"not worth it: {told}")
    if not _pays(current, wanted, queue, now_s - best_s, rules, share):
        return _stay(current, f"costs more than it saves: {told}")
    return Decision(shape=wanted, reason=told, is_change=True)


def speedup(speedups: Speedups, name: str, size: int) -> float:
    """Return the speed of a group over one GPU for a class; assumed where nobody measured it."""
    measured = speedups.get(name, {}).get(size)
    return measured if measured is not None else (2 * _ASSUMED_EFFICIENCY) ** math.log2(size)


def response_s(
    sizes: Sequence[int], queue: QueueSummary, speedups: Speedups, *, share: float = 1.0
) -> float | None:
    """Return the seconds from submit to end that a job may expect, None where none does.

    Running, plus waiting behind half of the queue, plus waiting for a free group in the long run:
    the approximation of Sakasegawa (1977) for many servers.
    """
    weights = {
        name: each.predicted_s * (each.arrivals_per_s + each.num_waiting / _HORIZON_S)
        for name, each in queue.classes.items()
    }
    jobs = sum(
        each.arrivals_per_s + each.num_waiting / _HORIZON_S for each in queue.classes.values()
    )
    work = sum(weights.values())
    if work <= 0:
        return None
    mean_s = work / jobs
    speeds = [_speed(size, weights, work, speedups) for size in sizes]
    capacity = sum(speeds) / share
    num_groups = len(speeds) / share
    run_s = mean_s * num_groups / capacity
    backlog_s = queue.work_s / capacity / 2
    load = queue.offered / capacity
    if load >= _MAX_LOAD:  # it only grows: the more capacity, the better
        queueing_s = run_s * _crowding(_MAX_LOAD, num_groups) + _HORIZON_S * (load - _MAX_LOAD)
    else:
        queueing_s = run_s * _crowding(load, num_groups)
    return run_s + backlog_s + queueing_s


# Over which arrivals and what waits are weighed together.
_HORIZON_S = 600.0


def _crowding(load: float, num_groups: float) -> float:
    """Return the mean wait in a queue of many servers, in service times."""
    exponent = math.sqrt(2 * (num_groups + 1)) - 1
    return load**exponent / (num_groups * (1 - load))


def _speed(size: int, weights: Mapping[str, float], work: float, speedups: Speedups) -> float:
    """Return a group's speed over one GPU at this mix of work."""
    return work / sum(
        weight / speedup(speedups, name, size) for name, weight in weights.items() if weight
    )


def _relieve(
    gpus: Sequence[str], current: Shape, queue: QueueSummary, speedups: Speedups
) -> Decision:
    """Do the most work: jobs have waited too long already, so only that counts."""
    alone = cut(gpus, [1] * len(gpus), current=current)
    reason = f"{queue.num_overdue} jobs are overdue"
    weights = {name: each.num_waiting * each.predicted_s for name, each in queue.classes.items()}
    work = sum(weights.values())
    if work <= 0 or not current.changed(alone):
        return _stay(current, reason)
    now = sum(_speed(size, weights, work, speedups) for size in current.sizes)
    if now >= sum(_speed(1, weights, work, speedups) for _ in gpus):
        return _stay(current, reason)
    return Decision(shape=alone, reason=f"{reason}: every GPU alone does most", is_change=True)


def _pays(
    current: Shape,
    wanted: Shape,
    queue: QueueSummary,
    saved_s: float,
    rules: Hysteresis,
    share: float,
) -> bool:
    """Whether what a stay's jobs save is more than the GPU seconds that the change takes."""
    gpus = sum(len(group) for group in current.changed(wanted))
    coming = sum(each.arrivals_per_s for each in queue.classes.values()) * rules.min_stay_s
    jobs = (coming + queue.num_waiting) * share
    num_gpus = sum(current.sizes) / share
    # Idle GPUs lose nothing by being idle for another reason.
    busy = min(1.0, (queue.offered + queue.work_s / rules.min_stay_s) / num_gpus)
    return saved_s * jobs > rules.reform_s * gpus * busy


def _stay(current: Shape, reason: str) -> Decision:
    return Decision(shape=current, reason=reason, is_change=False)


def _words(shape: Shape) -> str:
    counts = {size: shape.sizes.count(size) for size in sorted(set(shape.sizes), reverse=True)}
    return " + ".join(f"{count} of {size}" for size, count in counts.items())
