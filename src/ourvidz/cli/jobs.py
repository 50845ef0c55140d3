"""``ourvidz jobs``: the queue from the command line, straight on the store."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import catalogue_of, load_settings
from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.parameters import suggest
from ourvidz.cli.output import console, phase_table, print_json
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.core.job import JobState

if TYPE_CHECKING:
    from ourvidz.jobs.model import Attempt, Event, Job
    from ourvidz.jobs.store import JobStore

app = typer.Typer(no_args_is_help=True, help="List, follow and steer jobs.")

_POLL_S = 0.5
_COLOURS = {
    JobState.QUEUED: "yellow",
    JobState.RUNNING: "cyan",
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "dim",
}

Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
JobIds = Annotated[list[str], typer.Argument(help="Ids of jobs.")]
Scope = Annotated[str, typer.Argument(help="all, or a job type.")]


@app.command(name="list")
def list_(
    state: Annotated[
        list[str] | None, typer.Option("--state", "-s", help="Only these; may be repeated.")
    ] = None,
    job_type: Annotated[
        list[str] | None, typer.Option("--job-type", "-j", help="Only these; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """List jobs, newest first."""
    from ourvidz.jobs.model import JobFilter

    where = JobFilter(states=tuple(map(_state, state or ())), job_types=tuple(job_type or ()))
    with _store() as store:
        jobs = store.list_jobs(where, limit=limit)
        counts = store.counts()
        now = store.now()
    console.print(_table(jobs, now))
    by_state = ", ".join(f"{number} {name}" for name, number in counts.by_state.items() if number)
    console.print(f"[dim]{by_state or 'no jobs'}[/]", highlight=False)
    if counts.paused:
        console.print(f"[yellow]paused[/] {escape(', '.join(counts.paused))}", highlight=False)
    if json:
        print_json({"jobs": [_summary(job) for job in jobs], "paused": list(counts.paused)})


@app.command()
def show(job_id: JobId, json: Json = False) -> None:
    """Show one job: what was asked, what became of it, each attempt."""
    with _store() as store:
        job = store.get(job_id)
        attempts = store.attempts(job_id)
        assets = store.assets(job_id)
        position = store.queue_position(job_id)
    facts = _summary(job) | {
        "queue_position": position,
        "progress": job.progress,
        "attempts": [asdict(attempt) for attempt in attempts],
        "assets": [{"bucket": asset.bucket, "key": asset.key} for asset in assets],
    }
    _show(job, attempts, position)
    for asset in assets:
        place = f"{asset.bucket}/{asset.key}"
        console.print(f"[green]✓[/] {escape(place)}", highlight=False, soft_wrap=True)
    if json:
        print_json(facts)


@app.command()
def cancel(job_ids: JobIds, json: Json = False) -> None:
    """Cancel jobs: queued ones at once; running ones stop within a second and one step."""
    with _store() as store:
        _say("cancelled", [store.cancel(job_id) for job_id in job_ids], as_json=json)


@app.command()
def retry(job_ids: JobIds, json: Json = False) -> None:
    """Queue failed or cancelled jobs again."""
    with _store() as store:
        _say("retried", [store.retry(job_id) for job_id in job_ids], as_json=json)


@app.command()
def pause(scope: Scope = "all", json: Json = False) -> None:
    """Hold queued jobs; running ones go on."""
    with _store() as store:
        store.pause(_scope(scope))
        _say_paused(store, as_json=json)


@app.command()
def resume(scope: Scope = "all", json: Json = False) -> None:
    """Undo a pause of the same scope."""
    with _store() as store:
        store.resume(_scope(scope))
        _say_paused(store, as_json=json)


@app.command()
def move(
    job_id: JobId,
    front: Annotated[bool, typer.Option("--front", help="Before every other job.")] = False,
    after: Annotated[str | None, typer.Option("--after", help="Behind this job.")] = None,
    before: Annotated[str | None, typer.Option("--before", help="Before this job.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="Into this band.")] = None,
    json: Json = False,
) -> None:
    """Move a queued job."""
    chosen = [front or None, after, before, priority]
    if sum(value is not None for value in chosen) != 1:
        raise InvalidRequest(
            "Exactly one of --front, --after, --before and --priority must be given.",
            hint="ourvidz jobs move ID --front",
        )
    with _store() as store:
        moved = store.move(job_id, front=front, after=after, before=before, priority=priority)
        _say("moved", [moved], as_json=json)


@app.command()
def watch(job_id: JobId, json: Json = False) -> None:
    """Follow a job until it ends, from its first event on."""
    with _store() as store:
        after = 0
        while True:
            job = store.get(job_id)
            for event in store.events(job_id, after=after):
                after = event.seq
                console.print(_line(event), highlight=False, soft_wrap=True)
            if job.is_terminal and after >= job.event_seq:
                break
            if after >= job.event_seq:
                time.sleep(_POLL_S)
    if json:
        print_json(_summary(job))
    if job.state is not JobState.SUCCEEDED:
        raise typer.Exit(code=1)


@contextmanager
def _store() -> Generator[JobStore]:
    from ourvidz.jobs.open import open_store

    store = open_store(load_settings())
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def _state(name: str) -> JobState:
    try:
        return JobState(name)
    except ValueError:
        raise UnknownName(
            f"state {name!r} is unknown.", param="state", hint=suggest(name, tuple(JobState))
        ) from None


def _show(job: Job, attempts: Sequence[Attempt], position: int | None) -> None:
    """Say about one job what a person asks first: what it is, how it is, where its time went."""
    request, result = job.request, job.result or {}
    preset = "" if request.preset == BASELINE else f" ({escape(request.preset)})"
    console.print(
        f"[bold]{escape(request.job_type)}[/]{preset}  {escape(request.model)}  "
        f"[{_COLOURS[job.state]}]{job.state.value}[/]  [dim]{job.id}[/]",
        highlight=False,
    )
    console.print(f"{escape(request.prompt)}", highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(job, position):
        table.add_row(f"[dim]{name}[/]", escape(value))
    for attempt in attempts:
        table.add_row(f"[dim]attempt {attempt.token}[/]", escape(_attempt(attempt)))
    console.print(table)
    if isinstance(result.get("timing"), dict):
        console.print(phase_table(result["timing"]))
    for path in [output.get("path") for output in result.get("outputs", ())]:
        if path and job.source.value == "cli":  # the service's files are assets
            console.print(f"[green]✓[/] {escape(path)}", highlight=False, soft_wrap=True)


def _facts(job: Job, position: int | None) -> Iterator[tuple[str, str]]:
    request = job.request
    is_video = request.num_frames > 1
    count = f"{request.num_frames} frames" if is_video else f"{request.num_images} image(s)"
    size = f"{request.width}x{request.height}"
    yield "settings", f"{size}, {count}, {request.num_inference_steps} steps, seed {request.seed}"
    yield "created", f"{_at(job.created_at)} by {job.source.value}, tenant {job.tenant}"
    if position is not None:
        yield "queue", f"{position} before it" + (", held by a pause" if job.is_held else "")
    if job.cancel_requested and not job.is_terminal:
        yield "cancel", "requested"
    if job.progress and not job.is_terminal:
        done, units = job.progress.get("done"), job.progress.get("num_units")
        yield "progress", f"{job.progress.get('phase')} {done} of {units}"
    if job.errors or job.crashes:
        yield "so far", f"{job.errors} errors, {job.crashes} crashes"
    for note in job.adjustments:
        yield "note", str(note.get("text"))
    if job.error:
        yield "error", f"{job.error.get('code')}: {job.error.get('message')}"
        if job.error.get("hint"):
            yield "hint", str(job.error["hint"])


def _attempt(attempt: Attempt) -> str:
    ended_at = attempt.ended_at
    took = "" if ended_at is None else f" after {ended_at - attempt.started_at:.1f} s"
    outcome = attempt.outcome or "running"
    return f"{_at(attempt.started_at)} on {attempt.worker_id}: {outcome}{took}"


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _scope(scope: str) -> str:
    return scope if scope == "all" else catalogue_of(load_settings()).job_type(scope).name


def _summary(job: Job) -> dict[str, Any]:
    request = job.request
    return {
        "id": job.id,
        "kind": job.kind.value,
        "state": job.state.value,
        "is_held": job.is_held,
        "cancel_requested": job.cancel_requested,
        "job_type": request.job_type,
        "preset": request.preset,
        "model": request.model,
        "prompt": request.prompt,
        "seed": request.seed,
        "priority": job.priority,
        "tenant": job.tenant,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "errors": job.errors,
        "crashes": job.crashes,
        "error": job.error,
    }


def _table(jobs: Sequence[Job], now: float) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    for name in ("id", "state", "job type", "priority", "age", "took"):
        justify = "right" if name in {"priority", "age", "took"} else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="fold")
    table.add_column("prompt", no_wrap=True, overflow="ellipsis", ratio=1)
    for job in jobs:
        colour = _COLOURS[job.state]
        state = f"{job.state.value} (held)" if job.is_held else job.state.value
        prompt = job.request.prompt.replace("\n", " ")
        table.add_row(
            job.id,
            f"[{colour}]{state}[/]",
            escape(job.request.job_type),
            str(job.priority),
            _span(now - job.created_at),
            _took(job, now),
            escape(prompt),
        )
    return table


def _took(job: Job, now: float) -> str:
    if job.started_at is None:
        return ""
    return _span((now if job.finished_at is None else job.finished_at) - job.started_at)


def _span(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _line(event: Event) -> str:
    at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
    facts = " ".join(
        f"{name}={value}" for name, value in event.data.items() if value not in (None, "", [], {})
    )
    return f"[dim]{at} {event.seq:>4}[/] [bold]{event.kind.value:<16}[/] {escape(facts)}"


def _say(verb: str, jobs: Sequence[Job], *, as_json: bool) -> None:
    for job in jobs:
        console.print(f"[green]✓[/] {job.id} {verb}: now {job.state.value}", highlight=False)
    if as_json:
        print_json({"jobs": [_summary(job) for job in jobs]})


def _say_paused(store: JobStore, *, as_json: bool) -> None:
    paused = list(store.counts().paused)
    console.print(f"paused: {escape(', '.join(paused)) or 'nothing'}", highlight=False)
    if as_json:
        print_json({"paused": paused})
