"""From an old payload to a draft: field names, sizes, frame counts, and what is refused.

Only what the old engine itself adjusted is adjusted here (frame counts, a negative seed), and
what would be senseless with the models at hand (full-size pixels for the pocket models). Each
adjustment is written on the job. Everything else that is not legal is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ourvidz.bridge.payload import LegacyPayload, Style, check_sections
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.job_types import JobType
from ourvidz.catalog.models import Model
from ourvidz.catalog.parameters import BY_NAME, FRAME_STRIDE, check_num_frames
from ourvidz.catalog.scaling import scaled_frames, scaled_px
from ourvidz.core.errors import ConfigInvalid, InvalidRequest
from ourvidz.core.request import MediaType
from ourvidz.jobs.model import Callback, Source
from ourvidz.jobs.submission import Draft

CALLBACK_KIND = "legacy"
CALLBACK_EVENTS = ("claimed", "succeeded", "failed", "cancelled")
CALLBACK_PATH = "/functions/v1/job-callback"

REFERENCES = (
    "config.image",
    "config.first_frame",
    "config.last_frame",
    "metadata.reference_image_url",
    "metadata.start_reference_url",
    "metadata.end_reference_url",
)
WAN_TASK = "t2v-1.3B"
_MAX_TASK_CHARS = 64

_SIZE = re.compile(r"^\s*(\d{1,5})\s*[*xX]\s*(\d{1,5})\s*$")
_NUMBER = re.compile(r"^\s*[+-]?\d{1,15}(\.\d{1,10})?\s*$")
_PATH_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")

# What only the video model reads; July's form sent it with every image too.
_WAN_ONLY = ("config.sample_solver", "config.sample_shift", "config.frame_num", "config.frames")


@dataclass(kw_only=True, slots=True)
class Translation:
    """Parameter values and what was changed on the way."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def note(self, code: str, text: str) -> None:
        """Record an adjustment."""
        self.notes.append({"code": code, "text": text})


def callback_url(settings: Settings) -> str:
    """Return where callbacks go.

    Raises:
        ConfigInvalid: the site is not set, or is no http(s) address.
    """
    site = settings.bridge.site_url
    if site is None or not re.match(r"^https?://[^/\s]+", site):
        raise ConfigInvalid(
            f"bridge.site_url {site!r} is not an http(s) address.",
            param="bridge.site_url",
            hint=f"Callbacks go to {{site}}{CALLBACK_PATH}; set OURVIDZ_BRIDGE__SITE_URL.",
        )
    return site.rstrip("/") + CALLBACK_PATH


def style_of(payload: LegacyPayload, settings: Settings) -> Style:
    """Return the shape of this payload's callbacks."""
    return settings.bridge.callback_style or payload.style


def draft_of(payload: LegacyPayload, *, settings: Settings, catalogue: Catalogue) -> Draft:
    """Return the draft of one payload; the submitter checks its values.

    Raises:
        InvalidRequest, UnknownName: what the site is told in a failed callback.
        ConfigInvalid: the site's address is not set.
    """
    check_sections(payload)
    job = catalogue.job_type(_job_type_name(payload))
    _refuse_references(payload)
    model = catalogue.model_for(settings.profile, job.role)
    reference = catalogue.model_for("full", job.role)
    translation = translate(
        payload, job=job, model=model, reference=reference, profile=settings.profile
    )
    return Draft(
        prompt=_text(payload, "prompt"),
        job_type=job.name,
        values=translation.values,
        source=Source.BRIDGE,
        metadata={"legacy_id": payload.raw_id},
        adjustments=tuple(translation.notes),
        callbacks=(
            Callback(
                kind=CALLBACK_KIND,
                url=callback_url(settings),
                events=CALLBACK_EVENTS,
                facts=_facts(payload, job, settings),
            ),
        ),
        legacy=payload.fields,
    )


