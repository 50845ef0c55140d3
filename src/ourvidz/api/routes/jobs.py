"""Jobs: submit, read, follow, and what people do to them."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from ourvidz.api.auth import JobsReader, JobsWriter, Principal, QueueWriter, dedup_of
from ourvidz.api.deps import AppDeps, Deps, absolute_url
from ourvidz.api.drafts import draft_of, grid_of
from ourvidz.api.errors import answer_of
from ourvidz.api.events import (
    LOG_KINDS,
    MEDIA_TYPE,
    STREAM_SCHEMA,
    StreamWish,
    event_page,
    last_event_id,
    stream_response,
)
from ourvidz.api.expectation import expect, expected_state, expected_time, wait_of
from ourvidz.api.many_schemas import (
    CancelledJobs,
    CancelRequest,
    DeletedJobs,
    JobIds,
    NotCancelled,
    NotDeleted,
)
from ourvidz.api.routes.common import (
    After,
    Cursor,
    JobId,
    LastEventId,
    Limit,
    MaxS,
    View,
    errors,
    from_cursor,
    known_id,
    to_cursor,
)
from ourvidz.api.schemas import (
    BatchAnswer,
    BatchRequest,
    Deleted,
    EnhanceRequest,
    ErrorDetail,
    EventPage,
    ExpectedAnswer,
    GridRequest,
    JobAnswer,
    JobPage,
    JobRequest,
    MoveRequest,
)
from ourvidz.api.views import Viewer, keys_of
from ourvidz.api.waiting import wait_for_job
from ourvidz.core.errors import InvalidRequest, NotFound, OurVidzError, StorageFailed
from ourvidz.core.job import JobState
from ourvidz.jobs.model import EventKind, JobFilter, JobKind, Source, StoredAsset, Submission
from ourvidz.jobs.submission import MAX_JOBS_A_SUBMIT, Draft

router = APIRouter(tags=["jobs"])

_OPEN = (JobState.QUEUED, JobState.RUNNING)
_REPLAY = {200: {"description": "The same request had been made before; nothing new was stored."}}
_STREAM = {
    200: {
        "description": "The events, as JSON or as a stream.",
        "content": {MEDIA_TYPE: {"schema": STREAM_SCHEMA}},
    },
    204: {"description": "The job has ended and there is nothing behind Last-Event-ID."},
}


async def _body(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_body)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key and body give the same jobs, however often they are sent.",
    ),
]


def _submit(
    drafts: list[Draft], *, request: Request, deps: AppDeps, who: Principal, body: bytes
) -> Submission:
    dedup = dedup_of(request, who, body)
    made = deps.submitter.submit(drafts, dedup=dedup, quotas=who.quotas)
    request.state.job_id = made.jobs[0].id if len(made.jobs) == 1 else made.jobs[0].batch_id
    return made


def _answer_batch(made: Submission, view: Viewer, response: Response) -> BatchAnswer:
    if made.is_replay:
        response.status_code = 200
    return BatchAnswer(
        batch_id=made.jobs[0].batch_id,
        is_replay=made.is_replay,
        data=view.jobs(made.jobs),
    )


@router.post(
    "/jobs",
    operation_id="submit_job",
    status_code=201,
    response_model=JobAnswer,
    responses={**errors(409, 413, 507), **_REPLAY},
)
def submit_job(
    body: JobRequest,
    request: Request,
    response: Response,
    deps: Deps,
    who: JobsWriter,
    view: View,
    raw: RawBody,
    idempotency_key: IdempotencyKey = None,
) -> JobAnswer:
    """Submit one job. Once this answers with 201 the job is stored durably."""
    del idempotency_key  # read by dedup_of; named here for the documentation
    made = _submit(
        [draft_of(body, who=who, deps=deps)], request=request, deps=deps, who=who, body=raw
    )
    job = made.jobs[0]
    response.headers["Location"] = absolute_url(request, deps.settings, f"/api/v1/jobs/{job.id}")
    if made.is_replay:
        response.status_code = 200
    return view.job(job)


@router.post(
    "/jobs/expect",
    operation_id="expect_job",
    response_model=ExpectedAnswer,
    responses=errors(413),
)
def expect_job(body: JobRequest, deps: Deps, who: JobsWriter) -> ExpectedAnswer:
    """Say what a job would take, without storing it: the same body as `submit_job`."""
    request = deps.submitter.resolve(draft_of(body, who=who, deps=deps))
    workers = deps.store.workers()
    state = expected_state(request, workers)
    found = expect(request, source=Source.API, state=state, forecaster=deps.forecaster)
    load = deps.store.queue_load()
    return ExpectedAnswer(
        expected=None if found is None else expected_time(found, state=state),
        starts_in=wait_of(load, found, num_workers=len(workers)),
        queue_position=load.num_queued,
    )


@router.post(
    "/jobs/batch",
    operation_id="submit_batch",
    status_code=201,
    response_model=BatchAnswer,
    responses={**errors(409, 413, 507), **_REPLAY},
)
def submit_batch(
    body: BatchRequest,
    request: Request,
    response: Response,
    deps: Deps,
    who: JobsWriter,
    view: View,
    raw: RawBody,
    idempotency_key: IdempotencyKey = None,
) -> BatchAnswer:
    """Submit several jobs: all are stored, or none."""
    del idempotency_key
    drafts = [draft_of(job, who=who, deps=deps) for job in body.jobs]
    made = _submit(drafts, request=request, deps=deps, who=who, body=raw)
    return _answer_batch(made, view, response)


@router.post(
    "/jobs/grid",
    operation_id="submit_grid",
    status_code=201,
    response_model=BatchAnswer,
    responses={**errors(409, 413, 507), **_REPLAY},
)
def submit_grid(
    body: GridRequest,
    request: Request,
    response: Response,
    deps: Deps,
    who: JobsWriter,
    view: View,
    raw: RawBody,
    idempotency_key: IdempotencyKey = None,
) -> BatchAnswer:
    """Submit one job for every combination of values: to compare them.

    Each job's metadata says under `grid` which combination it is.
    """
    del idempotency_key
    jobs = grid_of(body, draw_seed=deps.submitter.draw_seed)
    drafts = [draft_of(job, who=who, deps=deps) for job in jobs]
    made = _submit(drafts, request=request, deps=deps, who=who, body=raw)
    return _answer_batch(made, view, response)


_MOMENT = "ISO 8601, UTC where it names no zone; or Unix seconds."


@router.get("/jobs", operation_id="list_jobs", response_model=JobPage, responses=errors())
def list_jobs(
    deps: Deps,
    who: JobsReader,
    view: View,
    state: Annotated[list[JobState] | None, Query(description="Any of these.")] = None,
    job_type: Annotated[list[str] | None, Query(description="Any of these.")] = None,
    source: Annotated[list[Source] | None, Query(description="Any of these.")] = None,
    kind: Annotated[list[JobKind] | None, Query(description="Any of these.")] = None,
    batch_id: Annotated[str | None, Query(max_length=100, description="Of one batch.")] = None,
    media_type: Annotated[str | None, Query(max_length=100, description="video/mp4, say.")] = None,
    created_after: Annotated[str | None, Query(max_length=40, description=_MOMENT)] = None,
    created_before: Annotated[str | None, Query(max_length=40, description=_MOMENT)] = None,
    text: Annotated[str | None, Query(max_length=200, description="Found in the prompt.")] = None,
    is_favourite: Annotated[bool, Query(description="Only those that somebody marked.")] = False,
    is_oldest_first: Annotated[bool, Query(description="Else the newest come first.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:
    """List jobs by creation."""
    where = JobFilter(
        tenant=who.tenant_filter,
        states=tuple(state or ()),
        job_types=tuple(_checked(name, "job_type") for name in job_type or ()),
        sources=tuple(source or ()),
        kinds=tuple(kind or ()),
        batch_id=_plain(batch_id, "batch_id"),
        media_type=_plain(media_type, "media_type"),
        created_after=_unix_s(created_after, "created_after"),
        created_before=_unix_s(created_before, "created_before"),
        text=_plain(text, "text"),
        is_favourite=is_favourite,
    )
    jobs = deps.store.list_jobs(
        where, limit=limit + 1, after=from_cursor(cursor), newest_first=not is_oldest_first
    )
    shown = jobs[:limit]
    return JobPage(
        data=view.jobs(shown),
        next_cursor=to_cursor(shown[-1].id) if len(jobs) > limit else None,
    )


def _unix_s(value: str | None, name: str) -> float | None:
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(value)
        if math.isfinite(seconds):
            return seconds
    with contextlib.suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    raise InvalidRequest(
        f"{name} {value!r} is no moment.", param=name, hint="Send 2026-11-21T12:00:00Z, say."
    )


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _checked(value: str, param: str) -> str:
    if _CONTROL.search(value):
        raise InvalidRequest(f"{param} holds control characters.", param=param)
    return value


def _plain(value: str | None, param: str) -> str | None:
    return None if value is None else _checked(value, param)


@router.get(
    "/jobs/{job_id}", operation_id="get_job", response_model=JobAnswer, responses=errors(404)
)
def get_job(job_id: JobId, deps: Deps, who: JobsReader, view: View) -> JobAnswer:
    """Read one job, with its attempts."""
    return view.job(deps.store.get(known_id(job_id), tenant=who.tenant_filter))


@router.delete(
    "/jobs/{job_id}",
    operation_id="delete_job",
    response_model=Deleted,
    responses=errors(404, 409),
)
def delete_job(job_id: JobId, deps: Deps, who: JobsWriter) -> Deleted:
    """Forget a job that has ended, with its history and its files."""
    job = deps.store.get(known_id(job_id), tenant=who.tenant_filter)
    assets = deps.store.assets(job.id)
    deps.store.delete_job(job.id, tenant=who.tenant_filter)
    _delete_files(deps, assets)
    return Deleted(id=job.id)


def _delete_files(deps: AppDeps, assets: Iterable[StoredAsset]) -> None:
    for asset in assets:
        for key in keys_of(asset):
            with contextlib.suppress(StorageFailed):  # the sweeper takes what stays
                deps.storage.delete(asset.bucket, key)


@router.post(
    "/jobs/delete",
    operation_id="delete_jobs",
    response_model=DeletedJobs,
    responses=errors(413),
)
def delete_jobs(body: JobIds, deps: Deps, who: JobsWriter) -> DeletedJobs:
    """Forget several jobs, as `delete_job` does; those that can't be deleted are named."""
    job_ids = list(dict.fromkeys(body.job_ids))
    assets = deps.store.assets_of(job_ids)
    kept = deps.store.delete_jobs(job_ids, tenant=who.tenant_filter)
    deleted = [job_id for job_id in job_ids if job_id not in kept]
    _delete_files(deps, (asset for job_id in deleted for asset in assets.get(job_id, ())))
    return DeletedJobs(
        deleted=deleted,
        not_deleted=[
            NotDeleted(id=job_id, error=_detail(kept[job_id]))
            for job_id in job_ids
            if job_id in kept
        ],
    )


