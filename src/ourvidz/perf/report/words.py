"""How figures are written in reports."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ourvidz.perf.measures import Unit, unit_of
from ourvidz.perf.stats import Interval

NOTHING = "—"


def seconds(value: float | None) -> str:
    """Return seconds with three digits that count, and tenths below 1000."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0 s"
    if value >= 1000:
        return f"{value:.0f} s"
    if value >= 10:
        return f"{value:.1f} s"
    if value >= 1:
        return f"{value:.2f} s"
    if value < 0.0001:
        return "< 0.1 ms"
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"


def duration(value: float) -> str:
    """Return a long stretch of time."""
    if value >= 36_000:
        return f"{value / 3600:.0f} h"
    if value >= 3600:
        return f"{value / 3600:.1f} h"
    return f"{value / 60:.0f} min" if value >= 600 else seconds(value)


def size(value: float | None) -> str:
    """Return bytes in binary units."""
    if value is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def amount(measure: str, value: float | None) -> str:
    """Return a measure's value in its unit."""
    return size(value) if unit_of(measure) is Unit.BYTES else seconds(value)


def percent(share: float | None, *, signed: bool = False) -> str:
    """Return a share as percent; one decimal below 10 %."""
    if share is None:
        return NOTHING
    decimals = 1 if abs(share) < 0.0995 else 0
    text = f"{share:+.{decimals}%}" if signed else f"{share:.{decimals}%}"
    return text.replace("%", " %")


def number(value: float | None, unit: str = "", *, digits: int = 3) -> str:
    """Return a number with its unit."""
    if value is None:
        return NOTHING
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    return f"{text} {unit}".strip()


def interval(found: Interval | None) -> str:
    """Return an interval of seconds."""
    if found is None:
        return NOTHING
    return f"{seconds(found.low)} to {seconds(found.high)}"


def shares(found: Interval | None) -> str:
    """Return an interval of shares."""
    return NOTHING if found is None else f"{percent(found.low)} to {percent(found.high)}"


def day(at: datetime | None) -> str:
    """Return a moment's day, UTC."""
    return NOTHING if at is None else at.strftime("%Y-%m-%d")


def minute(at: datetime | None) -> str:
    """Return a moment to the minute, UTC."""
    return NOTHING if at is None else at.strftime("%Y-%m-%d %H:%M")


def listed(parts: Iterable[str], *, empty: str = NOTHING) -> str:
    """Return parts with commas between."""
    return ", ".join(parts) or empty


def counted(count: int, word: str) -> str:
    """Return ``1 job``, ``2 jobs``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