def translate(
    payload: LegacyPayload, *, job: JobType, model: Model, reference: Model, profile: str
) -> Translation:
    """Return the values of a payload's old fields under their names of today.

    Args:
        model: what will run the job.
        reference: the full-size model, whose pixels and frames the old site speaks of.

    Raises:
        InvalidRequest: a value that is no number, text or size, or has no legal counterpart.
    """
    done = Translation()
    for name, places in (
        ("num_inference_steps", ("config.sample_steps", "config.steps")),
        ("guidance_scale", ("config.sample_guide_scale", "config.guidance_scale")),
    ):
        _put_number(done, payload, name, places)
    negative = payload.first(
        "negative_prompt", "config.negative_prompt", "metadata.negative_prompt"
    )
    if negative is not None:
        done.values["negative_prompt"] = _require_text(negative, "negative_prompt")
    _seed(done, payload)
    _size(done, payload, model=model, reference=reference, profile=profile)
    if model.family == "wan":
        _wan_values(done, payload, job, model=model, reference=reference, profile=profile)
    else:
        _put_number(done, payload, "num_images", ("config.num_images", "metadata.num_images"))
        _note_unread(done, payload)
    wants = payload.first("config.enhance_prompt")
    if isinstance(wants, bool) and wants is not job.is_enhanced:
        does = "enhances" if job.is_enhanced else "does not enhance"
        done.note(
            "enhancement_by_job_type",
            f"enhance_prompt was {str(wants).lower()}; the job type decides, and {job.name} "
            f"{does} prompts.",
        )
    return done


def floored_frames(num_frames: int) -> int:
    """Return the highest 4n+1 that is not above ``num_frames``: 83 -> 81, 64 -> 61, 48 -> 45."""
    return (num_frames - 1) // FRAME_STRIDE * FRAME_STRIDE + 1


def parse_size(value: Any) -> tuple[int, int]:
    """Return (width, height) of ``480*832`` or ``1024x1024``.

    Raises:
        InvalidRequest: anything else.
    """
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidRequest(
            f"size {value!r} is not a size.", param="size", hint="Such as 480*832 or 1024x1024."
        )
    return int(match[1]), int(match[2])


