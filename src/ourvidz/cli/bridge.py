"""``ourvidz bridge``: serve an old site through its own queues, and import its settings."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.markup import escape

from ourvidz.catalog.config import DEFAULT_CONFIG_FILE, Settings, catalogue_of, load_settings
from ourvidz.cli.output import console, print_json

app = typer.Typer(help="Serve an old site through its Redis queues and callbacks.")


@app.callback(invoke_without_command=True)
def bridge(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of this bridge's lists; by default this host's, kept in the data directory.",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Move what is on the lists now, then end.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON: what became of the entries.")
    ] = False,
) -> None:
    """Move jobs from the old Redis lists into the queue until stopped.

    Workers and callbacks are those of `ourvidz serve` on the same store.
    """
    if context.invoked_subcommand is not None:
        return
    from ourvidz.api.tokens import length_check
    from ourvidz.bridge.lists import stable_name
    from ourvidz.bridge.service import assemble_bridge
    from ourvidz.jobs.open import open_store
    from ourvidz.jobs.submission import Submitter
    from ourvidz.perf.prediction import Forecaster, local_rates
    from ourvidz.perf.records import StoreRecords
    from ourvidz.policy.build import build_policy
    from ourvidz.worker.logs import log_to_stderr

    settings = load_settings()
    catalogue = catalogue_of(settings)
    policy = build_policy(settings.policy)
    chosen = stable_name(settings.data_dir, name)
    with contextlib.closing(open_store(settings)) as store:
        store.migrate()
        forecaster = Forecaster(StoreRecords(store), rates=local_rates(settings.device))
        submitter = Submitter(
            store=store,
            catalogue=catalogue,
            settings=settings,
            policy=policy,
            expect=forecaster.expect_cold,
            check_length=length_check(settings, catalogue),
        )
        with contextlib.closing(assemble_bridge(submitter, name=chosen)) as made:
            log_to_stderr(f"bridge-{chosen}")
            if once:
                untold = made.run_once()
            else:
                _say_start(settings, chosen)
                untold = made.run(_stop_on_signal())
    if json:
        print_json({"name": chosen, **asdict(made.mover.tally), "untold": untold})


@app.command(name="import-settings")
def import_settings(
    file: Annotated[Path, typer.Argument(help="The old settings dictionary as JSON.")],
    name: Annotated[str, typer.Option("--name", help="Name of the presets.")] = "legacy",
    write: Annotated[
        bool, typer.Option("--write", help="Append to ourvidz.toml instead of printing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Turn an old settings dictionary into presets of ourvidz.toml."""
    from ourvidz.bridge import import_settings as importing

    catalogue = catalogue_of(load_settings())
    presets = importing.import_presets(
        importing.read_settings_file(file), catalogue=catalogue, name=name
    )
    for preset in presets:
        for text in preset.adjustments:
            console.print(
                f"[yellow]adjusted[/] {escape(preset.job_type)}: {escape(text)}",
                highlight=False,
                soft_wrap=True,
            )
    path = Path(os.environ.get("OURVIDZ_CONFIG") or DEFAULT_CONFIG_FILE)
    if write:
        importing.append_to_config(path, presets, check=_check_config)
        console.print(f"[green]✓[/] {escape(str(path))}", highlight=False, soft_wrap=True)
    elif not json:
        typer.echo(importing.presets_toml(presets), nl=False)
    if json:
        print_json(
            {
                "presets": [
                    {
                        "job_type": preset.job_type,
                        "name": preset.name,
                        "values": preset.entry.model_dump() if preset.entry else None,
                        "adjustments": list(preset.adjustments),
                    }
                    for preset in presets
                ],
                "written": str(path) if write else None,
            }
        )


def _say_start(settings: Settings, name: str) -> None:
    queues = ", ".join(settings.bridge.queues)
    console.print(
        f"bridge [bold]{escape(name)}[/] takes jobs from {escape(queues)} "
        f"(profile {settings.profile}); Ctrl-C ends it",
        highlight=False,
        soft_wrap=True,
    )


def _stop_on_signal() -> threading.Event:
    """Return what SIGTERM and Ctrl-C set; a second one ends the process at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def _check_config(content: Mapping[str, Any]) -> None:
    catalogue_of(load_settings(**content))
