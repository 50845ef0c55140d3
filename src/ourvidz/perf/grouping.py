"""Which records belong together: in one baseline, in one history, in one installation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ourvidz.perf.comparison import key_of
from ourvidz.perf.plain import digest, flatten
from ourvidz.perf.record import Origin, PerformanceRecord

BASELINE_PRESET = "baseline"

# What makes another machine of it; limits and drivers don't, since they may be a change's cause.
_MACHINE = frozenset({"device", "gpu", "cpu"})


def group_id(record: PerformanceRecord) -> str:
    """Return the id of a record's baseline: equal where records are comparable.

    What was imported never shares a group with this installation's own runs.
    """
    found: str | None = record.derived.get("group")
    if found is None:
        origin = "imported" if record.origin is Origin.IMPORTED else "own"
        found = record.derived["group"] = f"g-{digest([origin, key_of(record).digest])}"
    return found


def series_id(record: PerformanceRecord) -> str:
    """Return the id of a record's history: as its group, but software may change within it.

    One history is of one workload, state and machine; versions, drivers and model files are what
    its change points are explained by.
    """
    found: str | None = record.derived.get("series")
    if found is None:
        found = record.derived["series"] = _series_id(record)
    return found


def _series_id(record: PerformanceRecord) -> str:
    origin = "imported" if record.origin is Origin.IMPORTED else "own"
    parts = [
        origin,
        record.job_type,
        key_of(record).workload,  # without what is recorded as nothing: new fields change no id
        record.state,
        record.compile_state,
        machine_of(record.environment),
    ]
    return f"s-{digest(parts)}"


def machine_of(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an environment that a person would call the machine: GPUs and CPU."""
    machine = environment.get("machine", environment)
    return {
        path: value
        for path, value in flatten(machine).items()
        if path in _MACHINE or (path.startswith("gpus.") and path.endswith(".name"))
    }


def preset_of(record: PerformanceRecord) -> str:
    """Return a record's preset; ``baseline`` where it names none."""
    return str(record.workload.get("preset") or BASELINE_PRESET)


def in_groups(records: Iterable[PerformanceRecord]) -> dict[str, list[PerformanceRecord]]:
    """Return records by ``group_id``, in the order of time within each."""
    return _by(records, group_id)


def in_series(records: Iterable[PerformanceRecord]) -> dict[str, list[PerformanceRecord]]:
    """Return records by ``series_id``, in the order of time within each."""
    return _by(records, series_id)


def in_order(records: Iterable[PerformanceRecord]) -> list[PerformanceRecord]:
    """Return records by time; of one moment, by id."""
    return sorted(records, key=lambda record: (record.at, record.id))


def _by(
    records: Iterable[PerformanceRecord], id_of: Callable[[PerformanceRecord], str]
) -> dict[str, list[PerformanceRecord]]:
    found: dict[str, list[PerformanceRecord]] = {}
    for record in in_order(records):
        found.setdefault(id_of(record), []).append(record)
    return found
