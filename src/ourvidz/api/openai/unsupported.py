"""OpenAI's operations that no model here can do, refused by name instead of an empty 404."""

from __future__ import annotations

from typing import Any, NoReturn

from fastapi import APIRouter, Request

from ourvidz.api.auth import JobsReader
from ourvidz.api.openai.errors import OperationUnsupported
from ourvidz.api.openai.schemas import ErrorObject, error_responses

router = APIRouter()

_REFUSED: dict[str, Any] = {
    "status_code": 400,
    "response_model": ErrorObject,
    "responses": error_responses(),
}

_OPERATIONS = {
    "remix": "Remixing a video",
    "edits": "Editing a video",
    "extensions": "Extending a video",
    "characters": "Making a character from a video",
    "image_edits": "Editing an image",
    "image_variations": "Varying an image",
}


async def _refuse(request: Request, operation: str) -> NoReturn:
    async for _ in request.stream():  # read what is sent, so that the client reads the answer
        pass
    raise OperationUnsupported(
        f"{_OPERATIONS[operation]} is not supported: the models here start from a prompt alone.",
        hint="Describe what you want in the prompt of a new request.",
    )


@router.post("/videos/{video_id}/remix", operation_id="openai_remix_video", **_REFUSED)
async def remix_video(video_id: str, request: Request, who: JobsReader) -> None:
    """Refuse: no model takes a video."""
    await _refuse(request, "remix")


@router.post("/videos/edits", operation_id="openai_edit_video", **_REFUSED)
async def edit_video(request: Request, who: JobsReader) -> None:
    """Refuse: no model takes a video."""
    await _refuse(request, "edits")


@router.post("/videos/extensions", operation_id="openai_extend_video", **_REFUSED)
async def extend_video(request: Request, who: JobsReader) -> None:
    """Refuse: no model takes a video."""
    await _refuse(request, "extensions")


@router.post("/videos/characters", operation_id="openai_create_character", **_REFUSED)
async def create_character(request: Request, who: JobsReader) -> None:
    """Refuse: no model takes a video."""
    await _refuse(request, "characters")


@router.get(
    "/videos/characters/{character_id}",
    operation_id="openai_retrieve_character",
    **_REFUSED,
)
async def retrieve_character(character_id: str, request: Request, who: JobsReader) -> None:
    """Refuse: there are no characters."""
    await _refuse(request, "characters")


@router.post("/images/edits", operation_id="openai_edit_image", **_REFUSED)
async def edit_image(request: Request, who: JobsReader) -> None:
    """Refuse: no model takes an image."""
    await _refuse(request, "image_edits")


@router.post("/images/variations", operation_id="openai_vary_image", **_REFUSED)
async def vary_image(request: Request, who: JobsReader) -> None:
    """Refuse: no model takes an image."""
    await _refuse(request, "image_variations")
