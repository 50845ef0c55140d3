"""Baselines: what a job takes here, from which runs it is known, and which were left out why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from ourvidz.perf.decisions import Decision, Effect, accepted_since
from ourvidz.perf.grouping import group_id, in_groups, preset_of, series_id
from ourvidz.perf.measures import Column, columns_of
from ourvidz.perf.plain import plain
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.stats import Summary, flag_outliers, summarize
from ourvidz.perf.success import SuccessRate, success_rate

# From here a baseline is established, and from here on both sides an end to end verdict is made.
ESTABLISHED_N = 5
# Below it, any two values close together make an outlier of the third.
_SMALLEST_FOR_OUTLIERS = 5
_MOST_KEPT = 1024  # summaries


class BaselineStatus(StrEnum):
    """How much is known."""

    PENDING = "pending"  # no run
    IN_PROGRESS = "in_progress"  # 1 to 4
    ESTABLISHED = "established"  # 5 and more
    OPTIMISED = "optimised"  # the same, of runs since an improvement that somebody accepted


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A record that is shown and not counted."""

    id: str
    at: datetime
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """One group of comparable records."""

    id: str
    series: str  # the history that it is a part of
    job_type: str
    preset: str
    workload: Mapping[str, Any]
    environment: Mapping[str, Any]
    state: str
    compile_state: str
    is_history: bool  # imported: never a baseline of this installation
    status: BaselineStatus
    records: tuple[PerformanceRecord, ...]  # those counted, oldest first
    left_out: tuple[LeftOut, ...]
    measures: Mapping[str, Summary]
    outliers: Mapping[str, tuple[str, ...]]  # ids flagged a measure: counted all the same
    success: SuccessRate | None  # None where nothing ran
    first_at: datetime
    last_at: datetime
    newest: str  # id of the newest record, whether it counts or not
    begins_with: Decision | None  # the accepted change that it begins with

    @property
    def n(self) -> int:
        """Runs that count."""
        return len(self.records)

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs that count, oldest first."""
        return tuple(record.id for record in self.records)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: the runs by id."""
        facts = plain(self, without={"records"})
        return facts | {"n": self.n, "runs": list(self.runs)}


def baselines(
    records: Iterable[PerformanceRecord],
    *,
    decisions: Sequence[Decision] = (),
    measures: Collection[str] | None = None,
) -> tuple[Baseline, ...]:
    """Return a baseline for each group of comparable records, newest run first.

    Nothing is deleted: what does not count is listed with its reasons.

    Args:
        records: Any order.
        decisions: All so far; an accepted change begins a new baseline of its history.
        measures: Which to summarise; None for all that the records have. A summary takes
            milliseconds, because its interval is a bootstrap's.
    """
    groups = in_groups(records)
    kinds = {identity: _kind(group[-1]) for identity, group in groups.items()}
    success = _success_rates((kinds[identity], group) for identity, group in groups.items())
    having = {
        identity for identity, group in groups.items() if any(each.is_success for each in group)
    }
    working = {kinds[identity] for identity in having}
    found = [
        _baseline(identity, group, decisions, measures, success.get(kinds[identity]))
        for identity, group in groups.items()
        # What failed before it had a state is told of by the groups that have one.
        if identity in having or kinds[identity] not in working
    ]
    return tuple(sorted(found, key=lambda each: (each.last_at, each.id), reverse=True))


def baseline_of(
    record: PerformanceRecord,
    records: Iterable[PerformanceRecord],
    *,
    decisions: Sequence[Decision] = (),
    measures: Collection[str] | None = None,
) -> Baseline | None:
    """Return the baseline that a record belongs to; None where no run of it succeeded."""
    mine = group_id(record)
    alike = [
        each
        for each in records
        if each.job_type == record.job_type and each.workload == record.workload
    ]
    found = baselines(alike, decisions=decisions, measures=measures)
    return next((each for each in found if each.id == mine), None)


def left_out_reasons(record: PerformanceRecord) -> tuple[str, ...]:
    """Return why a record counts for no baseline; empty if it does."""
    reasons: list[str] = []
    if record.origin is Origin.IMPORTED:
        reasons.append("imported")
    if not record.is_success:
        reasons.append(f"failed: {record.failure or 'unknown'}")
    elif record.total_s is None:
        reasons.append("not measured")
    return (*reasons, *record.flags)


def _baseline(
    identity: str,
    group: Sequence[PerformanceRecord],
    decisions: Sequence[Decision],
    wanted: Collection[str] | None,
    success: SuccessRate | None,
) -> Baseline:
    newest = group[-1]
    series = series_id(newest)
    # A group of before a change stays what it was: as it is, or as an earlier one was accepted.
    begins_with = accepted_since(decisions, series, until=newest.at)
    counted: list[PerformanceRecord] = []
    left_out: list[LeftOut] = []
    for record in group:
        reasons = left_out_reasons(record)
        if begins_with is not None and record.at < begins_with.finding.from_at:
            reasons = (*reasons, f"before the change accepted by {begins_with.author}")
        if reasons:
            left_out.append(LeftOut(id=record.id, at=record.at, reasons=reasons))
        else:
            counted.append(record)
    columns = {} if wanted is not None and not wanted else columns_of(counted)
    columns = {name: column for name, column in columns.items() if wanted is None or name in wanted}
    return Baseline(
        id=identity,
        series=series,
        job_type=newest.job_type,
        preset=preset_of(newest),
        workload=newest.workload,
        environment=newest.environment,
        state=newest.state,
        compile_state=newest.compile_state,
        is_history=newest.origin is Origin.IMPORTED,
        status=_status(len(counted), begins_with),
        records=tuple(counted),
        left_out=tuple(left_out),
        measures={name: _summary(column.values) for name, column in columns.items()},
        outliers={
            name: ids for name, column in columns.items() if (ids := _outliers(counted, column))
        },
        success=success,
        first_at=group[0].at,
        last_at=newest.at,
        newest=newest.id,
        begins_with=begins_with,
    )


@lru_cache(maxsize=_MOST_KEPT)
def _summary(values: tuple[float, ...]) -> Summary:
    """Return what is shown of a column: a new run changes those of its own group alone."""
    return summarize(values)


def _status(n: int, begins_with: Decision | None) -> BaselineStatus:
    if n == 0:
        return BaselineStatus.PENDING
    if n < ESTABLISHED_N:
        return BaselineStatus.IN_PROGRESS
    if begins_with is not None and begins_with.finding.effect is Effect.IMPROVEMENT:
        return BaselineStatus.OPTIMISED
    return BaselineStatus.ESTABLISHED


def _outliers(records: Sequence[PerformanceRecord], column: Column) -> tuple[str, ...]:
    if len(column.values) < _SMALLEST_FOR_OUTLIERS:
        return ()
    flags = flag_outliers(column.values)
    return tuple(
        records[index].id for index, flag in zip(column.indices, flags, strict=True) if flag
    )


def _success_rates(
    groups: Iterable[tuple[str, Sequence[PerformanceRecord]]],
) -> dict[str, SuccessRate]:
    by_kind: dict[str, list[PerformanceRecord]] = {}
    for kind, group in groups:
        by_kind.setdefault(kind, []).extend(group)
    rates = {kind: success_rate(records) for kind, records in by_kind.items()}
    return {kind: rate for kind, rate in rates.items() if rate is not None}


def _kind(record: PerformanceRecord) -> str:
    """Return the id of all groups that differ in nothing but state."""
    found: str | None = record.derived.get("kind")
    if found is None:
        found = group_id(replace(record, state="", compile_state=""))
        record.derived["kind"] = found
    return found
