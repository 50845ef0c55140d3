"""Optimisations and goals: what was planned, and how far the records say it got.

Nothing here is typed as progress. A plan names a *measure*; what was before and what is now are
both computed from records, with n and interval, and progress is the share of the way from before
to the target.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.perf.grouping import (
    BASELINE_PRESET,
    group_id,
    in_groups,
    machine_of,
    preset_of,
)
from ourvidz.perf.plain import digest, flatten
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.stats import Interval, bootstrap_interval, median, wilson_interval
from ourvidz.perf.success import counts_for_success, is_clean_success

# From so many runs in one environment and state a baseline is established.
ESTABLISHED_RUNS = 5
# "Now" is what the last runs say, not what all since the beginning say.
RECENT_RUNS = 20

# What doesn't keep an imported run from standing for others: the whole time may be right where the
# phases are not, and if every doubt counted, none would be left.
_FLAGS_LET_PASS = frozenset({"doubted"})
_FLAGS_OF_PHASES = frozenset({"phases_exceed_total"})

Kind: TypeAlias = Literal[
    "total_s",  # median seconds of a job, without its wait in the queue and others' turns
    "phases_s",  # median seconds of some phases of a job
    "success_rate",  # percent of jobs
    "state_share",  # percent of jobs in a state
    "job_types_measured",  # with one successful run or more
    "job_types_established",  # with a baseline: five runs in one environment and state
    "job_types_recorded",  # by the program itself, with phases
    "devices",  # most GPUs that one machine had
]
_UNITS: Mapping[str, str] = {
    "total_s": "s",
    "phases_s": "s",
    "success_rate": "%",
    "state_share": "%",
    "devices": "GPUs",
}
_LOWER_IS_BETTER = frozenset({"total_s", "phases_s"})
_COUNTS_JOB_TYPES = frozenset({"job_types_measured", "job_types_established", "job_types_recorded"})

_Name = Annotated[str, Field(min_length=1, max_length=100)]


class Measure(BaseModel):
    """What is computed from records. Fields left out choose nothing away."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Kind
    job_types: tuple[_Name, ...] = ()
    role: Literal["video", "image", "enhancer"] | None = None  # job types whose model has it
    is_enhanced: bool | None = None
    state: _Name | None = None
    phases: tuple[_Name, ...] = ()
    target: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def unit(self) -> str:
        """What it counts."""
        return _UNITS.get(self.kind, "job types")

    @property
    def is_lower_better(self) -> bool:
        """Whether less is better."""
        return self.kind in _LOWER_IS_BETTER

    @property
    def chosen_job_types(self) -> tuple[str, ...]:
        """The job types it is about: those named, else the shipped ones that fit."""
        return self.job_types or tuple(
            job.name
            for job in JOB_TYPES
            if (self.role is None or job.role.value == self.role)
            and (self.is_enhanced is None or job.is_enhanced is self.is_enhanced)
        )


class Status(StrEnum):
    """Where an optimisation or a goal stands."""

    NO_MEASURE = "no measure"  # stated so that nothing can be computed
    NO_DATA = "no data"  # no run yet that says anything
    MEASURED = "measured"  # a value, but the plan names no figure to reach
    IN_PROGRESS = "in progress"
    REACHED = "reached"
    MISSED = "missed"  # its date is over


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A measure's value in a group of records."""

    value: float
    unit: str
    n: int  # jobs behind it
    interval: Interval | None  # 95 %: bootstrap of a median, Wilson of a share; of counts none
    first: date
    last: date
    states: tuple[str, ...]  # of the runs; of seconds always one
    origins: tuple[str, ...]
    num_left_out: int = 0  # failed, flagged, in another state, or older: where those don't count


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimisation:
    """A planned change, or a goal, and what came of it."""

    id: str
    what: str
    current: str | None  # as stated by whoever planned it
    target: str  # as stated
    target_value: float | None
    unit: str | None
    method: str | None
    horizon: str | None  # "1-2 weeks", or a date
    due: date | None
    source: str  # the history, or the settings
    before: Measurement | None
    after: Measurement | None
    is_same_machine: bool | None  # whether before and after are of one environment
    progress: float | None  # 0 to 1; None where nothing can be said
    status: Status
    reason: str


