"""What ``ourvidz perf matrix|trend|record|baseline`` and its decisions read, do and show."""

from __future__ import annotations

import getpass
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.cli.output import console, print_json
from ourvidz.cli.perf_verdicts_tables import (
    day,
    matrix_table,
    show_baseline,
    show_record,
    show_series,
    show_verdict,
)
from ourvidz.cli.stores import existing_store
from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.core.ids import new_id
from ourvidz.perf.decisions import (
    Decision,
    Verb,
    decide,
    keep,
    load_decisions,
    standing_decisions,
    to_json,
    undo,
)
from ourvidz.perf.records import StoreRecords
from ourvidz.perf.survey import (
    Survey,
    decisions_json,
    histories_in,
    imported_records,
    own_records,
    stars_of,
)
from ourvidz.perf.trend import Note, notes_from_json

# Showing


def show_matrix(job_type: str | None, *, history: bool, json: bool) -> None:
    """See ``perf_verdicts.matrix``."""
    settings = load_settings()
    catalogue = catalogue_of(settings)
    names = [catalogue.job_type(job_type).name] if job_type else list(catalogue.job_types)
    with _surveyed(settings, job_type=job_type, history=history) as survey:
        found = survey.matrix(names)
    console.print(matrix_table(found))
    console.print(
        f"[dim]{found.num_established} of {found.num_job_types} job types have a baseline.[/]",
        highlight=False,
    )
    if json:
        print_json(found.to_json())


def show_trend(
    job_type: str | None,
    *,
    preset: str | None,
    state: str | None,
    measures: Sequence[str] | None,
    notes: Path | None,
    history: bool,
    json: bool,
) -> None:
    """See ``perf_verdicts.trend``."""
    settings = load_settings()
    if job_type is not None:
        job_type = catalogue_of(settings).job_type(job_type).name
    log = () if notes is None else _notes(notes)
    with _surveyed(settings, job_type=job_type, history=history) as survey:
        found = survey.trend(preset=preset, state=state, measures=measures, notes=log)
    for series in found.series:
        show_series(series)
    for each in (*found.alarms, *found.watched):
        console.print(f"[red]![/] {escape(f'{each.job_type}: {each.text}')}", highlight=False)
    for change in found.history_candidates:
        console.print(
            f"[yellow]candidate[/] {escape(change.group)}: {change.metric} {change.change:+.1%} "
            f"between {change.day_before} and {change.day_after}; {escape(change.reason)}",
            highlight=False,
        )
    if not found.series:
        console.print("[dim]No records.[/]")
    if json:
        print_json(found.to_json())


def show_job(job_id: str, *, against: str | None, json: bool) -> None:
    """See ``perf_verdicts.record``."""
    with _surveyed(load_settings()) as survey:
        found = survey.job(job_id, against=against)
    show_record(found.record, found.score, found.baseline)
    if found.against is not None:
        show_verdict(found.against)
    if json:
        print_json(found.to_json())


def show_group(group: str, *, json: bool) -> None:
    """See ``perf_verdicts.baseline``."""
    with _surveyed(load_settings()) as survey:
        found = survey.baseline(group)
    show_baseline(found)
    if json:
        print_json(found.to_json())


# Deciding


def make_decision(verb: Verb, target: str, note: str, author: str | None, *, json: bool) -> None:
    """See ``perf_verdicts.accept`` and its neighbours."""
    settings = load_settings()
    with existing_store(settings) as store:
        if store is None:
            raise NotFound(f"There is no change {target!r}.", hint="No job has run here yet.")
        before = load_decisions(store)
        survey = Survey(own=own_records(StoreRecords(store)), decisions=before)
        now = datetime.fromtimestamp(store.now(), UTC)
        made = decide(
            survey.finding(target),
            verb,
            author=author or _user(),
            note=note,
            decision_id=new_id("dec", now),
            now=now,
            before=before,
        )
        keep(store, made)
    _say(made, as_json=json)


def take_back(decision: str, note: str, author: str | None, *, json: bool) -> None:
    """See ``perf_verdicts.undo``."""
    with existing_store(load_settings()) as store:
        if store is None:
            raise NotFound(f"There is no decision {decision!r}.")
        now = datetime.fromtimestamp(store.now(), UTC)
        made = undo(
            decision,
            author=author or _user(),
            note=note,
            decision_id=new_id("dec", now),
            now=now,
            before=load_decisions(store),
        )
        keep(store, made)
    _say(made, as_json=json)


def show_decisions(*, json: bool) -> None:
    """See ``perf_verdicts.decisions``."""
    with existing_store(load_settings()) as store:
        listed = () if store is None else load_decisions(store)
    holding = {each.id for each in standing_decisions(listed).values()}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "at", "by", "what", "change", "holds", "note"):
        table.add_column(name)
    for each in listed:
        table.add_row(
            each.id,
            day(each.at),
            escape(each.author),
            each.verb.value,
            each.finding.id,
            "yes" if each.id in holding else "",
            escape(each.note),
        )
    console.print(table)
    if json:
        print_json({"decisions": decisions_json(listed)})


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


@contextmanager
def _surveyed(
    settings: Settings, *, job_type: str | None = None, history: bool = True
) -> Generator[Survey]:
    histories = histories_in(settings.data_dir) if history else ()
    with existing_store(settings) as store:
        yield Survey(
            own=[] if store is None else own_records(StoreRecords(store), job_type=job_type),
            imported=imported_records(histories, job_type=job_type),
            decisions=() if store is None else load_decisions(store),
            stars={} if store is None else stars_of(store.ratings()),
        )


def _notes(path: Path) -> tuple[Note, ...]:
    try:
        return notes_from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} can't be read: {error}.", param="notes") from error
