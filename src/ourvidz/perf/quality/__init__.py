"""How good an output is, and how far it is from another: numpy alone, frame by frame.

``measure`` says what a file shows without a reference (flicker, sharpness, exposure, frozen, black
and duplicate frames), ``compare`` how far two files of the same seed are apart (PSNR, SSIM, largest
difference), and ``speed_and_quality`` puts that difference beside a change of speed.
``docs/guides/quality.md`` explains each in plain words.
"""

from ourvidz.perf.quality.difference import (
    SAME_DB,
    OutputDifference,
    compare,
    compare_frames,
    pairs,
    pooled,
)
from ourvidz.perf.quality.judgement import (
    BARS,
    DRAFT_PSNR_DB,
    EXACT_PSNR_DB,
    HIGH_PSNR_DB,
    Bar,
    Speed,
    SpeedAndQuality,
    speed_and_quality,
)
from ourvidz.perf.quality.output import OutputQuality, measure, measure_frames

__all__ = [
    "BARS",
    "DRAFT_PSNR_DB",
    "EXACT_PSNR_DB",
    "HIGH_PSNR_DB",
    "SAME_DB",
    "Bar",
    "OutputDifference",
    "OutputQuality",
    "Speed",
    "SpeedAndQuality",
    "compare",
    "compare_frames",
    "measure",
    "measure_frames",
    "pairs",
    "pooled",
    "speed_and_quality",
]
