"""The bodies of old callbacks, in both generations' shapes. Nothing here sends or stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ourvidz.bridge.payload import Style
from ourvidz.core.request import GenerationRequest
from ourvidz.jobs.model import StoredAsset

MAX_MESSAGE_CHARS = 500
_DIGITS = 3  # of seconds

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedAsset:
    """A finished file and the old paths it lies under, relative to its bucket."""

    asset: StoredAsset
    path: str
    thumbnail_path: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """What a completed callback tells."""

    raw_id: str | int
    worker_id: str
    request: GenerationRequest
    duration_s: float
    wan_task: str
    enhanced_prompt: str | None  # None but for enhanced job types
    files: Sequence[PublishedAsset]


def processing_body(style: Style, *, raw_id: str | int, worker_id: str) -> Body:
    """Return the body that tells the start."""
    body: Body = {"job_id": raw_id, "status": "processing", "assets": [], "error_message": None}
    return body if style == "july" else {**body, "worker_id": worker_id, "metadata": {}}


def failed_body(style: Style, *, raw_id: str | int, worker_id: str, message: str) -> Body:
    """Return the body that tells a failure; a cancelled job fails too, in the old words."""
    body: Body = {
        "job_id": raw_id,
        "status": "failed",
        "assets": [],
        "error_message": message[:MAX_MESSAGE_CHARS],
        "metadata": {},
    }
    return body if style == "july" else {**body, "worker_id": worker_id}


def completed_body(style: Style, done: Completed) -> Body:
    """Return the body that tells the result."""
    body = _july(done) if style == "july" else _august(done)
    if done.request.enhancement is not None:
        body["enhancedPrompt"] = done.enhanced_prompt or done.request.prompt
    return body


def error_text(error: Mapping[str, Any] | None) -> str:
    """Return an error of ours as the one text that the old site shows."""
    if not error:
        return "The job failed."
    parts = (error.get("message"), error.get("hint"))
    return " ".join(str(part) for part in parts if part) or "The job failed."


def _july(done: Completed) -> Body:
    request = done.request
    metadata: Body = {
        "seed": request.seed,
        "generation_time": round(done.duration_s, _DIGITS),
        "num_images": len(done.files),
        "job_type": request.job_type,
        "content_type": request.media_type.value.partition("/")[0],
        "frame_num": done.files[0].asset.facts["num_frames"] if done.files else 0,
    }
    if request.family == "wan":
        metadata["wan_task"] = done.wan_task
    return {
        "job_id": done.raw_id,
        "status": "completed",
        "assets": [file.path for file in done.files],
        "error_message": None,
        "metadata": {**metadata, "reference_mode": "none"},
    }


def _august(done: Completed) -> Body:
    return {
        "job_id": done.raw_id,
        "worker_id": done.worker_id,
        "status": "completed",
        "assets": [_august_asset(file, done.request) for file in done.files],
        "error_message": None,
        "metadata": {"processing_time": round(done.duration_s, _DIGITS)},
    }


def _august_asset(file: PublishedAsset, request: GenerationRequest) -> Body:
    facts = file.asset.facts
    kind, _, format_name = file.asset.media_type.partition("/")
    return {
        "type": kind,
        "url": file.path,
        "thumbnail_url": file.thumbnail_path,
        "metadata": {
            "width": facts["width"],
            "height": facts["height"],
            "format": format_name,
            "steps": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
            "seed": facts["seed"],
            "bytes": file.asset.num_bytes,
            "index": file.asset.index,
        },
    }
