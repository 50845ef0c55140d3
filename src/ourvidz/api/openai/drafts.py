"""From the fields of a request to the draft of a job. Unknown fields are refused by name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from ourvidz.api.openai.names import Speed, Target, enhanced_twin, target_of
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.models import Model
from ourvidz.catalog.parameters import BY_NAME, FRAME_STRIDE, suggest
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.core.request import MediaType
from ourvidz.jobs.model import Json, Source
from ourvidz.jobs.submission import Draft

# Names that vLLM-Omni and SGLang use too.
PARAMETERS = (
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "seed",
    "fps",
    "num_frames",
    "flow_shift",
    "scheduler",
    "fidelity",
)
OWN = (*PARAMETERS, "enhance_prompt", "preset")

# OpenAI's own fields that say nothing about the picture itself, or only ask for a default.
_IGNORED_EVERYWHERE = ("user", "safety_identifier")
_IGNORED_FOR_IMAGES = ("moderation", "style", "partial_images", "complexity")

VIDEO_FIELDS = ("prompt", "model", "seconds", "size", "input_reference", "extra_params")
IMAGE_FIELDS = (
    "prompt",
    "model",
    "n",
    "size",
    "quality",
    "response_format",
    "output_format",
    "output_compression",
    "background",
    "stream",
    "extra_params",
)

SPEEDS = {
    "auto": Speed.FAST,
    "low": Speed.FAST,
    "standard": Speed.FAST,
    "medium": Speed.FAST,
    "high": Speed.HIGH,
    "hd": Speed.HIGH,
    "xhigh": Speed.HIGH,
    "max": Speed.HIGH,
}
_SAYS_NOTHING = frozenset({"auto"})

_SIZE = re.compile(r"(\d{1,5})\s*[xX\u00d7]\s*(\d{1,5})")
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class OutputFormat(StrEnum):
    """What the bytes of an image are."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class ResponseFormat(StrEnum):
    """How an image travels: inside the answer, or as an address."""

    B64_JSON = "b64_json"
    URL = "url"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageOutput:
    """How the answer carries the images."""

    response_format: ResponseFormat
    output_format: OutputFormat
    compression: int  # 0 to 100, for jpeg and webp


def video_draft(fields: Mapping[str, Any], *, catalogue: Catalogue, settings: Settings) -> Draft:
    """Return the draft of a video job, without tenant and key.

    Raises:
        InvalidRequest: an unknown field, or a value that can't be read. What can be read is
            checked against the catalogue when the draft is submitted.
    """
    fields = _flat(fields, (*VIDEO_FIELDS, *OWN), _IGNORED_EVERYWHERE, "/v1/videos")
    target = target_of(
        _text(fields, "model"), makes=MediaType.VIDEO, catalogue=catalogue, settings=settings
    )
    values = _values(fields)
    adjustments: list[Json] = []
    if fields.get("seconds") is not None:
        if "num_frames" in values:
            raise InvalidRequest(
                "seconds and num_frames both say how long the video is.",
                param="seconds",
                hint="Send one of them.",
            )
        values["num_frames"], note = _frames_of(fields["seconds"], values, target.model)
        adjustments += note
    return _draft(fields, target, values, adjustments, catalogue)


def image_draft(fields: Mapping[str, Any], *, catalogue: Catalogue, settings: Settings) -> Draft:
    """Return the draft of an image job, without tenant and key.

    Raises:
        InvalidRequest: as ``video_draft``.
    """
    fields = _flat(
        fields,
        (*IMAGE_FIELDS, *OWN),
        (*_IGNORED_EVERYWHERE, *_IGNORED_FOR_IMAGES),
        "/v1/images/generations",
    )
    quality = _choice(fields, "quality", tuple(SPEEDS)) or "auto"
    target = target_of(
        _text(fields, "model"),
        makes=MediaType.IMAGE,
        catalogue=catalogue,
        settings=settings,
        speed=SPEEDS[quality],
    )
    values = _values(fields)
    _refuse_unsupported(fields)
    num_images = _number(fields, "n", whole=True)
    _check_count(num_images, target)
    if target.model.family == "sdxl":
        values["num_images"] = num_images or 1
    return _draft(fields, target, values, _quality_note(quality, target), catalogue)


