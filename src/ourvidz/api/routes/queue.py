"""The queue as a whole."""

from __future__ import annotations

from fastapi import APIRouter

from ourvidz.api.auth import JobsReader, QueueWriter
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.overview import queue_answer
from ourvidz.api.routes.common import errors
from ourvidz.api.schemas import QueueAnswer, ScopeRequest
from ourvidz.core.errors import UnknownName

router = APIRouter(tags=["queue"])

_ALL = "all"


@router.get("/queue", operation_id="get_queue", response_model=QueueAnswer, responses=errors())
def get_queue(deps: Deps, who: JobsReader) -> QueueAnswer:
    """Read how many jobs stand where, and what is paused."""
    return queue_answer(deps, who.tenant_filter)


@router.post(
    "/queue/pause", operation_id="pause_queue", response_model=QueueAnswer, responses=errors()
)
def pause_queue(body: ScopeRequest, deps: Deps, who: QueueWriter) -> QueueAnswer:
    """Hold the queued jobs of a job type, or all; running ones go on."""
    deps.store.pause(_known(body.scope, deps))
    return queue_answer(deps, who.tenant_filter)


@router.post(
    "/queue/resume", operation_id="resume_queue", response_model=QueueAnswer, responses=errors()
)
def resume_queue(body: ScopeRequest, deps: Deps, who: QueueWriter) -> QueueAnswer:
    """Undo a pause of the same scope."""
    deps.store.resume(_known(body.scope, deps))
    return queue_answer(deps, who.tenant_filter)


def _known(scope: str, deps: AppDeps) -> str:
    if scope == _ALL:
        return scope
    try:
        return deps.catalogue.job_type(scope).name
    except UnknownName as error:
        raise UnknownName(
            f"scope {scope!r} is unknown.", param="scope", hint=f"Say all. {error.hint}"
        ) from None
