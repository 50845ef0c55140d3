"""``ourvidz perf matrix|trend|record|accept|investigate|ignore``: what changed, and who decided."""

from __future__ import annotations

import getpass
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.cli.output import console, human_bytes, print_json
from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.core.ids import new_id
from ourvidz.perf.baselines import Baseline, BaselineStatus, baseline_of, baselines
from ourvidz.perf.comparison import require_comparable
from ourvidz.perf.decisions import (
    Decision,
    Effect,
    Finding,
    Verb,
    decide,
    keep,
    load_decisions,
    standing_decisions,
    to_json,
)
from ourvidz.perf.decisions import undo as undo_decision
from ourvidz.perf.history import shelf
from ourvidz.perf.history.candidates import day_changes
from ourvidz.perf.matrix import FASTER, SLOWER, Matrix, MatrixRow, matrix
from ourvidz.perf.measures import Unit, measures_of, unit_of
from ourvidz.perf.plain import plain
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.scoring import JobScore, alarms, score_job, watches
from ourvidz.perf.stats import Score
from ourvidz.perf.trend import (
    Change,
    Note,
    Series,
    change_of,
    finding_at,
    notes_from_json,
    trends,
)
from ourvidz.perf.verdicts import Verdict, judge_runs

if TYPE_CHECKING:
    from ourvidz.jobs.store import JobStore

_HISTORY = "history"  # the folder of imported histories, within the data directory
_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 60

_STATUS_COLOURS = {
    BaselineStatus.PENDING: "dim",
    BaselineStatus.IN_PROGRESS: "yellow",
    BaselineStatus.ESTABLISHED: "green",
    BaselineStatus.OPTIMISED: "bold green",
}
_TREND_COLOURS = {SLOWER: "red", FASTER: "green"}
_EFFECT_COLOURS = {Effect.REGRESSION: "red", Effect.IMPROVEMENT: "green"}
_SCORE_COLOURS = {Score.SLOW: "red", Score.FAST: "green", Score.NORMAL: "dim"}

_Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]
_JobType = Annotated[str | None, typer.Option("--job-type", "-j", help="Only this one.")]
_History = Annotated[
    bool, typer.Option("--history/--no-history", help="With what was recorded elsewhere.")
]
_Target = Annotated[
    str,
    typer.Argument(
        help="A change's id as `perf trend` shows it (its beginning will do), or the id of the job "
        "with which the new level begins."
    ),
]
_Why = Annotated[str, typer.Option("--note", "-n", help="Why. Kept for ever.")]
_Author = Annotated[
    str | None, typer.Option("--author", help="Who decides; by default the user's name.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``ourvidz perf``."""
    app.command(name="matrix")(matrix_)
    app.command()(trend)
    app.command()(record)
    app.command()(baseline)
    app.command()(accept)
    app.command()(investigate)
    app.command()(ignore)
    app.command()(undo)
    app.command()(decisions)


# Showing


def matrix_(job_type: _JobType = None, history: _History = True, json: _Json = False) -> None:
    """Show every job type: what it takes, how sure that is, and where it is going."""
    settings = load_settings()
    catalogue = catalogue_of(settings)
    names = [catalogue.job_type(job_type).name] if job_type else list(catalogue.job_types)
    with _seen(settings, job_type=job_type, history=history) as seen:
        found = matrix(seen.records, job_types=names, decisions=seen.decisions)
    console.print(_matrix_table(found))
    console.print(
        f"[dim]{found.num_established} of {found.num_job_types} job types have a baseline.[/]",
        highlight=False,
    )
    if json:
        print_json(found.to_json())


def trend(
    job_type: _JobType = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Only this one.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only this one: cold, warm or resident.")
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option("--measure", "-m", help="total, step, peak_memory or a phase; repeatable."),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(
            "--notes", help="Your change log: JSON, a list of objects with at, text and author."
        ),
    ] = None,
    history: _History = True,
    json: _Json = False,
) -> None:
    """Show each job type's history: when it changed, by how much, and what else changed there."""
    settings = load_settings()
    if job_type is not None:
        job_type = catalogue_of(settings).job_type(job_type).name
    log = () if notes is None else _notes(notes)
    with _seen(settings, job_type=job_type, history=history) as seen:
        _check_measures(measure, seen.records)
        found = [
            series
            for series in trends(
                seen.records, decisions=seen.decisions, notes=log, measures=measure
            )
            if preset in (None, series.preset) and state in (None, series.state)
        ]
        raised = alarms(seen.own, decisions=seen.decisions)
        watched = watches(seen.own, decisions=seen.decisions)
        days = day_changes(seen.imported)
    for series in found:
        _show_series(series)
    for each in (*raised, *watched):
        console.print(f"[red]![/] {escape(f'{each.job_type}: {each.text}')}", highlight=False)
    for day in days:
        console.print(
            f"[yellow]candidate[/] {escape(day.group)}: {day.metric} {day.change:+.1%} between "
            f"{day.day_before} and {day.day_after}; {escape(day.reason)}",
            highlight=False,
        )
    if not found:
        console.print("[dim]No records.[/]")
    if json:
        print_json(
            {
                "series": [series.to_json() for series in found],
                "alarms": plain(raised),
                "watched": plain(watched),
                "history_candidates": plain(days),
            }
        )


def record(
    job_id: Annotated[str, typer.Argument(help="The job's id.")],
    against: Annotated[
        str | None, typer.Option("--against", help="Another job's id, to compare with.")
    ] = None,
    json: _Json = False,
) -> None:
    """Show one job beside its baseline: fast, normal or slow, phase by phase."""
    with _seen(load_settings()) as seen:
        found = _record(job_id, seen.records)
        other = None if against is None else _record(against, seen.records)
        own = baseline_of(found, seen.records, decisions=seen.decisions)
        score = score_job(found, seen.own, decisions=seen.decisions)
    verdict = None
    if other is not None:
        require_comparable(other, found)
        verdict = judge_runs([other], [found])
    _show_record(found, score, own)
    if verdict is not None:
        _show_verdict(verdict)
    if json:
        print_json(
            {
                "record": plain(found),
                "baseline": None if own is None else own.to_json(),
                "score": score.to_json(),
                "against": None if verdict is None else verdict.to_json(),
            }
        )


def baseline(
    group: Annotated[str, typer.Argument(help="A group's id as `perf matrix --json` has it.")],
    json: _Json = False,
) -> None:
    """Show one baseline in full: every phase, what was left out, what was flagged."""
    with _seen(load_settings()) as seen:
        known = baselines(seen.records, decisions=seen.decisions, measures=())
        fitting = [each for each in known if each.id.startswith(group)]
        if not group or not fitting:
            raise NotFound(f"There is no baseline {group!r}.", hint="ourvidz perf matrix --json")
        if len(fitting) > 1:
            raise InvalidRequest(
                f"{group!r} is the beginning of {len(fitting)} baselines.", param="group"
            )
        newest = next(each for each in seen.records if each.id == fitting[0].newest)
        found = baseline_of(newest, seen.records, decisions=seen.decisions)
        assert found is not None
    _show_baseline(found)
    if json:
        print_json(found.to_json())


# Deciding


def accept(target: _Target, note: _Why, author: _Author = None, json: _Json = False) -> None:
    """Accept a change: the new level is the baseline from there on."""
    _decide(Verb.ACCEPT, target, note, author, as_json=json)


def investigate(target: _Target, note: _Why, author: _Author = None, json: _Json = False) -> None:
    """Say that somebody looks for a change's cause."""
    _decide(Verb.INVESTIGATE, target, note, author, as_json=json)


def ignore(target: _Target, note: _Why, author: _Author = None, json: _Json = False) -> None:
    """Say that a change is known and of no interest."""
    _decide(Verb.IGNORE, target, note, author, as_json=json)


def undo(
    decision: Annotated[str, typer.Argument(help="Its id, as `perf decisions` shows it.")],
    note: _Why,
    author: _Author = None,
    json: _Json = False,
) -> None:
    """Take a decision back. It stays in the list, and so does this."""
    with _open(load_settings()) as store:
        if store is None:
            raise NotFound(f"There is no decision {decision!r}.")
        now = datetime.fromtimestamp(store.now(), UTC)
        made = undo_decision(
            decision,
            author=author or _user(),
            note=note,
            decision_id=new_id("dec", now),
            now=now,
            before=load_decisions(store),
        )
        keep(store, made)
    _say(made, as_json=json)


def decisions(json: _Json = False) -> None:
    """List everything that was ever decided, and what holds of it."""
    with _open(load_settings()) as store:
        listed = () if store is None else load_decisions(store)
    holding = {each.id for each in standing_decisions(listed).values()}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "at", "by", "what", "change", "holds", "note"):
        table.add_column(name)
    for each in listed:
        table.add_row(
            each.id,
            _day(each.at),
            escape(each.author),
            each.verb.value,
            each.finding.id,
            "yes" if each.id in holding else "",
            escape(each.note),
        )
    console.print(table)
    if json:
        print_json(
            {
                "decisions": [to_json(each) | {"holds": each.id in holding} for each in listed],
            }
        )


