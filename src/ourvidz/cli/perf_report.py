"""``ourvidz perf report|digest``: everything that is known of the speed here, as one document."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]


class Format(StrEnum):
    """How a report is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


_Format = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="markdown, html (one file with its charts, light and dark, nothing loaded) or json. "
        "Left out, the suffix of --out says it, else it is markdown.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(report)
    app.command()(digest)


def report(
    format_: _Format = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write it to this file (.md, .html or .json)."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="Only jobs that ended since then: a day (2026-01-31) or an age (36h, 7d, 4w, 6m). "
            "Goals are measured in all jobs.",
        ),
    ] = None,
    json: _Json = False,
) -> None:
    """Write the performance report: every table and chart, computed from this machine's jobs.

    Matrix, baselines, phases, evolution, metrics, goals, protocol and claims. Without --out it
    goes to stdout.

    Examples: ourvidz perf report --out report.html; ourvidz perf report --since 7d.
    """
    from ourvidz.cli.perf_report_view import show_report

    show_report(format_, out, since=since, json=json)


def digest(
    week: Annotated[
        bool, typer.Option("--week", help="Of a week, Monday to Sunday (this is the default).")
    ] = False,
    month: Annotated[bool, typer.Option("--month", help="Of a month.")] = False,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="A day of the week or month that it is about (2026-01-31); left out, the last "
            "one that is over.",
        ),
    ] = None,
    format_: _Format = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write it to this file (.md, .html or .json)."),
    ] = None,
    json: _Json = False,
) -> None:
    """Write a week's or month's digest: what ran, trends, what each optimisation did, goals.

    It is compared with the week or month before. The service writes each one that is over to
    reports/ in the data directory by itself (`performance.digests`).

    Examples: ourvidz perf digest; ourvidz perf digest --month --at 2026-01-31 --out january.html.
    """
    from ourvidz.cli.perf_report_view import show_digest

    show_digest(format_, out, week=week, month=month, at=at, json=json)
