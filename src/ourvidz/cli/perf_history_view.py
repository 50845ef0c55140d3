"""What ``ourvidz perf claims|import|goals`` read and show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ourvidz.bench.records import read_record
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.parameters import suggest
from ourvidz.cli.output import console, print_json
from ourvidz.cli.stores import existing_store
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.perf.history import Effect, Judgement, Verdict
from ourvidz.perf.history import shelf as history_shelf
from ourvidz.perf.history.evidence import effects_in
from ourvidz.perf.history.judgement import Figure
from ourvidz.perf.history.records import performance_records
from ourvidz.perf.history.report import (
    HistoryReport,
    beyond_steps,
    candidate_text,
    check_notes,
    interval_text,
    markdown,
    report_of,
    stated_text,
    states_text,
    value_text,
)
from ourvidz.perf.history.schema import NamedHistory
from ourvidz.perf.optimisations import (
    Measurement,
    Optimisation,
    Status,
)
from ourvidz.perf.plain import plain
from ourvidz.perf.planned import KeptGoal, goals_report, kept_goals
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.records import StoreRecords
from ourvidz.perf.survey import HISTORY_FOLDER, own_records

# Where benchmark records stand in a checkout, and where an installation keeps its own.
_COMMITTED = Path("benchmarks/records")
_KEPT = "benchmarks"

_COLOURS = {
    Verdict.WRONG: "red",
    Verdict.REFUSED: "magenta",
    Verdict.NOT_SUPPORTED: "yellow",
    Verdict.UNMEASURABLE: "dim",
    Verdict.NOT_MEASURED: "cyan",
    Verdict.CONFIRMED: "green",
}
_STATUS_COLOURS = {
    Status.NO_MEASURE: "dim",
    Status.NO_DATA: "dim",
    Status.MEASURED: "cyan",
    Status.IN_PROGRESS: "yellow",
    Status.REACHED: "green",
    Status.MISSED: "red",
}


def show_claims(
    history: str | None, records: Sequence[Path] | None, *, as_markdown: bool, json: bool
) -> None:
    """See ``perf_history.claims``."""
    settings = load_settings()
    named = _find(history, settings)
    effects = _effects(_record_paths(records, settings))
    report = report_of(named, effects=effects)
    if as_markdown:
        print(markdown(report))  # noqa: T201
    else:
        console.print(_report(report, width=console.width))
    if json:
        print_json(report.to_json())


def show_import(file: Path, *, check: bool, replace: bool, json: bool) -> None:
    """See ``perf_history.import_``."""
    settings = load_settings()
    if check:
        named, is_new = history_shelf.read_named(file), False
    else:
        named, is_new = history_shelf.import_history(file, _folder(settings), replaces=replace)
    report = report_of(named)
    made = performance_records(named.history, name=named.name)
    word = "valid" if check else "imported" if is_new else "already here"
    console.print(_import_summary(report, made, word=word))
    if json:
        flagged = {record.id: list(record.flags) for record in made if record.flags}
        print_json(
            {
                "history": named.name,
                "result": word,
                "records": len(made),
                "origin": Origin.IMPORTED.value,
                "flagged": flagged,
                "claims": len(report.claims),
                "candidates": plain(report.candidates),
            }
        )


def show_goals(history: str | None, *, json: bool) -> None:
    """See ``perf_history.goals``."""
    settings = load_settings()
    catalogue_of(settings)  # refuses goals of unknown job types
    report = goals_report(
        _find(history, settings),
        own=_own_goals(settings),
        records=machine_records(settings),
        profile=settings.profile,
        now=datetime.now(UTC).date(),
    )
    groups = (("Goals of this installation", report.own_goals),
              (f"Goals of {report.history}", report.goals),
              (f"Roadmap of {report.history}", report.roadmap))  # fmt: skip
    for title, plans in groups:
        if plans:
            console.print(_plan_table(title, plans))
            console.print()
    if not report.own_goals:
        console.print(
            Text(
                "Goals of your own stand in ourvidz.toml: [[performance.goals]] with job_type, "
                "seconds and by.",
                style="dim",
            )
        )
    console.print(
        f"[dim]Now: {report.full_size_jobs} jobs of this machine with full-size models "
        f"({report.jobs} in all). Before: {report.before_jobs} of {escape(report.history)}.[/]",
        highlight=False,
    )
    if json:
        print_json(report.to_json())


# ------------------------------------------------------------------------------------------ sources


def machine_records(settings: Settings) -> list[PerformanceRecord]:
    """Return the records of this installation's jobs, oldest first; none where no store is."""
    with existing_store(settings) as store:
        return [] if store is None else own_records(StoreRecords(store))


