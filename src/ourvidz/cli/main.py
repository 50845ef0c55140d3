"""Entry point: the commands and how errors leave them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import ourvidz
from ourvidz.cli import (
    bench,
    bridge,
    cluster,
    doctor,
    generate,
    jobs,
    keys,
    models,
    perf,
    serve,
    worker,
)
from ourvidz.cli.output import show_error
from ourvidz.core.errors import Cancelled, OurVidzError

app = typer.Typer(
    name="ourvidz",
    help="Type a prompt, get a video or images from your own GPUs, with every second timed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
generate.register(app)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.add_typer(perf.app, name="perf")
app.add_typer(bridge.app, name="bridge")
app.add_typer(cluster.app, name="cluster")
serve.register(app)
worker.register(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
doctor.register(app)

_INTERRUPTED = 130  # 128 + SIGINT, the shells' convention


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ourvidz {ourvidz.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; an error of ours ends with its own exit code, hint included."""
    try:
        app()
    except Cancelled as error:
        show_error(error, as_json="--json" in sys.argv)
        sys.exit(_INTERRUPTED)
    except OurVidzError as error:
        show_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
