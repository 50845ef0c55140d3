"""Output checks and measures of a run's files, and which of them are kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ourvidz.bench.protocol.runner import Ran
from ourvidz.core.errors import OurVidzError
from ourvidz.perf.protocol.judge import FOLLOWS_PROMPT
from ourvidz.perf.protocol.results import FinishedRun
from ourvidz.perf.quality import OutputDifference, OutputQuality, compare, measure, pooled
from ourvidz.perf.quality.pocket.following import follow_itself


def check_outputs(ran: Ran) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
    """Return the measures of each file, and what is wrong with them in words.

    The worker has decoded each and compared it with what it wrote. Beyond that every file must be
    there, of the size and length that was asked for, and not black.
    """
    faults: list[str] = []
    found: list[Mapping[str, Any]] = []
    wanted = ran.expected.get("files")
    if wanted is not None and len(ran.files) != wanted:
        faults.append(f"{len(ran.files)} files where {wanted} were asked for")
    for path, facts in zip(ran.files, ran.facts, strict=True):
        try:
            quality, following = measure(path), follow_itself(path)
        except OurVidzError as error:
            faults.append(error.message)
            continue
        judged = {} if following is None else {FOLLOWS_PROMPT: following.is_all}
        found.append(quality.to_dict() | judged)
        faults += _faults(facts, quality, ran.expected)
    return tuple(found), tuple(dict.fromkeys(faults))


def _faults(
    facts: Mapping[str, Any], quality: OutputQuality, expected: Mapping[str, Any]
) -> list[str]:
    faults: list[str] = []
    size, wanted = (
        f"{each.get('width')}x{each.get('height')}" for each in (facts, expected or facts)
    )
    if size != wanted:
        faults.append(f"{size} in place of {wanted}")
    if expected and quality.num_frames != expected["num_frames"]:
        faults.append(f"{quality.num_frames} frames in place of {expected['num_frames']}")
    if quality.black_frames == quality.num_frames:
        faults.append("nothing but black")
    return faults


def keep_files(files: Sequence[Path], folder: Path, *, name: str, root: Path) -> tuple[str, ...]:
    """Move files into ``folder`` under ``name``; return their paths relative to ``root``."""
    kept: list[str] = []
    for index, path in enumerate(files):
        target = folder / f"{name}-{index + 1}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, target)
            kept.append(target.relative_to(root).as_posix())
    return tuple(kept)


def remove_all(folder: Path, stem: str) -> None:
    """Remove every file of a job: media, thumbnails and sidecar."""
    for path in folder.glob(f"{stem}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def difference_between(
    runs: Iterable[FinishedRun],
    root: Path,
    reference: Iterable[FinishedRun],
    reference_root: Path,
) -> OutputDifference | None:
    """Return how far kept outputs are from those of the same repeat and seed elsewhere.

    None where no pair was kept, or their sizes or lengths differ.

    Args:
        runs: Of one case.
        root: The folder of their protocol run.
        reference: Of the case that they are compared with.
        reference_root: The folder of its protocol run.
    """
    before = {(run.repeat, run.seed): run.outputs for run in reference}
    found: list[OutputDifference] = []
    for run in runs:
        pairs = zip(run.outputs, before.get((run.repeat, run.seed), ()), strict=False)
        for mine, other in pairs:
            try:
                found.append(compare(root / mine, reference_root / other))
            except OurVidzError:  # another size or length, or removed meanwhile
                return None
    return pooled(found) if found else None
