"""All that a report tells, computed from records: one value that every format is written from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ourvidz.core.phase import Phase
from ourvidz.perf.baselines import Baseline, BaselineStatus, baselines
from ourvidz.perf.decisions import Decision
from ourvidz.perf.history.report import HistoryReport, report_of
from ourvidz.perf.history.schema import NamedHistory
from ourvidz.perf.ledger import is_unattributed_alarming
from ourvidz.perf.matrix import Expect, Matrix, Quality, matrix
from ourvidz.perf.measures import HOST_MEMORY, PEAK_MEMORY, STEP, TOTAL
from ourvidz.perf.optimisations import Optimisation, Status
from ourvidz.perf.plain import plain
from ourvidz.perf.planned import GoalsReport, KeptGoal, goals_report
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.records import RecordReader
from ourvidz.perf.report.labels import labelled, labels_of
from ourvidz.perf.scoring import RaisedAlarm, Watch, alarms_of, watches_of
from ourvidz.perf.stats import Summary, mad, median, summarize
from ourvidz.perf.success import (
    SuccessRate,
    is_clean_success,
    is_enhancement_unusable,
    success_rate,
)
from ourvidz.perf.survey import imported_records, own_records
from ourvidz.perf.trend import Note, Series, trends
from ourvidz.perf.verdicts import SMALLEST_N_PHASES

SCHEMA = 1
# An interval is a bootstrap's: one for every phase too would take minutes of a large history.
_SUMMARISED = frozenset({TOTAL, STEP, PEAK_MEMORY, HOST_MEMORY})
_LOADS = ("load.", "enhance.load", "load", "startup")


@dataclass(frozen=True, kw_only=True, slots=True)
class PhasePart:
    """One phase of a group's jobs."""

    phase: str
    n: int  # runs that spent time in it
    median_s: float  # over all runs; one without it spent none
    mad_s: float
    share: float  # of all runs' seconds together


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """What a group's time goes to. Shares add up to 1, since phases exclude each other."""

    group: str
    job_type: str
    preset: str
    state: str
    n: int
    total_s: float  # median, without the wait in the queue
    parts: tuple[PhasePart, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a group's jobs used. A field is None where nothing was recorded."""

    group: str
    job_type: str
    preset: str
    state: str
    n: int
    step_s: float | None  # medians, all of them
    image_s: float | None  # an image; of a video, a frame
    peak_memory_bytes: float | None
    host_memory_bytes: float | None
    host_cores: float | None
    gpu_utilisation: float | None  # percent
    gpu_power_w: float | None
    gpu_temperature_c: float | None
    throttled_runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """The service as a whole."""

    jobs: int
    success: SuccessRate | None  # None where nothing ran
    failures: Mapping[str, int]  # by class, most frequent first
    flags: Mapping[str, int]  # why runs were left out, most frequent first
    refusals: int  # answers of the enhancer that were no prompts
    sources: Mapping[str, int]
    busy_s: float  # seconds in which one job or more ran
    jobs_an_hour: float | None  # that succeeded, of busy time
    queue_wait: Summary | None
    load_share: float | None  # of all seconds of work
    denoise_share: float | None
    unattributed_share: float | None
    unattributed_alarms: int  # jobs with more than 1 s or 2 % without a name
    resident_share: float | None  # jobs that met their models on the device


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How far one job type is measured: the checklist of the protocol, computed."""

    job_type: str
    runs: int  # clean
    largest_group: int  # comparable clean runs
    is_measured: bool
    is_established: bool
    can_judge_phases: bool
    states: tuple[str, ...]
    num_presets: int
    has_quality: bool
    last_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Then:
    """A job type in the imported history and here. Other machines: no comparison, a look back."""

    job_type: str
    then_s: float | None  # median of clean runs
    then_best_s: float | None
    then_n: int
    then_state: str | None  # the one with most runs: states have no common median
    now_s: float | None  # the row of the matrix with most runs
    now_n: int
    now_state: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What the summary says of progress, counted."""

    num_job_types: int
    num_measured: int
    num_established: int
    goals_reached: int
    goals: int
    roadmap_reached: int
    roadmap: int
    roadmap_share: float | None  # mean progress of the items that have one


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything. ``to_dict`` gives it as JSON values."""

    at: datetime
    since: datetime | None
    first_at: datetime | None
    last_at: datetime | None
    profile: str
    machine: Mapping[str, Any]  # of the newest record
    software: Mapping[str, Any]
    metrics: Metrics
    progress: Progress
    matrix: Matrix
    baselines: tuple[Baseline, ...]
    labels: Mapping[str, str]  # by group: in what it differs from its namesakes
    breakdowns: tuple[Breakdown, ...]
    resources: tuple[Resources, ...]
    series: tuple[Series, ...]  # of the whole job, this installation's
    alarms: tuple[RaisedAlarm, ...]
    watched: tuple[Watch, ...]
    decisions: tuple[Decision, ...]
    then: tuple[Then, ...]
    goals: GoalsReport | None  # None where no history is at hand
    claims: HistoryReport | None
    coverage: tuple[Coverage, ...]
    runs: tuple[Mapping[str, Any], ...]  # of the protocol, newest first

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: ``schema`` counts its versions."""
        found: dict[str, Any] = {"schema": SCHEMA, **plain(self)}
        found["baselines"] = [each.to_json() for each in self.baselines]
        found["matrix"] = self.matrix.to_json()
        found["goals"] = None if self.goals is None else self.goals.to_json()
        found["claims"] = None if self.claims is None else self.claims.to_json()
        return found


def collect(
    reader: RecordReader,
    *,
    goals: Sequence[KeptGoal] = (),
    predictor: Expect | None = None,
    now: datetime,
    job_types: Sequence[str],
    profile: str,
    since: datetime | None = None,
    decisions: Sequence[Decision] = (),
    notes: Sequence[Note] = (),
    histories: Sequence[NamedHistory] = (),
    runs: Sequence[Mapping[str, Any]] = (),
    stars: Mapping[str, Sequence[int]] | None = None,
    quality: Quality | None = None,
) -> Report:
    """Return a report of what an installation's jobs left.

    Args:
        reader: Of this installation's records.
        goals: Of this installation.
        predictor: What a job should have taken; None where nobody says.
        now: When the report is made, with a time zone.
        job_types: All that there are, in their order.
        profile: Which models jobs use; goals are measured with these.
        since: Only what ended then or later. Goals are measured in all records.
        decisions: All so far.
        notes: The change log's, by people.
        histories: The first one's claims, roadmap and goals are told.
        runs: Reports of protocol runs as JSON values, newest first.
        stars: That people gave, by job: a group's quality is their mean.
        quality: A group's quality, in place of the stars'.
    """
    everything = own_records(reader)
    own = [each for each in everything if since is None or each.at >= since]
    imported = imported_records(histories)
    found = tuple(
        each
        for each in baselines(own, decisions=decisions, measures=_SUMMARISED)
        if not each.is_history
    )
    table = matrix(
        [*imported, *own],
        job_types=job_types,
        decisions=decisions,
        notes=notes,
        expect=predictor,
        quality=quality or _mean_of(stars or {}),
    )
    plans = (
        goals_report(histories[0], own=goals, records=everything, profile=profile, now=now.date())
        if histories
        else None
    )
    newest: Mapping[str, Any] = own[-1].environment if own else {}
    coverage = tuple(_coverage(name, found, table) for name in job_types)
    return Report(
        at=now,
        since=since,
        first_at=own[0].at if own else None,
        last_at=own[-1].at if own else None,
        profile=profile,
        machine=dict(newest.get("machine", newest)),
        software=dict(newest.get("software", {})),
        metrics=metrics_of(own),
        progress=_progress(coverage, plans),
        matrix=table,
        baselines=found,
        labels=labels_of(
            labelled(each.id, preset=each.preset, record=each.records[-1])
            for each in found
            if each.n
        ),
        breakdowns=tuple(breakdown_of(each) for each in found if each.n),
        resources=tuple(_resources(each) for each in found if each.n),
        series=tuple(
            each
            for each in trends(own, decisions=decisions, notes=notes, measures={TOTAL})
            if not each.is_history
        ),
        alarms=alarms_of(found, decisions=decisions),
        watched=watches_of(found, decisions=decisions),
        decisions=tuple(decisions),
        then=_then(imported, table, job_types),
        goals=plans,
        claims=report_of(histories[0]) if histories else None,
        coverage=coverage,
        runs=tuple(runs),
    )


def metrics_of(records: Sequence[PerformanceRecord]) -> Metrics:
    """Return what the jobs of one installation say of it as a whole."""
    done = [each for each in records if each.is_success and each.run_s is not None]
    phases_s = _sums(done)
    work_s = sum(phases_s.values())
    waits = [each.phases_s.get(Phase.QUEUE_WAIT.value, 0.0) for each in done]
    busy_s = _busy_s(done)
    known = [each for each in done if each.state in {"cold", "warm", "resident"}]
    return Metrics(
        jobs=len(records),
        success=success_rate(records),
        failures=_counts(each.failure or "unknown" for each in records if not each.is_success),
        flags=_counts(flag for each in records for flag in each.flags),
        refusals=sum(map(is_enhancement_unusable, records)),
        sources=_counts(each.source or "unknown" for each in records),
        busy_s=busy_s,
        jobs_an_hour=3600 * len(done) / busy_s if busy_s > 0 else None,
        queue_wait=summarize(waits) if waits else None,
        load_share=_share(phases_s, work_s, _is_load),
        denoise_share=_share(phases_s, work_s, lambda name: name == Phase.DENOISE.value),
        unattributed_share=_share(phases_s, work_s, lambda name: name == Phase.UNATTRIBUTED.value),
        unattributed_alarms=sum(
            is_unattributed_alarming(
                each.phases_s.get(Phase.UNATTRIBUTED.value, 0.0), each.total_s or 0.0
            )
            for each in done
        ),
        resident_share=(
            sum(each.state == "resident" for each in known) / len(known) if known else None
        ),
    )


def breakdown_of(baseline: Baseline) -> Breakdown:
    """Return what a group's time goes to, phase by phase, in the ledger's order."""
    runs = baseline.records
    names = [phase.value for phase in Phase if phase is not Phase.QUEUE_WAIT]
    extra = sorted({name for run in runs for name in run.phases_s} - {*names, "queue_wait"})
    totals = _sums(runs)
    whole_s = sum(totals.values())
    parts: list[PhasePart] = []
    for name in [*names, *extra]:
        values = [run.phases_s.get(name, 0.0) for run in runs]
        if not any(values):
            continue
        parts.append(
            PhasePart(
                phase=name,
                n=sum(value > 0 for value in values),
                median_s=median(values),
                mad_s=mad(values),
                share=totals[name] / whole_s if whole_s else 0.0,
            )
        )
    return Breakdown(
        group=baseline.id,
        job_type=baseline.job_type,
        preset=baseline.preset,
        state=baseline.state,
        n=baseline.n,
        total_s=median([run.run_s or 0.0 for run in runs]),
        parts=tuple(parts),
    )


def strip_values(baseline: Baseline) -> tuple[float, ...]:
    """Return the seconds of a group's runs that are above 0."""
    return tuple(run.run_s for run in baseline.records if run.run_s)


# The parts


def _sums(records: Iterable[PerformanceRecord]) -> dict[str, float]:
    """Return seconds by phase over all records, without the wait in the queue."""
    found: dict[str, float] = {}
    for record in records:
        for name, value in record.phases_s.items():
            if name != Phase.QUEUE_WAIT.value:
                found[name] = found.get(name, 0.0) + value
    return found


def _is_load(name: str) -> bool:
    return name.startswith(_LOADS)


def _share(
    phases_s: Mapping[str, float], whole_s: float, wanted: Callable[[str], bool]
) -> float | None:
    if whole_s <= 0:
        return None
    return sum(value for name, value in phases_s.items() if wanted(name)) / whole_s


def _busy_s(records: Iterable[PerformanceRecord]) -> float:
    """Return seconds in which one job or more ran: stretches that overlap count once."""
    stretches = sorted(
        (record.at - timedelta(seconds=record.run_s or 0.0), record.at) for record in records
    )
    busy_s, until = 0.0, None
    for begin, end in stretches:
        start = begin if until is None else max(begin, until)
        if end > start:
            busy_s += (end - start).total_seconds()
            until = end
    return busy_s


def _counts(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _resources(baseline: Baseline) -> Resources:
    runs = baseline.records
    memory = {name: baseline.measures.get(name) for name in _SUMMARISED}
    medians = {name: None if each is None else each.median for name, each in memory.items()}
    return Resources(
        group=baseline.id,
        job_type=baseline.job_type,
        preset=baseline.preset,
        state=baseline.state,
        n=baseline.n,
        step_s=medians[STEP],
        image_s=_median(run.image_s for run in runs),
        peak_memory_bytes=medians[PEAK_MEMORY],
        host_memory_bytes=medians[HOST_MEMORY],
        host_cores=_median(run.host.get("cpu_cores_mean") for run in runs),
        gpu_utilisation=_median(run.device.get("utilisation_mean") for run in runs),
        gpu_power_w=_median(run.device.get("power_mean_w") for run in runs),
        gpu_temperature_c=_median(run.device.get("temperature_max_c") for run in runs),
        throttled_runs=sum("throttled" in each.reasons for each in baseline.left_out),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _coverage(job_type: str, found: Sequence[Baseline], table: Matrix) -> Coverage:
    own = [each for each in found if each.job_type == job_type]
    counts = [each.n for each in own]
    done = {BaselineStatus.ESTABLISHED, BaselineStatus.OPTIMISED}
    return Coverage(
        job_type=job_type,
        runs=sum(counts),
        largest_group=max(counts, default=0),
        is_measured=any(counts),
        is_established=any(each.status in done for each in own),
        can_judge_phases=max(counts, default=0) >= SMALLEST_N_PHASES,
        states=tuple(
            state
            for state in ("cold", "warm", "resident")
            if any(each.state == state and each.n for each in own)
        ),
        num_presets=len({each.preset for each in own if each.n}),
        has_quality=any(row.job_type == job_type and row.quality is not None for row in table.rows),
        last_at=max((each.last_at for each in own), default=None),
    )


def _progress(coverage: Sequence[Coverage], plans: GoalsReport | None) -> Progress:
    goals: tuple[Optimisation, ...] = () if plans is None else plans.own_goals
    roadmap: tuple[Optimisation, ...] = () if plans is None else plans.roadmap
    known = [each.progress for each in roadmap if each.progress is not None]
    return Progress(
        num_job_types=len(coverage),
        num_measured=sum(each.is_measured for each in coverage),
        num_established=sum(each.is_established for each in coverage),
        goals_reached=sum(each.status is Status.REACHED for each in goals),
        goals=len(goals),
        roadmap_reached=sum(each.status is Status.REACHED for each in roadmap),
        roadmap=len(roadmap),
        roadmap_share=sum(known) / len(known) if known else None,
    )


def _then(
    imported: Sequence[PerformanceRecord], table: Matrix, job_types: Sequence[str]
) -> tuple[Then, ...]:
    found: list[Then] = []
    for job_type in job_types:
        runs = [
            each
            for each in imported
            if each.job_type == job_type and is_clean_success(each) and each.total_s is not None
        ]
        rows = [row for row in table.rows if row.job_type == job_type and row.n]
        best = max(rows, key=lambda row: row.n, default=None)
        if not runs and best is None:
            continue
        state = _most([each.state for each in runs])
        totals = [each.total_s for each in runs if each.total_s and each.state == state]
        found.append(
            Then(
                job_type=job_type,
                then_s=median(totals) if totals else None,
                then_best_s=min(totals, default=None),
                then_n=len(totals),
                then_state=state,
                now_s=None if best is None else best.real_s,
                now_n=0 if best is None else best.n,
                now_state=None if best is None else best.state,
            )
        )
    return tuple(found)


def _mean_of(stars: Mapping[str, Sequence[int]]) -> Quality:
    def quality(baseline: Baseline) -> float | None:
        found = [each for run in baseline.runs for each in stars.get(run, ())]
        return sum(found) / len(found) if found else None

    return quality


def _most(names: Sequence[str]) -> str | None:
    """Return the most frequent name; of several the first that came."""
    return max(dict.fromkeys(names), key=names.count, default=None)
