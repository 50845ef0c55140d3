"""From spans to exclusive seconds on the critical path.

A job is driven by one thread. What that thread does owns the wall time while it does it; where
it only waits, the time belongs to the background span it waited for. Among several background
spans at one moment that is the one that ends last, because the wait ends with it: three
components loading side by side count as the slowest, not as their sum. So the phases and
``unattributed`` add up to the wall time by construction.

Where several jobs take turns on one thread, time in which another job had it is ``shared``: it
belongs to none of this job's phases. Only a background span that the job would have waited for in
any case (its own weights, loading) keeps its time.
"""

from __future__ import annotations

import bisect
import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ourvidz.core.phase import Phase, Span

# Above either of these, time that no span explains is a defect (mission, section 2).
UNATTRIBUTED_SHARE_LIMIT = 0.02
UNATTRIBUTED_LIMIT_S = 1.0


# Phases in which the device works for the job; loading leaves it free for others.
_DEVICE_PHASES = frozenset(
    {Phase.ENHANCE_RUN, Phase.ENCODE, Phase.PREPARE, Phase.DENOISE, Phase.DECODE}
)

# The fact that says which part of a span's work was this job's, where a batch did it: (0, 1].
SHARE_FACT = "share"

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A job's wall time, all of it: the three add up to its length within float rounding."""

    phases_s: dict[str, float]  # in the order of ``Phase``, only those with time
    unattributed_s: float
    shared_s: float  # other jobs had the thread


def exclusive_phases_s(spans: Iterable[Span], *, start_s: float, end_s: float) -> dict[str, float]:
    """Return exclusive seconds a phase between two moments, of a job that shared nothing.

    Returns:
        Phases in the order of ``Phase``, only those with time; ``unattributed`` always. The
        values add up to ``end_s - start_s`` within float rounding.
    """
    account = account_of(spans, start_s=start_s, end_s=end_s)
    return {**account.phases_s, Phase.UNATTRIBUTED.value: account.unattributed_s}


def account_of(
    spans: Iterable[Span],
    *,
    start_s: float,
    end_s: float,
    lost_turns: Sequence[Interval] = (),
) -> Account:
    """Return where the time between two moments went.

    Args:
        spans: any order, may overlap; what lies outside the interval is cut off.
        start_s: begin of the job on the spans' clock.
        end_s: its end.
        lost_turns: when other jobs had the thread; by start, none overlapping.
    """
    clipped = [span for span in spans if span.end_s > start_s and span.start_s < end_s]
    edges = [*((span.start_s, span.end_s) for span in clipped), *lost_turns]
    inner = {moment for edge in edges for moment in edge if start_s < moment < end_s}
    cuts = sorted(inner | {start_s, end_s})
    seconds: dict[Phase | None, float] = {}
    for left, right in itertools.pairwise(cuts):
        is_lost = _covers(lost_turns, left)
        owner = _owner(clipped, left, right, is_lost=is_lost)
        seconds[owner] = seconds.get(owner, 0.0) + (right - left)
    unattributed_s = seconds.pop(Phase.UNATTRIBUTED, 0.0)
    return Account(
        phases_s={phase.value: seconds[phase] for phase in Phase if phase in seconds},
        unattributed_s=unattributed_s,
        shared_s=seconds.get(None, 0.0),
    )


def _covers(intervals: Sequence[Interval], moment: float) -> bool:
    index = bisect.bisect_right(intervals, moment, key=lambda interval: interval[0]) - 1
    return index >= 0 and moment < intervals[index][1]


def _owner(spans: Sequence[Span], left: float, right: float, *, is_lost: bool) -> Phase | None:
    """Return the phase that the job was in while no span began or ended; None: another job ran."""
    active = [span for span in spans if span.start_s <= left and span.end_s >= right]
    driving = [span for span in active if not span.is_background]
    if is_lost and (driving or not active):
        return None
    if driving:
        return max(driving, key=lambda span: span.start_s).phase  # the innermost
    if active:
        return max(active, key=lambda span: span.end_s).phase  # what the wait ends with
    return Phase.UNATTRIBUTED


def device_seconds(spans: Iterable[Span], lost_turns: Sequence[Interval] = ()) -> float:
    """Return how long the device worked for a job, in seconds: what the job is charged with.

    A span's measured device time where there is one, else its wall time without lost turns; of
    what a batch did, the job's share.
    """
    return sum(
        _device_s(span, lost_turns)
        for span in spans
        if span.phase in _DEVICE_PHASES and not span.is_background
    )


def _device_s(span: Span, lost_turns: Sequence[Interval]) -> float:
    if span.device_s is not None:
        return span.device_s
    lost_s = sum(
        max(0.0, min(end_s, span.end_s) - max(start_s, span.start_s))
        for start_s, end_s in lost_turns
    )
    return (span.duration_s - lost_s) * float(span.facts.get(SHARE_FACT, 1.0))


def median_step_s(step_times_s: Sequence[float]) -> float | None:
    """Return the median step in seconds, without the first and the last where three or more exist.

    The first step carries warm-up and the last the solver's clean-up.
    """
    if not step_times_s:
        return None
    inner = step_times_s[1:-1] if len(step_times_s) >= 3 else step_times_s
    return statistics.median(inner)


def is_unattributed_alarming(unattributed_s: float, total_s: float) -> bool:
    """Whether more time has no name than the product allows: above 2 % or above 1 s."""
    share = unattributed_s / total_s if total_s > 0 else 0.0
    return unattributed_s > UNATTRIBUTED_LIMIT_S or share > UNATTRIBUTED_SHARE_LIMIT
