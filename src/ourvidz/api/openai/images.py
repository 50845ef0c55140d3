"""``/images/generations``: blocking, yet on the same queue as everything else."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from ourvidz.api.auth import JobsWriter, Principal, dedup_of
from ourvidz.api.deps import AppDeps, Deps, absolute_url
from ourvidz.api.errors import STATUS_BY_CODE, ErrorAnswer, public_job_error, respond
from ourvidz.api.openai.body import read_json
from ourvidz.api.openai.drafts import (
    ImageOutput,
    OutputFormat,
    ResponseFormat,
    image_draft,
    image_output,
)
from ourvidz.api.openai.objects import (
    ImageItem,
    ImagesObject,
    adjustments_of,
    enhanced_prompt_of,
)
from ourvidz.api.openai.schemas import IMAGE_BODY, error_responses
from ourvidz.api.openai.videos import submit_one
from ourvidz.api.views import file_name
from ourvidz.api.waiting import pause
from ourvidz.catalog.config import Settings
from ourvidz.core.errors import NotFound
from ourvidz.core.job import JobState
from ourvidz.jobs.model import Dedup, Job, StoredAsset
from ourvidz.jobs.submission import Draft
from ourvidz.jobs.watching import ChangeWatch

router = APIRouter()

# Somebody waits at the other end: before whatever was queued to be fetched later, but below what
# a person moved to the front.
BLOCKING_PRIORITY = 50

JOB_HEADER = "x-ourvidz-job-id"
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.25
_LONGEST_MARGIN_S = 5.0
_NO_RETRY = {"x-should-retry": "false"}


@router.post(
    "/images/generations",
    operation_id="openai_generate_images",
    response_model=ImagesObject,
    responses=error_responses(409, 413, 504, 507),
    openapi_extra={"requestBody": IMAGE_BODY},
)
async def generate_images(request: Request, deps: Deps, who: JobsWriter) -> Response:
    """Make images and answer with them.

    The request is a job of raised priority. If the client goes away the job is cancelled; if it
    takes longer than the operator lets requests wait, the answer is a 504 that names the job,
    which goes on.
    """
    fields = await read_json(request)
    output = image_output(fields)
    draft = image_draft(fields, catalogue=deps.catalogue, settings=deps.settings)
    dedup = dedup_of(request, who, await request.body())
    job = await run_in_threadpool(_submit, deps, who, draft, dedup)
    request.state.job_id = job.id  # for the access log
    job = await _wait(request, deps, job)
    if job.state is JobState.SUCCEEDED:
        answer = await run_in_threadpool(_images_object, request, deps, job, output)
        headers = {JOB_HEADER: job.id}
        return JSONResponse(answer.model_dump(mode="json", exclude_none=True), headers=headers)
    return respond(request, _answer_without_images(job, deps))


def _submit(deps: AppDeps, who: Principal, draft: Draft, dedup: Dedup) -> Job:
    job = submit_one(deps, who, replace(draft, priority=BLOCKING_PRIORITY), dedup)
    if job.state is JobState.CANCELLED and dedup.retried_within_s is not None:
        # The client's own retry, after a connection that broke and took its job with it.
        return deps.store.retry(job.id, tenant=who.tenant_filter)
    return job


async def _wait(request: Request, deps: AppDeps, job: Job) -> Job:
    """Return the job once it is over, or as it is when the wait has ended."""
    waiters: Counter[str] = _waiters(request)
    end_s = deps.clock.monotonic() + _patience_s(request, deps.settings)
    pause_s = _FIRST_PAUSE_S
    watch = ChangeWatch(deps.store)
    with _counted(waiters, job.id):
        while not job.is_terminal and not deps.closing.is_set():
            if deps.clock.monotonic() >= end_s:
                break
            if await request.is_disconnected():
                if waiters[job.id] == 1:  # nobody else waits for the same job
                    job = await run_in_threadpool(deps.store.cancel, job.id, tenant=job.tenant)
                break
            await pause(watch, pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 1.3 * pause_s)
            job = await run_in_threadpool(deps.store.get, job.id, tenant=job.tenant)
    return job


def _patience_s(request: Request, settings: Settings) -> float:
    """Return how long to wait: the operator's limit, or just less than the client's own.

    The official client tells how long it reads. An answer that names the job, shortly before, is
    worth more to it than a connection that it closes, which would cancel the job.
    """
    limit_s = settings.server.blocking_wait_s
    try:
        told_s = float(request.headers.get("x-stainless-read-timeout", ""))
    except ValueError:
        return limit_s
    if not (math.isfinite(told_s) and told_s > 0):
        return limit_s
    return min(limit_s, told_s - min(_LONGEST_MARGIN_S, told_s / 4))


def _waiters(request: Request) -> Counter[str]:
    """Return how many requests of this process wait for which job; used in the event loop alone."""
    state = request.app.state
    if not hasattr(state, "openai_image_waiters"):
        state.openai_image_waiters = Counter()
    return cast("Counter[str]", state.openai_image_waiters)


@contextmanager
def _counted(waiters: Counter[str], job_id: str) -> Iterator[None]:
    waiters[job_id] += 1
    try:
        yield
    finally:
        waiters[job_id] -= 1
        if not waiters[job_id]:
            del waiters[job_id]


def _answer_without_images(job: Job, deps: AppDeps) -> ErrorAnswer:
    headers = {JOB_HEADER: job.id, **_NO_RETRY}
    if not job.is_terminal and deps.closing.is_set():
        # The client's retry finds the same job, on whichever server answers then.
        return ErrorAnswer(
            status=503,
            code="server_stopping",
            message=f"The server is stopping; job {job.id} goes on.",
            headers={JOB_HEADER: job.id, "x-should-retry": "true", "Retry-After": "2"},
        )
    if not job.is_terminal:
        return ErrorAnswer(
            status=504,
            code="wait_timeout",
            message=f"Job {job.id} takes longer than a request may wait; it goes on.",
            hint=f"Look at it at /api/v1/jobs/{job.id}.",
            headers=headers,
        )
    if job.state is JobState.CANCELLED:
        return ErrorAnswer(
            status=409, code="cancelled", message=f"Job {job.id} was cancelled.", headers=headers
        )
    error = public_job_error(job.error) or {}
    code = str(error.get("code") or "internal_error")
    status = STATUS_BY_CODE.get(code, 500)
    return ErrorAnswer(
        status=status if status < 500 else 500,
        code=code,
        message=f"Job {job.id} failed: {error.get('message') or 'for a reason unknown.'}",
        param=error.get("param"),
        hint=error.get("hint"),
        headers=headers,
    )


def _images_object(request: Request, deps: AppDeps, job: Job, output: ImageOutput) -> ImagesObject:
    assets = deps.store.assets(job.id)
    if not assets:
        raise NotFound(f"The files of job {job.id!r} have expired.")
    return ImagesObject(
        created=int(job.finished_at or job.created_at),
        data=[_item(request, deps, job, asset, output) for asset in assets],
        output_format=output.output_format,
        size=f"{job.request.width}x{job.request.height}",
        id=job.id,
        model=job.request.model,
        job_type=job.request.job_type,
        adjustments=adjustments_of(job),
    )


def _item(
    request: Request, deps: AppDeps, job: Job, asset: StoredAsset, output: ImageOutput
) -> ImageItem:
    item = ImageItem(
        revised_prompt=enhanced_prompt_of(job), seed=job.request.item_seeds[asset.index]
    )
    if output.response_format is ResponseFormat.URL:
        expires_s = deps.settings.storage.signed_url_s
        signed = deps.storage.signed_url(
            asset.bucket, asset.key, expires_s=expires_s, name=file_name(asset)
        )
        item.url = absolute_url(request, deps.settings, signed)
    else:
        png = b"".join(deps.storage.open(asset.bucket, asset.key).chunks)
        item.b64_json = base64.b64encode(_converted(png, output)).decode("ascii")
    return item


def _converted(png: bytes, output: ImageOutput) -> bytes:
    if output.output_format is OutputFormat.PNG:
        return png
    out = io.BytesIO()
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        image.convert("RGB").save(
            out, format=output.output_format.value.upper(), quality=output.compression
        )
    return out.getvalue()