def _own_goals(settings: Settings) -> tuple[KeptGoal, ...]:
    with existing_store(settings) as store:
        return kept_goals(settings.performance.goals, store)


def _folder(settings: Settings) -> Path:
    return settings.data_dir / HISTORY_FOLDER


def _find(name: str | None, settings: Settings) -> NamedHistory:
    if name is None:
        return history_shelf.shipped()
    if name.endswith(".json"):
        return history_shelf.read_named(Path(name))
    if name == history_shelf.SHIPPED:
        return history_shelf.shipped()
    kept = {path.stem: path for path in sorted(_folder(settings).glob("*.json"))}
    if name not in kept:
        known = (history_shelf.SHIPPED, *kept)
        raise UnknownName(
            f"history {name!r} is unknown.", param="history", hint=suggest(name, known)
        )
    return history_shelf.read_named(kept[name])


def _record_paths(given: Sequence[Path] | None, settings: Settings) -> list[tuple[Path, bool]]:
    """Return record files, and whether each was named by the user."""
    found: list[tuple[Path, bool]] = []
    for path in given or (_COMMITTED, settings.data_dir / _KEPT):
        if path.is_dir():
            found += [(each, False) for each in sorted(path.glob("*.json"))]
        elif given:
            found.append((path, True))
    return found


def _effects(paths: Sequence[tuple[Path, bool]]) -> list[Effect]:
    effects: list[Effect] = []
    for path, is_named in paths:
        try:
            record = read_record(path)
        except InvalidRequest:
            if is_named:
                raise
            continue  # folders of records hold other files too
        effects += effects_in(record.to_dict(), source=path.name)
    return effects


# ------------------------------------------------------------------------------------------- tables


def _report(report: HistoryReport, *, width: int) -> RenderableType:
    parts: list[RenderableType] = [
        Text(f"{report.name}: {report.num_records} records", style="bold"),
        Padding(Text(report.about, style="dim"), (0, 0, 1, 0)),
    ]
    parts += [
        _claim(claim, width=width, has_header=index == 0)
        for index, claim in enumerate(report.claims)
    ]
    notes = [(check, note) for check in report.records for note in check_notes(check)]
    success = report.success
    table = _grid("run", "found")
    for check, note in notes:
        table.add_row(f"{escape(check.label)} [dim]{check.job_type}[/]", escape(note))
    table.add_row(
        "all",
        f"{success.stated} of {success.n} were counted as success; {success.recomputed} were "
        f"({100 * success.interval.low:.0f} to {100 * success.interval.high:.0f} %)",
    )
    beyond = beyond_steps(report.records)
    if beyond is not None:
        found, low, high = beyond
        table.add_row(
            escape(", ".join(check.label for check in found)),
            f"{low:g} to {high:g} s of generation are no steps and have no name",
        )
    parts += [Text("Records that contradict themselves", style="bold"), table, Text()]
    parts.append(Text("Changes between days", style="bold"))
    if not report.candidates:
        parts.append(Padding(Text("none", style="dim"), (0, 0, 0, 2)))
    parts += [Padding(Text(candidate_text(each)), (0, 0, 0, 2)) for each in report.candidates]
    counts = [
        f"[{_COLOURS[verdict]}]{number} {verdict.value}[/]"
        for verdict in Verdict
        if (number := sum(claim.verdict is verdict for claim in report.claims))
    ]
    parts += [Text(), Text.from_markup(f"{len(report.claims)} claims: {', '.join(counts)}")]
    parts.append(
        Text(
            "95 %: bootstrap interval of a mean, from 3 runs on (so few make it narrower than it "
            "says); of what a sweep measured, of the shift.",
            style="dim",
        )
    )
    return Group(*parts)


def _claim(claim: Judgement, *, width: int, has_header: bool) -> RenderableType:
    colour = _COLOURS[claim.verdict]
    head = Text.assemble((claim.id, "bold"), "  ", (claim.verdict.value, f"bold {colour}"))
    reason = Text(claim.reason, style=colour if claim.verdict is not Verdict.UNMEASURABLE else "")
    indent = (0, 0, 0, 2)
    figures = _figures(claim, width=width, has_header=has_header)
    return Group(head, Padding(figures, indent), Padding(reason, indent), Text())


