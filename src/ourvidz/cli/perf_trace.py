"""``ourvidz perf trace``: one job's time as a picture, for ui.perfetto.dev."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

_SUFFIX = ".json"


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz perf``."""
    app.command()(trace)


def trace(
    job: Annotated[
        str, typer.Argument(help="The job's id, or the .json file beside what a job wrote.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file (default: JOB.perfetto.json, here)."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON on stdout.")
    ] = False,
) -> None:
    """Write a job's spans as a Chrome trace: open it at ui.perfetto.dev."""
    from ourvidz.cli.output import console, print_json
    from ourvidz.core.files import atomic_path, disk_errors_as_ours
    from ourvidz.perf.trace import chrome_trace

    body = _sidecar(Path(job)) if job.endswith(_SUFFIX) else _stored(job)
    name = str(body.get("job_id") or job)
    timing: Mapping[str, Any] = body.get("timing") or {}
    found = chrome_trace(
        body.get("spans") or (),
        name=f"{name} {body.get('job_type') or ''}".strip(),
        step_times_s=body.get("step_times_s") or (),
        about={
            "job_id": name,
            "job_type": body.get("job_type"),
            "state": timing.get("state"),
            "total_s": timing.get("total_s"),
            "environment": body.get("environment"),
        },
    )
    path = out or Path(f"{name}.perfetto.json")
    with disk_errors_as_ours(path), atomic_path(path) as partial:
        partial.write_text(jsonlib.dumps(found, separators=(",", ":")), encoding="utf-8")
    num_spans = sum(event.get("cat") == "phase" for event in found["traceEvents"])
    console.print(f"[green]✓[/] {path} [dim]{num_spans} spans; open it at ui.perfetto.dev[/]")
    if json:
        print_json({"job": name, "file": str(path), "spans": num_spans})


def _stored(job_id: str) -> Mapping[str, Any]:
    """Return what the store keeps of a job's result."""
    from ourvidz.catalog.config import load_settings
    from ourvidz.cli.stores import existing_store
    from ourvidz.core.errors import NotFound

    with existing_store(load_settings()) as store:
        if store is None:
            raise NotFound(f"There is no job {job_id!r}.", param="job_id")
        found = store.get(job_id)
    return {"job_type": found.request.job_type, **(found.result or {}), "job_id": found.id}


def _sidecar(path: Path) -> Mapping[str, Any]:
    from ourvidz.core.errors import InvalidRequest

    try:
        body = jsonlib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path} can't be read: {error}.", param="job") from error
    if not isinstance(body, dict) or "spans" not in body:
        raise InvalidRequest(
            f"{path} is no file of a job.",
            param="job",
            hint="Name the .json file that lies beside a video or an image of ours.",
        )
    return cast("Mapping[str, Any]", body)
