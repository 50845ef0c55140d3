"""What is simulated: machines, models, jobs and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ourvidz.core.errors import InvalidRequest
from ourvidz.fleet.policy import PolicyKind, Speedups
from ourvidz.fleet.usage import Usage


class Foresight(StrEnum):
    """Who knows what about coming jobs."""

    NONE = "none"  # a model is loaded when a job that needs it has been claimed
    RECENT = "recent"  # each worker for itself: what waits, then what was used in the last hour
    PLACED = "placed"  # one plan for all: what waits, then what was used at this hour
    CLAIRVOYANT = "clairvoyant"  # the same plan, told what will come


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A model's weights."""

    id: str
    num_bytes: int
    from_disk_s: float
    from_page_cache_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class JobClass:
    """Jobs that are alike."""

    name: str
    model: str
    services_s: tuple[float, ...]  # measured on one GPU with all resident; one is drawn
    media: str = "video"  # as ``fleet.queue.class_of`` says
    priority: int = 0

    @property
    def mean_s(self) -> float:
        """Mean service time."""
        return sum(self.services_s) / len(self.services_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Machines of one kind."""

    num_gpus: int
    room_bytes: int  # for weights, on each GPU; every rank of a group holds a copy
    page_cache_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """What else takes time, in seconds."""

    handover_s: float = 0.075  # from a job's end to the next one's begin, models resident
    notice_s: float = 0.02  # until an idle worker sees a new job
    start_s: float = 9.3  # a worker process: imports, driver
    drain_s: float = 30.0  # as ``queue.drain_s``
    overdue_s: float = 900.0  # as ``queue.overdue_s``
    look_s: float = 60.0  # between two looks at placement and policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A fleet and its rules. Arrivals are given to ``simulate`` beside it."""

    machines: Sequence[Machine]
    models: Sequence[ModelSpec]
    classes: Sequence[JobClass]
    policy: PolicyKind = PolicyKind.THROUGHPUT
    speedups: Speedups = field(default_factory=dict[str, Mapping[int, float]])
    foresight: Foresight = Foresight.RECENT
    follows_residency: bool = True  # an idle worker leaves a job to an idle one that has its model
    usage: Usage | None = None  # what is known of earlier weeks, for ``PLACED``
    starts_at_s: float = 0.0  # Unix seconds, for the hour of the week
    times: Times = field(default_factory=Times)
    is_warm: bool = False  # every model's files begin in every page cache

    def __post_init__(self) -> None:
        """Check what refers to each other.

        Raises:
            InvalidRequest: a class of a model that is not there, or of no measured time; a model
                that fits no machine.
        """
        sizes = {model.id: model.num_bytes for model in self.models}
        for each in self.classes:
            if each.model not in sizes:
                raise InvalidRequest(
                    f"Class {each.name!r} needs the unknown model {each.model!r}.",
                    param="classes",
                    hint=f"Known are {sorted(sizes)}.",
                )
            if not each.services_s or min(each.services_s) < 0:
                raise InvalidRequest(
                    f"Class {each.name!r} has the service times {each.services_s}.",
                    param="classes",
                    hint="Give at least one, 0 s or longer.",
                )
        room = min((machine.room_bytes for machine in self.machines), default=0)
        for model, num_bytes in sizes.items():
            if num_bytes > room:
                raise InvalidRequest(
                    f"Model {model!r} has {num_bytes} bytes, and a GPU room for {room}.",
                    param="models",
                    hint="Give each machine room for every model.",
                )
