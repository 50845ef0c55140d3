"""Whether a job was a clean run, and how many were: one answer for all that tell of success."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ourvidz.core.errors import EnhancementFailed, EnhancementRefused
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.stats import Interval, wilson_interval

# As flags: the job delivered, made from the person's own prompt. As failures: it did not.
UNUSABLE_ENHANCEMENT = frozenset({EnhancementRefused.code, EnhancementFailed.code})
_CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessRate:
    """How many jobs succeeded, over all states: one that failed while loading has none."""

    successes: int
    n: int
    share: float
    interval: Interval  # Wilson


def counts_for_success(record: PerformanceRecord) -> bool:
    """Whether a job says anything of success: cancelled is a person's wish, no failure."""
    return record.failure != _CANCELLED


def is_enhancement_unusable(record: PerformanceRecord) -> bool:
    """Whether the enhancer's answer was no prompt, be the job delivered or failed for it."""
    return record.failure in UNUSABLE_ENHANCEMENT or bool(UNUSABLE_ENHANCEMENT & set(record.flags))


def is_clean_success(record: PerformanceRecord) -> bool:
    """Whether a job delivered what was asked for; not without the enhancement that was asked."""
    return record.is_success and not is_enhancement_unusable(record)


def success_rate(records: Iterable[PerformanceRecord]) -> SuccessRate | None:
    """Return how many of the jobs were clean successes; None where none counts."""
    counted = [record for record in records if counts_for_success(record)]
    if not counted:
        return None
    successes = sum(map(is_clean_success, counted))
    return SuccessRate(
        successes=successes,
        n=len(counted),
        share=successes / len(counted),
        interval=wilson_interval(successes, len(counted)),
    )