def _detail(error: OurVidzError) -> ErrorDetail:
    told = answer_of(error)
    return ErrorDetail(code=told.code, message=told.message, param=told.param, hint=told.hint)


@router.post(
    "/jobs/cancel",
    operation_id="cancel_jobs",
    response_model=CancelledJobs,
    responses=errors(413),
)
def cancel_jobs(body: CancelRequest, deps: Deps, who: JobsWriter) -> CancelledJobs:
    """Cancel several jobs, as `cancel_job` does: those named, or all of a batch.

    Jobs that had ended are told apart, and those that are not there are named.
    """
    job_ids = list(dict.fromkeys(body.job_ids or ()))
    if body.batch_id is not None:
        where = JobFilter(tenant=who.tenant_filter, states=_OPEN, batch_id=body.batch_id)
        job_ids = [job.id for job in deps.store.list_jobs(where, limit=MAX_JOBS_A_SUBMIT)]
    cancelled: list[str] = []
    ended: list[str] = []
    missing: list[NotCancelled] = []
    known = deps.store.jobs_of(job_ids, tenant=who.tenant_filter)
    for job_id in job_ids:
        if job_id in known and known[job_id].is_terminal:
            ended.append(job_id)
            continue
        try:
            job = deps.store.cancel(job_id, tenant=who.tenant_filter)
        except NotFound as error:
            missing.append(NotCancelled(id=job_id, error=_detail(error)))
            continue
        is_stopped = job.state is JobState.CANCELLED or not job.is_terminal
        (cancelled if is_stopped else ended).append(job_id)
    return CancelledJobs(cancelled=cancelled, ended=ended, not_cancelled=missing)


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    response_model=JobAnswer,
    responses=errors(404),
)
def cancel_job(job_id: JobId, deps: Deps, who: JobsWriter, view: View) -> JobAnswer:
    """Cancel: at once if queued; a running job stops within a second and one step.

    A job that has ended stays as it is.
    """
    return view.job(deps.store.cancel(known_id(job_id), tenant=who.tenant_filter))


