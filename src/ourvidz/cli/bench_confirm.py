"""``ourvidz bench confirm``: may ``high`` or ``draft`` be offered for a model on this machine?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import load_settings
from ourvidz.checkpoints.confirmations import Figure, write_confirmation
from ourvidz.cli.output import console, print_json
from ourvidz.core.request import Fidelity

if TYPE_CHECKING:
    from ourvidz.bench.fidelity import Report

NOT_HELD = 3  # the exit code of a regression
_MOST_OPERATORS = 8


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz bench``."""
    app.command()(confirm)


def confirm(
    model_id: Annotated[str, typer.Argument(help="Catalogue id, see `ourvidz models list`.")],
    fidelity: Annotated[Fidelity, typer.Option("--fidelity", help="high or draft.")],
    prompts: Annotated[
        int, typer.Option("--prompts", min=1, help="How many of the fixed prompts.")
    ] = 4,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Denoise steps, for a quick look (default: all)."),
    ] = None,
    size: Annotated[
        str, typer.Option("--size", help="native, or small for a quick look.")
    ] = "native",
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = (
        None
    ),
    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON on stdout.")
    ] = False,
) -> None:
    """Hold a model of yours at high or draft against exact, and keep the verdict.

    Fixed prompts and seeds: operators and predictions step by step, and whole jobs' frames. Kept
    to its bounds, the fidelity is offered for this checkpoint on this machine, and may be made its
    default. Exit code 3: not kept to, or random weights, which prove nothing.
    """
    from ourvidz.bench.fidelity import Plan, confirmation_of, measure

    settings = load_settings(**({} if device is None else {"device": device}))
    plan = Plan(num_prompts=prompts, size=size, num_inference_steps=steps)
    report = measure(
        model_id,
        fidelity,
        settings=settings,
        plan=plan,
        tell=lambda text: console.print(f"[dim]{escape(text)}[/]", highlight=False),
    )
    path = None
    if plan.is_whole:
        confirmation = confirmation_of(report, settings)
        path = write_confirmation(settings.data_dir, confirmation)
    _show(report)
    if json:
        print_json(_brief(report, is_kept=path is not None))
    if report.is_random or not report.is_held:
        raise typer.Exit(NOT_HELD)


def _show(report: Report) -> None:
    console.print()
    console.print(f"[bold]{report.model}[/] at {report.fidelity.value}: {escape(report.told)}")
    console.print(_figure_table(report.figures))
    if report.steps:
        console.print(_step_table(report))
    if report.blocks:
        console.print(_block_table(report))
    if report.operators:
        console.print(_operator_table(report))
    for note in report.notes:
        console.print(f"[dim]note[/]  {escape(note)}", highlight=False)
    console.print(_verdict(report), highlight=False)


def _verdict(report: Report) -> str:
    name = f"{report.fidelity.value} for {escape(report.model)}"
    if report.is_random:
        return (
            f"[yellow]not confirmed[/]  {name}: random weights prove nothing about 8 bits; only "
            "the mechanics and the time were shown"
        )
    if not report.is_held:
        return f"[red]not held[/]  {name} does not keep to its bounds here"
    if not report.is_confirmed:
        return (
            f"[green]held[/]  {name} in this quick look, which is not kept: run it without --size "
            "and --steps, and with 4 prompts or more"
        )
    return f"[green]held[/]  {name} is offered on this machine while nothing changes"


def _figure_table(figures: Iterable[Figure]) -> Table:
    table = _table("", ("figure", "value", "bound", ""))
    for figure in figures:
        unit = f" {figure.unit}" if figure.unit else ""
        sign = ">=" if figure.is_least else "<="
        bound = "" if figure.limit is None else f"{sign} {figure.limit:g}{unit}"
        mark = "[green]held[/]" if figure.is_held else "[red]not held[/]"
        table.add_row(
            figure.metric,
            f"{figure.value:.4g}{unit}",
            bound,
            f"[dim]{escape(figure.text)}[/]" if figure.limit is None else mark,
        )
    return table


def _step_table(report: Report) -> Table:
    table = _table("predictions", ("prompt", "step", "branches", "guided"))
    last = ""
    for each in report.steps:
        prompt = "" if each.prompt == last else each.prompt
        last = each.prompt
        branches = "  ".join(f"{error:.4f}" for error in each.branches)
        table.add_row(escape(prompt), str(each.step + 1), branches, f"{each.guided:.4f}")
    return table


def _block_table(report: Report) -> Table:
    table = _table("blocks", ("block", "output", "what it adds"))
    for each in report.blocks:
        update = "" if each.update is None else f"{each.update:.4f}"
        table.add_row(str(each.index), f"{each.output:.4f}", update)
    return table


def _operator_table(report: Report) -> Table:
    table = _table("worst operators", ("kind", "operator", "error"))
    worst = sorted(report.operators, key=lambda each: each.error, reverse=True)
    for each in worst[:_MOST_OPERATORS]:
        table.add_row(each.kind, each.name, f"{each.error:.4f}")
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(
        box=None, pad_edge=False, header_style="dim", title=title or None, title_justify="left"
    )
    for column in columns:
        table.add_column(column)
    return table


def _brief(report: Report, *, is_kept: bool) -> dict[str, Any]:
    return {
        "model": report.model,
        "fidelity": report.fidelity.value,
        "is_held": report.is_held,
        "is_confirmed": report.is_confirmed,
        "is_random": report.is_random,
        "is_kept": is_kept,
        "plan": report.told,
        "notes": list(report.notes),
        "figures": [{**asdict(each), "is_held": each.is_held} for each in report.figures],
        "steps": [asdict(each) for each in report.steps],
        "blocks": [asdict(each) for each in report.blocks],
        "operators": [asdict(each) for each in report.operators],
        "frames": [asdict(each) for each in report.frames],
        "tokens": [asdict(each) for each in report.tokens],
    }
