"""The queue as the policy wants it, read from the job store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ourvidz.core.job import JobState
from ourvidz.core.request import MediaType
from ourvidz.fleet.policy import ClassLoad, QueueSummary
from ourvidz.jobs.model import Job, JobFilter, JobKind
from ourvidz.jobs.store import JobStore

# Arrivals are counted over so long: shorter than a change in a day's course, longer than a burst.
ARRIVALS_WITHIN_S = 600.0
_MOST_JOBS = 500  # that one look reads; more are counted, and taken to be like these


def look(store: JobStore, *, overdue_s: float) -> QueueSummary:
    """Return what waits and what came lately. Locks nothing.

    Args:
        store: where jobs wait.
        overdue_s: who waits longer is overdue (``queue.overdue_s``).
    """
    now = store.now()
    queued = store.list_jobs(
        JobFilter(states=(JobState.QUEUED,)), limit=_MOST_JOBS, newest_first=False
    )
    num_queued = store.counts().by_state.get(JobState.QUEUED.value, 0)
    came = store.list_jobs(JobFilter(created_after=now - ARRIVALS_WITHIN_S), limit=_MOST_JOBS)
    is_cut = len(came) == _MOST_JOBS
    within_s = max(1.0, now - came[-1].created_at) if is_cut else ARRIVALS_WITHIN_S
    return summarise(
        queued,
        came,
        now=now,
        overdue_s=overdue_s,
        came_within_s=within_s,
        scale=max(1.0, num_queued / len(queued)) if queued else 1.0,
    )


def summarise(
    queued: Iterable[Job],
    came: Iterable[Job],
    *,
    now: float,
    overdue_s: float,
    came_within_s: float,
    scale: float = 1.0,
) -> QueueSummary:
    """Return a summary by class.

    Args:
        queued: jobs that wait; paused and delayed ones are left out.
        came: jobs of the last while.
        now: seconds of the store's clock.
        overdue_s: who waits longer is overdue.
        came_within_s: how long that while was.
        scale: how many jobs wait for each of ``queued``.
    """
    waiting = [job for job in queued if not job.is_held and job.run_at <= now]
    lately = list(came)
    predicted_s: dict[str, list[float]] = defaultdict(list)
    for job in [*waiting, *lately]:
        predicted_s[class_of(job)].append(job.predicted_s)
    classes: dict[str, ClassLoad] = {}
    for name, seconds in predicted_s.items():
        own = [job for job in waiting if class_of(job) == name]
        overdue = sum(now - job.run_at > overdue_s for job in own)
        classes[name] = ClassLoad(
            num_waiting=round(scale * len(own)),
            num_overdue=round(scale * overdue),
            arrivals_per_s=sum(class_of(job) == name for job in lately) / came_within_s,
            predicted_s=sum(seconds) / len(seconds),
        )
    return QueueSummary(classes=classes)


def class_of(job: Job) -> str:
    """Return a job's class: ``video``, ``image`` or ``enhancement``."""
    if job.kind is JobKind.ENHANCE:
        return "enhancement"
    return "video" if job.request.media_type is MediaType.VIDEO else "image"
