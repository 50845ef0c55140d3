"""The array type every function here takes, and the collector of a video's middle frame."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

RgbFrame: TypeAlias = npt.NDArray[np.uint8]
"""One picture: (H, W, 3), uint8, RGB, 0 to 255."""


def require_rgb(
    frame: npt.NDArray[Any], *, width: int | None = None, height: int | None = None
) -> RgbFrame:
    """Return ``frame`` as a C-contiguous (H, W, 3) uint8 array, copied only where it is not.

    Args:
        frame: What should be one RGB picture.
        width: Required width in pixels; ``None`` for any.
        height: Required height in pixels; ``None`` for any.

    Raises:
        ValueError: Its shape, size or dtype is another one: a bug of the caller.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape or frame.dtype != np.uint8:
        raise ValueError(f"need (H, W, 3) uint8 RGB, got {frame.shape!r} {str(frame.dtype)!r}")
    wanted = (height or frame.shape[0], width or frame.shape[1])
    if frame.shape[:2] != wanted:
        raise ValueError(f"need height and width {wanted!r}, got {frame.shape[:2]!r}")
    return np.ascontiguousarray(frame, dtype=np.uint8)


class MiddleFrame:
    """Keeps one frame of a stream: the middle one, for the thumbnail.

    Offer it every frame in order. It holds a copy of a single frame, so streaming stays streaming.
    """

    def __init__(self, num_frames: int) -> None:
        """Expect a stream of ``num_frames`` frames, 1 or more."""
        if num_frames < 1:
            raise ValueError(f"need at least one frame, got num_frames={num_frames!r}")
        self._middle = num_frames // 2
        self._num_offered = 0
        self._kept: RgbFrame | None = None

    def offer(self, frame: RgbFrame) -> None:
        """Take note of the next frame, (H, W, 3) uint8 RGB. Copies it if it is the middle one."""
        # The first is kept until the middle comes, so that a stream that ends early still has one.
        if self._num_offered == self._middle or self._kept is None:
            self._kept = require_rgb(frame).copy()
        self._num_offered += 1

    @property
    def is_found(self) -> bool:
        """Whether the middle frame itself was offered."""
        return self._num_offered > self._middle

    @property
    def frame(self) -> RgbFrame:
        """The middle frame; the first one if the stream ended before its middle.

        Raises:
            ValueError: Nothing was offered yet.
        """
        if self._kept is None:
            raise ValueError("no frame was offered yet")
        return self._kept
