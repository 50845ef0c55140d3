"""What waits for each pool, in predicted seconds of one worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ourvidz.cluster.shape import Pool
from ourvidz.core.job import JobState
from ourvidz.jobs.model import Job, JobFilter
from ourvidz.jobs.store import JobStore

_MOST_JOBS = 500  # that one look reads; more are counted, and taken to be like these


def queued_seconds(store: JobStore, pools: Sequence[Pool]) -> Mapping[str, float]:
    """Return predicted seconds by pool. Locks nothing, however long the queue."""
    jobs = store.list_jobs(
        JobFilter(states=(JobState.QUEUED,)), limit=_MOST_JOBS, newest_first=False
    )
    count = store.counts().by_state.get(JobState.QUEUED.value, 0) if len(jobs) == _MOST_JOBS else 0
    scale = max(1.0, count / _MOST_JOBS)
    return {name: scale * found_s for name, found_s in shares(jobs, pools).items()}


def shares(jobs: Iterable[Job], pools: Sequence[Pool]) -> Mapping[str, float]:
    """Return seconds by pool; a job that several may claim is shared among them."""
    found: defaultdict[str, float] = defaultdict(float)
    for job in jobs:
        able = [pool for pool in pools if not pool.models or job.request.model in pool.models]
        if job.is_held or not able:
            continue
        for pool in able:
            found[pool.name] += job.predicted_s / len(able)
    return found
