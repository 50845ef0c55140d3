"""Stretches of time that reports are about: since when, which week, which month. All UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from ourvidz.core.errors import InvalidRequest

_AGE = re.compile(r"([1-9]\d{0,3})([hdwm])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1),
          "m": timedelta(days=30)}  # fmt: skip


class Kind(StrEnum):
    """How long a digest's period is."""

    WEEKLY = "weekly"  # Monday to Sunday
    MONTHLY = "monthly"


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """A week or a month: from ``begin`` on and before ``end``."""

    kind: Kind
    begin: datetime
    end: datetime

    @property
    def name(self) -> str:
        """As files are called: ``weekly-2026-W47``, ``monthly-2026-11``."""
        if self.kind is Kind.MONTHLY:
            return f"monthly-{self.begin:%Y-%m}"
        year, week, _ = self.begin.isocalendar()
        return f"weekly-{year}-W{week:02d}"

    @property
    def title(self) -> str:
        """As people say it."""
        if self.kind is Kind.MONTHLY:
            return f"{self.begin:%B %Y}"
        year, week, _ = self.begin.isocalendar()
        last = self.end - timedelta(days=1)
        return f"Week {week} of {year} ({self.begin:%Y-%m-%d} to {last:%Y-%m-%d})"

    @property
    def before(self) -> Period:
        """The period that it is compared with."""
        return period_of(self.begin - timedelta(seconds=1), self.kind)

    def holds(self, at: datetime) -> bool:
        """Whether a moment lies within."""
        return self.begin <= at < self.end


def period_of(at: datetime, kind: Kind) -> Period:
    """Return the week or month that a moment lies in."""
    day = at.astimezone(UTC).date()
    if kind is Kind.WEEKLY:
        first = day - timedelta(days=day.weekday())
        return Period(kind=kind, begin=_midnight(first), end=_midnight(first + timedelta(days=7)))
    first = day.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    return Period(kind=kind, begin=_midnight(first), end=_midnight(after))


def moment_of(text: str, *, param: str) -> datetime:
    """Return a day (its beginning) or a moment; without a zone it is UTC.

    Raises:
        InvalidRequest: It is neither.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidRequest(
            f"--{param} {text!r} is no day.", param=param, hint="Such as 2026-01-31."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def since_of(text: str, *, now: datetime) -> datetime:
    """Return since when: a day, a moment, or an age such as ``36h``, ``7d``, ``4w`` or ``6m``.

    Raises:
        InvalidRequest: It is none of these, or lies ahead.
    """
    found = _AGE.fullmatch(text.strip())
    if found is not None:
        number, unit = found.groups()
        return now - int(number) * _UNITS[unit]
    try:
        at = moment_of(text, param="since")
    except InvalidRequest:
        raise InvalidRequest(
            f"--since {text!r} is neither a day nor an age.",
            param="since",
            hint="Such as 2026-01-31, 7d, 4w or 6m.",
        ) from None
    if at > now:
        raise InvalidRequest(
            f"--since {text!r} lies ahead.", param="since", hint="Name a day gone by."
        )
    return at


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