def measure_records(
    records: Iterable[PerformanceRecord], measure: Measure, *, latest: int | None = None
) -> Measurement | None:
    """Return a measure's value in records, or None where none of them says anything.

    Seconds are of clean, successful runs that can be compared and are set as their job type is:
    the largest such group (of equal ones the coldest), since cold and warm runs have no common
    median. Imported runs, of which little was written down, are grouped by state alone. The others
    are counted in ``num_left_out``. A phase that an imported record does not name was not written
    down; of other records it took no time.

    Args:
        records: Oldest first.
        measure: What to compute.
        latest: Seconds of no more than so many runs, the newest.
    """
    chosen = set(measure.chosen_job_types)
    fitting = [record for record in records if record.job_type in chosen]
    if measure.kind != "state_share" and measure.state is not None:
        fitting = [record for record in fitting if record.state == measure.state]
    match measure.kind:
        case "total_s" | "phases_s":
            return _seconds(fitting, measure, latest=latest)
        case "success_rate":
            ended = [record for record in fitting if counts_for_success(record)]
            return _share(ended, [record for record in ended if is_clean_success(record)])
        case "state_share":
            hits = [record for record in fitting if record.state == measure.state]
            return _share(fitting, hits)
        case "devices":
            return _devices(fitting)
        case "job_types_measured" | "job_types_established" | "job_types_recorded":
            return _job_types(fitting, measure)


def roadmap_optimisation(
    *,
    id: str,
    what: str,
    target: str,
    source: str,
    measure: Measure | None,
    before: Iterable[PerformanceRecord],
    after: Iterable[PerformanceRecord],
    now: date,
    current: str | None = None,
    method: str | None = None,
    horizon: str | None = None,
    due: date | None = None,
) -> Optimisation:
    """Return where a plan stands.

    Args:
        id: Of the plan, unique within its source.
        what: The plan.
        target: As stated; a figure with its unit in it is the target, unless the measure has one.
        source: Where the plan stands.
        measure: What to compute; None where the plan names nothing that can be.
        before: Records from when the plan was made.
        after: Records since.
        now: Today, for goals with a date.
        current: What the plan stated as the state of things.
        method: How.
        horizon: When, in words.
        due: When, as a date.
    """
    earlier, later = list(before), list(after)
    target_value = _target_of(target, measure)
    then = measure_records(earlier, measure) if measure else None
    found = measure_records(later, measure, latest=RECENT_RUNS) if measure else None
    progress = None
    if measure is not None and target_value is not None:
        progress = _progress(measure, then, found, target_value)
    status, reason = _status(measure, found, target_value, due=due, now=now)
    is_same = None
    if then is not None and found is not None:
        is_same = _machines(earlier) == _machines(later)
        if progress is not None and not is_same:
            reason += " Before and after were measured on different machines."
    return Optimisation(
        id=id,
        what=what,
        current=current,
        target=target,
        target_value=target_value,
        unit=measure.unit if measure else None,
        method=method,
        horizon=horizon,
        due=due,
        source=source,
        before=then,
        after=found,
        is_same_machine=is_same,
        progress=progress,
        status=status,
        reason=reason,
    )


def first_runs(
    records: Iterable[PerformanceRecord], measure: Measure
) -> tuple[list[PerformanceRecord], list[PerformanceRecord]]:
    """Return what stands for "before" and for "now" where a goal names no earlier records.

    Before are the first five runs that the measure is about, once five more came after them; now
    are the others. With fewer there is no before.
    """
    chosen = set(measure.chosen_job_types)
    fitting = [
        record
        for record in records
        if record.job_type in chosen and measure.state in (None, record.state)
    ]
    if len(fitting) < 2 * ESTABLISHED_RUNS:
        return [], fitting
    return fitting[:ESTABLISHED_RUNS], fitting[ESTABLISHED_RUNS:]