@router.post(
    "/jobs/{job_id}/retry",
    operation_id="retry_job",
    response_model=JobAnswer,
    responses=errors(404, 409, 507),
)
def retry_job(job_id: JobId, deps: Deps, who: JobsWriter, view: View) -> JobAnswer:
    """Queue a failed or cancelled job again, with the same seed and the same enhanced prompt."""
    return view.job(deps.store.retry(known_id(job_id), tenant=who.tenant_filter))


@router.post(
    "/jobs/{job_id}/move",
    operation_id="move_job",
    response_model=JobAnswer,
    responses=errors(404, 409),
)
def move_job(
    job_id: JobId, body: MoveRequest, deps: Deps, who: QueueWriter, view: View
) -> JobAnswer:
    """Move a queued job: to the front, behind or before another, or into a priority band."""
    given = [body.front, body.after, body.before, body.priority]
    if sum(value is not None for value in given) != 1:
        raise InvalidRequest(
            "Exactly one of front, after, before and priority must be given.",
            param="front",
            hint='{"front": true} moves it before all others.',
        )
    return view.job(
        deps.store.move(
            known_id(job_id),
            tenant=who.tenant_filter,
            front=bool(body.front),
            after=known_id(body.after) if body.after is not None else None,
            before=known_id(body.before) if body.before is not None else None,
            priority=body.priority,
        )
    )


