"""``ourvidz models``: which there are, and getting, making and checking their files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.models import Model
from ourvidz.cli.output import console, print_json
from ourvidz.core.errors import (
    CheckpointInvalid,
    InvalidRequest,
    ModelMissing,
    OurVidzError,
)

app = typer.Typer(
    help="List, fetch, convert, make up and verify model files.", no_args_is_help=True
)


@app.command(name="list")
def list_models(
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Show every model of the catalogue and whether its files are here."""
    from ourvidz.worker.assemble import model_locator

    settings = load_settings()
    catalogue = catalogue_of(settings)
    locate = model_locator(settings)
    rows: list[dict[str, Any]] = []
    for model in catalogue.models.values():
        try:
            path = str(locate(model.id))
        except OurVidzError:
            path = None
        rows.append(
            {
                "id": model.id,
                "role": model.role.value,
                "profile": model.profile,
                "license": model.license,
                "source": model.hub_repo or "ships with the package",
                "download_gib": model.size_gib or None,
                "path": path,
            }
        )
    if json:
        print_json({"models": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "id", "role", "profile", "licence", "download", "source"):
        table.add_column(column, overflow="fold", no_wrap=column != "source")
    for row in rows:
        mark = "[green]✓[/]" if row["path"] else "[dim]·[/]"
        size = f"{row['download_gib']:.1f} GiB" if row["download_gib"] else ""
        table.add_row(
            mark, row["id"], row["role"], row["profile"], row["license"], size, row["source"]
        )
    console.print(table)


def _entry(model_id: str) -> tuple[Settings, Model]:
    settings = load_settings()
    return settings, catalogue_of(settings).model(model_id)


@app.command()
def pull(
    model_id: Annotated[str, typer.Argument(help="Catalogue id, see `ourvidz models list`.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Copy from this folder (diffusers layout), not from the hub."),
    ] = None,
    revision: Annotated[
        str, typer.Option("--revision", help="Branch, tag or commit on the hub.")
    ] = "main",
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant", help="A published precision such as fp16 ('' for the plain one)."
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Accept what the revision stands for now, not the record."),
    ] = False,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Another hub (default: HF_ENDPOINT).")
    ] = None,
) -> None:
    """Fetch a model's safetensors. The first pull records hashes; later ones are held to them."""
    from ourvidz.checkpoints import pull as pulling

    settings, model = _entry(model_id)
    models_dir = settings.resolved_models_dir
    family = _family(model)
    chosen = (model.hub_variant if variant is None else variant) or None
    if source is not None:
        steps = pulling.pull_local(
            model_id=model_id,
            source=source,
            family=family,
            models_dir=models_dir,
            variant=variant or None,
        )
    elif model.hub_repo is None:
        raise InvalidRequest(
            f"{model_id!r} ships with the package; there is nothing to pull.",
            param="model_id",
            hint="`ourvidz models list` names the models that can be pulled.",
        )
    else:
        steps = pulling.pull(
            model_id=model_id,
            repo=model.hub_repo,
            family=family,
            models_dir=models_dir,
            revision=revision,
            variant=chosen,
            update=update,
            endpoint=endpoint,
        )
    _bar(steps, f"pull {model_id}")
    console.print(
        f"[green]✓[/] {escape(str(models_dir / model_id))}", highlight=False, soft_wrap=True
    )


@app.command()
def synth(
    model_id: Annotated[str, typer.Argument(help="Catalogue id whose shapes to make up.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The model folder (default: where jobs look).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same bytes.")] = 0,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="The same structure at a few megabytes, for tests.")
    ] = False,
) -> None:
    """Write a full-size checkpoint of random values, to measure speed before downloading it."""
    from ourvidz.checkpoints.synth import synth as synthesise

    settings, model = _entry(model_id)
    folder = out or settings.resolved_models_dir / model_id
    steps = synthesise(
        family=_family(model), size="tiny" if tiny else "full", out=folder, seed=seed
    )
    _bar(steps, f"synth {model_id}")
    console.print(
        f"[green]✓[/] {escape(str(folder))} [yellow](random values: speed and memory are real, "
        "pictures are noise)[/]",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(help="A folder in Wan's original layout, or a single-file SDXL checkpoint."),
    ],
    model_id: Annotated[str, typer.Option("--as", help="Catalogue id to give it.")],
    tokenizers: Annotated[
        Path | None,
        typer.Option(
            "--tokenizers",
            help="SDXL model folder whose tokenizers to take (default: a pulled sdxl-base-1.0); "
            "single files have none.",
        ),
    ] = None,
) -> None:
    """Convert a checkpoint into a model folder of safetensors. Pickles are read weights-only."""
    from ourvidz.checkpoints.convert import convert as converting

    settings, model = _entry(model_id)
    if not source.exists():
        raise InvalidRequest(
            f"There is nothing at {str(source)!r}.", param="source", hint="Check the path."
        )
    folder = settings.resolved_models_dir / model_id
    if model.family == "sdxl" and tokenizers is None:
        tokenizers = _pulled_base(settings)
    for component, steps in itertools.groupby(
        converting(source=source, out=folder, tokenizers=tokenizers),
        key=lambda step: step.component,
    ):
        _bar(steps, f"convert {model_id}: {component}")
    console.print(f"[green]✓[/] {escape(str(folder))}", highlight=False, soft_wrap=True)