def parse_number(name: str, value: Any) -> int | float:
    """Return a JSON number, or one that was sent as text.

    Raises:
        InvalidRequest: anything else.
    """
    if isinstance(value, str) and _NUMBER.match(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(
            f"{name} {_short(value)} is not a number.", param=name, hint="Send a JSON number."
        )
    return value


def _job_type_name(payload: LegacyPayload) -> str:
    name = payload.first("type")
    if not isinstance(name, str):
        raise InvalidRequest(
            "The payload names no job type.", param="type", hint='Set "type", to video_fast say.'
        )
    return name


def _refuse_references(payload: LegacyPayload) -> None:
    for place in REFERENCES:
        if payload.first(place):
            name = place.rpartition(".")[2]
            raise InvalidRequest(
                f"{name} is set, and this job type's model takes no reference image.",
                param=name,
                hint="Send the job without reference images, or describe them in the prompt.",
            )


def _put_number(
    done: Translation, payload: LegacyPayload, name: str, places: tuple[str, ...]
) -> None:
    value = payload.first(*places)
    if value is not None:
        done.values[name] = BY_NAME[name].check(parse_number(name, value))


def _seed(done: Translation, payload: LegacyPayload) -> None:
    value = payload.first("config.seed", "metadata.seed")
    if value is None:
        return
    seed = parse_number("seed", value)
    if seed < 0:  # Wan's own convention
        done.note("seed_drawn", f"seed {seed} stands for a random one; it was drawn.")
        return
    done.values["seed"] = BY_NAME["seed"].check(seed)


def _size(
    done: Translation, payload: LegacyPayload, *, model: Model, reference: Model, profile: str
) -> None:
    given = payload.first("config.size", "config.resolution")
    if given is not None:
        width, height = parse_size(given)
    else:
        sides = (payload.first("config.width"), payload.first("config.height"))
        if sides == (None, None):
            return
        width, height = (
            native if side is None else parse_number(name, side)
            for name, side, native in zip(
                ("width", "height"), sides, (reference.width, reference.height), strict=True
            )
        )
    width, height = (
        int(BY_NAME[name].check(side)) for name, side in (("width", width), ("height", height))
    )
    if profile == "pocket":
        small = (
            scaled_px(model.width, width / reference.width),
            scaled_px(model.height, height / reference.height),
        )
        done.note(
            "scaled_to_profile",
            f"{width}x{height} is a size of {reference.id}; in proportion {model.id} makes "
            f"{small[0]}x{small[1]}.",
        )
        width, height = small
    done.values.update(width=width, height=height)


def _wan_values(
    done: Translation,
    payload: LegacyPayload,
    job: JobType,
    *,
    model: Model,
    reference: Model,
    profile: str,
) -> None:
    solver = payload.first("config.sample_solver", "config.scheduler")
    if solver is not None:
        done.values["scheduler"] = _require_text(solver, "sample_solver")
    _put_number(done, payload, "flow_shift", ("config.sample_shift", "config.flow_shift"))
    num_images = payload.first("config.num_images", "metadata.num_images")
    if num_images is not None and parse_number("num_images", num_images) != 1:
        done.note(
            "one_output",
            f"num_images was {num_images}; {job.name} delivers one file a job, as it always did.",
        )
    if job.media_type is not MediaType.VIDEO:
        return
    _put_number(done, payload, "fps", ("config.fps",))
    value = payload.first("config.frame_num", "config.frames")
    if value is not None:
        frames = _frames(done, parse_number("frame_num", value))
        if profile == "pocket":
            frames = _scaled_clip(done, frames, model=model, reference=reference)
        done.values["num_frames"] = frames


def _frames(done: Translation, given: int | float) -> int:
    frames = int(BY_NAME["num_frames"].check(given))
    floored = check_num_frames(floored_frames(frames))
    if floored != frames:
        done.note(
            "frames_floored",
            f"frame_num {frames} became {floored}, as the old engine made it: "
            "the model makes 4n+1 frames.",
        )
    return floored


def _scaled_clip(done: Translation, frames: int, *, model: Model, reference: Model) -> int:
    scaled = scaled_frames(model.num_frames, (frames - 1) / (reference.num_frames - 1))
    done.note(
        "scaled_to_profile",
        f"{frames} frames are a clip of {reference.id}; in proportion {model.id} makes {scaled}.",
    )
    return scaled


def _note_unread(done: Translation, payload: LegacyPayload) -> None:
    names = [
        place.rpartition(".")[2] for place in _WAN_ONLY if payload.first(place) not in (None, 1)
    ]
    if names:
        done.note(
            "not_read",
            f"{', '.join(names)}: settings of the video model, which image jobs never read.",
        )


def _facts(payload: LegacyPayload, job: JobType, settings: Settings) -> Mapping[str, Any]:
    ids = (
        ("video_id", "image_id") if job.media_type is MediaType.VIDEO else ("image_id", "video_id")
    )
    file_id = payload.first(*ids)
    task = payload.first("config.task")
    return {
        "style": style_of(payload, settings),
        "job_id": payload.raw_id,
        "user_id": _path_part("user_id", payload.first("user_id")),
        # Where the payload names none: its own id if a path can hold it, else the job's here.
        "file_id": _path_part(ids[0], file_id) if file_id is not None else _or_none(payload.id),
        "wan_task": task if isinstance(task, str) and len(task) <= _MAX_TASK_CHARS else WAN_TASK,
    }


def _path_part(name: str, value: Any) -> str:
    if value is None:
        raise InvalidRequest(
            f"{name} is missing: results are stored under it.", param=name, hint=f"Set {name}."
        )
    text = _or_none(str(value)) if isinstance(value, str | int) else None
    if text is None:
        raise InvalidRequest(
            f"{name} {_short(value)} can't be part of a path.",
            param=name,
            hint="Use letters, digits and . _ - @, at most 128, a letter or digit first.",
        )
    return text


def _or_none(text: str) -> str | None:
    return text if _PATH_PART.fullmatch(text) else None


def _text(payload: LegacyPayload, name: str) -> str:
    value = payload.first(name)
    return "" if value is None else _require_text(value, name)


def _require_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(
            f"{name} {_short(value)} is not a text.", param=name, hint="Send a JSON string."
        )
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