def _decide(verb: Verb, target: str, note: str, author: str | None, *, as_json: bool) -> None:
    with _open(load_settings()) as store:
        if store is None:
            raise NotFound(f"There is no change {target!r}.", hint="No job has run here yet.")
        listed = _own_records(store)
        before = load_decisions(store)
        finding = _finding(target, listed, before)
        now = datetime.fromtimestamp(store.now(), UTC)
        made = decide(
            finding,
            verb,
            author=author or _user(),
            note=note,
            decision_id=new_id("dec", now),
            now=now,
            before=before,
        )
        keep(store, made)
    _say(made, as_json=as_json)


def _finding(
    target: str, records: Sequence[PerformanceRecord], decided: Sequence[Decision]
) -> Finding:
    if any(each.id == target for each in records):
        return finding_at(target, records)
    return change_of(trends(records, decisions=decided), target).finding


def _say(decision: Decision, *, as_json: bool) -> None:
    console.print(
        f"[green]✓[/] {decision.verb.value} {decision.finding.id} by {escape(decision.author)}: "
        f"{escape(decision.finding.text)}",
        highlight=False,
    )
    console.print(f"[dim]ourvidz perf undo {decision.id}[/]", highlight=False, soft_wrap=True)
    if as_json:
        print_json({"decision": to_json(decision)})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise InvalidRequest("A decision needs its author.", param="author") from error


# Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    own: Sequence[PerformanceRecord]
    imported: Sequence[PerformanceRecord]
    decisions: Sequence[Decision]

    @property
    def records(self) -> Sequence[PerformanceRecord]:
        return [*self.imported, *self.own]


@contextmanager
def _seen(
    settings: Settings, *, job_type: str | None = None, history: bool = True
) -> Generator[_Seen]:
    """Give everything that is known: own records, imported ones, decisions."""
    imported = (
        list(
            shelf.HistoryReader(shelf.load_histories(settings.data_dir / _HISTORY)).records(
                job_type=job_type
            )
        )
        if history
        else []
    )
    with _open(settings) as store:
        yield _Seen(
            own=[] if store is None else _own_records(store, job_type=job_type),
            imported=imported,
            decisions=() if store is None else load_decisions(store),
        )


def _own_records(store: JobStore, *, job_type: str | None = None) -> list[PerformanceRecord]:
    from ourvidz.perf.records import StoreRecords

    return [
        each
        for each in StoreRecords(store).records(job_type=job_type)
        if each.origin is not Origin.IMPORTED
    ]


@contextmanager
def _open(settings: Settings) -> Generator[JobStore | None]:
    """Give the store; None where there is none yet, since looking must not make one."""
    from ourvidz.jobs.open import DATABASE_FILE, open_store

    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        yield None
        return
    store = open_store(settings)
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def _record(job_id: str, records: Iterable[PerformanceRecord]) -> PerformanceRecord:
    found = next((each for each in records if each.id == job_id), None)
    if found is None:
        raise NotFound(
            f"There is no record {job_id!r}.",
            param="job_id",
            hint="ourvidz jobs list names jobs; one that has not ended has no record.",
        )
    return found


def _notes(path: Path) -> tuple[Note, ...]:
    try:
        return notes_from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} can't be read: {error}.", param="notes") from error


def _check_measures(wanted: Sequence[str] | None, records: Sequence[PerformanceRecord]) -> None:
    if not wanted or not records:
        return
    known = {name for each in records for name in measures_of(each)}
    for name in wanted:
        if name not in known:
            raise InvalidRequest(
                f"No record has the measure {name!r}.",
                param="measure",
                hint=f"Known: {', '.join(sorted(known))}.",
            )


# How it looks


def _matrix_table(found: Matrix) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    for name in ("job type", "preset", "state", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "real", "95 %", "expected", "variance", "quality", "success"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("trend", no_wrap=True)
    table.add_column("notes", ratio=1)
    for row in found.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: MatrixRow) -> list[str]:
    interval = row.interval
    colour = _TREND_COLOURS.get(row.trend, "dim")
    moved = "" if row.trend_shift is None else f" {row.trend_shift:+.0%}"
    success = row.success
    return [
        escape(row.job_type),
        escape(row.preset),
        row.state or "",
        f"[{_STATUS_COLOURS[row.status]}]{row.status.value.replace('_', ' ')}[/]",
        str(row.n),
        _seconds(row.real_s),
        "" if interval is None else f"{_seconds(interval.low)} to {_seconds(interval.high)}",
        _seconds(row.expected_s),
        "" if row.variance is None else f"{row.variance:+.0%}",
        "" if row.quality is None else f"{row.quality:.2f}",
        "" if success is None else f"{success.successes}/{success.n}",
        f"[{colour}]{row.trend}{moved}[/]",
        escape("; ".join(row.notes)),
    ]