def image_output(fields: Mapping[str, Any]) -> ImageOutput:
    """Return how the images are asked for.

    Raises:
        InvalidRequest: a format that is not offered.
    """
    fields = {**_extra_params(fields), **fields}
    output_format = OutputFormat(_choice(fields, "output_format", tuple(OutputFormat)) or "png")
    response_format = ResponseFormat(
        _choice(fields, "response_format", tuple(ResponseFormat)) or "b64_json"
    )
    compression = _number(fields, "output_compression", whole=True)
    if compression is not None and not 0 <= compression <= 100:
        raise InvalidRequest(
            f"output_compression {compression!r} is out of range.",
            param="output_compression",
            hint="Choose 0 to 100.",
        )
    if response_format is ResponseFormat.URL and output_format is not OutputFormat.PNG:
        raise InvalidRequest(
            f"output_format {output_format.value!r} is not offered as a URL: files are PNG.",
            param="output_format",
            hint="Send response_format b64_json, or take png.",
        )
    return ImageOutput(
        response_format=response_format,
        output_format=output_format,
        compression=100 if compression is None else int(compression),
    )


def seconds_of(num_frames: int, fps: int) -> str:
    """Return a clip's length as text: from its first frame to its last, the nominal length.

    81 frames at 16 a second are "5", as people call them; the file plays 1/16 s longer.
    """
    return f"{(num_frames - 1) / fps:.4g}"


def _draft(
    fields: Mapping[str, Any],
    target: Target,
    values: dict[str, Any],
    adjustments: list[Json],
    catalogue: Catalogue,
) -> Draft:
    prompt = _text(fields, "prompt")
    if prompt is None:
        raise InvalidRequest(
            "The prompt is missing.", param="prompt", hint='Try "a red circle moving left".'
        )
    job = target.job_type
    is_enhanced = _flag(fields, "enhance_prompt")
    if is_enhanced is not None:
        job = enhanced_twin(job, is_enhanced=is_enhanced, catalogue=catalogue)
    size = _size(fields)
    if size is not None:
        values["width"], values["height"] = size
    return Draft(
        prompt=prompt,
        job_type=job.name,
        preset=_text(fields, "preset") or BASELINE,
        values=values,
        source=Source.OPENAI,
        adjustments=tuple(adjustments),
    )


def _flat(
    fields: Mapping[str, Any], known: tuple[str, ...], ignored: tuple[str, ...], route: str
) -> dict[str, Any]:
    """Return the fields with those of ``extra_params`` among them, all of them known."""
    extra = _extra_params(fields)
    for name in extra:
        if name not in OWN:
            raise UnknownName(
                f"extra_params[{name}] is not known.",
                param=f"extra_params[{name}]",
                hint=suggest(name, OWN),
            )
        if name in fields and fields[name] != extra[name]:
            raise InvalidRequest(
                f"{name} is given twice, once in extra_params.", param=name, hint="Send it once."
            )
    for name in fields:
        if name not in known and name not in ignored:
            raise UnknownName(
                f"{name!r} is not a field of {route}.", param=name, hint=suggest(name, known)
            )
    return {name: value for name, value in {**extra, **fields}.items() if name not in ignored}


def _extra_params(fields: Mapping[str, Any]) -> dict[str, Any]:
    extra: object = fields.get("extra_params")
    if extra is None or extra == "":
        return {}
    if isinstance(extra, str):  # as vLLM-Omni takes it: JSON in a form field
        try:
            extra = json.loads(extra)
        except (ValueError, RecursionError):
            extra = None
    if not isinstance(extra, dict):
        raise InvalidRequest(
            "extra_params is not an object.",
            param="extra_params",
            hint="Send fields extra_params[seed]=1, or a JSON object.",
        )
    return cast("dict[str, Any]", extra)


def _values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the catalogue's parameters among the fields, text of a form turned to numbers."""
    values: dict[str, Any] = {}
    for name in PARAMETERS:
        if BY_NAME[name].kind in {"int", "float"}:
            value = _number(fields, name, whole=BY_NAME[name].kind == "int")
        else:
            value = _text(fields, name, keep_empty=name == "negative_prompt")
        if value is not None:
            values[name] = value
    return values


