"""``ourvidz perf quality``: what files show, how far they are from others, what prompts got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ourvidz.bench.clip_score import ClipScorer
    from ourvidz.bench.lpips import Lpips
    from ourvidz.perf.quality import OutputDifference
    from ourvidz.perf.quality.pocket.following import Following, FollowingScore


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz perf``."""
    app.command()(quality)


def quality(
    files: Annotated[list[Path], typer.Argument(help="MP4, PNG or WEBP.")],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="What to compare with: the same prompt and seed made another way. A file, or a "
            "folder with files of the same names."
        ),
    ] = None,
    fidelity: Annotated[
        str, typer.Option(help="Whose bar the difference is held to: exact, high or draft.")
    ] = "high",
    prompt: Annotated[
        str | None,
        typer.Option(
            help="What the files were to show, in a plain sentence of the pocket models' world "
            "(default: what the files say themselves, where a pocket model made them)."
        ),
    ] = None,
    clip_model: Annotated[
        Path | None,
        typer.Option(
            help="A folder with a CLIP model of your own: also score how near files are to their "
            "prompts."
        ),
    ] = None,
    lpips_model: Annotated[
        Path | None,
        typer.Option(
            help="A folder with LPIPS weights of your own (AlexNet or VGG16, and the heads): also "
            "tell the perceptual distance to the reference."
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON on stdout.")
    ] = False,
) -> None:
    """Measure flicker, sharpness, exposure and stuck or black frames; compare; judge prompts."""
    from ourvidz.cli.output import console, print_json
    from ourvidz.core.errors import InvalidRequest
    from ourvidz.core.request import Fidelity
    from ourvidz.perf.quality import BARS, compare, measure
    from ourvidz.perf.quality.pocket.following import (
        follow,
        pocket_prompt,
        score,
        settings_in,
    )
    from ourvidz.perf.quality.reading import frames_of

    if fidelity not in set(Fidelity):
        raise InvalidRequest(
            f"fidelity {fidelity!r} is unknown.",
            param="fidelity",
            hint=f"Use {', '.join(Fidelity)}.",
        )
    if lpips_model is not None and reference is None:
        raise InvalidRequest(
            "LPIPS is a distance between two outputs, and there is no reference.",
            param="reference",
            hint="Give --reference.",
        )
    bar = BARS[Fidelity(fidelity)]
    others = [None if reference is None else _other(path, reference, files) for path in files]
    scorer = None if clip_model is None else _scorer(clip_model)
    perceptual = None if lpips_model is None else _perceptual(lpips_model)
    found: list[dict[str, Any]] = []
    verdicts: list[Following | None] = []
    for path, other in zip(files, others, strict=True):
        row: dict[str, Any] = {"file": str(path), "quality": measure(path).to_dict()}
        if other is not None:
            difference = compare(path, other)
            missed = bar.missed(difference)
            row["difference"] = difference.to_dict()
            row["missed"] = list(missed)
            _tell_difference(path, difference, missed, fidelity=fidelity)
            if perceptual is not None:
                row["lpips"] = perceptual.distance(frames_of(path), frames_of(other)).to_dict()
        settings = settings_in(path)
        if scorer is not None:
            row["clip"] = _clip_score(path, scorer, prompt or settings.get("prompt"))
        asked = prompt or pocket_prompt(settings)
        verdict = None if asked is None else follow(asked, path)
        if asked is not None:
            verdicts.append(verdict)
            row["follows"] = None if verdict is None else dict(verdict.attributes)
        found.append(row)
    console.print(_table(found))
    together = score(verdicts) if verdicts else None
    if together is not None:
        _tell_following(together)
    if json:
        print_json({"files": found, "following": None if together is None else together.to_dict()})


def _other(path: Path, reference: Path, files: Sequence[Path]) -> Path:
    from ourvidz.core.errors import InvalidRequest

    if reference.is_dir():
        return reference / path.name
    if len(files) > 1:
        raise InvalidRequest(
            f"{len(files)} files and one reference.",
            param="reference",
            hint="Name a folder that holds files of the same names.",
        )
    return reference


def _scorer(folder: Path) -> ClipScorer:
    from ourvidz.bench.clip_score import ClipScorer

    return ClipScorer(folder)


def _perceptual(folder: Path) -> Lpips:
    from ourvidz.bench.lpips import Lpips

    return Lpips(folder)


def _clip_score(path: Path, scorer: ClipScorer, prompt: object) -> dict[str, Any]:
    from ourvidz.cli.output import console
    from ourvidz.core.errors import InvalidRequest
    from ourvidz.perf.quality.reading import frames_of

    if not isinstance(prompt, str) or not prompt:
        raise InvalidRequest(
            f"{str(path)!r} does not say what its prompt was.",
            param="prompt",
            hint="Give --prompt.",
        )
    found = scorer.score(prompt, frames_of(path))
    cut = ", of a prompt that the model reads in part" if found.is_truncated else ""
    console.print(
        f"{path}: CLIP score {found.score:.3f} over {found.num_frames} frames{cut}",
        highlight=False,
        markup=False,
    )
    return found.to_dict()


def _tell_difference(
    path: Path, difference: OutputDifference, missed: Sequence[str], *, fidelity: str
) -> None:
    from rich.markup import escape

    from ourvidz.cli.output import console

    figures = (
        "the same, value by value"
        if difference.is_identical
        else f"PSNR {difference.psnr_db:.1f} dB, SSIM {difference.ssim:.4f}, "
        f"largest difference {difference.largest}"
    )
    verdict = f"[red]different output[/] ({'; '.join(missed)})" if missed else "[green]within[/]"
    console.print(f"{escape(str(path))}: {figures}: {verdict}, bar of {fidelity}", highlight=False)


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("file")
    numbers = ("frames", "sharpness", "exposure", "flicker", "black", "duplicate", "frozen")
    for name in numbers:
        table.add_column(name, justify="right")
    network: str | None = next((row["lpips"]["network"] for row in rows if "lpips" in row), None)
    if network is not None:
        table.add_column(f"LPIPS ({network})", justify="right")
    table.add_column("follows its prompt")
    for row in rows:
        found: Mapping[str, Any] = row["quality"]
        table.add_row(
            escape(str(row["file"])),
            str(found["num_frames"]),
            f"{found['sharpness']:.0f}",
            f"{found['exposure']:.2f}",
            *(_cell(found[name]) for name in _COUNTED),
            *(() if network is None else (f"{row['lpips']['distance']:.4f}",)),
            _following(row),
        )
    return table


_COUNTED = ("flicker", "black_frames", "duplicate_frames", "frozen_frames")


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _following(row: Mapping[str, Any]) -> str:
    if "follows" not in row:
        return "-"
    follows: Mapping[str, bool] | None = row["follows"]
    if follows is None:
        return "[dim]not a sentence that can be judged[/]"
    missed = [name for name, is_shown in follows.items() if not is_shown]
    return f"[red]misses {', '.join(missed)}[/]" if missed else "[green]yes[/]"


def _tell_following(found: FollowingScore) -> None:
    from ourvidz.cli.output import console

    if found.all is None:
        return
    share = found.all
    left_out = f", {found.num_left_out} not judged" if found.num_left_out else ""
    console.print(
        f"{share.hits} of {share.n} show all their prompts name: {share.share:.0%} "
        f"[{share.low:.0%} to {share.high:.0%}]{left_out}",
        highlight=False,
        markup=False,
    )
