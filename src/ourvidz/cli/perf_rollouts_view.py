"""What ``ourvidz perf rollouts`` reads and shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import RolloutEntry, catalogue_of, load_settings
from ourvidz.catalog.parameters import suggest
from ourvidz.catalog.rollouts import goes_on
from ourvidz.cli.output import console, print_json
from ourvidz.cli.perf_history_view import machine_records
from ourvidz.core.errors import UnknownName
from ourvidz.perf.report.words import percent, seconds
from ourvidz.perf.rollouts import ArmResult, Pair, RolloutResult, compare_rollouts
from ourvidz.perf.verdicts import Outcome

_COLOURS = {Outcome.REGRESSION: "red", Outcome.IMPROVEMENT: "green", Outcome.INDICATIVE: "yellow"}


def show_rollouts(name: str | None, *, json: bool) -> None:
    """See ``perf_rollouts.rollouts``."""
    settings = load_settings()
    catalogue_of(settings)  # refuses rollouts of what there is not
    today = datetime.now(UTC).date()
    found = compare_rollouts(machine_records(settings))
    entries = settings.rollouts
    if name is not None:
        known = tuple(dict.fromkeys(each.name for each in (*entries, *found)))
        if name not in known:
            raise UnknownName(
                f"rollout {name!r} is unknown.", param="name", hint=suggest(name, known)
            )
        found = tuple(each for each in found if each.name == name)
        entries = tuple(each for each in entries if each.name == name)
    for entry in entries:
        _show_entry(entry, today)
    for result in found:
        _show_result(result)
    if not entries and not found:
        text = escape("None: a [[rollouts]] table in ourvidz.toml makes one.")
        console.print(f"[dim]{text}[/]", highlight=False)
    elif not found:
        console.print("[dim]No job took part yet.[/]")
    if json:
        print_json(
            {
                "settings": [
                    {**each.model_dump(mode="json"), "goes_on": goes_on(each, today)}
                    for each in entries
                ],
                "rollouts": [each.to_json() for each in found],
            }
        )


def _show_entry(entry: RolloutEntry, today: date) -> None:
    state = "[green]on[/]" if goes_on(entry, today) else "[dim]over[/]"
    what = [] if entry.preset is None else [f"preset {entry.preset}"]
    what += [f"{name} {value}" for name, value in entry.overrides.items()]
    until = "" if entry.until is None else f", until {entry.until}"
    console.print(
        f"{state} [bold]{escape(entry.name)}[/] {escape(entry.job_type)}: "
        f"{percent(entry.share)} get {escape(', '.join(what))}{until}",
        highlight=False,
    )


def _show_result(result: RolloutResult) -> None:
    console.print(
        f"\n[bold]{escape(result.name)}[/] {escape(result.job_type)} "
        f"[dim]{result.first_at:%Y-%m-%d} to {result.last_at:%Y-%m-%d}; "
        f"changes {escape(', '.join(result.changes))}[/]",
        highlight=False,
    )
    console.print(f"  {_arm(result.control)}; {_arm(result.treatment)}", highlight=False)
    if result.pairs:
        console.print(_pair_table(result.pairs))
    console.print(f"  {escape(result.text)}", highlight=False)
    if any(pair.verdict.improvements for pair in result.pairs):
        console.print(
            "  [dim]Faster says nothing of quality: rate outputs of both sides, or compare the "
            "settings with a sweep.[/]",
            highlight=False,
        )


def _arm(arm: ArmResult) -> str:
    success = arm.success
    share = "" if success is None else f", {success.successes} of {success.n} succeeded"
    return f"{arm.arm.value} {arm.jobs} jobs{share}"


def _pair_table(pairs: Sequence[Pair]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("  state", "control", "treatment", "shift", "outcome"):
        table.add_column(head, justify="right" if head not in {"  state", "outcome"} else "left")
    for pair in pairs:
        verdict = pair.verdict
        whole = verdict.of("total")
        shift = None if whole is None or whole.shift is None else whole.shift.estimate
        colour = _COLOURS.get(verdict.outcome, "dim")
        table.add_row(
            f"  {pair.state}",
            f"{seconds(None if whole is None else whole.median_before)} (n = {pair.n_control})",
            f"{seconds(None if whole is None else whole.median_after)} (n = {pair.n_treatment})",
            percent(shift, signed=True),
            f"[{colour}]{verdict.outcome.value.replace('_', ' ')}[/]",
        )
    return table