def parts_of(text: str) -> tuple[str, ...]:
    """Return the several goals that one line states, parted by semicolons."""
    return tuple(part.strip() for part in text.split(";") if part.strip())


def due_of(by: str) -> date | None:
    """Return a horizon's date, where it is one."""
    try:
        return date.fromisoformat(by)
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------- measures


def _seconds(
    records: Sequence[PerformanceRecord], measure: Measure, *, latest: int | None
) -> Measurement | None:
    passing = _FLAGS_OF_PHASES if measure.kind == "total_s" else frozenset[str]()
    clean = [
        record
        for record in records
        if is_clean(record, passing=passing) and _is_set_as_shipped(record)
    ]
    pairs = [(record, _seconds_of(record, measure)) for record in clean]
    known = [(record, seconds) for record, seconds in pairs if seconds is not None]
    if not known:
        return None
    groups: dict[str, list[tuple[PerformanceRecord, float]]] = {}
    for record, seconds in known:
        groups.setdefault(_group_of(record), []).append((record, seconds))
    alike = max(groups.values(), key=lambda group: (len(group), _coldness(group[0][0].state)))
    alike = alike[-latest:] if latest is not None else alike
    values = [seconds for _, seconds in alike]
    return _measurement(
        [record for record, _ in alike],
        value=median(values),
        unit="s",
        interval=bootstrap_interval(values),
        num_left_out=len(records) - len(alike),
    )


def _group_of(record: PerformanceRecord) -> str:
    if record.origin is Origin.IMPORTED:
        return f"imported {record.job_type} {record.state}"
    return group_id(record)


def _is_set_as_shipped(record: PerformanceRecord) -> bool:
    """Whether a job had its job type's own steps, guidance and batch, and no other preset."""
    job_type = next((job for job in JOB_TYPES if job.name == record.job_type), None)
    if preset_of(record) != BASELINE_PRESET:
        return False
    names = ("num_inference_steps", "guidance_scale", "num_images")
    return job_type is None or all(
        record.workload.get(name) in (None, getattr(job_type, name)) for name in names
    )


def _coldness(state: str) -> int:
    order = ("resident", "warm", "cold")
    return order.index(state) if state in order else -1


def is_clean(record: PerformanceRecord, *, passing: Collection[str] = ()) -> bool:
    """Whether a run may stand for others: it succeeded and nothing flagged disturbed it.

    Args:
        record: The run.
        passing: Flags that don't matter here, beside ``doubted``.
    """
    flags = set(record.flags) - _FLAGS_LET_PASS - set(passing)
    return record.is_success and not flags


def _seconds_of(record: PerformanceRecord, measure: Measure) -> float | None:
    if measure.kind == "total_s":
        return record.run_s
    found = [
        seconds
        for phase, seconds in record.phases_s.items()
        if any(phase == prefix or phase.startswith(f"{prefix}.") for prefix in measure.phases)
    ]
    if not found and record.origin is Origin.IMPORTED:
        return None
    return sum(found)


def _share(
    records: Sequence[PerformanceRecord], hits: Sequence[PerformanceRecord]
) -> Measurement | None:
    if not records:
        return None
    bounds = wilson_interval(len(hits), len(records))
    return _measurement(
        records,
        value=100.0 * len(hits) / len(records),
        unit="%",
        interval=Interval(low=100 * bounds.low, high=100 * bounds.high, level=bounds.level),
    )


def _devices(records: Sequence[PerformanceRecord]) -> Measurement | None:
    if not records:
        return None
    most = max(_num_gpus(record.environment) for record in records)
    return _measurement(records, value=float(most), unit="GPUs", interval=None)


