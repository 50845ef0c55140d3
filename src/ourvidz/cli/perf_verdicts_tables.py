"""How ``ourvidz perf matrix|trend|record|baseline`` look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.markup import escape
from rich.table import Table

from ourvidz.cli.output import console, human_bytes
from ourvidz.perf.baselines import Baseline, BaselineStatus
from ourvidz.perf.decisions import Effect
from ourvidz.perf.matrix import FASTER, SLOWER, Matrix, MatrixRow
from ourvidz.perf.measures import Unit, unit_of
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.scoring import JobScore
from ourvidz.perf.stats import Score
from ourvidz.perf.trend import Change, Series
from ourvidz.perf.verdicts import Verdict

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


def matrix_table(found: Matrix) -> Table:
    """Return a row for each row of the matrix."""
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


def show_series(series: Series) -> None:
    """Show one history: its course, changes, candidates and marks."""
    origin = " [magenta]imported[/]" if series.is_history else ""
    console.print(
        f"[bold]{escape(series.job_type)}[/] {escape(series.preset)} {series.state}{origin} "
        f"[dim]{len(series.points)} runs, {day(series.points[0].at)} to "
        f"{day(series.points[-1].at)}[/]",
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
            f"  [dim]{day(mark.at)} {mark.kind.value}: {escape(mark.text)}[/]", highlight=False
        )


def _show_change(change: Change) -> None:
    colour = _EFFECT_COLOURS.get(change.effect, "yellow")
    decided = ""
    if change.decision is not None:
        by = f"{change.decision.verb.value} by {change.decision.author}: {change.decision.note}"
        decided = f" [cyan]{escape(by)}[/]"
    console.print(
        f"  [{colour}]{change.effect.value}[/] [bold]{change.id}[/] {day(change.at)} "
        f"{escape(change.text)}{decided}",
        highlight=False,
    )


def show_record(found: PerformanceRecord, score: JobScore, own: Baseline | None) -> None:
    """Show one job beside its baseline."""
    console.print(
        f"[bold]{escape(found.job_type)}[/] {found.state} {day(found.at)} [dim]{found.id}[/]",
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


def show_verdict(verdict: Verdict) -> None:
    """Show what is said of two groups of runs."""
    console.print(f"[bold]{verdict.outcome.value}[/] {escape(verdict.text)}", highlight=False)
    for each in verdict.measures:
        console.print(f"  {each.measure}: {escape(each.text)}", highlight=False)


def show_baseline(found: Baseline) -> None:
    """Show one baseline in full."""
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


def day(at: datetime) -> str:
    """Return a moment on this machine's clock, to the minute."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M")
