"""A report as a document: which sections it has, in which order, and its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ourvidz.perf.decisions import Effect
from ourvidz.perf.optimisations import Status
from ourvidz.perf.report import words
from ourvidz.perf.report.collect import Breakdown, Report
from ourvidz.perf.report.document import (
    Block,
    Document,
    Points,
    Section,
    Text,
    Tile,
    Tone,
)
from ourvidz.perf.report.story import (
    claims_section,
    environment_section,
    evolution_section,
    goals_section,
    protocol_section,
)
from ourvidz.perf.report.tables import (
    baselines_section,
    breakdowns_section,
    kind_of,
    matrix_section,
    metrics_section,
)

_HIGHEST_UNATTRIBUTED = 0.02


def document_of(report: Report) -> Document:
    """Return the report's document."""
    span = "no job yet"
    if report.first_at is not None:
        span = f"{words.day(report.first_at)} to {words.day(report.last_at)}"
    since = "" if report.since is None else f", since {words.minute(report.since)}"
    return Document(
        title="Performance report",
        subtitle=f"{words.counted(report.metrics.jobs, 'job')}, {span}{since} · "
        f"{report.profile} models · {machine_text(report.machine)}",
        tiles=_tiles(report),
        sections=(
            _attention(report),
            matrix_section(report),
            baselines_section(report),
            breakdowns_section(report),
            evolution_section(report),
            metrics_section(report),
            goals_section(report),
            protocol_section(report),
            claims_section(report),
            environment_section(report),
        ),
        footer=f"Made {words.minute(report.at)} UTC by ourvidz perf report. Every figure is "
        "computed from records; none is typed. Times are UTC.",
    )


def machine_text(machine: Mapping[str, Any]) -> str:
    """Return a machine in a few words."""
    found = machine.get("gpu") or machine.get("cpu")
    if found is None:
        return "machine not recorded"
    if machine.get("gpu") and machine.get("gpu_memory_gib"):
        return f"{found}, {machine['gpu_memory_gib']:g} GiB"
    return str(found)


# Summary


def _tiles(report: Report) -> tuple[Tile, ...]:
    metrics, progress = report.metrics, report.progress
    share = progress.num_established / progress.num_job_types if progress.num_job_types else 0.0
    success = metrics.success
    wait = metrics.queue_wait
    regressions = len(_open_changes(report, Effect.REGRESSION)) + len(report.alarms)
    return (
        Tile(
            label="Baselines established",
            value=f"{progress.num_established} of {progress.num_job_types}",
            detail=f"{words.counted(progress.num_measured, 'job type')} measured",
            share=share,
        ),
        Tile(
            label="Jobs that succeeded",
            value=words.NOTHING if success is None else words.percent(success.share),
            detail="nothing ran"
            if success is None
            else f"{success.successes} of {success.n}; 95 %: {words.shares(success.interval)}",
            tone=Tone.PLAIN if success is None or success.share >= 0.99 else Tone.WARN,
            share=None if success is None else success.share,
        ),
        Tile(
            label="Slower now, undecided",
            value=str(regressions),
            detail="changes and alarms that nobody has decided upon",
            tone=Tone.BAD if regressions else Tone.GOOD,
        ),
        Tile(
            label="Goals reached",
            value=f"{progress.goals_reached} of {progress.goals}" if progress.goals else "none set",
            detail=f"{progress.roadmap_reached} of {progress.roadmap} items of the roadmap",
            share=progress.goals_reached / progress.goals if progress.goals else None,
        ),
        Tile(
            label="Jobs an hour of work",
            value=words.NOTHING
            if metrics.jobs_an_hour is None
            else words.number(metrics.jobs_an_hour),
            detail=f"{words.duration(metrics.busy_s)} busy",
        ),
        Tile(
            label="Wait in the queue",
            value=words.NOTHING if wait is None else words.seconds(wait.median),
            detail="median"
            if wait is None or wait.p90 is None
            else f"median; nine of ten under {words.seconds(wait.p90)}",
        ),
        Tile(
            label="Loading, of all work",
            value=words.percent(metrics.load_share),
            detail=f"{words.percent(metrics.resident_share)} of jobs met resident models",
            share=metrics.load_share,
        ),
        Tile(
            label="Time without a name",
            value=words.percent(metrics.unattributed_share),
            detail=f"{words.counted(metrics.unattributed_alarms, 'job')} above 1 s or 2 %",
            tone=Tone.WARN
            if (metrics.unattributed_share or 0.0) > _HIGHEST_UNATTRIBUTED
            else Tone.PLAIN,
        ),
    )


def _open_changes(report: Report, effect: Effect) -> list[str]:
    return [
        f"{series.job_type} {series.preset} {series.state}, {words.day(change.at)}: {change.text}"
        for series in report.series
        for change in series.changes
        if change.effect is effect and change.decision is None
    ]


def _attention(report: Report) -> Section:
    lines = [
        *(
            Text(text=f"Slower: {each}", tone=Tone.BAD)
            for each in _open_changes(report, Effect.REGRESSION)
        ),
        *(
            Text(text=f"Alarm: {each.job_type}: {each.text}", tone=Tone.BAD)
            for each in report.alarms
        ),
        *(Text(text=f"{each.job_type}: {each.text}", tone=Tone.WARN) for each in report.watched),
        *(
            Text(text=f"Goal missed: {each.what}", tone=Tone.BAD)
            for each in (() if report.goals is None else report.goals.own_goals)
            if each.status is Status.MISSED
        ),
        *(
            Text(
                text=f"{each.job_type} {each.preset} {each.state}: "
                f"{words.percent(load)} of its time is loading; keep the models resident.",
                tone=Tone.WARN,
            )
            for each in report.breakdowns
            if (load := _load_share(each)) > 0.5
        ),
        *(
            Text(text=f"Faster: {each}", tone=Tone.GOOD)
            for each in _open_changes(report, Effect.IMPROVEMENT)
        ),
    ]
    blocks: tuple[Block, ...] = (Points(lines=tuple(lines)),) if lines else ()
    return Section(
        id="attention",
        title="What needs a look",
        lead="" if lines else "Nothing: no change, no alarm, no goal missed.",
        blocks=blocks,
    )


def _load_share(breakdown: Breakdown) -> float:
    return sum(part.share for part in breakdown.parts if kind_of(part.phase) == "start and load")
