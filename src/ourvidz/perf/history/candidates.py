"""Changes between two days of a history: what looks like one, and whether it may be called so.

A verdict needs Mann-Whitney p below 0.01 and a shift beyond the step's tolerance. Where the runs
are too few for that p, whatever they show, a clear difference is listed as a candidate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.perf.ledger import median_step_s
from ourvidz.perf.plain import flatten
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.stats import Interval, mann_whitney, median, relative_shift, smallest_p

SIGNIFICANCE = 0.01
# Of a step: below it a change is of no account.
TOLERANCE = 0.05
# One run is never a side.
_SMALLEST_SIDE = 2
_UNRECORDED = "unrecorded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Two days whose steps differ."""

    metric: str  # step_s
    group: str  # what was stepped through: the job types' model and medium
    job_types: tuple[str, ...]
    day_before: date
    day_after: date
    before: tuple[float, ...]
    after: tuple[float, ...]
    median_before: float
    median_after: float
    change: float  # share of the level before: -0.12 is 12 % less
    interval: Interval | None
    p_value: float
    smallest_p: float  # that runs of these numbers can give
    needed: int  # runs a side from which a verdict is possible
    is_verdict: bool
    unrecorded: tuple[str, ...]  # what of the environment nobody wrote down
    reason: str


def day_changes(records: Iterable[PerformanceRecord]) -> tuple[Candidate, ...]:
    """Return the changes of step time between consecutive days, oldest first.

    Steps of one model, medium, size and environment are put together, whatever the number of
    steps and whatever ran before them: neither changes a step's cost. A size that was not written
    down is taken for the group's only one. Failures are left out. Listed is a day after which all
    steps lie beyond all before it, or the test stands, and the shift exceeds 5 %.
    """
    groups: dict[tuple[str, str], list[PerformanceRecord]] = {}
    for record in records:
        if record.is_success and record.step_times_s:
            key = (_group(record), repr(sorted(record.environment.items(), key=str)))
            groups.setdefault(key, []).append(record)
    found: list[Candidate] = []
    for (group, _), members in groups.items():
        for alike in _by_size(members):
            found += _changes(group, alike)
    return tuple(sorted(found, key=lambda candidate: (candidate.day_after, candidate.group)))


def _group(record: PerformanceRecord) -> str:
    job_type = next((job for job in JOB_TYPES if job.name == record.job_type), None)
    if job_type is None:
        return record.job_type
    medium = job_type.media_type.value.partition("/")[0]
    role = job_type.role.value
    return f"{role} model" if medium == role else f"{role} model ({medium})"


def _by_size(records: list[PerformanceRecord]) -> list[list[PerformanceRecord]]:
    sizes: dict[object, list[PerformanceRecord]] = {}
    for record in records:
        sizes.setdefault(_size(record.workload), []).append(record)
    unknown = sizes.pop(None, [])
    if len(sizes) == 1:
        return [records]
    return [*sizes.values(), *([unknown] if unknown else [])]


def _size(workload: Mapping[str, object]) -> object:
    names = ("width", "height", "num_frames", "num_frames_requested")
    size = tuple(workload.get(name) for name in names)
    return size if any(value is not None for value in size) else None


def _changes(group: str, records: list[PerformanceRecord]) -> list[Candidate]:
    days: dict[date, list[PerformanceRecord]] = {}
    for record in records:
        days.setdefault(record.at.date(), []).append(record)
    pairs = itertools.pairwise(sorted(days))
    made = (_compare(group, left, days[left], right, days[right]) for left, right in pairs)
    return [candidate for candidate in made if candidate is not None]


def _compare(
    group: str,
    left: date,
    records_before: list[PerformanceRecord],
    right: date,
    records_after: list[PerformanceRecord],
) -> Candidate | None:
    before, after = _steps(records_before), _steps(records_after)
    if min(len(before), len(after)) < _SMALLEST_SIDE:
        return None
    shift = relative_shift(before, after)
    p_value = mann_whitney(before, after).p_value
    is_apart = max(after) < min(before) or min(after) > max(before)
    is_significant = p_value < SIGNIFICANCE
    if abs(shift.estimate) <= TOLERANCE or not (is_apart or is_significant):
        return None
    ends = None if shift.interval is None else (shift.interval.low, shift.interval.high)
    is_beyond = ends is not None and (min(ends) > TOLERANCE or max(ends) < -TOLERANCE)
    unrecorded = tuple(
        name
        for name, value in _environment_of(records_after[0]).items()
        if value is None or value == _UNRECORDED
    )
    is_verdict = is_significant and is_beyond
    smallest = smallest_p(len(before), len(after))
    return Candidate(
        metric="step_s",
        group=group,
        job_types=tuple(sorted({record.job_type for record in [*records_before, *records_after]})),
        day_before=left,
        day_after=right,
        before=before,
        after=after,
        median_before=median(before),
        median_after=median(after),
        change=shift.estimate,
        interval=shift.interval,
        p_value=p_value,
        smallest_p=smallest,
        needed=_runs_needed(),
        is_verdict=is_verdict,
        unrecorded=unrecorded,
        reason=_reason(len(before), len(after), smallest, is_verdict, p_value, unrecorded),
    )


def _environment_of(record: PerformanceRecord) -> dict[str, object]:
    """Return the environment's values under the last part of their names."""
    flat = flatten(record.environment)
    return {name.rpartition(".")[2]: value for name, value in flat.items()}


def _steps(records: list[PerformanceRecord]) -> tuple[float, ...]:
    steps = (median_step_s(record.step_times_s) for record in records)
    return tuple(step for step in steps if step)


def _runs_needed() -> int:
    return next(n for n in itertools.count(1) if smallest_p(n, n) < SIGNIFICANCE)


def _reason(
    num_before: int,
    num_after: int,
    smallest: float,
    is_verdict: bool,
    p_value: float,
    unrecorded: tuple[str, ...],
) -> str:
    cause = f"; what changed is unrecorded ({', '.join(unrecorded)})" if unrecorded else ""
    if is_verdict:
        return f"{num_before} and {num_after} runs, p = {p_value:.2g}{cause}."
    if smallest >= SIGNIFICANCE:
        return (
            f"{num_before} and {num_after} runs are too few: p can't fall below {smallest:.2g}, "
            f"and a verdict asks for {SIGNIFICANCE:g} ({_runs_needed()} runs a side){cause}."
        )
    return f"{num_before} and {num_after} runs, p = {p_value:.2g}: not beyond the tolerance{cause}."
