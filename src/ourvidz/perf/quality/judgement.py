"""A change of speed beside the difference of the output: one is never said without the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import Fidelity
from ourvidz.perf.plain import plain
from ourvidz.perf.quality.difference import OutputDifference
from ourvidz.perf.stats import Shift

# Changes of time up to this share are of no interest, as for a whole job's verdict.
SMALLEST_CHANGE = 0.10


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """From where on an output counts as the same. What is None is not asked for."""

    psnr_db: float | None = None  # at least
    ssim: float | None = None  # at least
    largest: int | None = None  # at most, levels of 255

    def __post_init__(self) -> None:
        if self.psnr_db is None and self.ssim is None and self.largest is None:
            raise InvalidRequest("a bar needs psnr_db, ssim or largest", param="bar")

    def missed(self, difference: OutputDifference) -> tuple[str, ...]:
        """Return in words what a difference misses of it; nothing where it is held."""
        found: list[str] = []
        if self.psnr_db is not None and difference.psnr_db < self.psnr_db:
            found.append(f"PSNR {difference.psnr_db:.1f} dB, under {self.psnr_db:g}")
        if self.ssim is not None and difference.ssim < self.ssim:
            found.append(f"SSIM {difference.ssim:.4f}, under {self.ssim:g}")
        if self.largest is not None and difference.largest > self.largest:
            found.append(f"a value off by {difference.largest} of 255, above {self.largest}")
        return tuple(found)


# Against `exact` at the same seed, in dB. What rounding in bfloat16 may do in another order:
EXACT_PSNR_DB = 40.0
# Fixed after the first measurement of what `high` is, on the pocket video model: 46.6 dB in the
# mean and 43.5 at worst over four prompts, 42.5 and 32.7 over three others. The worst counts too:
# with e4m3 linears, which are off by 42 % at a step, the mean was 31 dB and one prompt at 19.
HIGH_PSNR_DB = 40.0
DRAFT_PSNR_DB = 25.0

BARS: Mapping[Fidelity, Bar] = {
    Fidelity.EXACT: Bar(psnr_db=EXACT_PSNR_DB),
    Fidelity.HIGH: Bar(psnr_db=HIGH_PSNR_DB),
    Fidelity.DRAFT: Bar(psnr_db=DRAFT_PSNR_DB),
}


class Speed(StrEnum):
    """What the times say by themselves."""

    FASTER = "faster"
    SLOWER = "slower"
    UNCHANGED = "no change detected"
    INDICATIVE = "too few runs"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedAndQuality:
    """A change of time and the difference of the output that it comes with."""

    speed: Speed
    change: float  # of the time, as a share: -0.2 is a fifth less
    low: float | None  # of the change's interval; None: too few runs for one
    high: float | None
    difference: OutputDifference | None
    is_same_output: bool | None  # within the bar; None: nothing to compare with
    missed: tuple[str, ...]  # of the bar, in words
    label: str  # 'faster' only where the output is the same; for tables
    text: str  # in one sentence, with both figures

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        found = plain(self)
        found["difference"] = None if self.difference is None else self.difference.to_dict()
        return found


def speed_and_quality(
    change: Shift,
    difference: OutputDifference | None,
    bar: Bar,
    *,
    smallest_change: float = SMALLEST_CHANGE,
) -> SpeedAndQuality:
    """Return a change of time beside what it does to the output.

    Faster or slower needs an interval that lies wholly beyond ``smallest_change``; without an
    interval the runs are too few and only the estimate is told. The label says 'faster' alone
    where the output is within the bar, 'faster, different output' where it is not, and 'faster,
    output not compared' where nobody looked.

    Args:
        change: Of the times, relative (``stats.relative_shift(before, after)``).
        difference: Of the faster or slower setting's output from the other's at the same prompts
            and seeds; None where there is nothing to compare, as with another size.
        bar: From where on the output counts as the same; ``BARS`` has one for each fidelity.
        smallest_change: Share of the time, 0 or more.

    Raises:
        InvalidRequest: The change is no relative one, or ``smallest_change`` is negative.
    """
    if not change.is_relative:
        raise InvalidRequest(
            "a change of speed is a share of the earlier time",
            param="change",
            hint="Use stats.relative_shift.",
        )
    if not smallest_change >= 0:
        raise InvalidRequest(
            f"smallest_change must be 0 or more, got {smallest_change!r}", param="smallest_change"
        )
    speed = _speed_of(change, smallest_change)
    missed = () if difference is None else bar.missed(difference)
    is_same = None if difference is None else not missed
    label = speed.value + _SUFFIX[is_same]
    return SpeedAndQuality(
        speed=speed,
        change=change.estimate,
        low=None if change.interval is None else change.interval.low,
        high=None if change.interval is None else change.interval.high,
        difference=difference,
        is_same_output=is_same,
        missed=missed,
        label=label,
        text=f"{label}: {_time_text(change)}; {_difference_text(difference, missed)}",
    )


_SUFFIX = {True: "", False: ", different output", None: ", output not compared"}


def _speed_of(change: Shift, smallest: float) -> Speed:
    if change.interval is None:
        return Speed.INDICATIVE
    if change.interval.high < -smallest:
        return Speed.FASTER
    if change.interval.low > smallest:
        return Speed.SLOWER
    return Speed.UNCHANGED


def _time_text(change: Shift) -> str:
    runs = f"{change.num_before} and {change.num_after} runs"
    if change.interval is None:
        return f"time {change.estimate:+.1%} ({runs})"
    return (
        f"time {change.estimate:+.1%} "
        f"[{change.interval.low:+.1%}, {change.interval.high:+.1%}] ({runs})"
    )


def _difference_text(difference: OutputDifference | None, missed: tuple[str, ...]) -> str:
    if difference is None:
        return "nothing to compare the output with"
    if difference.is_identical:
        return "the output is the same, value by value"
    if missed:
        return "; ".join(missed)
    psnr = f"{difference.psnr_db:.1f} dB" if math.isfinite(difference.psnr_db) else "no error"
    return f"PSNR {psnr}, SSIM {difference.ssim:.4f}, largest difference {difference.largest}"