def _figures(claim: Judgement, *, width: int, has_header: bool) -> Table:
    """Return a claim's figures; equal widths let the first claim's header stand for all."""
    table = Table(
        box=None, pad_edge=False, show_edge=False, show_header=has_header, header_style="dim"
    )
    is_wide = width >= 110
    table.add_column("of", width=46 if is_wide else 20, overflow="fold")
    table.add_column("stated", justify="right", width=17 if is_wide else 11)
    table.add_column("recomputed", justify="right", width=12 if is_wide else 10)
    table.add_column("n", justify="right", width=3 if is_wide else 2)
    table.add_column("95 %", justify="right", width=16 if is_wide else 14)
    table.add_column("states", width=14 if is_wide else 9)
    for figure in claim.figures:
        name = Text(figure.name)
        if figure.note and figure.note not in claim.reason and not _is_refused(figure):
            name.append(f"\n{figure.note}", style="dim")
        table.add_row(
            name,
            Text(stated_text(figure)),
            Text(value_text(figure), style="bold"),
            str(figure.n or "—"),
            interval_text(figure.interval),
            Text(
                states_text(figure, sep=_separator(figure, is_wide=is_wide)),
                style="yellow" if figure.is_mixed else "",
            ),
            style="" if figure.stated is not None else "dim",
        )
    return table


def _separator(figure: Figure, *, is_wide: bool) -> str:
    """Return what stands between states, so that the column is never cut off."""
    if is_wide and len(figure.states) < 3:
        return " + "
    return "+" if len(figure.states) < 3 else "+\n"


def _is_refused(figure: Figure) -> bool:
    """Whether the claim's reason tells all that is to be told of a figure."""
    return figure.verdict is Verdict.REFUSED


def _grid(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in headers:
        table.add_column(header)
    return table


def _import_summary(
    report: HistoryReport, made: Sequence[PerformanceRecord], *, word: str
) -> RenderableType:
    days = [record.at.date() for record in made]
    kinds = len({record.job_type for record in made})
    parts: list[RenderableType] = [
        Text.assemble(("✓ ", "green"), (report.name, "bold"), f" {word}"),
        Text(
            f"  {len(made)} records of {kinds} job types, {min(days)} to {max(days)}: history, no "
            "baselines of this machine."
        ),
    ]
    flagged = [record for record in made if set(record.flags) - {"doubted"}]
    for record in flagged:
        excess = record.facts.get("phases_excess_s")
        tail = f" (by {excess:g} s)" if excess else ""
        parts.append(Text(f"  ! {record.id}: {', '.join(record.flags)}{tail}", style="yellow"))
    if report.claims:
        parts.append(Text(f"  {len(report.claims)} claims: ourvidz perf claims {report.name}"))
    return Group(*parts)


def _plan_table(title: str, plans: Sequence[Optimisation]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("by", ratio=3, min_width=8)
    table.add_column("what", ratio=9, overflow="fold")
    table.add_column("before", justify="right", ratio=6)
    table.add_column("now", justify="right", ratio=6)
    table.add_column("target", justify="right", ratio=4)
    table.add_column("progress", ratio=4, min_width=9)
    table.add_column("status", ratio=4, min_width=7)
    for plan in plans:
        what = Text(plan.what)
        if plan.current or plan.target != plan.what:
            said = [plan.current, plan.target if plan.target != plan.what else None]
            what.append("\n" + " → ".join(part for part in said if part), style="dim")
        table.add_row(
            Text(str(plan.due or plan.horizon or "—")),
            what,
            _measured(plan.before),
            _measured(plan.after),
            _target(plan),
            _progress(plan.progress),
            Text(plan.status.value, style=_STATUS_COLOURS[plan.status]),
        )
    return Group(Text(title, style="bold"), table)


def _measured(found: Measurement | None) -> Text:
    if found is None:
        return Text("—", style="dim")
    text = Text(_amount(found.value, found.unit), style="bold")
    detail = f"\nn = {found.n}"
    if found.interval is not None:
        detail += f"\n{found.interval.low:.3g} to {found.interval.high:.3g}"
    text.append(detail, style="dim")
    if found.unit == "s":
        text.append(f"\n{' + '.join(found.states)}", style="dim")
    return text


def _target(plan: Optimisation) -> str:
    if plan.target_value is None or plan.unit is None:
        return "—"
    return _amount(plan.target_value, plan.unit)


def _amount(value: float, unit: str) -> str:
    word = "types" if unit == "job types" else unit
    return f"{value:.4g} {word.removesuffix('s') if value == 1 and len(word) > 1 else word}"


def _progress(share: float | None) -> RenderableType:
    if share is None:
        return Text("—", style="dim")
    bar = ProgressBar(total=1.0, completed=share, width=8)
    return Group(Text(f"{share:.0%}"), bar)
