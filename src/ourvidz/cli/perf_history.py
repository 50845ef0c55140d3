"""``ourvidz perf claims|import|goals``: history of other machines, and what was planned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(claims)
    app.command(name="import")(import_)
    app.command()(goals)


def claims(
    history: Annotated[
        str | None,
        typer.Argument(help="An imported history's name, or a file (default: that of 2025)."),
    ] = None,
    records: Annotated[
        list[Path] | None,
        typer.Option(
            "--records",
            help="Benchmark records, or folders of them, that hold what a sweep measured "
            "(default: benchmarks/records here, and those of this installation).",
        ),
    ] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Write Markdown to stdout instead of tables.")
    ] = False,
    json: _Json = False,
) -> None:
    """Recompute what a history's document stated, and judge each claim with its reason."""
    from ourvidz.cli.perf_history_view import show_claims

    show_claims(history, records, as_markdown=as_markdown, json=json)


def import_(
    file: Annotated[
        Path, typer.Argument(help="JSON; docs/guides/performance-history.md has the schema.")
    ],
    check: Annotated[bool, typer.Option("--check", help="Only read it; keep nothing.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="In place of another history of that name.")
    ] = False,
    json: _Json = False,
) -> None:
    """Keep a history: job timings recorded elsewhere, never baselines of this machine."""
    from ourvidz.cli.perf_history_view import show_import

    show_import(file, check=check, replace=replace, json=json)


def goals(
    history: Annotated[
        str | None, typer.Argument(help="Whose roadmap and goals: as for `perf claims`.")
    ] = None,
    json: _Json = False,
) -> None:
    """Show goals and planned optimisations, with progress computed from this machine's jobs."""
    from ourvidz.cli.perf_history_view import show_goals

    show_goals(history, json=json)
