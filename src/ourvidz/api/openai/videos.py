"""``/videos``: jobs that make videos."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from ourvidz.api.auth import JobsReader, JobsWriter, Principal, dedup_of
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.openai.body import canonical, read_fields
from ourvidz.api.openai.content import VARIANTS, Variant, content_of
from ourvidz.api.openai.drafts import video_draft
from ourvidz.api.openai.objects import Presenter, VideoDeleted, VideoList, VideoObject
from ourvidz.api.openai.references import read_reference, refuse_reference
from ourvidz.api.openai.removal import remove_job
from ourvidz.api.openai.schemas import VIDEO_BODY, error_responses
from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.core.request import MediaType
from ourvidz.jobs.model import Dedup, Job, JobFilter, JobKind
from ourvidz.jobs.submission import Draft
from ourvidz.net.client import GuardedClient

router = APIRouter()

_POLL_HEADER = "openai-poll-after-ms"
_JOB_ID = re.compile(r"job_[0-9a-z]{26}")


@router.post(
    "/videos",
    operation_id="openai_create_video",
    responses=error_responses(409, 413, 507),
    openapi_extra={"requestBody": VIDEO_BODY},
)
async def create_video(
    request: Request, response: Response, deps: Deps, who: JobsWriter
) -> VideoObject:
    """Queue a video: as a form (what the official client sends) or as JSON.

    The answer comes once the job is stored durably. Sent again with the same Idempotency-Key, or
    as a retry of the official client, it is the same job.
    """
    fields = await read_fields(request, max_bytes=deps.settings.server.max_body_bytes)
    draft = video_draft(fields, catalogue=deps.catalogue, settings=deps.settings)
    if fields.get("input_reference") not in (None, ""):
        await run_in_threadpool(_use_reference, deps, fields["input_reference"], draft)
    dedup = dedup_of(request, who, json.dumps(canonical(fields), sort_keys=True).encode())
    job = await run_in_threadpool(submit_one, deps, who, draft, dedup)
    request.state.job_id = job.id  # for the access log
    presenter = Presenter(deps=deps)
    response.headers[_POLL_HEADER] = str(await run_in_threadpool(presenter.poll_after_ms, job))
    return await run_in_threadpool(presenter.video, job)


@router.get("/videos", operation_id="openai_list_videos", responses=error_responses())
def list_videos(
    deps: Deps,
    who: JobsReader,
    after: Annotated[str | None, Query(description="Those beyond this id.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> VideoList:
    """Return videos by creation, whichever way they were asked for."""
    if after is not None and not _JOB_ID.fullmatch(after):
        raise InvalidRequest(
            "after is not a video's id.", param="after", hint="Pass last_id of the page before."
        )
    jobs = deps.store.list_jobs(
        JobFilter(
            tenant=who.tenant_filter,
            kinds=(JobKind.GENERATE,),
            media_type=MediaType.VIDEO.value,
        ),
        limit=limit + 1,
        after=after,
        newest_first=order == "desc",
    )
    presenter = Presenter(deps=deps)
    videos = [presenter.video(job) for job in jobs[:limit]]
    return VideoList(
        data=videos,
        first_id=videos[0].id if videos else None,
        last_id=videos[-1].id if videos else None,
        has_more=len(jobs) > limit,
    )


@router.get(
    "/videos/{video_id}", operation_id="openai_retrieve_video", responses=error_responses(404)
)
def retrieve_video(video_id: str, response: Response, deps: Deps, who: JobsReader) -> VideoObject:
    """Return one video. A failed job is an answer like any other: 200, status failed."""
    job = video_job(deps, video_id, who)
    presenter = Presenter(deps=deps)
    if not job.is_terminal:
        response.headers[_POLL_HEADER] = str(presenter.poll_after_ms(job))
    return presenter.video(job)


@router.delete(
    "/videos/{video_id}",
    operation_id="openai_delete_video",
    responses=error_responses(404, 409),
)
async def delete_video(video_id: str, deps: Deps, who: JobsWriter) -> VideoDeleted:
    """Delete a video and its files; one that is being made is cancelled and stopped first."""
    job = await run_in_threadpool(video_job, deps, video_id, who)
    await remove_job(deps, job, tenant=who.tenant_filter)
    return VideoDeleted(id=job.id)


_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in ("video/mp4", "image/webp")
        },
    },
    206: {"description": "A part of the file, as Range asked for."},
}


@router.get(
    "/videos/{video_id}/content",
    operation_id="openai_download_video",
    response_class=Response,
    responses={**error_responses(404, 409, 416), **_CONTENT},
)
def download_video(
    video_id: str,
    request: Request,
    deps: Deps,
    who: JobsReader,
    variant: Annotated[Variant, Query(description=VARIANTS)] = "video",
) -> Response:
    """Return the video, its thumbnail, or a sheet of its frames."""
    job = video_job(deps, video_id, who)
    return content_of(request, deps, job, variant)


def video_job(deps: AppDeps, video_id: str, who: Principal) -> Job:
    """Return a video's job.

    Raises:
        NotFound: no such job, another tenant's, or not a video.
    """
    job = (
        deps.store.get(video_id, tenant=who.tenant_filter) if _JOB_ID.fullmatch(video_id) else None
    )
    if job is None or job.request.media_type is not MediaType.VIDEO or job.kind is JobKind.ENHANCE:
        raise NotFound(f"There is no video {video_id[:40]!r}.", param="video_id")
    return job


def submit_one(deps: AppDeps, who: Principal, draft: Draft, dedup: Dedup) -> Job:
    """Store one job for ``who``, or return the one that the same request made before."""
    owned = replace(draft, tenant=who.tenant, key_id=who.key_id)
    return deps.submitter.submit([owned], dedup=dedup, quotas=who.quotas).jobs[0]


def _use_reference(deps: AppDeps, value: object, draft: Draft) -> None:
    client = GuardedClient(allow_private=deps.settings.webhooks.allow_private)
    read_reference(value, settings=deps.settings, client=client)
    refuse_reference(draft.job_type)
