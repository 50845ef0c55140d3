"""Arithmetic on single frames: (H, W, 3) uint8 RGB, or the luma of one."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ourvidz.media.frames import RgbFrame

Luma: TypeAlias = npt.NDArray[np.float32]
"""(H, W), 0 to 255."""

PEAK = 255.0
# ITU-R BT.601, the luma that SSIM and the focus measures were defined and published on.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

# Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
# similarity", IEEE TIP 13(4), 2004: a Gaussian window of 11 x 11 with deviation 1.5, K1, K2.
WINDOW = 11
_DEVIATION, _K1, _K2 = 1.5, 0.01, 0.03


def luma(frame: RgbFrame) -> Luma:
    """Return a frame's luma, BT.601."""
    return frame.astype(np.float32) @ _LUMA


def squared_error(found: RgbFrame, reference: RgbFrame) -> int:
    """Return the sum of squared differences over all values, exact."""
    apart = found.astype(np.int32) - reference
    return int(np.square(apart).sum(dtype=np.int64))


def largest_difference(found: RgbFrame, reference: RgbFrame) -> int:
    """Return the largest absolute difference of any value, 0 to 255."""
    return int((np.maximum(found, reference) - np.minimum(found, reference)).max())


def psnr_of(mean_squared_error: float) -> float:
    """Return 10 log10(255^2 / error) in dB, infinite where there is no error."""
    if mean_squared_error == 0:
        return math.inf
    return 10 * math.log10(PEAK**2 / mean_squared_error)


def ssim(found: Luma, reference: Luma) -> float:
    """Return the mean structural similarity of two frames, at most 1, which equal frames have.

    Over the windows that lie within the frame, which is at least 11 x 11.
    """
    mean_a, mean_b = _blurred(found), _blurred(reference)
    variance_a = _blurred(found * found) - mean_a * mean_a
    variance_b = _blurred(reference * reference) - mean_b * mean_b
    covariance = _blurred(found * reference) - mean_a * mean_b
    c1, c2 = (_K1 * PEAK) ** 2, (_K2 * PEAK) ** 2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a * mean_a + mean_b * mean_b + c1) * (variance_a + variance_b + c2)
    )
    return float(similarity.mean(dtype=np.float64))


def _blurred(plane: Luma) -> Luma:
    """Return ``plane`` under the Gaussian window, where it lies wholly inside."""
    return _blurred_rows(_blurred_rows(plane).T).T


def _blurred_rows(plane: Luma) -> Luma:
    at = np.arange(WINDOW, dtype=np.float64) - WINDOW // 2
    window = np.exp(-at * at / (2 * _DEVIATION**2))
    weights = (window / window.sum()).astype(np.float32)
    height = plane.shape[0] - WINDOW + 1
    middle = WINDOW // 2
    out = weights[middle] * plane[middle : middle + height]
    for index in range(middle):  # the window is symmetric: both of a pair at once
        other = WINDOW - 1 - index
        out += weights[index] * (plane[index : index + height] + plane[other : other + height])
    return out


def sharpness(plane: Luma) -> float:
    """Return the variance of the Laplacian, in squared levels: more for more fine detail.

    The focus measure of Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR
    2000, as LAP4 in Pertuz, Puig, Garcia, "Analysis of focus measure operators", Pattern
    Recognition 46(5), 2013. Noise counts as detail: compare outputs of one prompt and seed.
    A frame has to be at least 3 x 3.
    """
    laplacian = (
        plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
    ) - 4 * plane[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float64))


def _highest(frame: RgbFrame) -> npt.NDArray[np.uint8]:
    """Return each pixel's highest channel; 30 times as fast as ``max`` over the last axis."""
    return np.maximum(np.maximum(frame[..., 0], frame[..., 1]), frame[..., 2])


def _lowest(frame: RgbFrame) -> npt.NDArray[np.uint8]:
    return np.minimum(np.minimum(frame[..., 0], frame[..., 1]), frame[..., 2])


# FFmpeg's blackdetect calls a pixel black up to a tenth of the range. Its share of 98 % of the
# pixels would take a small bright thing on a black ground for nothing.
_BLACK_LEVEL = 25
_BLACK_SHARE = 0.999


def is_black(frame: RgbFrame) -> bool:
    """Whether nearly no pixel has a channel above a tenth of the range."""
    bright = np.count_nonzero(_highest(frame) > _BLACK_LEVEL)
    return bool(bright <= (1 - _BLACK_SHARE) * frame.shape[0] * frame.shape[1])


_CLIPPED_LEVELS = 2  # from either end: lossy coding moves what was at the end


def clipped_share(frame: RgbFrame) -> float:
    """Return the share of pixels all of whose channels are at one end of the range."""
    white = _lowest(frame) >= 255 - _CLIPPED_LEVELS
    black = _highest(frame) <= _CLIPPED_LEVELS
    return float((white | black).mean())


# As FFmpeg's mpdecimate: differences are looked at in blocks of 8 x 8, so that a small thing that
# moves is not lost in a large still ground. Its limit for a block that surely changed is 12 levels
# a pixel. Coding alone moves a still picture's blocks at a key frame by up to 1.2 levels of grey
# texture and 4.0 of coloured (x264, crf 16).
_BLOCK = 8
_SAME_LEVELS = 5.0


def is_same_picture(found: RgbFrame, reference: RgbFrame) -> bool:
    """Whether no block of 8 x 8 differs by more than coding does: 5 levels in the mean.

    Of a pixel, the channel that differs most counts: red on grey may have the grey's luma.
    """
    by_channel = np.maximum(found, reference) - np.minimum(found, reference)
    apart = _highest(by_channel).astype(np.float32)
    means = _block_means(_block_means(apart).T)
    return bool(means.max() <= _SAME_LEVELS)


def _block_means(plane: Luma) -> Luma:
    """Return the means of each 8 rows; the last block may have fewer."""
    starts = np.arange(0, plane.shape[0], _BLOCK, dtype=np.intp)
    heights = np.minimum(_BLOCK, plane.shape[0] - starts).astype(np.float32)
    sums: Luma = np.add.reduceat(plane, starts, axis=0)
    return sums / heights[:, None]


_STILL_LEVELS = 4.0


def flicker_sum(before: Luma, frame: Luma, after: Luma) -> tuple[float, int]:
    """Return how far a frame leaves its neighbours where nothing moves.

    Where the frames before and after are alike (4 levels), nothing moved for long, and what the
    frame differs from the middle of the two is flicker. VBench (Huang et al., CVPR 2024) likewise
    takes the mean absolute difference over time, of videos that are asked to stand still; here the
    still parts are found instead.

    Returns:
        The sum of absolute differences in levels, and over how many pixels.
    """
    is_still = np.abs(after - before) <= _STILL_LEVELS
    apart = np.abs(frame - (before + after) / 2)
    return float(apart.sum(where=is_still, dtype=np.float64)), int(np.count_nonzero(is_still))
