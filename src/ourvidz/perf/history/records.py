"""From a history's entries to performance records, with what their own seconds contradict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from ourvidz.core.phase import Phase
from ourvidz.perf.history.schema import Entry, History
from ourvidz.perf.record import Origin, PerformanceRecord

REFUSED = "enhancement_refused"

# Flags of an imported record; ``facts`` hold the figures behind them.
PHASES_EXCEED_TOTAL = "phases_exceed_total"
COUNTED_AS_SUCCESS = "counted_as_success"
DOUBTED = "doubted"

_REFUSAL = re.compile(r"\brefus(?:ed|al)\b", re.IGNORECASE)
# Hand-read seconds are written to a tenth: sums may differ by rounding without a contradiction.
_ROUNDING_S = 0.05
_NUMBER = r"(\d+(?:\.\d+)?)"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordCheck:
    """What one record's seconds say about themselves. None: not enough was written down."""

    label: str
    job_type: str
    state: str
    total_s: float | None
    phases_sum_s: float | None
    share: float | None  # of the total, 1 where the phases are all of it
    excess_s: float  # by how much the phases exceed the total
    missing_s: float | None  # how much of the total no phase explains
    beyond_steps_s: float | None  # generation without steps x step time
    is_refusal_as_success: bool
    doubt: str | None
    doubt_stated: float | None  # the figure in the doubt, where it can be recomputed
    doubt_recomputed: float | None
    doubt_unit: str | None


def check_records(history: History) -> tuple[RecordCheck, ...]:
    """Return every record's check, in the order of the file."""
    return tuple(_check(entry) for entry in history.records)


def performance_records(history: History, *, name: str) -> tuple[PerformanceRecord, ...]:
    """Return the history's jobs as records of ``Origin.IMPORTED``, in the order of the file.

    - ``at`` is the day's beginning in UTC: no hour was written down.
    - ``phases_s`` keep their own names; ``unattributed`` is what they leave of the total, and 0
      where they exceed it: then the record has the flag ``phases_exceed_total`` and the excess in
      ``facts["phases_excess_s"]``.
    - ``step_times_s`` holds the one mean that somebody read off, if any.
    - A refusal that was counted as success is no success here, and is flagged.

    Args:
        history: The file.
        name: Of the history; ids are ``name:label``.
    """
    return tuple(_record(entry, history, name=name) for entry in history.records)


def phases_of(phases_s: Mapping[str, float], prefixes: Iterable[str]) -> float | None:
    """Return the sum of the phases that are or lie below one of the prefixes; None for none."""
    wanted = tuple(prefixes)
    found = [
        seconds
        for phase, seconds in phases_s.items()
        if any(phase == prefix or phase.startswith(f"{prefix}.") for prefix in wanted)
    ]
    return sum(found) if found else None


def failure_of(entry: Entry) -> str | None:
    """Return the class of a failure; also of one that the file counts as success.

    Old files told a refusal in words only, in ``doubt``.
    """
    if entry.failure is not None:
        return entry.failure
    if entry.doubt is not None and _REFUSAL.search(entry.doubt):
        return REFUSED
    return None if entry.ok else "unknown"


def _check(entry: Entry) -> RecordCheck:
    total_s = entry.total_s
    sum_s = round(sum(entry.phases_s.values()), 6) if entry.phases_s else None
    over_s = round(sum_s - total_s, 6) if sum_s is not None and total_s is not None else None
    generation_s = entry.phases_s.get("generation")
    beyond_s = None
    if generation_s is not None and entry.step_s and entry.num_inference_steps:
        beyond_s = round(generation_s - entry.num_inference_steps * entry.step_s, 6)
    share = sum_s / total_s if sum_s is not None and total_s else None
    stated, recomputed, unit = _doubt_figure(
        entry.doubt or "", sum_s=sum_s, share=share, over_s=over_s, beyond_s=beyond_s
    )
    return RecordCheck(
        label=entry.label,
        job_type=entry.job_type,
        state=entry.state,
        total_s=total_s,
        phases_sum_s=sum_s,
        share=share,
        excess_s=over_s if over_s is not None and over_s > _ROUNDING_S else 0.0,
        missing_s=max(0.0, -over_s) if over_s is not None else None,
        beyond_steps_s=beyond_s,
        is_refusal_as_success=entry.ok and failure_of(entry) == REFUSED,
        doubt=entry.doubt,
        doubt_stated=stated,
        doubt_recomputed=recomputed,
        doubt_unit=unit,
    )


