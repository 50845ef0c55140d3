"""Sections of what happened and what is planned: evolution, goals, protocol, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from ourvidz.perf.decisions import Effect, standing_decisions
from ourvidz.perf.history.judgement import Verdict as ClaimVerdict
from ourvidz.perf.measures import TOTAL
from ourvidz.perf.optimisations import Measurement, Optimisation, Status
from ourvidz.perf.report import words
from ourvidz.perf.report.collect import Coverage, Report
from ourvidz.perf.report.document import (
    Block,
    Cell,
    Level,
    Line,
    LineChart,
    Points,
    Section,
    Table,
    Text,
    Tone,
    cell,
    columns,
    row,
)
from ourvidz.perf.report.labels import labelled_series, labels_of
from ourvidz.perf.stats import median
from ourvidz.perf.trend import Series

_MOST_LINES = 12
_MOST_POINTS = 400
_FEWEST_FOR_LINE = 3
_PLAN_TONES = {
    Status.REACHED: Tone.GOOD,
    Status.MISSED: Tone.BAD,
    Status.IN_PROGRESS: Tone.WARN,
    Status.MEASURED: Tone.PLAIN,
    Status.NO_DATA: Tone.QUIET,
    Status.NO_MEASURE: Tone.QUIET,
}
_CHECK_TONES = {"ok": Tone.GOOD, "warn": Tone.WARN, "refuse": Tone.BAD}
_OUTCOME_TONES = {"regression": Tone.BAD, "improvement": Tone.GOOD, "indicative": Tone.QUIET}


# Evolution


def evolution_section(report: Report) -> Section:
    """Return what changed when."""
    labels = labels_of(map(labelled_series, report.series))
    names = {
        each.id: ", ".join(part for part in (each.preset, each.state, labels[each.id]) if part)
        for each in report.series
    }
    lines = [line for each in report.series if (line := _line(each, labels[each.id])) is not None]
    lines.sort(key=lambda line: (not line.changes, -len(line.values)))
    rows = [
        row(
            words.minute(change.at),
            series.job_type,
            names[series.id],
            cell(
                change.effect.value,
                {Effect.REGRESSION: Tone.BAD, Effect.IMPROVEMENT: Tone.GOOD}.get(
                    change.effect, Tone.PLAIN
                ),
            ),
            words.percent(change.measures[0].shift.estimate, signed=True),
            change.cause,
            cell(None)
            if change.decision is None
            else cell(
                f"{change.decision.verb.value} by {change.decision.author}: {change.decision.note}"
            ),
        )
        for series in report.series
        for change in series.changes
    ]
    candidates = [
        row(words.minute(each.at), series.job_type, names[series.id], each.text)
        for series in report.series
        for each in series.candidates
    ]
    marks = [
        row(words.minute(mark.at), series.job_type, mark.kind.value, mark.text)
        for series in report.series
        for mark in series.marks
    ]
    blocks: list[Block] = []
    if lines:
        blocks.append(
            LineChart(
                title="Seconds end to end, run by run; levels between changes",
                lines=tuple(lines[:_MOST_LINES]),
            )
        )
    levels = [row_of for each in report.series if (row_of := _levels(each, names[each.id]))]
    blocks.append(
        Table(
            title="Levels: medians of clean runs between changes",
            columns=columns(
                "job type",
                "of",
                "runs",
                "from",
                "to",
                "first level",
                "level now",
                "shift",
                numbers=("runs", "first level", "level now", "shift"),
                code=("job type",),
            ),
            rows=tuple(levels),
            empty="No clean run yet.",
        )
    )
    blocks.append(
        Table(
            title="Changes",
            columns=columns(
                "when",
                "job type",
                "of",
                "effect",
                "shift",
                "what else changed",
                "decided",
                numbers=("shift",),
                code=("job type",),
            ),
            rows=tuple(rows),
            empty="No change found.",
        )
    )
    if candidates:
        blocks.append(
            Table(
                title="Candidates: too few runs for anybody to say so",
                columns=columns("when", "job type", "of", "what", code=("job type",)),
                rows=tuple(candidates),
            )
        )
    if marks:
        blocks.append(
            Table(
                title="Change log",
                columns=columns("when", "job type", "kind", "what", code=("job type",)),
                rows=tuple(marks),
            )
        )
    if report.then:
        blocks.append(_then_table(report))
    return Section(
        id="evolution",
        title="Evolution",
        lead="A change needs p of 0.001 or less, 3 % or more, and five runs on each side. What "
        "else changed there is named; where nothing recorded differs, that is said.",
        blocks=tuple(blocks),
    )


def _levels(series: Series, name: str) -> tuple[Cell, ...] | None:
    """Return where a series began and where it is; None where no run of it counts."""
    points = [point for point in series.points if TOTAL in point.values and not point.left_out]
    if not points:
        return None
    begins = [change.at for change in series.changes]
    last = [each for each in points if not begins or each.at >= begins[-1]]
    first = [each for each in points if not begins or each.at < begins[0]]
    now, then = (
        median([each.values[TOTAL] for each in side]) if side else None for side in (last, first)
    )
    shift = now / then - 1 if begins and now and then else None
    return row(
        series.job_type,
        name,
        str(len(points)),
        words.day(points[0].at),
        words.day(points[-1].at),
        words.seconds(then),
        words.seconds(now),
        words.percent(shift, signed=True),
    )


def _then_table(report: Report) -> Table:
    return Table(
        title="Then and here (other machines and settings: a look back, no comparison)",
        columns=columns(
            "job type",
            "imported, median",
            "best",
            "n",
            "state",
            "here, median",
            "n here",
            "state here",
            numbers=("imported, median", "best", "n", "here, median", "n here"),
            code=("job type",),
        ),
        rows=tuple(
            row(
                each.job_type,
                words.seconds(each.then_s),
                words.seconds(each.then_best_s),
                str(each.then_n),
                cell(each.then_state),
                words.seconds(each.now_s),
                str(each.now_n),
                cell(each.now_state),
            )
            for each in report.then
        ),
    )


def _line(series: Series, label: str) -> Line | None:
    points = [point for point in series.points if TOTAL in point.values][-_MOST_POINTS:]
    if len(points) < _FEWEST_FOR_LINE:
        return None
    index_of = {point.id: index for index, point in enumerate(points)}
    changes = [
        (index_of[change.at_record], change.effect is Effect.REGRESSION, change.text)
        for change in series.changes
        if change.at_record in index_of
    ]
    edges = [0, *(index for index, _, _ in changes if index), len(points)]
    levels: list[Level] = []
    for first, after in pairwise(edges):
        counted = [p.values[TOTAL] for p in points[first:after] if not p.left_out]
        if counted:
            levels.append(Level(first=first, last=after - 1, value=median(counted)))
    is_one_day = points[0].at.date() == points[-1].at.date()
    written = words.minute if is_one_day else words.day
    return Line(
        label=series.job_type,
        detail=" · ".join(
            part
            for part in (series.preset, series.state, label, words.counted(len(points), "run"))
            if part
        ),
        values=tuple(point.values[TOTAL] for point in points),
        is_counted=tuple(not point.left_out for point in points),
        levels=tuple(levels),
        changes=tuple(changes),
        first=written(points[0].at),
        last=written(points[-1].at),
    )


# Goals


def goals_section(report: Report) -> Section:
    """Return goals and roadmap with progress."""
    if report.goals is None:
        return Section(id="goals", title="Goals", lead="No history is at hand.", blocks=())
    found = report.goals
    share = report.progress.roadmap_share
    said = "" if share is None else f" Of the roadmap, {words.percent(share)} in the mean."
    return Section(
        id="goals",
        title="Goals and optimisations",
        lead="Progress is the share of the way from before to the target, computed from records."
        + said,
        blocks=(
            plan_table(
                "Goals of this installation",
                found.own_goals,
                empty="None set: [[performance.goals]] in ourvidz.toml.",
            ),
            plan_table(f"Goals of {found.history}", found.goals),
            plan_table(f"Roadmap of {found.history}", found.roadmap),
        ),
    )


def plan_table(title: str, plans: Sequence[Optimisation], *, empty: str = "None.") -> Table:
    """Return a table of goals or plans with computed progress."""
    return Table(
        title=title,
        columns=columns(
            "by",
            "what",
            "before",
            "now",
            "target",
            "progress",
            "status",
            "why",
            numbers=("before", "now", "target"),
        ),
        rows=tuple(
            row(
                cell(str(each.due or each.horizon or "")),
                cell(each.what, note=each.method or ""),
                measured(each.before),
                measured(each.after),
                words.NOTHING
                if each.target_value is None
                else _plan_amount(each.target_value, each.unit or ""),
                cell(None)
                if each.progress is None
                else Cell(text=words.percent(each.progress), share=each.progress),
                cell(each.status.value, _PLAN_TONES[each.status]),
                each.reason,
            )
            for each in plans
        ),
        empty=empty,
    )


def measured(found: Measurement | None) -> Cell:
    """Return a measured value with what it rests on."""
    if found is None:
        return cell(None)
    span = found.interval
    text = "" if span is None else f", {span.low:.3g} to {span.high:.3g}"
    return cell(_plan_amount(found.value, found.unit), note=f"n = {found.n}{text}")


def _plan_amount(value: float, unit: str) -> str:
    if unit == "s":
        return words.seconds(value)
    return f"{value:.4g} {unit}".strip()


# The protocol


def protocol_section(report: Report) -> Section:
    """Return checklist and protocol runs."""
    newest = report.runs[0] if report.runs else None
    blocks: list[Block] = [_checklist(report.coverage)]
    if newest is not None:
        checks: Sequence[Mapping[str, Any]] = newest.get("preflight", ())
        blocks.append(
            Table(
                title=f"Pre-flight of the newest run, {newest.get('id', '')}",
                columns=columns("check", "state", "found", "why", code=("check",)),
                rows=tuple(
                    row(
                        str(each.get("name", "")),
                        cell(
                            level := str(each.get("level", "")), _CHECK_TONES.get(level, Tone.PLAIN)
                        ),
                        str(each.get("text", "")),
                        str(each.get("reason", "")),
                    )
                    for each in checks
                ),
            )
        )
        blocks.append(_run_table(report.runs))
        hints = [_told(each) for each in newest.get("next", ())]
        if hints:
            blocks.append(Text(text="What to test next:"))
            blocks.append(Points(lines=tuple(Text(text=each) for each in hints)))
    return Section(
        id="protocol",
        title="Protocol and checklist",
        lead="What of the standard test protocol is done, computed from records."
        if newest is not None
        else "What of the standard test protocol is done, computed from records. No protocol run "
        "is kept here yet: ourvidz bench run --suite quick.",
        blocks=tuple(blocks),
    )


def _checklist(coverage: Sequence[Coverage]) -> Table:
    def tick(is_done: bool) -> Cell:
        return cell("✓", Tone.GOOD) if is_done else cell("·", Tone.QUIET)

    return Table(
        title="Checklist by job type",
        columns=columns(
            "job type",
            "measured",
            "established (5)",
            "phases judged (7)",
            "cold and resident",
            "presets compared",
            "quality",
            "clean runs",
            "last run",
            numbers=("clean runs",),
            code=("job type",),
        ),
        rows=tuple(
            row(
                each.job_type,
                tick(each.is_measured),
                tick(each.is_established),
                tick(each.can_judge_phases),
                tick({"cold", "resident"} <= set(each.states)),
                tick(each.num_presets > 1),
                tick(each.has_quality),
                str(each.runs),
                words.day(each.last_at),
            )
            for each in coverage
        ),
    )


def _run_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        title="Protocol runs",
        columns=columns("when", "run", "suite", "kind", "done", "outcome", "hints", code=("run",)),
        rows=tuple(
            row(
                str(each.get("created_at", ""))[:16].replace("T", " "),
                str(each.get("id", "")),
                cell(str(each.get("suite") or "")),
                cell(str(each.get("kind") or "")),
                f"{each.get('num_done', 0)} of {each.get('num_planned', 0)}",
                outcome_cell(str(each.get("outcome") or "")),
                "; ".join(_told(hint) for hint in each.get("hints", ())),
            )
            for each in runs
        ),
    )


def outcome_cell(name: str) -> Cell:
    """Return a verdict's word in its tone."""
    return cell(name.replace("_", " "), _OUTCOME_TONES.get(name, Tone.PLAIN))


