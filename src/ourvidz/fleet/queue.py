"""The queue as the policy wants it, read from the job store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ourvidz.core.request import MediaType
from ourvidz.fleet.policy import ClassLoad, QueueSummary
from ourvidz.jobs.model import CameJob, JobKind, WaitingClass
from ourvidz.jobs.store import JobStore

# Arrivals are counted over so long: shorter than a change in a day's course, longer than a burst.
ARRIVALS_WITHIN_S = 600.0
_MOST_JOBS = 500  # arrivals that one look reads; of more, their rate is that of these


def look(store: JobStore, *, overdue_s: float) -> QueueSummary:
    """Return what waits and what came lately. Locks nothing; of what has ended it reads little.

    Args:
        store: where jobs wait.
        overdue_s: who waits longer is overdue (``queue.overdue_s``).
    """
    came = store.came(within_s=ARRIVALS_WITHIN_S, limit=_MOST_JOBS)
    is_cut = len(came) == _MOST_JOBS
    return summarise(
        store.waiting_classes(overdue_s=overdue_s),
        came,
        came_within_s=max(1.0, store.now() - came[-1].created_at) if is_cut else ARRIVALS_WITHIN_S,
    )


def summarise(
    waiting: Iterable[WaitingClass], came: Iterable[CameJob], *, came_within_s: float
) -> QueueSummary:
    """Return a summary by class.

    Args:
        waiting: what may run now.
        came: jobs of the last while.
        came_within_s: how long that while was.
    """
    num_waiting: dict[str, int] = defaultdict(int)
    num_overdue: dict[str, int] = defaultdict(int)
    num_came: dict[str, int] = defaultdict(int)
    predicted_s: dict[str, float] = defaultdict(float)
    for each in waiting:
        name = class_of(each.kind, each.media_type)
        num_waiting[name] += each.num_jobs
        num_overdue[name] += each.num_overdue
        predicted_s[name] += each.predicted_s
    for job in came:
        name = class_of(job.kind, job.media_type)
        num_came[name] += 1
        predicted_s[name] += job.predicted_s
    return QueueSummary(
        classes={
            name: ClassLoad(
                num_waiting=num_waiting[name],
                num_overdue=num_overdue[name],
                arrivals_per_s=num_came[name] / came_within_s,
                predicted_s=total_s / (num_waiting[name] + num_came[name]),
            )
            for name, total_s in predicted_s.items()
        }
    )


def class_of(kind: JobKind, media_type: MediaType) -> str:
    """Return the class of jobs: ``video``, ``image`` or ``enhancement``."""
    if kind is JobKind.ENHANCE:
        return "enhancement"
    return "video" if media_type is MediaType.VIDEO else "image"