def _num_gpus(environment: Mapping[str, Any]) -> int:
    """Return how many GPUs an environment tells of."""
    found = {name.rpartition(".")[2]: value for name, value in flatten(environment).items()}
    number = found.get("gpus")
    if isinstance(number, int):
        return number
    return 1 if found.get("gpu") else 0


def _job_types(records: Sequence[PerformanceRecord], measure: Measure) -> Measurement | None:
    if measure.kind == "job_types_recorded":
        counted = [r for r in records if r.origin is not Origin.IMPORTED and r.phases_s]
        names = {record.job_type for record in counted}
    else:
        counted = [record for record in records if is_clean(record)]
        names = {record.job_type for record in counted}
        if measure.kind == "job_types_established":
            names = _established(counted)
    if not records:
        return None
    return _measurement(
        records,
        value=float(len(names)),
        unit=measure.unit,
        interval=None,
        num_left_out=len(records) - len(counted),
    )


def _established(records: Iterable[PerformanceRecord]) -> set[str]:
    groups = in_groups(records).values()
    return {runs[0].job_type for runs in groups if len(runs) >= ESTABLISHED_RUNS}


def _measurement(
    records: Sequence[PerformanceRecord],
    *,
    value: float,
    unit: str,
    interval: Interval | None,
    num_left_out: int = 0,
) -> Measurement:
    days = [record.at.date() for record in records]
    return Measurement(
        value=value,
        unit=unit,
        n=len(records),
        interval=interval,
        first=min(days),
        last=max(days),
        states=tuple(sorted({record.state for record in records})),
        origins=tuple(sorted({record.origin.value for record in records})),
        num_left_out=num_left_out,
    )


def _machines(records: Iterable[PerformanceRecord]) -> set[str]:
    return {digest(machine_of(record.environment)) for record in records}


# ---------------------------------------------------------------------------------------- progress

_FIGURES: Mapping[str, str] = {
    "s": r"(\d+(?:\.\d+)?) ?s\b",
    "%": r"(\d+(?:\.\d+)?) ?%",
}


def _target_of(target: str, measure: Measure | None) -> float | None:
    """Return the figure to reach: the measure's own, one in the text, or all job types."""
    if measure is None:
        return None
    if measure.target is not None:
        return measure.target
    if measure.kind in _COUNTS_JOB_TYPES:
        return float(len(measure.chosen_job_types))
    pattern = _FIGURES.get(measure.unit)
    found = re.search(pattern, target) if pattern else None
    return float(found.group(1)) if found else None


def _progress(
    measure: Measure, before: Measurement | None, after: Measurement | None, target: float
) -> float | None:
    if after is None:
        return None
    if is_reached(measure, after.value, target):
        return 1.0
    if measure.kind in _COUNTS_JOB_TYPES:
        return after.value / target if target else None
    if before is None or before.value == target:
        return None
    share = (before.value - after.value) / (before.value - target)
    return min(1.0, max(0.0, share))


def is_reached(measure: Measure, value: float, target: float) -> bool:
    """Whether a value is at the target or better."""
    return value <= target if measure.is_lower_better else value >= target


def _status(
    measure: Measure | None,
    after: Measurement | None,
    target: float | None,
    *,
    due: date | None,
    now: date,
) -> tuple[Status, str]:
    is_over = due is not None and now > due
    if measure is None:
        return Status.NO_MEASURE, "It names nothing that could be computed."
    if after is None:
        status = Status.MISSED if is_over else Status.NO_DATA
        return status, "No run of this machine says anything about it yet."
    if target is None:
        return Status.MEASURED, "It names no figure to reach."
    if is_reached(measure, after.value, target):
        if measure.kind in {"total_s", "phases_s", "success_rate"} and after.n < ESTABLISHED_RUNS:
            return Status.IN_PROGRESS, f"At the target, but in {after.n} runs: five are needed."
        return Status.REACHED, "At the target."
    if is_over:
        return Status.MISSED, "Its date is over."
    return Status.IN_PROGRESS, "Not at the target yet."
