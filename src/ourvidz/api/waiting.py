"""Waiting for a job without holding a thread."""

from __future__ import annotations

import anyio
from starlette.concurrency import run_in_threadpool

from ourvidz.api.deps import AppDeps
from ourvidz.jobs.model import Job
from ourvidz.jobs.watching import GLANCE_S, ChangeWatch

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5


async def wait_for_job(deps: AppDeps, job_id: str, *, tenant: str | None, wait_s: float) -> Job:
    """Return the job once it is terminal, or as it is after ``wait_s`` seconds.

    Ends early when the server closes.

    Raises:
        NotFound: no such job, another tenant's, or deleted meanwhile.
    """
    deadline_s = deps.clock.monotonic() + wait_s
    pause_s = _FIRST_PAUSE_S
    watch = ChangeWatch(deps.store)
    while True:
        job = await run_in_threadpool(deps.store.get, job_id, tenant=tenant)
        left_s = deadline_s - deps.clock.monotonic()
        if job.is_terminal or left_s <= 0 or deps.closing.is_set():
            return job
        await pause(watch, min(pause_s, left_s))
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)


async def pause(watch: ChangeWatch, wait_s: float) -> None:
    """Sleep for ``wait_s`` seconds, or until the store shows that somebody has written."""
    left_s = wait_s
    while left_s > 0:
        nap_s = min(left_s, GLANCE_S) if watch.can_tell else left_s
        await anyio.sleep(nap_s)
        left_s -= nap_s
        if watch.has_changed():
            return
