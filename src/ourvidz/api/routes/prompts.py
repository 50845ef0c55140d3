"""Before a job is submitted: tokens of its prompts, and settings of a file made before."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ourvidz.api.again import request_again
from ourvidz.api.auth import JobsReader
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.prompt_schemas import SettingsAnswer, TokenCount, TokensAnswer, TokensRequest
from ourvidz.api.routes.common import errors
from ourvidz.api.tokens import count_tokens
from ourvidz.catalog.models import Model, Role
from ourvidz.core.errors import CheckpointInvalid, ModelMissing
from ourvidz.core.redact import without_paths
from ourvidz.media.embedded import embedded_settings

router = APIRouter(tags=["catalogue"])

_ELSEWHERE = "The prompt is read by an enhancer elsewhere, whose tokenizer is not here."


@router.post(
    "/prompts/tokens",
    operation_id="count_tokens",
    response_model=TokensAnswer,
    responses=errors(413),
)
def count_prompt_tokens(body: TokensRequest, deps: Deps, who: JobsReader) -> TokensAnswer:
    """Count the tokens of prompts as the model's own tokenizers do: what is over is refused.

    A prompt of an enhanced job type is counted as its enhancer reads it, which takes any length.
    Without the model's files on this machine, `unavailable` says so.
    """
    del who
    job = deps.catalogue.job_type(body.job_type)
    model = deps.catalogue.model_for(deps.settings.profile, job.role)
    reader = deps.catalogue.model_for(deps.settings.profile, Role.ENHANCER)
    texts = [("prompt", body.prompt, reader if job.is_enhanced else model)]
    if body.negative_prompt is not None:
        texts.append(("negative_prompt", body.negative_prompt, model))
    counts: list[TokenCount] = []
    unavailable: str | None = None
    for name, text, read_by in texts:
        if read_by is reader and deps.settings.enhancer_url is not None:
            unavailable = _ELSEWHERE
            continue
        try:
            counts += _counts(deps, read_by, name, text)
        except (ModelMissing, CheckpointInvalid) as error:
            unavailable = _reason(read_by, error)
    return TokensAnswer(counts=counts, unavailable=unavailable)


def _counts(deps: AppDeps, model: Model, name: Any, text: str) -> list[TokenCount]:
    limit = model.prompt_token_limit or None
    return [
        TokenCount(
            text=name,
            encoder=encoder,
            model=model.id,
            num_tokens=num_tokens,
            limit=limit,
            is_over=limit is not None and num_tokens > limit,
        )
        for encoder, num_tokens in count_tokens(deps.settings, model, text.strip()).items()
    ]


def _reason(model: Model, error: ModelMissing | CheckpointInvalid) -> str:
    if isinstance(error, CheckpointInvalid):
        return without_paths(error.message)
    return (
        f"The files of the model {model.id!r} are not where this server runs; "
        f"`ourvidz models pull {model.id}` fetches them."
    )


async def _body(request: Request) -> bytes:
    return await request.body()


_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in ("image/png", "video/mp4")
        },
    }
}


@router.post(
    "/settings/read",
    operation_id="read_settings",
    response_model=SettingsAnswer,
    responses=errors(413),
    openapi_extra=_FILE,
)
def read_settings(
    deps: Deps, who: JobsReader, body: Annotated[bytes, Depends(_body)]
) -> SettingsAnswer:
    """Read the settings that a PNG or MP4 of this project was made with, to make it again.

    The body is the file itself. Of a video that is larger than this server takes, its boxes `ftyp`
    and `moov`, one behind the other, are enough; of an image, what comes before its pixels.
    """
    del who
    return request_again(embedded_settings(body), deps)
