"""A job's spans as a Chrome trace, which ui.perfetto.dev and chrome://tracing open.

Format: "Trace Event Format" (Google, 2016): complete events (``ph`` X) with begin and length in
microseconds, names of lanes as metadata events (``ph`` M). Events of one lane must lie within or
after each other, so spans that overlap otherwise get lanes of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.phase import Phase

_MICRO = 1e6
_PID = 1
_MAIN = "drives the job"
_BACKGROUND = "background"
_STEPS = "denoising steps, end to end"

Span = Mapping[str, Any]


def chrome_trace(
    spans: Sequence[Span],
    *,
    name: str,
    step_times_s: Sequence[float] = (),
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a trace of one job.

    Args:
        spans: As a job's result and its sidecar hold them: phase, ``start_s`` and ``end_s`` since
            the job's first span; where they say something, ``is_background``, ``device_s``, facts.
        name: Of the job, as the trace shows it.
        step_times_s: Seconds of each denoising step. When each began was not recorded: they are
            laid end to end from where denoising begins.
        about: What else is told of the job.

    Raises:
        InvalidRequest: There is no span, or one is broken.
    """
    if not spans:
        raise InvalidRequest(
            f"{name} has no spans.",
            param="job_id",
            hint="It failed before its end, or it was deleted: its performance record is left.",
        )
    try:
        placed = _in_lanes(spans)
        events = [
            _event(span, tid) for lane in placed.values() for tid, found in lane for span in found
        ]
        lanes = {tid: title for title, lane in placed.items() for tid, _ in lane}
        steps = _steps(spans, step_times_s, tid=len(lanes) + 1)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"A span of {name} is broken: {error!r}.", param="job_id") from error
    if steps:
        lanes[len(lanes) + 1] = _STEPS
    return {
        "traceEvents": [*_names(name, lanes), *sorted([*events, *steps], key=_by_start)],
        "displayTimeUnit": "ms",
        "otherData": dict(about),
    }


def _in_lanes(spans: Sequence[Span]) -> dict[str, list[tuple[int, list[Span]]]]:
    """Return spans by kind and lane: of two that overlap in a lane, one lies within the other."""
    found: dict[str, list[tuple[int, list[Span]]]] = {_MAIN: [], _BACKGROUND: []}
    number = 0
    for title, is_background in ((_MAIN, False), (_BACKGROUND, True)):
        lanes = found[title]
        mine = [span for span in spans if bool(span.get("is_background")) is is_background]
        for span in sorted(mine, key=lambda span: (span["start_s"], -span["end_s"])):
            lane = next((lane for _, lane in lanes if _fits(span, lane)), None)
            if lane is None:
                number += 1
                lanes.append((number, [span]))
            else:
                lane.append(span)
    return found


def _fits(span: Span, lane: Sequence[Span]) -> bool:
    return all(
        other["end_s"] <= span["start_s"] or other["end_s"] >= span["end_s"] for other in lane
    )


def _event(span: Span, tid: int) -> dict[str, Any]:
    start_s, end_s = float(span["start_s"]), float(span["end_s"])
    if not 0.0 <= start_s <= end_s:
        raise ValueError(f"from {start_s} to {end_s}")
    facts = dict(span.get("facts") or {})
    if span.get("device_s") is not None:
        facts["device_s"] = span["device_s"]
    return _complete(str(span["phase"]), "phase", start_s, end_s - start_s, tid, facts)


def _steps(
    spans: Sequence[Span], step_times_s: Sequence[float], *, tid: int
) -> list[dict[str, Any]]:
    begins = [float(span["start_s"]) for span in spans if span["phase"] == Phase.DENOISE]
    if not begins:
        return []
    at_s = min(begins)
    events: list[dict[str, Any]] = []
    for number, step_s in enumerate(step_times_s, start=1):
        events.append(_complete(f"step {number}", "step", at_s, step_s, tid, {}))
        at_s += step_s
    return events


def _complete(
    name: str, category: str, start_s: float, length_s: float, tid: int, facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": round(start_s * _MICRO, 3),
        "dur": round(length_s * _MICRO, 3),
        "pid": _PID,
        "tid": tid,
        "args": dict(facts),
    }


def _names(name: str, lanes: Mapping[int, str]) -> list[dict[str, Any]]:
    def named(kind: str, tid: int, text: str) -> dict[str, Any]:
        return {"name": kind, "ph": "M", "pid": _PID, "tid": tid, "args": {"name": text}}

    return [
        named("process_name", 0, name),
        *(named("thread_name", tid, title) for tid, title in lanes.items()),
    ]


def _by_start(event: Mapping[str, Any]) -> tuple[float, float]:
    return event["ts"], -event["dur"]