@router.get(
    "/jobs/{job_id}/events",
    operation_id="job_events",
    response_model=EventPage,
    responses={**errors(404), **_STREAM},
)
def job_events(
    job_id: JobId,
    deps: Deps,
    who: JobsReader,
    after: After = None,
    max_s: MaxS = None,
    last_event_id_header: LastEventId = None,
) -> Response | EventPage:
    """Follow a job: a stream of server-sent events that ends with the job, without gaps.

    With `after` the answer is JSON and comes at once: polling tells the same as the stream.
    """
    return _follow(job_id, deps, who, after, max_s, last_event_id_header, kinds=None)


@router.get(
    "/jobs/{job_id}/logs",
    operation_id="job_logs",
    response_model=EventPage,
    responses={**errors(404), **_STREAM},
)
def job_logs(
    job_id: JobId,
    deps: Deps,
    who: JobsReader,
    after: After = None,
    max_s: MaxS = None,
    last_event_id_header: LastEventId = None,
) -> Response | EventPage:
    """Follow what is logged about a job, as `job_events` does."""
    return _follow(job_id, deps, who, after, max_s, last_event_id_header, kinds=LOG_KINDS)


def _follow(
    job_id: str,
    deps: AppDeps,
    who: Principal,
    after: int | None,
    max_s: float | None,
    last_event_id_value: str | None,
    kinds: frozenset[EventKind] | None,
) -> Response | EventPage:
    job = deps.store.get(known_id(job_id), tenant=who.tenant_filter)
    if after is not None:
        return event_page(deps, StreamWish(job_id=job.id, after=after, kinds=kinds))
    seen = last_event_id(last_event_id_value)
    return stream_response(deps, StreamWish(job_id=job.id, after=seen, kinds=kinds, max_s=max_s))


@router.post(
    "/enhance",
    operation_id="enhance_prompt",
    status_code=201,
    response_model=JobAnswer,
    responses={**errors(409, 413, 507), **_REPLAY},
    tags=["enhancement"],
)
async def enhance_prompt(
    body: EnhanceRequest,
    request: Request,
    response: Response,
    deps: Deps,
    who: JobsWriter,
    view: View,
    raw: RawBody,
    idempotency_key: IdempotencyKey = None,
) -> JobAnswer:
    """Enrich a prompt without generating anything: a job of its own, on the same queue.

    With `wait_s` the answer comes once the job has ended, or after that long as the job is then.
    """
    del idempotency_key
    draft = Draft(
        prompt=body.prompt,
        job_type=body.job_type or _first_enhanced(deps),
        kind=JobKind.ENHANCE,
        tenant=who.tenant,
        key_id=who.key_id,
    )

    def submit() -> Submission:
        return _submit([draft], request=request, deps=deps, who=who, body=raw)

    made = await run_in_threadpool(submit)
    job = await wait_for_job(deps, made.jobs[0].id, tenant=who.tenant, wait_s=body.wait_s)
    response.headers["Location"] = absolute_url(request, deps.settings, f"/api/v1/jobs/{job.id}")
    if made.is_replay:
        response.status_code = 200
    return await run_in_threadpool(view.job, job)


def _first_enhanced(deps: AppDeps) -> str:
    return next(job.name for job in deps.catalogue.job_types.values() if job.is_enhanced)