def _pulled_base(settings: Settings) -> Path:
    from ourvidz.checkpoints.locate import find_model

    try:
        return find_model("sdxl-base-1.0", [settings.resolved_models_dir])
    except ModelMissing as error:
        raise ModelMissing(
            "A single-file checkpoint has no tokenizers, and sdxl-base-1.0 is not here.",
            hint="Name a folder that has them with --tokenizers, or `ourvidz models pull "
            "sdxl-base-1.0`.",
        ) from error


@app.command()
def verify(
    model_id: Annotated[str, typer.Argument(help="Catalogue id.")],
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Hash a model's files and compare with what was recorded when they arrived."""
    from ourvidz.checkpoints.verify import VerifyResult
    from ourvidz.checkpoints.verify import verify as verifying
    from ourvidz.worker.assemble import model_locator

    settings, _ = _entry(model_id)
    folder = model_locator(settings)(model_id)
    results: list[VerifyResult] = []

    def progress() -> Iterator[_Step]:
        for event in verifying(folder):
            if isinstance(event, VerifyResult):
                results.append(event)
            else:
                yield event

    _bar(progress(), f"verify {model_id}")
    (result,) = results
    report = {
        "ok": list(result.ok),
        "changed": list(result.changed),
        "missing": list(result.missing),
        "extra": list(result.extra),
    }
    if json:
        print_json({"model": model_id, "is_sound": result.is_sound, **report})
    else:
        for kind, paths in report.items():
            style = "green" if kind == "ok" else "yellow"
            console.print(f"[{style}]{kind:<8}[/] {len(paths)}", highlight=False)
            if kind != "ok":
                for path in paths:
                    console.print(f"         {escape(path)}", highlight=False)
    if not result.is_sound:
        raise CheckpointInvalid(
            f"{model_id!r} is not what was recorded.",
            hint=f"Fetch it again: remove {str(folder)!r}, then `ourvidz models pull {model_id}`.",
        )


@app.command()
def prepare(
    model_id: Annotated[
        str | None, typer.Argument(help="Catalogue id (default: every model that is here).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Embed default negative prompts, so that jobs need a text encoder for new prompts only."""
    from ourvidz.core.cancel import CancelToken
    from ourvidz.core.clock import SystemClock
    from ourvidz.worker.assemble import assemble_worker

    settings = load_settings()
    catalogue = catalogue_of(settings)
    models = [catalogue.model(model_id)] if model_id else list(catalogue.models.values())
    engine = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock()).engine
    made: dict[str, int] = {}
    try:
        for model in models:
            texts = catalogue.negative_prompts(model, settings.negative_prompts)
            if not texts:
                continue
            try:
                made[model.id] = engine.prepare_texts(
                    model.id, family=model.family, texts=texts, cancel=CancelToken()
                )
            except ModelMissing:
                if model_id:
                    raise
    finally:
        engine.close()
    if json:
        print_json({"embedded": made})
        return
    for name, count in made.items():
        console.print(f"[green]✓[/] {escape(name)}: {count} embedded", highlight=False)


def _family(model: Model) -> Literal["wan", "sdxl", "qwen"]:
    assert model.family in ("wan", "sdxl", "qwen"), model
    return model.family  # type: ignore[return-value]


class _Step(Protocol):
    @property
    def bytes_done(self) -> int: ...
    @property
    def bytes_total(self) -> int: ...


def _bar(steps: Iterable[_Step], title: str) -> None:
    """Draw one bar of bytes, speed and time left, with the current file's name."""
    with Progress(
        TextColumn(title),
        BarColumn(bar_width=28),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[file]}[/]"),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task(title, total=None, file="")
        for step in steps:
            bars.update(
                task,
                completed=step.bytes_done,
                total=step.bytes_total,
                file=getattr(step, "file", ""),  # a conversion goes by network, not by file
            )
