"""How far an output is from a reference: the same prompt and seed, made another way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.media.frames import RgbFrame, require_rgb
from ourvidz.perf.quality import pixels
from ourvidz.perf.quality.reading import frames_of

SAME_DB = 100.0  # told of equal outputs, whose PSNR is infinite, where a mean is taken


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputDifference:
    """Two outputs of the same size and length, compared value by value."""

    psnr_db: float  # over all values of all frames; infinite for equal outputs
    ssim: float  # of the luma, mean over the frames; 1 for equal outputs
    largest: int  # absolute difference of any value, 0 to 255
    num_frames: int

    @property
    def is_identical(self) -> bool:
        """Whether every value is the same."""
        return self.largest == 0

    @property
    def finite_psnr_db(self) -> float:
        """``psnr_db``, at most ``SAME_DB``: for means over several outputs."""
        return min(SAME_DB, self.psnr_db)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; ``psnr_db`` is None for equal outputs, as JSON has no infinity."""
        return {
            "psnr_db": self.psnr_db if math.isfinite(self.psnr_db) else None,
            "ssim": self.ssim,
            "largest": self.largest,
            "num_frames": self.num_frames,
            "is_identical": self.is_identical,
        }


def compare(path: Path, reference: Path) -> OutputDifference:
    """Return how far one file is from another: both MP4, or both PNG or WEBP.

    Holds two frames at a time. An MP4 holds what the encoder left: two encodings of nearly equal
    frames differ by more than the frames did.

    Raises:
        InvalidRequest: Of another size or number of frames, smaller than 11 x 11, or of a kind
            that is not read.
        OutputInvalid: A file is missing or damaged.
    """
    return compare_frames(frames_of(path), frames_of(reference))


def compare_frames(found: Iterable[RgbFrame], reference: Iterable[RgbFrame]) -> OutputDifference:
    """Return how far frames, (H, W, 3) uint8 RGB in time order, are from others.

    Raises:
        InvalidRequest: No frames, another number or size of them, or smaller than 11 x 11.
    """
    num_frames = num_values = total = largest = 0
    similarity = 0.0
    for first, second in pairs(found, reference):
        _require_window(first)
        num_frames += 1
        num_values += first.size
        total += pixels.squared_error(first, second)
        largest = max(largest, pixels.largest_difference(first, second))
        similarity += pixels.ssim(pixels.luma(first), pixels.luma(second))
    return OutputDifference(
        psnr_db=pixels.psnr_of(total / num_values),
        # Rounding in 32 bits must not make equal frames unequal.
        ssim=1.0 if total == 0 else similarity / num_frames,
        largest=largest,
        num_frames=num_frames,
    )


def pairs(
    found: Iterable[RgbFrame], reference: Iterable[RgbFrame]
) -> Iterator[tuple[RgbFrame, RgbFrame]]:
    """Yield frames, (H, W, 3) uint8 RGB in time order, each beside the reference's.

    Raises:
        InvalidRequest: No frames, or another number or size of them.
    """
    num_frames = 0
    for one, other in zip_longest(found, reference):
        if one is None or other is None:
            raise InvalidRequest(
                f"one output ends after {num_frames} frames, the other goes on",
                param="reference",
                hint="Only outputs of the same length can be compared value by value.",
            )
        first, second = require_rgb(one), require_rgb(other)
        if first.shape != second.shape:
            raise InvalidRequest(
                f"one output is {_size(first)}, the other {_size(second)}",
                param="reference",
                hint="Only outputs of the same size can be compared value by value.",
            )
        num_frames += 1
        yield first, second
    if num_frames == 0:
        raise InvalidRequest("there are no frames to compare", param="path")


def _require_window(frame: RgbFrame) -> None:
    if min(frame.shape[:2]) < pixels.WINDOW:
        raise InvalidRequest(
            f"frames of {_size(frame)} are smaller than SSIM's window of {pixels.WINDOW} pixels",
            param="path",
        )


def _size(frame: RgbFrame) -> str:
    return f"{frame.shape[1]}x{frame.shape[0]}"


def pooled(differences: Sequence[OutputDifference]) -> OutputDifference:
    """Return several outputs' differences as one: as if all frames were of one output.

    Exact for outputs of one size; else every frame counts alike.

    Raises:
        InvalidRequest: There are none.
    """
    if not differences:
        raise InvalidRequest("there are no differences to pool", param="differences")
    count = sum(each.num_frames for each in differences)
    error = sum(
        each.num_frames * pixels.PEAK**2 * 10 ** (-each.psnr_db / 10) for each in differences
    )
    return OutputDifference(
        psnr_db=pixels.psnr_of(error / count),
        ssim=sum(each.num_frames * each.ssim for each in differences) / count,
        largest=max(each.largest for each in differences),
        num_frames=count,
    )
