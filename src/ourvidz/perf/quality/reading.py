"""The frames of an output, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ourvidz.core.errors import InvalidRequest
from ourvidz.media.frames import RgbFrame
from ourvidz.media.image import read_image
from ourvidz.media.video import read_frames

_IMAGES = frozenset({".png", ".webp"})
_VIDEOS = frozenset({".mp4"})


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name.

    Raises:
        InvalidRequest: Neither a video nor an image of ours.
    """
    suffix = path.suffix.lower()
    if suffix in _VIDEOS:
        return True
    if suffix in _IMAGES:
        return False
    raise InvalidRequest(
        f"can't look at {path.name!r}", param="path", hint="Give an .mp4, .png or .webp."
    )


def frames_of(path: Path) -> Iterator[RgbFrame]:
    """Yield a file's frames, (H, W, 3) uint8 RGB, in time order; an image is one frame.

    Raises:
        InvalidRequest: Neither a video nor an image of ours.
        OutputInvalid: Missing, truncated or damaged.
    """
    if is_video(path):
        yield from read_frames(path)
    else:
        yield read_image(path)
