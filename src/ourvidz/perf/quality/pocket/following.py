"""How well outputs of the pocket models follow their prompts: a share with its interval.

Only these models' world can be judged so: what a file shows is read by arithmetic, and what a
prompt asks for is known word by word. ``training.pocket.detector_truth`` measures the judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ourvidz.media.settings import read_settings
from ourvidz.perf.plain import plain
from ourvidz.perf.quality.people import Share, share_of
from ourvidz.perf.quality.pocket import detector
from ourvidz.perf.quality.pocket.prompts import read_prompt
from ourvidz.perf.quality.reading import frames_of, is_video


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """What one output shows of what its prompt names."""

    attributes: Mapping[str, bool]

    @property
    def is_all(self) -> bool:
        """Whether it shows all of it."""
        return all(self.attributes.values())

    @property
    def missed(self) -> tuple[str, ...]:
        """What it does not show."""
        return tuple(name for name, is_shown in self.attributes.items() if not is_shown)


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowingScore:
    """Many outputs: shares with Wilson's 95 % intervals."""

    all: Share | None  # outputs that show all their prompt names; None: none was judged
    attributes: Mapping[str, Share]  # each over the outputs whose prompts name it
    num_left_out: int  # outputs whose prompts can't be judged

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def follow(prompt: str, path: Path) -> Following | None:
    """Return what a file shows of what its prompt names; None where the prompt can't be judged.

    Holds the whole output: meant for the pocket models' sizes.

    Raises:
        InvalidRequest: A file of a kind that is not read.
        OutputInvalid: The file is missing or damaged.
    """
    asked = read_prompt(prompt, is_video=is_video(path))
    if asked is None:
        return None
    frames = np.stack(list(frames_of(path)))
    height, width = frames.shape[1:3]
    verdict = detector.judge(
        asked.scene, detector.see(frames), named=asked.named, height=height, width=width
    )
    return Following(attributes=verdict)


def follow_itself(path: Path) -> Following | None:
    """Return what a file shows of the prompt inside it, where a pocket model made it.

    None where it carries no prompt, another model made it, or the prompt can't be judged.

    Raises:
        InvalidRequest: A file of a kind that is not read, or that is not there.
        OutputInvalid: The file is damaged.
    """
    prompt = pocket_prompt(settings_in(path))
    return None if prompt is None else follow(prompt, path)


def settings_in(path: Path) -> Mapping[str, Any]:
    """Return what a file says of itself; nothing where it says nothing.

    Raises:
        InvalidRequest, OutputInvalid: As ``follow_itself``.
    """
    if path.suffix.lower() == ".webp":  # ours are thumbnails, which say nothing
        return {}
    return read_settings(path) or {}


def pocket_prompt(settings: Mapping[str, Any]) -> str | None:
    """Return the prompt in a file's settings, where a pocket model made it."""
    prompt, model = settings.get("prompt"), settings.get("model")
    is_pocket = isinstance(model, str) and model.startswith("pocket-")
    return prompt if is_pocket and isinstance(prompt, str) else None


def score(verdicts: Iterable[Following | None]) -> FollowingScore:
    """Return many outputs' verdicts as shares; those that could not be judged are counted apart."""
    listed = list(verdicts)
    judged = [each for each in listed if each is not None]
    names = sorted({name for each in judged for name in each.attributes})
    shares = {
        name: share_of(
            sum(each.attributes.get(name, False) for each in judged),
            sum(name in each.attributes for each in judged),
        )
        for name in names
    }
    return FollowingScore(
        all=share_of(sum(each.is_all for each in judged), len(judged)),
        attributes={name: share for name, share in shares.items() if share is not None},
        num_left_out=len(listed) - len(judged),
    )
