"""What a sweep on a machine measured of one setting, as claims are held against it.

A sweep writes its figures into a benchmark record (suite ``sweep``): one result a change of one
factor, ``case_of(...)`` its case, ``METRIC`` its metric, percent of the time before its unit.
Such files, read as JSON, become effects here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ourvidz.perf.stats import Interval, relative_shift

SUITE = "sweep"
METRIC = "end_to_end_change"
UNIT = "%"
_CASE = re.compile(r"(?P<job_type>[^.]+)\.(?P<factor>[^.]+)\.(?P<before>.+)-to-(?P<after>.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What changing one setting of a job type did to its time."""

    job_type: str
    factor: str
    before: str
    after: str
    change: float  # percent of the time before; negative is faster
    interval: Interval | None
    n: int  # measured runs a side, of the smaller one
    machine: str  # GPU, or the processor where there is none
    source: str  # the record's file name


def case_of(*, job_type: str, factor: str, before: object, after: object) -> str:
    """Return the case under which a sweep's record holds a change: lower case, no spaces."""
    text = f"{job_type}.{factor}.{before}-to-{after}".lower()
    return re.sub(r"[^a-z0-9_.+-]", "_", text)


def effect_of(
    case: str,
    *,
    change: float,
    low: float | None,
    high: float | None,
    n: int,
    machine: str,
    source: str,
) -> Effect | None:
    """Return the effect that a sweep's result tells; None where the case is none of a change."""
    found = _CASE.fullmatch(case)
    if found is None:
        return None
    interval = None
    if low is not None and high is not None:
        interval = Interval(low=low, high=high, level=0.95)
    return Effect(
        **found.groupdict(),
        change=change,
        interval=interval,
        n=n,
        machine=machine,
        source=source,
    )


def effects_in(record: Mapping[str, Any], *, source: str) -> list[Effect]:
    """Return what a benchmark record, as JSON values, tells; nothing where it is of no sweep."""
    if record.get("suite") != SUITE:
        return []
    machine = _machine(record.get("environment") or {})
    found = (
        effect_of(
            result["case"],
            change=result["value"],
            low=result.get("low"),
            high=result.get("high"),
            n=result["n"],
            machine=machine,
            source=source,
        )
        for result in record.get("results") or ()
        if result.get("metric") == METRIC and result.get("unit") == UNIT
    )
    return [effect for effect in found if effect is not None]


def effects_under(folder: Path) -> list[Effect]:
    """Return what the sweeps of a folder tell; other files in it are passed over."""
    effects: list[Effect] = []
    for path in sorted(folder.glob("*.json")):
        try:
            body = json.loads(path.read_bytes())
            effects += effects_in(body, source=path.name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return effects


def change_between(
    before_s: Sequence[float], after_s: Sequence[float]
) -> tuple[float, Interval | None]:
    """Return the change in percent and its interval, as a sweep records it (Hodges-Lehmann).

    Raises:
        InvalidRequest: No times, or one that is not above 0.
    """
    shift = relative_shift(before_s, after_s)
    interval = shift.interval and Interval(
        low=100.0 * shift.interval.low,
        high=100.0 * shift.interval.high,
        level=shift.interval.level,
    )
    return 100.0 * shift.estimate, interval


def find_effect(
    effects: Sequence[Effect], *, job_type: str, factor: str, before: str, after: str
) -> Effect | None:
    """Return the last effect of this change, or None."""
    wanted = (job_type, factor, _plain(before), _plain(after))
    found = [
        effect
        for effect in effects
        if (effect.job_type, effect.factor, _plain(effect.before), _plain(effect.after)) == wanted
    ]
    return found[-1] if found else None


def _machine(environment: Mapping[str, Any]) -> str:
    gpus = environment.get("gpus") or ()
    if gpus and isinstance(gpus[0], dict):
        return str(cast("dict[str, Any]", gpus[0]).get("name", "a GPU"))
    return str(environment.get("cpu", "an unnamed machine"))


def _plain(value: str) -> str:
    """Return a value so that 5 and 5.0 are one."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return value.lower()
