"""The queue as a whole."""

from __future__ import annotations

from fastapi import APIRouter

from ourvidz.api.auth import JobsReader, QueueWriter
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.expectation import expect, wait_of
from ourvidz.api.routes.common import errors
from ourvidz.api.schemas import QueueAnswer, ScopeRequest, Wait
from ourvidz.core.errors import UnknownName
from ourvidz.core.job import JobState
from ourvidz.core.phase import LoadState
from ourvidz.jobs.model import JobFilter

router = APIRouter(tags=["queue"])

_ALL = "all"


@router.get("/queue", operation_id="get_queue", response_model=QueueAnswer, responses=errors())
def get_queue(deps: Deps, who: JobsReader) -> QueueAnswer:
    """Read how many jobs stand where, and what is paused."""
    return _answer(deps, who.tenant_filter)


@router.post(
    "/queue/pause", operation_id="pause_queue", response_model=QueueAnswer, responses=errors()
)
def pause_queue(body: ScopeRequest, deps: Deps, who: QueueWriter) -> QueueAnswer:
    """Hold the queued jobs of a job type, or all; running ones go on."""
    deps.store.pause(_known(body.scope, deps))
    return _answer(deps, who.tenant_filter)


@router.post(
    "/queue/resume", operation_id="resume_queue", response_model=QueueAnswer, responses=errors()
)
def resume_queue(body: ScopeRequest, deps: Deps, who: QueueWriter) -> QueueAnswer:
    """Undo a pause of the same scope."""
    deps.store.resume(_known(body.scope, deps))
    return _answer(deps, who.tenant_filter)


def _known(scope: str, deps: AppDeps) -> str:
    if scope == _ALL:
        return scope
    try:
        return deps.catalogue.job_type(scope).name
    except UnknownName as error:
        raise UnknownName(
            f"scope {scope!r} is unknown.", param="scope", hint=f"Say all. {error.hint}"
        ) from None


def _empty_in(deps: AppDeps, *, num_workers: int) -> Wait | None:
    """Return when the queue will be empty; the next job's interval stands for all."""
    load = deps.store.queue_load()
    if load.num_queued == 0 and load.running_s == 0.0:
        return Wait(seconds=0.0, low_s=0.0, high_s=0.0) if num_workers else None
    waiting = deps.store.list_jobs(
        JobFilter(states=(JobState.RUNNING, JobState.QUEUED)), limit=1, newest_first=False
    )
    if not waiting:
        return None
    request, source = waiting[0].request, waiting[0].source
    state = LoadState.RESIDENT.value
    found = expect(request, source=source, state=state, forecaster=deps.forecaster)
    return wait_of(load, found, num_workers=num_workers)


def _answer(deps: AppDeps, tenant: str | None) -> QueueAnswer:
    counts = deps.store.counts(tenant=tenant)
    workers = deps.store.workers()
    return QueueAnswer(
        by_state=dict(counts.by_state),
        queued_by_job_type=dict(counts.queued_by_job_type),
        oldest_queued_s=counts.oldest_queued_s,
        paused=list(counts.paused),
        num_workers=len(workers),
        empty_in=_empty_in(deps, num_workers=len(workers)),
    )
