"""What the OpenAPI document says of request bodies and errors, from the catalogue's own words."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ourvidz.api.openai.drafts import PARAMETERS, SPEEDS
from ourvidz.catalog.parameters import BY_NAME, MAX_PROMPT_CHARS, Parameter

Schema = dict[str, Any]

_JSON_TYPES = {"str": "string", "choice": "string", "int": "integer", "float": "number"}


class ErrorDetail(BaseModel):
    """What went wrong, for programs (code) and people (message)."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorObject(BaseModel):
    """OpenAI's error body."""

    error: ErrorDetail


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of error answers: those given, and those of every route."""
    every = (400, 401, 403, 429, 500, 503)
    return {
        status: {"model": ErrorObject, "description": _REASONS[status]}
        for status in sorted({*every, *statuses})
    }


_REASONS = {
    400: "The request is not valid; nothing was done.",
    401: "No valid API key.",
    403: "The API key does not allow this.",
    404: "No such thing, or not yours.",
    409: "The job's state, or an earlier request of the same key, does not allow this.",
    413: "Larger than allowed.",
    416: "No such range.",
    429: "A quota is used up; Retry-After says when to come again.",
    500: "The server's fault.",
    503: "Store or storage can't be reached; try again.",
    504: "The job is still at work; the header x-ourvidz-job-id names it.",
    507: "The server's disk is full.",
}


def _parameter_schema(parameter: Parameter) -> Schema:
    schema: Schema = {"type": _JSON_TYPES[parameter.kind], "description": parameter.text}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    for key, value in (("minimum", parameter.minimum), ("maximum", parameter.maximum)):
        if value is not None:
            schema[key] = int(value) if parameter.kind == "int" else value
    if parameter.multiple_of:
        schema["multipleOf"] = parameter.multiple_of
    return schema


_PROMPT: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_PROMPT_CHARS,
    "description": "What to show.",
}
_OWN: dict[str, Schema] = {
    **{name: _parameter_schema(BY_NAME[name]) for name in PARAMETERS},
    "enhance_prompt": {
        "type": "boolean",
        "description": "Enrich the prompt first: the enhanced job type of the same speed.",
    },
    "preset": {"type": "string", "description": "A preset of the job type."},
}
_EXTRA: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": _OWN,
    "description": "The same values, nested.",
}
_SIZE: Schema = {
    "type": "string",
    "pattern": r"^(auto|[0-9]{2,4}x[0-9]{2,4})$",
    "description": "WIDTHxHEIGHT in pixels, each a multiple of 16; left out or auto: the model's.",
}
_USER: Schema = {"type": "string", "description": "Ignored."}


def _video(reference: Schema) -> Schema:
    return {
        "type": "object",
        "title": "VideoCreate",
        "required": ["prompt"],
        "additionalProperties": False,
        "properties": {
            "prompt": _PROMPT,
            "model": {
                "type": "string",
                "description": "A job type (video_fast...) or a catalogue model; see /v1/models.",
            },
            "seconds": {
                "type": "string",
                "description": "Length: the nearest 4n+1 frames at the model's frames a second.",
            },
            "size": _SIZE,
            "input_reference": reference,
            **_OWN,
            "extra_params": _EXTRA,
            "user": _USER,
            "safety_identifier": _USER,
        },
    }


_REFERENCE_OBJECT: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "image_url": {"type": "string", "description": "https, or a base64 data URL."},
        "file_id": {"type": "string"},
    },
    "description": "Checked, then refused: no model here takes a reference image yet.",
}
_REFERENCE_FILE: Schema = {
    "type": "string",
    "format": "binary",
    "description": "Checked, then refused: no model here takes a reference image yet.",
}

VIDEO_BODY: Schema = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": _video(_REFERENCE_FILE)},
        "application/json": {"schema": _video(_REFERENCE_OBJECT)},
    },
}

IMAGE_BODY: Schema = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "title": "ImageGenerate",
                "required": ["prompt"],
                "additionalProperties": False,
                "properties": {
                    "prompt": _PROMPT,
                    "model": {
                        "type": "string",
                        "description": "A job type (sdxl_image_fast...) or a catalogue model.",
                    },
                    "n": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 16,
                        "default": 1,
                        "description": "Images; image i uses seed + i. The video model makes one.",
                    },
                    "size": _SIZE,
                    "quality": {
                        "type": "string",
                        "enum": list(SPEEDS),
                        "description": "high, hd, xhigh and max take the job type of more steps.",
                    },
                    "response_format": {
                        "type": "string",
                        "enum": ["b64_json", "url"],
                        "default": "b64_json",
                        "description": "Bytes in the answer, or a signed address that expires.",
                    },
                    "output_format": {
                        "type": "string",
                        "enum": ["png", "jpeg", "webp"],
                        "default": "png",
                        "description": "jpeg and webp only as b64_json.",
                    },
                    "output_compression": {
                        "type": "integer",
                        "minimum": 0,
                        "maximum": 100,
                        "default": 100,
                        "description": "Quality of jpeg and webp.",
                    },
                    "background": {"type": "string", "enum": ["auto", "opaque"]},
                    "stream": {"type": "boolean", "enum": [False]},
                    **_OWN,
                    "extra_params": _EXTRA,
                    "moderation": {"type": "string", "description": "Ignored."},
                    "style": {"type": "string", "description": "Ignored."},
                    "partial_images": {"type": "integer", "description": "Ignored."},
                    "complexity": {"type": "string", "description": "Ignored."},
                    "user": _USER,
                    "safety_identifier": _USER,
                },
            }
        }
    },
}