# History and environment


def claims_section(report: Report) -> Section:
    """Return what a history claimed."""
    found = report.claims
    if found is None:
        return Section(id="claims", title="Claims", lead="No history is at hand.", blocks=())
    tones = {
        ClaimVerdict.WRONG: Tone.BAD,
        ClaimVerdict.REFUSED: Tone.BAD,
        ClaimVerdict.NOT_SUPPORTED: Tone.WARN,
        ClaimVerdict.CONFIRMED: Tone.GOOD,
    }
    rows = [
        row(each.id, cell(each.verdict.value, tones.get(each.verdict, Tone.QUIET)), each.reason)
        for each in found.claims
    ]
    counts = [
        f"{count} {verdict.value}"
        for verdict in ClaimVerdict
        if (count := sum(each.verdict is verdict for each in found.claims))
    ]
    return Section(
        id="claims",
        title=f"Claims of {found.name}",
        lead=f"{words.counted(len(found.claims), 'claim')}: {words.listed(counts)}. "
        "Recomputed from its own records; ourvidz perf claims has every figure.",
        blocks=(
            Table(columns=columns("claim", "verdict", "why", code=("claim",)), rows=tuple(rows)),
        ),
    )


def environment_section(report: Report) -> Section:
    """Return machine, software and decisions."""
    facts = [
        *((name, value) for name, value in report.machine.items()),
        *((name, value) for name, value in report.software.items()),
    ]
    rows = [row(name, _fact(value)) for name, value in facts if value not in (None, "", [], {})]
    holding = standing_decisions(report.decisions)
    blocks: list[Block] = [
        Table(
            columns=columns("what", "value", code=("what",)),
            rows=tuple(rows),
            empty="No record has an environment yet.",
        )
    ]
    if holding:
        blocks.append(
            Table(
                title="Decisions that hold",
                columns=columns("when", "who", "what", "about", "note"),
                rows=tuple(
                    row(
                        words.minute(each.at),
                        each.author,
                        each.verb.value,
                        each.finding.text,
                        each.note,
                    )
                    for each in holding.values()
                ),
            )
        )
    return Section(
        id="environment",
        title="Environment and decisions",
        lead="Of the newest record.",
        blocks=tuple(blocks),
    )


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        return words.listed(f"{name} {each}" for name, each in pairs)
    if isinstance(value, list | tuple):
        return words.listed(str(each) for each in cast("Sequence[Any]", value))
    return str(value)


def _told(entry: Any) -> str:
    """Return the words of a hint, which is a text or has one."""
    if isinstance(entry, Mapping):
        return str(cast("Mapping[str, Any]", entry).get("text", ""))
    return str(entry)
