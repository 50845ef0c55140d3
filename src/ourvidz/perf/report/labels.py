"""What tells groups apart that share job type, preset and state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ourvidz.perf.plain import flatten
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.trend import Series

_SHORT = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "flow_shift": "shift",
    "num_frames": "frames",
    "num_images": "images",
}
_NEVER = frozenset({"preset", "family"})  # said already
_MOST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """A group as far as its name goes."""

    id: str
    job_type: str
    preset: str
    state: str
    facts: Mapping[str, Any]


def labelled(id: str, *, preset: str, record: PerformanceRecord) -> Labelled:
    """Return a group by one of its records."""
    machine = record.environment.get("machine", record.environment)
    return Labelled(
        id=id,
        job_type=record.job_type,
        preset=preset,
        state=record.state,
        facts={**flatten(record.workload), **flatten(machine)},
    )


def labelled_series(series: Series) -> Labelled:
    """Return a series as far as its name goes."""
    return Labelled(
        id=series.id,
        job_type=series.job_type,
        preset=series.preset,
        state=series.state,
        facts={**flatten(series.workload), **flatten(series.machine)},
    )


def labels_of(groups: Iterable[Labelled]) -> dict[str, str]:
    """Return in what each group differs from its namesakes: empty where it has none."""
    alike: dict[tuple[str, str, str], list[Labelled]] = {}
    for group in groups:
        alike.setdefault((group.job_type, group.preset, group.state), []).append(group)
    return {
        member.id: ", ".join(_told(name, member.facts.get(name)) for name in names[:_MOST])
        for members in alike.values()
        for names in [_differing(members)]
        for member in members
    }


def _differing(members: list[Labelled]) -> list[str]:
    names = dict.fromkeys(name for member in members for name in member.facts)
    return [
        name
        for name in names
        if name not in _NEVER and len({repr(member.facts.get(name)) for member in members}) > 1
    ]


def _told(name: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{_SHORT.get(name, name)} {'none' if value is None else text}"
