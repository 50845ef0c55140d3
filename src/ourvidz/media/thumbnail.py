"""WEBP thumbnails, longest edge 256 px, quality 85; a video's from its middle frame."""

from __future__ import annotations

from pathlib import Path

import av
from av.error import FFmpegError
from PIL import Image

from ourvidz.core.errors import InvalidRequest, OutputInvalid
from ourvidz.core.files import atomic_path
from ourvidz.media.frames import RgbFrame, require_rgb
from ourvidz.media.image import read_image
from ourvidz.media.video import read_frames

LONGEST_EDGE_PX = 256
QUALITY = 85

_VIDEO_SUFFIXES = frozenset({".mp4"})


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """Return (width, height) with the longest edge at most 256 px. Never upscales."""
    longest = max(width, height)
    if longest <= LONGEST_EDGE_PX:
        return width, height
    scale = LONGEST_EDGE_PX / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def write_thumbnail(path: Path, image: RgbFrame) -> tuple[int, int]:
    """Write ``image`` as a WEBP thumbnail.

    Args:
        path: Where the file shall appear; ends in ``.webp``, its folder exists.
        image: (H, W, 3), uint8, RGB, 0 to 255. For a video: ``MiddleFrame.frame``.

    Returns:
        The thumbnail's (width, height).

    Raises:
        InvalidRequest: The name does not end in ``.webp``.
        DiskFull: The disk is full.
        OutputUnwritable: The folder can't be written.
    """
    if path.suffix.lower() != ".webp":
        raise InvalidRequest(f"a thumbnail's name ends in .webp, got {path.name!r}", param="path")
    rgb = require_rgb(image)
    size = thumbnail_size(rgb.shape[1], rgb.shape[0])
    small = Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS)
    with atomic_path(path) as partial:
        small.save(partial, format="WEBP", quality=QUALITY)
    return size


def thumbnail_of_file(source: Path, path: Path) -> tuple[int, int]:
    """Write the thumbnail of a PNG, WEBP or MP4 (its middle frame) that is already on disk.

    Returns:
        The thumbnail's (width, height).

    Raises:
        OutputInvalid: ``source`` can't be decoded.
        DiskFull: The disk is full.
        OutputUnwritable: The folder can't be written.
    """
    is_video = source.suffix.lower() in _VIDEO_SUFFIXES
    return write_thumbnail(path, _middle_of_video(source) if is_video else read_image(source))


def _middle_of_video(source: Path) -> RgbFrame:
    """Return the middle frame by the file's own count (its last one if it has fewer)."""
    try:
        with av.open(str(source), "r", format="mp4") as container:
            streams = container.streams.video
            middle = streams[0].frames // 2 if streams else 0
    except (FFmpegError, IndexError) as error:
        raise OutputInvalid(f"{str(source)!r} does not decode as video: {error}") from error
    latest: RgbFrame | None = None
    for index, frame in enumerate(read_frames(source)):
        latest = frame
        if index == middle:
            break
    if latest is None:
        raise OutputInvalid(f"{str(source)!r} has no frame")
    return latest
