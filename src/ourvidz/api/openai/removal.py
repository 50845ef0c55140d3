"""Deleting a job, whatever it is doing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.concurrency import run_in_threadpool

from ourvidz.api.deps import AppDeps
from ourvidz.core.errors import IllegalState, NotFound, StorageFailed
from ourvidz.jobs.model import Job

_POLL_S = 0.1
_SLACK_S = 10.0


async def remove_job(deps: AppDeps, job: Job, *, tenant: str | None) -> None:
    """Delete a job with its files. One that runs is cancelled, and its worker waited for.

    A worker answers within a second and a step. One that died is waited for until its lease ends,
    so the limit is that and some slack.

    Raises:
        IllegalState: it is still stopping; it stays cancelled, and can be deleted later.
    """
    if not job.is_terminal:
        await run_in_threadpool(deps.store.cancel, job.id, tenant=tenant)
        await _stopped(deps, job.id, tenant)
    await run_in_threadpool(_remove, deps, job.id, tenant)


async def _stopped(deps: AppDeps, job_id: str, tenant: str | None) -> None:
    queue = deps.settings.queue
    end_s = deps.clock.monotonic() + queue.lease_s + queue.reap_s + _SLACK_S
    while not (await run_in_threadpool(deps.store.get, job_id, tenant=tenant)).is_terminal:
        if deps.closing.is_set() or deps.clock.monotonic() > end_s:
            raise IllegalState(
                f"Job {job_id!r} is cancelled but has not stopped yet.",
                param="video_id",
                hint="Delete it again in a moment.",
            )
        await asyncio.sleep(_POLL_S)


def _remove(deps: AppDeps, job_id: str, tenant: str | None) -> None:
    assets = deps.store.assets(job_id)
    deps.store.delete_job(job_id, tenant=tenant)
    # From here on the files belong to nobody: what fails below is an orphan for the sweeper.
    for asset in assets:
        for key in (asset.key, asset.thumbnail_key):
            if key is not None:
                with suppress(NotFound, StorageFailed):
                    deps.storage.delete(asset.bucket, key)
