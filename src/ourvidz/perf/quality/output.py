"""What an output shows, without anything to compare it with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.media.frames import RgbFrame, require_rgb
from ourvidz.perf.plain import plain
from ourvidz.perf.quality import pixels
from ourvidz.perf.quality.pixels import Luma
from ourvidz.perf.quality.reading import frames_of, is_video

# Half a second at the video models' 16 frames a second: shorter is a stutter, longer stands still.
FROZEN_FRAMES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputQuality:
    """Measures of one file. None faults an output by itself: a prompt may ask for a still one."""

    num_frames: int
    sharpness: float  # variance of the Laplacian, mean over frames
    exposure: float  # mean luma, 0 (black) to 1 (white)
    clipped: float  # share of pixels that are pure black or pure white
    black_frames: int
    # Of videos; None of an image.
    flicker: float | None = None  # levels of 255, where nothing moves; None: everything moves
    duplicate_frames: int | None = None  # that show what the frame before shows
    frozen_frames: int | None = None  # of those, the ones in a standstill of half a second or more

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def measure(path: Path) -> OutputQuality:
    """Return the measures of an MP4, PNG or WEBP. Holds three frames at a time.

    Raises:
        InvalidRequest: Of a kind that is not read, or smaller than 3 x 3.
        OutputInvalid: The file is missing or damaged.
    """
    return measure_frames(frames_of(path), is_video=is_video(path))


def measure_frames(frames: Iterable[RgbFrame], *, is_video: bool) -> OutputQuality:
    """Return the measures of frames, (H, W, 3) uint8 RGB in time order.

    Args:
        frames: One or more, at least 3 x 3.
        is_video: Whether they follow each other in time; else they are an image's.

    Raises:
        InvalidRequest: No frames, or smaller than 3 x 3.
    """
    still, moving = _Still(), _Moving()
    for frame in frames:
        rgb = require_rgb(frame)
        if min(rgb.shape[:2]) < 3:
            raise InvalidRequest(f"a frame of {rgb.shape[1]}x{rgb.shape[0]} is too small to judge")
        plane = pixels.luma(rgb)
        still.add(rgb, plane)
        if is_video:
            moving.add(rgb, plane)
    count = still.num_frames
    if count == 0:
        raise InvalidRequest("there are no frames to measure", param="path")
    return OutputQuality(
        num_frames=count,
        sharpness=still.sharpness / count,
        exposure=still.exposure / count,
        clipped=still.clipped / count,
        black_frames=still.black_frames,
        flicker=moving.flicker if is_video else None,
        duplicate_frames=moving.duplicate_frames if is_video else None,
        frozen_frames=moving.frozen_frames if is_video else None,
    )


class _Still:
    """Sums of what single frames show."""

    def __init__(self) -> None:
        self.num_frames = 0
        self.sharpness = self.exposure = self.clipped = 0.0
        self.black_frames = 0

    def add(self, frame: RgbFrame, plane: Luma) -> None:
        self.num_frames += 1
        self.sharpness += pixels.sharpness(plane)
        self.exposure += float(plane.mean(dtype=float)) / pixels.PEAK
        self.clipped += pixels.clipped_share(frame)
        self.black_frames += pixels.is_black(frame)


class _Moving:
    """What changes from frame to frame."""

    def __init__(self) -> None:
        self._planes: list[Luma] = []  # the last two frames' luma
        self._previous: RgbFrame | None = None
        self._anchor: RgbFrame | None = None  # what the present standstill began with
        self._run = 0  # frames that repeat it so far
        self._flicker, self._still_pixels = 0.0, 0
        self._frozen = 0
        self.duplicate_frames = 0

    def add(self, frame: RgbFrame, plane: Luma) -> None:
        if len(self._planes) == 2:
            total, count = pixels.flicker_sum(self._planes[0], self._planes[1], plane)
            self._flicker += total
            self._still_pixels += count
        self._planes = [*self._planes[-1:], plane]
        self._follow(frame)
        self._previous = frame

    def _follow(self, frame: RgbFrame) -> None:
        is_repeat = self._previous is not None and pixels.is_same_picture(frame, self._previous)
        self.duplicate_frames += is_repeat
        # Against its begin as well: many small steps are a slow movement, no standstill.
        if is_repeat and self._anchor is not None and pixels.is_same_picture(frame, self._anchor):
            self._run += 1
        else:
            self._frozen, self._run, self._anchor = self.frozen_frames, 0, frame

    @property
    def flicker(self) -> float | None:
        return self._flicker / self._still_pixels if self._still_pixels else None

    @property
    def frozen_frames(self) -> int:
        return self._frozen + (self._run if self._run >= FROZEN_FRAMES else 0)