def _frames_of(seconds: object, values: Mapping[str, Any], model: Model) -> tuple[int, list[Json]]:
    """Return the nearest 4n+1 frames to ``seconds``, and what to tell of it."""
    length_s = _number({"seconds": seconds}, "seconds", whole=False)
    fps = int(BY_NAME["fps"].check(values.get("fps", model.fps)))
    low, high = (int(bound or 0) for bound in (BY_NAME["num_frames"].minimum, _MAX_FRAMES))
    wanted = (length_s or 0.0) * fps
    is_near = low - FRAME_STRIDE <= wanted <= high + FRAME_STRIDE
    num_frames = _nearest_legal(wanted) if is_near else 0
    if not low <= num_frames <= high:
        raise InvalidRequest(
            f"seconds {seconds!r} is out of range at {fps} frames a second.",
            param="seconds",
            hint=f"Choose {low / fps:.3g} to {high / fps:.4g} seconds.",
        )
    if num_frames == wanted:
        return num_frames, []
    text = (
        f"{length_s:g} seconds at {fps} frames a second are {wanted:g} frames; the model makes "
        f"4n+1, so the video has {num_frames}."
    )
    return num_frames, [{"code": "seconds_to_frames", "text": text}]


_MAX_FRAMES = BY_NAME["num_frames"].maximum


def _nearest_legal(num_frames: float) -> int:
    """Return the nearest 4n+1; the longer of two that are equally near."""
    return math.floor((num_frames - 1) / FRAME_STRIDE + 0.5) * FRAME_STRIDE + 1


def _size(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    text = _text(fields, "size")
    if text is None or text == "auto":
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(
            f"size {text!r} is not WIDTHxHEIGHT.", param="size", hint="Write 480x832, for one."
        )
    width, height = int(match[1]), int(match[2])
    for name, pixels in (("width", width), ("height", height)):
        try:
            BY_NAME[name].check(pixels)
        except InvalidRequest as error:  # the client knows no width, only a size
            raise InvalidRequest(
                f"size {text!r}: {error.message}", param="size", hint=error.hint
            ) from None
    return width, height


def _refuse_unsupported(fields: Mapping[str, Any]) -> None:
    if _flag(fields, "stream"):
        raise InvalidRequest(
            "stream is not offered for images.",
            param="stream",
            hint="Follow the job's progress at /api/v1/jobs/{id}/events instead.",
        )
    if _choice(fields, "background", ("auto", "opaque", "transparent")) == "transparent":
        raise InvalidRequest(
            "background 'transparent' is not offered: the models make opaque images.",
            param="background",
            hint="Leave it out.",
        )


def _check_count(num_images: float | None, target: Target) -> None:
    if num_images is None:
        return
    most = int(BY_NAME["num_images"].maximum or 1) if target.model.family == "sdxl" else 1
    if not 1 <= num_images <= most:
        raise InvalidRequest(
            f"n {num_images!r} is out of range for job type {target.job_type.name!r}.",
            param="n",
            hint=f"Choose 1 to {most}."
            if most > 1
            else "It makes one image a job. Send n=1, or model sdxl_image_fast for a batch.",
        )


def _quality_note(quality: str, target: Target) -> list[Json]:
    if not target.is_named or quality in _SAYS_NOTHING:
        return []
    text = (
        f"quality {quality!r} changes nothing: the job type {target.job_type.name!r} was named "
        "and has its own number of steps."
    )
    return [{"code": "quality_ignored", "text": text}]


def _text(fields: Mapping[str, Any], name: str, *, keep_empty: bool = False) -> str | None:
    value = fields.get(name)
    if value is None or (value == "" and not keep_empty):
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is not a text.", param=name)
    return value


def _choice(fields: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str | None:
    value = _text(fields, name)
    if value is not None and value not in choices:
        raise InvalidRequest(
            f"{name} {value!r} is not offered.",
            param=name,
            hint="Choose one of " + ", ".join(choices) + ".",
        )
    return value


def _number(fields: Mapping[str, Any], name: str, *, whole: bool) -> int | float | None:
    value = fields.get(name)
    if value is None or value == "":  # how the client writes None into a form
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(name)
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(name)
        if whole and number == int(number):
            return int(value) if isinstance(value, int) else int(number)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name} {str(value)[:40]!r} is not a number.", param=name) from None
    if whole:
        raise InvalidRequest(f"{name} {number:g} is not a whole number.", param=name)
    return number


def _flag(fields: Mapping[str, Any], name: str) -> bool | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    word = str(value).lower()
    if isinstance(value, bool | str | int) and word in _TRUE | _FALSE:
        return word in _TRUE
    raise InvalidRequest(f"{name} is not true or false.", param=name)
