"""Jobs that somebody marked, to find them again."""

from __future__ import annotations

from fastapi import APIRouter

from ourvidz.api.auth import JobsWriter
from ourvidz.api.deps import Deps
from ourvidz.api.routes.common import JobId, View, errors, known_id
from ourvidz.api.schemas import JobAnswer

router = APIRouter(tags=["jobs"])


@router.put(
    "/jobs/{job_id}/favourite",
    operation_id="mark_job",
    response_model=JobAnswer,
    responses=errors(404, 507),
)
def mark_job(job_id: JobId, deps: Deps, who: JobsWriter, view: View) -> JobAnswer:
    """Mark a job as a favourite. A job that is marked already stays so."""
    return view.job(
        deps.store.favourite(known_id(job_id), is_favourite=True, tenant=who.tenant_filter)
    )


@router.delete(
    "/jobs/{job_id}/favourite",
    operation_id="unmark_job",
    response_model=JobAnswer,
    responses=errors(404, 507),
)
def unmark_job(job_id: JobId, deps: Deps, who: JobsWriter, view: View) -> JobAnswer:
    """Take a job's mark back. A job without one stays so."""
    return view.job(
        deps.store.favourite(known_id(job_id), is_favourite=False, tenant=who.tenant_filter)
    )
