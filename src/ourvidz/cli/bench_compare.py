"""``ourvidz bench compare``: two protocol runs, or two settings, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import load_settings
from ourvidz.cli.bench_run import REGRESSION, Json, Out, kept_in, names_in
from ourvidz.cli.output import console, print_json
from ourvidz.core.errors import InvalidRequest

if TYPE_CHECKING:
    from ourvidz.perf.protocol.compare import Comparison, Side
    from ourvidz.perf.protocol.results import FinishedRun

_REFUSED = 2  # the exit code of what is not legal
_COLOURS = {"regression": "red", "improvement": "green", "incomparable": "yellow", "none": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz bench``."""
    app.command(name="compare")(compare)


def compare(
    before: Annotated[
        str,
        typer.Argument(help="A run's id, folder or runs.jsonl; RUN:CASE for one case of it."),
    ],
    after: Annotated[str, typer.Argument(help="Likewise; in question.")],
    factor: Annotated[
        list[str] | None,
        typer.Option(
            "--factor",
            "-f",
            help="What is compared, and so may differ: fidelity, preset, size, scheduler...",
        ),
    ] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Compare two protocol runs, job type by job type: verdicts, and how far outputs are apart.

    Of two settings of a sweep: `RUN:image_fast RUN:scheduler=euler --factor scheduler`. What
    differs beside the factor refuses the comparison and is named. Exit code 3: a regression.
    """
    from ourvidz.bench.protocol.outputs import difference_between
    from ourvidz.perf.protocol.compare import compare_sides

    directory = kept_in(out, load_settings())
    first, second = _side(before, directory), _side(after, directory)
    sides = first.by_job_type(), second.by_job_type()
    shared = [name for name in sides[0] if name in sides[1]]
    if not shared:
        raise InvalidRequest(
            "The two have no job type in common.",
            param="after",
            hint=f"{', '.join(sides[0])} against {', '.join(sides[1])}",
        )
    found = [
        compare_sides(
            sides[0][name],
            sides[1][name],
            factors=names_in(factor),
            difference=difference_between(
                sides[1][name].runs, second.root, sides[0][name].runs, first.root
            ),
        )
        for name in shared
    ]
    _show(found)
    if json:
        print_json({"comparisons": [each.to_dict() for each in found]})
    outcomes = {each.outcome for each in found}
    if "regression" in outcomes:
        raise typer.Exit(REGRESSION)
    if outcomes <= {"incomparable", "none"}:
        raise typer.Exit(_REFUSED)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Side:
    name: str
    case: str | None
    runs: Sequence[FinishedRun]
    root: Path  # where kept outputs are

    def by_job_type(self) -> dict[str, Side]:
        from ourvidz.perf.protocol.compare import sides_of

        return sides_of(self.runs, name=self.name, case=self.case)


def _side(text: str, directory: Path) -> _Side:
    from ourvidz.bench.protocol.baseline import finished_runs, runs_path

    name, case = text, None
    if not Path(text).exists() and ":" in text:
        name, _, case = text.partition(":")
    runs = finished_runs(name, directory)
    label = Path(name).name if Path(name).exists() else name
    return _Side(name=label, case=case, runs=runs, root=runs_path(name, directory).parent)


def _show(found: Sequence[Comparison]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("job type", "verdict", "time and output"):
        table.add_column(name)
    for each in found:
        colour = _COLOURS.get(each.outcome, "dim")
        text = each.text if each.speed is None else each.speed.text
        table.add_row(
            escape(each.job_type),
            f"[{colour}]{each.outcome.replace('_', ' ')}[/]",
            escape(text),
        )
    console.print(table)
    for each in found:
        if each.verdict is None:
            continue
        for measure in each.verdict.measures:
            if measure.outcome.value in {"regression", "improvement"}:
                console.print(
                    f"  {each.job_type} {measure.measure}: {escape(measure.text)}", highlight=False
                )
        changed = ", ".join(str(one) for one in each.verdict.software)
        if changed:
            console.print(f"[dim]  {each.job_type}: also differs {escape(changed)}[/]")
