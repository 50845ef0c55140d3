"""What a protocol run is going to do: cases, repeats, order, prompts and seeds, all fixed before.

The same plan gives the same runs in the same order on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from ourvidz.catalog.parameters import suggest
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.perf.plain import plain

SCHEMA = 1
DEFAULT_SEED = 7

# Steps of a warm-up: every kernel, cache and weight is met, and it is short.
WARM_UP_STEPS = 4
WARM_UP = 0  # the repeat that is a warm-up

# How jobs are run.
IN_PROCESS = "in_process"
API = "api"  # of a running service

# In words that the pocket models know, so that their outputs mean something too.
PROMPTS: tuple[str, ...] = (
    "a red circle moving left on a black background",
    "a blue square moving up on a white background",
    "a yellow star moving right on a navy background",
    "a green triangle moving down on a gray background",
    "a large pink diamond standing still on a black background",
    "a small cyan circle growing on a brown background",
    "an orange square shrinking on a white background",
    "a purple star moving left on a gray background",
    "a medium red triangle moving up on a navy background",
    "a large green circle moving right on a brown background",
)


class RunKind(StrEnum):
    """What a protocol run is for."""

    RUN = "run"  # is it slower than before
    SWEEP = "sweep"  # what a setting changes
    LOAD = "load"  # what a service takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """How much of a protocol is run."""

    name: str
    repeats: int
    text: str


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(name="quick", repeats=3, text="a look: too few runs for a verdict"),
        Suite(name="standard", repeats=7, text="so many that phases can be judged"),
        Suite(name="full", repeats=10, text="and p90 of each measure"),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One thing that is run several times."""

    name: str  # of a run the job type; of a sweep with the setting
    job_type: str
    preset: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])  # parameters by name
    factor: str | None = None  # of a sweep: what is varied; None: what it is compared with
    level: str | None = None  # and to what


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """One job of a plan."""

    case: Case
    repeat: int  # 1, 2, ...; 0 is a warm-up
    prompt: str
    seed: int

    @property
    def key(self) -> str:
        """The run's name within its plan."""
        return f"{self.case.name}/{self.repeat}"

    @property
    def is_warm_up(self) -> bool:
        """Whether it counts for nothing."""
        return self.repeat == WARM_UP


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that is fixed before the first run."""

    id: str
    kind: RunKind
    suite: str  # of a sweep or a load test its kind
    repeats: int
    seed: int
    created_at: str  # ISO 8601, UTC
    profile: str
    cases: tuple[Case, ...]
    environment: Mapping[str, Any]  # of whoever planned it
    num_prompts: int = len(PROMPTS)
    device: str | None = None  # None: as configured, or of a service that is asked
    door: str = IN_PROCESS  # or API
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of its kind

    def warm_ups(self) -> tuple[PlannedRun, ...]:
        """Return a warm-up of each case, in the plan's order."""
        return tuple(self._run(case, WARM_UP) for case in self.cases)

    def runs(self) -> tuple[PlannedRun, ...]:
        """Return every run that counts: round by round, each in an order of its own by the seed.

        So a machine that warms up, or that somebody begins to use, slows all cases alike.
        """
        order = random.Random(self.seed)
        found: list[PlannedRun] = []
        for repeat in range(1, self.repeats + 1):
            cases = list(self.cases)
            order.shuffle(cases)
            found += [self._run(case, repeat) for case in cases]
        return tuple(found)

    def case(self, name: str) -> Case:
        """Return a case by its name.

        Raises:
            UnknownName: There is none of that name.
        """
        for case in self.cases:
            if case.name == name:
                return case
        known = tuple(case.name for case in self.cases)
        raise UnknownName(f"case {name!r} is unknown.", param="case", hint=suggest(name, known))

    def _run(self, case: Case, repeat: int) -> PlannedRun:
        index = (repeat - 1) % self.num_prompts
        return PlannedRun(
            case=case, repeat=repeat, prompt=PROMPTS[index], seed=1000 * self.seed + repeat
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"schema": SCHEMA, **plain(self)}


def plan_from(found: object) -> Plan:
    """Read a plan that ``Plan.to_dict`` made.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        fields = dict(cast("Mapping[str, Any]", found))
        schema = fields.pop("schema")
        if schema != SCHEMA:
            raise InvalidRequest(
                f"A plan of schema {schema!r} can't be read; this version knows {SCHEMA}.",
                param="schema",
            )
        fields["kind"] = RunKind(fields["kind"])
        fields["cases"] = tuple(Case(**case) for case in fields["cases"])
        return Plan(**fields)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InvalidRequest(f"This is no plan: {error}.", param="plan") from error


def find_suite(name: str) -> Suite:
    """Return a suite.

    Raises:
        UnknownName: There is none of that name.
    """
    if name not in SUITES:
        raise UnknownName(
            f"suite {name!r} is unknown.", param="suite", hint=suggest(name, tuple(SUITES))
        )
    return SUITES[name]


def cases_of_run(
    job_types: Iterable[str], *, preset: str, values: Mapping[str, Any]
) -> tuple[Case, ...]:
    """Return a case for each job type.

    Raises:
        InvalidRequest: None is named, or one twice.
    """
    names = list(job_types)
    if not names or len(set(names)) != len(names):
        raise InvalidRequest(
            "Name each job type once, and one at least.", param="job_types", hint="image_fast"
        )
    return tuple(
        Case(name=name, job_type=name, preset=preset, values=dict(values)) for name in names
    )


def check_prompts(num_prompts: int) -> int:
    """Return ``num_prompts`` if there are so many.

    Raises:
        InvalidRequest: Fewer than 1, or more than there are.
    """
    if not 1 <= num_prompts <= len(PROMPTS):
        raise InvalidRequest(
            f"{num_prompts} prompts; 1 to {len(PROMPTS)} are fixed.", param="prompts"
        )
    return num_prompts


def remaining(plan: Plan, done: Sequence[str]) -> tuple[PlannedRun, ...]:
    """Return the runs that are left, in order.

    Args:
        plan: Of all.
        done: Keys of the runs that ended.
    """
    ended = set(done)
    return tuple(run for run in plan.runs() if run.key not in ended)
