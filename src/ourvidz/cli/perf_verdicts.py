"""``ourvidz perf matrix|trend|record|accept|investigate|ignore``: what changed, and who decided.

The work is in ``perf_verdicts_view``, imported when a command runs: the statistics take a quarter
of a second to import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

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
    app.command()(matrix)
    app.command()(trend)
    app.command()(record)
    app.command()(baseline)
    app.command()(accept)
    app.command()(investigate)
    app.command()(ignore)
    app.command()(undo)
    app.command()(decisions)


def matrix(job_type: _JobType = None, history: _History = True, json: _Json = False) -> None:
    """Show every job type: what it takes, how sure that is, and where it is going."""
    from ourvidz.cli.perf_verdicts_view import show_matrix

    show_matrix(job_type, history=history, json=json)


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
    from ourvidz.cli.perf_verdicts_view import show_trend

    show_trend(
        job_type,
        preset=preset,
        state=state,
        measures=measure,
        notes=notes,
        history=history,
        json=json,
    )


def record(
    job_id: Annotated[str, typer.Argument(help="The job's id.")],
    against: Annotated[
        str | None, typer.Option("--against", help="Another job's id, to compare with.")
    ] = None,
    json: _Json = False,
) -> None:
    """Show one job beside its baseline: fast, normal or slow, phase by phase."""
    from ourvidz.cli.perf_verdicts_view import show_job

    show_job(job_id, against=against, json=json)


def baseline(
    group: Annotated[str, typer.Argument(help="A group's id as `perf matrix --json` has it.")],
    json: _Json = False,
) -> None:
    """Show one baseline in full: every phase, what was left out, what was flagged."""
    from ourvidz.cli.perf_verdicts_view import show_group

    show_group(group, json=json)


def accept(target: _Target, note: _Why, author: _Author = None, json: _Json = False) -> None:
    """Accept a change: the new level is the baseline from there on."""
    _decide("accept", target, note, author, json=json)


def investigate(target: _Target, note: _Why, author: _Author = None, json: _Json = False) -> None:
    """Say that somebody looks for a change's cause."""
    _decide("investigate", target, note, author, json=json)


def ignore(target: _Target, note: _Why, author: _Author = None, json: _Json = False) -> None:
    """Say that a change is known and of no interest."""
    _decide("ignore", target, note, author, json=json)


def undo(
    decision: Annotated[str, typer.Argument(help="Its id, as `perf decisions` shows it.")],
    note: _Why,
    author: _Author = None,
    json: _Json = False,
) -> None:
    """Take a decision back. It stays in the list, and so does this."""
    from ourvidz.cli.perf_verdicts_view import take_back

    take_back(decision, note, author, json=json)


def decisions(json: _Json = False) -> None:
    """List everything that was ever decided, and what holds of it."""
    from ourvidz.cli.perf_verdicts_view import show_decisions

    show_decisions(json=json)


def _decide(
    verb: Literal["accept", "investigate", "ignore"],
    target: str,
    note: str,
    author: str | None,
    *,
    json: bool,
) -> None:
    from ourvidz.cli.perf_verdicts_view import make_decision
    from ourvidz.perf.decisions import Verb

    make_decision(Verb(verb), target, note, author, json=json)