def _doubt_figure(
    doubt: str,
    *,
    sum_s: float | None,
    share: float | None,
    over_s: float | None,
    beyond_s: float | None,
) -> tuple[float | None, float | None, str | None]:
    """Return a doubt's figure as stated, as recomputed, and its unit."""
    readings: tuple[tuple[str, float | None, str], ...] = (
        (rf"phases sum to {_NUMBER} s\b", sum_s, "s"),
        (rf"phases sum to {_NUMBER} ?%", None if share is None else 100.0 * share, "%"),
        (rf"{_NUMBER} s missing", None if over_s is None else -over_s, "s"),
        (rf"exceeds steps x step time by {_NUMBER} s\b", beyond_s, "s"),
    )
    for pattern, value, unit in readings:
        found = re.search(pattern, doubt)
        if found and value is not None:
            return float(found.group(1)), value, unit
    return None, None, None


def _record(entry: Entry, history: History, *, name: str) -> PerformanceRecord:
    check = _check(entry)
    failure = failure_of(entry)
    phases_s = dict(entry.phases_s)
    if check.missing_s is not None:
        phases_s[Phase.UNATTRIBUTED.value] = check.missing_s
    flags = (
        (PHASES_EXCEED_TOTAL, check.excess_s > 0),
        (COUNTED_AS_SUCCESS, entry.ok and failure is not None),
        (DOUBTED, entry.doubt is not None),
    )
    return PerformanceRecord(
        id=f"{name}:{entry.label}",
        at=datetime.combine(entry.date, time(), tzinfo=UTC),
        origin=Origin.IMPORTED,
        job_type=entry.job_type,
        workload=_workload(entry),
        environment=_environment(history, name),
        state=entry.state,
        compile_state="unknown",
        total_s=entry.total_s,
        phases_s=phases_s,
        step_times_s=() if entry.step_s is None else (entry.step_s,),
        is_success=failure is None,
        failure=failure,
        memory={}
        if entry.peak_vram_gb is None
        else {"peak_bytes": round(entry.peak_vram_gb * 1e9)},
        facts=_facts(entry, check),
        flags=tuple(flag for flag, is_so in flags if is_so),
    )


def _environment(history: History, name: str) -> dict[str, Any]:
    """Return the environment in the parts of a fingerprint; what it lacks nobody wrote down."""
    software = {"software"} & set(history.environment)
    return {
        "machine": {
            key: value for key, value in history.environment.items() if key not in software
        },
        "software": {key: history.environment[key] for key in software},
        "told": {"history": name},
    }


def _workload(entry: Entry) -> dict[str, Any]:
    output = entry.output
    values: dict[str, Any] = {
        "num_inference_steps": entry.num_inference_steps,
        "num_images": entry.batch,
        "num_frames_requested": output and output.frames_requested,
    }
    if output is not None and output.size is not None:
        width, height = output.size.split("x")
        values |= {"width": int(width), "height": int(height)}
    return {key: value for key, value in values.items() if value is not None}


def _facts(entry: Entry, check: RecordCheck) -> dict[str, Any]:
    output = entry.output
    values: dict[str, Any] = {
        "label": entry.label,
        "doubt": entry.doubt,
        "phases_excess_s": check.excess_s or None,
        "bytes": None
        if output is None or output.bytes_mb is None
        else round(output.bytes_mb * 1e6),
        "seconds": output and output.seconds,
        "prompt_chars": entry.prompt_chars and list(entry.prompt_chars),
    }
    return {key: value for key, value in values.items() if value is not None}
