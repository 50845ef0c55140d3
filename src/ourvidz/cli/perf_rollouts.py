"""``ourvidz perf rollouts``: what live traffic says of a preset that a share of jobs gets."""

from __future__ import annotations

from typing import Annotated

import typer

_Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rollouts)


def rollouts(
    name: Annotated[
        str | None, typer.Argument(help="Only this one; left out, all.", show_default=False)
    ] = None,
    json: _Json = False,
) -> None:
    """Show each rollout's two sides, compared on live jobs: faster, slower, or too few to say.

    Rollouts stand in ourvidz.toml, a table each: name, job_type, share (0 to 1), a preset or
    overrides, and until. A hash of each job's id decides which side it is on. See
    docs/guides/reports.md.
    """
    from ourvidz.cli.perf_rollouts_view import show_rollouts

    show_rollouts(name, json=json)