def _show_series(series: Series) -> None:
    origin = " [magenta]imported[/]" if series.is_history else ""
    console.print(
        f"[bold]{escape(series.job_type)}[/] {escape(series.preset)} {series.state}{origin} "
        f"[dim]{len(series.points)} runs, {_day(series.points[0].at)} to "
        f"{_day(series.points[-1].at)}[/]",
        highlight=False,
    )
    totals = [point.values["total"] for point in series.points if "total" in point.values]
    if totals:
        low, high = min(totals), max(totals)
        console.print(
            f"  {_spark(totals)} [dim]{_seconds(low)} to {_seconds(high)}[/]", highlight=False
        )
    for change in series.changes:
        _show_change(change)
    for candidate in series.candidates:
        console.print(f"  [yellow]?[/] {escape(candidate.text)}", highlight=False)
    for mark in series.marks:
        console.print(
            f"  [dim]{_day(mark.at)} {mark.kind.value}: {escape(mark.text)}[/]", highlight=False
        )


def _show_change(change: Change) -> None:
    colour = _EFFECT_COLOURS.get(change.effect, "yellow")
    decided = ""
    if change.decision is not None:
        by = f"{change.decision.verb.value} by {change.decision.author}: {change.decision.note}"
        decided = f" [cyan]{escape(by)}[/]"
    console.print(
        f"  [{colour}]{change.effect.value}[/] [bold]{change.id}[/] {_day(change.at)} "
        f"{escape(change.text)}{decided}",
        highlight=False,
    )


def _show_record(found: PerformanceRecord, score: JobScore, own: Baseline | None) -> None:
    console.print(
        f"[bold]{escape(found.job_type)}[/] {found.state} {_day(found.at)} [dim]{found.id}[/]",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("measure", "value", "median", "n", "99 % of runs within", ""):
        table.add_column(name, justify="left" if name in {"measure", ""} else "right")
    for each in score.measures:
        summary = None if own is None else own.measures.get(each.measure)
        word = "" if each.score is None else each.score.value
        colour = "dim" if each.score is None else _SCORE_COLOURS[each.score]
        span = each.interval
        table.add_row(
            each.measure,
            _value(each.measure, each.value),
            "" if summary is None else _value(each.measure, summary.median),
            str(each.n),
            ""
            if span is None
            else f"{_value(each.measure, span.low)} to {_value(each.measure, span.high)}",
            f"[{colour}]{word}[/]",
        )
    console.print(table)
    if found.flags:
        console.print(f"[yellow]left out of baselines[/] {escape(', '.join(found.flags))}")
    if found.failure:
        console.print(f"[red]failed[/] {escape(found.failure)}")
    if score.is_watched:
        console.print("[red]![/] three or more of the last five jobs were slow")


def _show_verdict(verdict: Verdict) -> None:
    console.print(f"[bold]{verdict.outcome.value}[/] {escape(verdict.text)}", highlight=False)
    for each in verdict.measures:
        console.print(f"  {each.measure}: {escape(each.text)}", highlight=False)


def _show_baseline(found: Baseline) -> None:
    console.print(
        f"[bold]{escape(found.job_type)}[/] {escape(found.preset)} {found.state} "
        f"[{_STATUS_COLOURS[found.status]}]{found.status.value.replace('_', ' ')}[/] "
        f"n = {found.n} [dim]{found.id}[/]",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("measure")
    for name in ("n", "median", "95 %", "MAD", "mean", "CV", "p90", "p95", "p99", "flagged"):
        table.add_column(name, justify="right")
    for name, each in found.measures.items():
        span = each.interval
        table.add_row(
            name,
            str(each.n),
            _value(name, each.median),
            "" if span is None else f"{_value(name, span.low)} to {_value(name, span.high)}",
            _value(name, each.mad),
            _value(name, each.mean),
            "" if each.cv is None else f"{each.cv:.1%}",
            *(_value(name, value) for value in (each.p90, each.p95, each.p99)),
            str(len(found.outliers.get(name, ())) or ""),
        )
    console.print(table)
    if found.success is not None:
        span = found.success.interval
        console.print(
            f"success {found.success.successes} of {found.success.n} "
            f"({span.low:.0%} to {span.high:.0%})",
            highlight=False,
        )
    for each in found.left_out:
        why = escape(", ".join(each.reasons))
        console.print(f"[dim]left out {each.id}: {why}[/]", highlight=False)


def _spark(values: Sequence[float]) -> str:
    shown = values[-_MOST_BARS:]
    low, high = min(shown), max(shown)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in shown)


def _value(measure: str, value: float | None) -> str:
    if value is None:
        return ""
    return human_bytes(value) if unit_of(measure) is Unit.BYTES else _seconds(value)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 1 else f"{value:.3f} s"


def _day(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")
