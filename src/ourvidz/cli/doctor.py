"""``ourvidz doctor``: what this machine has, what would run, what is missing and what mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape

from ourvidz.catalog.catalogue import PROFILES, Catalogue
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.models import Role
from ourvidz.cli.output import console, human_bytes, print_json
from ourvidz.core.errors import OurVidzError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Memory that a full-size job was seen to need beside nothing else; below it, doctor warns.
_FULL_PROFILE_VRAM_GIB = 24
_ENGINE = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "ftfy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the report."""

    topic: str
    ok: bool
    text: str
    fix: str | None = None  # the command that mends it


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(name="doctor")(doctor)


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Say what this machine has, what would run, and which command fixes what is missing."""
    settings = load_settings()
    catalogue = catalogue_of(settings)
    findings = list(examine(settings, catalogue))
    if json:
        print_json({"ok": all(f.ok for f in findings), "findings": [asdict(f) for f in findings]})
    else:
        _show(findings)
    # What another profile would need is advice; what this profile needs decides the exit code.
    if any(not finding.ok and finding.topic in _REQUIRED for finding in findings):
        raise typer.Exit(1)


_REQUIRED = frozenset({"packages", "device", "output", "models in use"})


def examine(settings: Settings, catalogue: Catalogue) -> Iterator[Finding]:
    """Yield findings, those that decide whether a job can run first."""
    yield _packages()
    yield _device(settings)
    yield _output(settings)
    yield from _models(settings, catalogue)
    yield _optional("nvidia-ml-py", "pynvml", "GPU names and drivers in records", "gpu")
    yield _optional("huggingface-hub", "huggingface_hub", "`models pull`", "hub")


def _packages() -> Finding:
    missing = [name for name in _ENGINE if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            topic="packages",
            ok=False,
            text=f"not installed: {', '.join(missing)}",
            fix="pip install torch && pip install 'ourvidz[engine]'",
        )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _ENGINE[:3])
    return Finding(topic="packages", ok=True, text=versions)


def _device(settings: Settings) -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding(topic="device", ok=False, text="torch is not installed")
    import torch

    from ourvidz.engine.device import select_device

    try:
        device = select_device(settings.device)
    except OurVidzError as error:
        return Finding(topic="device", ok=False, text=error.message, fix=error.hint)
    if device.type == "cuda":
        properties = cast("Any", torch.cuda).get_device_properties(device)  # untyped in torch
        gib = properties.total_memory / 2**30
        enough = gib >= _FULL_PROFILE_VRAM_GIB or settings.profile == "pocket"
        return Finding(
            topic="device",
            ok=enough,
            text=f"{device}: {properties.name}, {gib:.0f} GiB, CUDA {torch.version.cuda}",
            fix=None if enough else "Use profile = 'pocket', or a card of 24 GiB or more.",
        )
    why = "torch is a CPU build" if torch.version.cuda is None else "torch sees no CUDA device"
    return Finding(
        topic="device",
        ok=True,
        text=f"cpu, {torch.get_num_threads()} threads ({why}); full-size jobs need a GPU",
    )


def _output(settings: Settings) -> Finding:
    folder = settings.out_dir
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return Finding(
        topic="output",
        ok=free > 2**30,
        text=f"{folder} ({human_bytes(free)} free)",
        fix=None if free > 2**30 else "Free disk space, or set out_dir in ourvidz.toml.",
    )


def _models(settings: Settings, catalogue: Catalogue) -> Iterator[Finding]:
    from ourvidz.worker.assemble import model_locator

    locate = model_locator(settings)
    for profile in PROFILES:
        for role in Role:
            model = catalogue.model_for(profile, role)
            in_use = profile == settings.profile
            if role is Role.ENHANCER and in_use and settings.enhancer_url is not None:
                text = f"{settings.enhancer_model}: behind enhancer_url"
                yield Finding(topic="models in use", ok=True, text=text)
                continue
            topic = "models in use" if in_use else "other models"
            try:
                path: Path = locate(model.id)
            except OurVidzError as error:
                yield Finding(
                    topic=topic,
                    ok=False,
                    text=f"{model.id}: {error.message}",
                    fix=error.hint,
                )
            else:
                yield Finding(topic=topic, ok=True, text=f"{model.id}: {path}")


def _optional(package: str, module: str, what_for: str, extra: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(
            topic="optional",
            ok=False,
            text=f"{package} is not installed ({what_for})",
            fix=f"pip install 'ourvidz[{extra}]'",
        )
    return Finding(
        topic="optional", ok=True, text=f"{package} {importlib.metadata.version(package)}"
    )


def _show(findings: list[Finding]) -> None:
    topic = None
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            console.print(f"\n[bold]{topic}[/]")
        mark = "[green]✓[/]" if finding.ok else "[yellow]✗[/]"
        console.print(f"  {mark} {escape(finding.text)}", highlight=False, soft_wrap=True)
        if finding.fix:
            console.print(f"    [cyan]{escape(finding.fix)}[/]", highlight=False, soft_wrap=True)
