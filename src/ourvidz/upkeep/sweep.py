"""What attempts left in storage and nobody published."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ourvidz.core.errors import NotFound, OurVidzError
from ourvidz.jobs.model import Job
from ourvidz.jobs.store import JobStore
from ourvidz.storage.store import AssetStorage, StoredObject

# attempt_prefix() of an id that new_job_id() made, and something below it. Nothing else is ours
# to remove: published copies under {user_id}/{file} among others.
_ATTEMPT_KEY = re.compile(r"(job_[0-9a-hjkmnp-tv-z]{26})/([0-9]{1,18})/.+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """What a sweep removed."""

    objects: int
    num_bytes: int


def sweep_orphans(
    store: JobStore, storage: AssetStorage, *, older_than_s: float, now: float
) -> Swept:
    """Remove objects of attempts that lost their lease, failed or were cancelled.

    One goes if it is under an attempt's prefix, older than ``older_than_s``, of a job that is
    terminal or unknown or has a newer token, and not published. A bucket that fails does not keep
    the others from being swept.

    Args:
        store: Where jobs and published assets stand.
        storage: What is swept.
        older_than_s: Least age; above the longest upload, as its job may be unknown by now.
        now: Unix seconds.

    Raises:
        StorageFailed: one or more buckets failed; the first failure, after all were tried.
        StoreUnavailable: the job store can't be asked; nothing more was removed.
    """
    objects = num_bytes = 0
    failure: OurVidzError | None = None
    for bucket in storage.buckets():
        try:
            for found in _orphans(store, storage, bucket, now - older_than_s):
                storage.delete(bucket, found.key)
                objects += 1
                num_bytes += found.num_bytes
        except OurVidzError as error:
            if error.code != "storage_failed":
                raise
            failure = failure or error
    if failure is not None:
        raise failure
    return Swept(objects=objects, num_bytes=num_bytes)


def _orphans(
    store: JobStore, storage: AssetStorage, bucket: str, before: float
) -> list[StoredObject]:
    jobs: dict[str, Job | None] = {}
    orphans: list[StoredObject] = []
    for found in storage.list_objects(bucket):
        match = _ATTEMPT_KEY.fullmatch(found.key)
        if match is None or found.modified_at >= before:
            continue
        job_id, token = match[1], int(match[2])
        if job_id not in jobs:
            jobs[job_id] = _job(store, job_id)
        # In this order: what a job published by the time it was read is seen as published.
        if _is_over(jobs[job_id], token) and not store.is_published(bucket, found.key):
            orphans.append(found)
    return orphans


def _job(store: JobStore, job_id: str) -> Job | None:
    try:
        return store.get(job_id)
    except NotFound:
        return None


def _is_over(job: Job | None, token: int) -> bool:
    """Whether the attempt can't publish any more."""
    return job is None or job.is_terminal or token < job.token
