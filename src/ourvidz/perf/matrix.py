"""The comparison matrix: every job type beside what it takes, should take, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ourvidz.perf.baselines import Baseline, BaselineStatus, baselines
from ourvidz.perf.decisions import Decision, Verb
from ourvidz.perf.grouping import BASELINE_PRESET
from ourvidz.perf.measures import TOTAL, measures_of
from ourvidz.perf.plain import plain
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.scoring import alarms_of, watches_of
from ourvidz.perf.stats import Interval, median
from ourvidz.perf.success import SuccessRate
from ourvidz.perf.trend import Change, Note, Series, trends

NO_TREND = "unknown"
STABLE = "stable"
SLOWER = "slower"
FASTER = "faster"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What a job should take, computed and never typed by hand."""

    seconds: float
    source: str  # "predictor", "prior", "goal"
    interval: Interval | None = None


# Of one of the group's records; None where nothing can be said.
Expect = Callable[[PerformanceRecord], Expected | None]
# Quality of a group, for whoever measures it.
Quality = Callable[[Baseline], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixRow:
    """One job type in one preset, setting, environment and state."""

    job_type: str
    preset: str
    group: str | None  # the baseline's id; None where nothing ran
    series: str | None
    status: BaselineStatus
    state: str | None
    real_s: float | None  # median of the runs that count
    expected_s: float | None
    expected_from: str | None
    variance: float | None  # real over expected, minus 1
    quality: float | None
    n: int
    interval: Interval | None  # 95 %, of the median; from three runs
    cv: float | None
    success: SuccessRate | None
    trend: str  # slower, faster, stable, or unknown: too few runs to say
    trend_shift: float | None  # of the last change, as a share
    change: str | None  # its id
    settings: Mapping[str, Any]  # the workload
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """All rows, and how much of the job types is known."""

    rows: tuple[MatrixRow, ...]
    num_job_types: int
    num_established: int  # job types with an established or optimised baseline

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def matrix(
    records: Iterable[PerformanceRecord],
    *,
    job_types: Sequence[str],
    decisions: Sequence[Decision] = (),
    notes: Sequence[Note] = (),
    expect: Expect | None = None,
    quality: Quality | None = None,
) -> Matrix:
    """Return a row for each job type, preset, setting, environment and state that ran.

    Args:
        records: Any order.
        job_types: All that there are, in their order; one that never ran has a row too.
        decisions: All so far.
        notes: The change log's, by people.
        expect: What a record should have taken; None: nothing is expected.
        quality: A group's quality; None: unmeasured.
    """
    listed = list(records)
    found = baselines(listed, decisions=decisions, measures={TOTAL})
    series = {
        each.id: each for each in trends(listed, decisions=decisions, notes=notes, measures={TOTAL})
    }
    said = _warnings(found, decisions)
    history = _history(listed)
    rows: list[MatrixRow] = []
    for job_type in [*job_types, *_others(found, job_types)]:
        own = [each for each in found if each.job_type == job_type and not each.is_history]
        own.sort(key=lambda each: (each.preset != BASELINE_PRESET, each.preset, -each.n))
        told = history.get(job_type, ())
        rows += [
            _row(each, series[each.series], said.get(each.id, ()), told, expect, quality)
            for each in own
        ] or [_pending(job_type, told)]
    known = {BaselineStatus.ESTABLISHED, BaselineStatus.OPTIMISED}
    return Matrix(
        rows=tuple(rows),
        num_job_types=len(job_types),
        num_established=len({row.job_type for row in rows if row.status in known} & set(job_types)),
    )


def _row(
    baseline: Baseline,
    series: Series,
    said: Sequence[str],
    history: Sequence[str],
    expect: Expect | None,
    quality: Quality | None,
) -> MatrixRow:
    summary = baseline.measures.get(TOTAL)
    real_s = None if summary is None else summary.median
    newest = baseline.records[-1] if baseline.records else None
    expected = expect(newest) if expect is not None and newest is not None else None
    variance = None
    if real_s is not None and expected is not None and expected.seconds > 0:
        variance = real_s / expected.seconds - 1.0
    word, change = _trend(baseline, series)
    return MatrixRow(
        job_type=baseline.job_type,
        preset=baseline.preset,
        group=baseline.id,
        series=baseline.series,
        status=baseline.status,
        state=baseline.state,
        real_s=real_s,
        expected_s=None if expected is None else expected.seconds,
        expected_from=None if expected is None else expected.source,
        variance=variance,
        quality=None if quality is None else quality(baseline),
        n=baseline.n,
        interval=None if summary is None else summary.interval,
        cv=None if summary is None else summary.cv,
        success=baseline.success,
        trend=word,
        trend_shift=None if change is None else change.measures[0].shift.estimate,
        change=None if change is None else change.id,
        settings=baseline.workload,
        notes=(*_notes(baseline, series, change), *said, *history),
    )


def _pending(job_type: str, history: Sequence[str]) -> MatrixRow:
    return MatrixRow(
        job_type=job_type,
        preset=BASELINE_PRESET,
        group=None,
        series=None,
        status=BaselineStatus.PENDING,
        state=None,
        real_s=None,
        expected_s=None,
        expected_from=None,
        variance=None,
        quality=None,
        n=0,
        interval=None,
        cv=None,
        success=None,
        trend=NO_TREND,
        trend_shift=None,
        change=None,
        settings={},
        notes=("never ran here", *history),
    )


def _trend(baseline: Baseline, series: Series) -> tuple[str, Change | None]:
    """Return the word for the last change that is neither ignored nor what the baseline began."""
    open_changes = [
        change
        for change in series.changes
        if change.decision is None or change.decision.verb is Verb.INVESTIGATE
    ]
    if baseline.begins_with is not None:
        begin = baseline.begins_with.finding.from_at
        open_changes = [change for change in open_changes if change.at > begin]
    if open_changes:
        last = open_changes[-1]
        return SLOWER if last.measures[0].shift.estimate > 0 else FASTER, last
    return STABLE if baseline.n >= 10 else NO_TREND, None


def _notes(baseline: Baseline, series: Series, change: Change | None) -> list[str]:
    notes: list[str] = []
    if baseline.status is BaselineStatus.IN_PROGRESS:
        notes.append(f"indicative: {baseline.n} of 5 runs")
    reasons: dict[str, int] = {}
    for each in baseline.left_out:
        reasons[", ".join(each.reasons)] = reasons.get(", ".join(each.reasons), 0) + 1
    notes += [f"{number} left out ({why})" for why, number in reasons.items()]
    flagged = baseline.outliers.get(TOTAL, ())
    if flagged:
        notes.append(f"{len(flagged)} flagged as outliers, counted")
    if baseline.begins_with is not None:
        accepted = baseline.begins_with
        notes.append(f"baseline since {accepted.finding.from_record}: {accepted.note}")
    if change is not None:
        notes.append(change.text)
        if change.decision is not None:
            notes.append(f"{change.decision.author} investigates: {change.decision.note}")
    return [*notes, *(candidate.text for candidate in series.candidates)]


def _warnings(found: Sequence[Baseline], decisions: Sequence[Decision]) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for watch in watches_of(found, decisions=decisions):
        said.setdefault(watch.group, []).append(watch.text)
    for alarm in alarms_of(found, decisions=decisions):
        said.setdefault(alarm.group, []).append(f"alarm: {alarm.text}")
    return said


def _history(records: Sequence[PerformanceRecord]) -> dict[str, list[str]]:
    """Return one note of a job type's imported runs, by state."""
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        value = measures_of(record).get(TOTAL)
        if record.origin is Origin.IMPORTED and record.is_success and value is not None:
            found.setdefault(record.job_type, {}).setdefault(record.state, []).append(value)
    return {
        job_type: [f"imported history, no baseline of this machine: {_told(by_state)}"]
        for job_type, by_state in found.items()
    }


def _told(by_state: Mapping[str, Sequence[float]]) -> str:
    return "; ".join(
        f"{state} n = {len(values)}, median {median(values):.1f} s, best {min(values):.1f} s"
        for state, values in sorted(by_state.items())
    )


def _others(found: Iterable[Baseline], job_types: Sequence[str]) -> list[str]:
    return sorted({each.job_type for each in found} - set(job_types))
