"""What ``model`` may say: a job type, or a model of the running profile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.job_types import JobType
from ourvidz.catalog.models import Model, Role
from ourvidz.catalog.parameters import suggest
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.core.request import MediaType


class Speed(StrEnum):
    """Which of a model's two job types: the quicker one, or the one of more steps."""

    FAST = "fast"
    HIGH = "high"


# The shipped job type of a model, by its role, what it is to make, and how fast.
_JOB_TYPES: dict[tuple[Role, MediaType, Speed], str] = {
    (Role.VIDEO, MediaType.VIDEO, Speed.FAST): "video_fast",
    (Role.VIDEO, MediaType.VIDEO, Speed.HIGH): "video_high",
    (Role.VIDEO, MediaType.IMAGE, Speed.FAST): "image_fast",
    (Role.VIDEO, MediaType.IMAGE, Speed.HIGH): "image_high",
    (Role.IMAGE, MediaType.IMAGE, Speed.FAST): "sdxl_image_fast",
    (Role.IMAGE, MediaType.IMAGE, Speed.HIGH): "sdxl_image_high",
}

_ENHANCED: dict[str, str] = {
    "image_fast": "image7b_fast_enhanced",
    "image_high": "image7b_high_enhanced",
    "video_fast": "video7b_fast_enhanced",
    "video_high": "video7b_high_enhanced",
}
_PLAIN: dict[str, str] = {enhanced: plain for plain, enhanced in _ENHANCED.items()}

_ROUTES = {MediaType.VIDEO: "/v1/videos", MediaType.IMAGE: "/v1/images/generations"}
_WORDS = {MediaType.VIDEO: "videos", MediaType.IMAGE: "images"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What a request will run."""

    job_type: JobType
    model: Model
    is_named: bool  # the client named the job type itself, so nothing else may change its speed


def target_of(
    name: str | None,
    *,
    makes: MediaType,
    catalogue: Catalogue,
    settings: Settings,
    speed: Speed = Speed.FAST,
) -> Target:
    """Return what ``name`` (a job type, a catalogue model, or nothing) means for ``makes``.

    Args:
        speed: chooses between a model's two job types; a job type named outright keeps its own.

    Raises:
        UnknownName: no such name, or a model that the running profile does not use.
        InvalidRequest: it makes the other kind of media, or none.
    """
    if name is None:
        role = Role.VIDEO if makes is MediaType.VIDEO else Role.IMAGE
        return _by_role(role, makes, catalogue, settings, speed)
    if name in catalogue.job_types:
        job = catalogue.job_types[name]
        if job.media_type is not makes:
            raise _wrong_media(f"Job type {name!r}", job.media_type, makes)
        model = catalogue.model_for(settings.profile, job.role)
        return Target(job_type=job, model=model, is_named=True)
    if name in catalogue.models:
        role = _served_model(catalogue.models[name], catalogue, settings).role
        if role is Role.ENHANCER:
            raise InvalidRequest(
                f"Model {name!r} writes prompts; it makes no {_WORDS[makes]}.",
                param="model",
                hint="Send enhance_prompt with a video model instead.",
            )
        if (role, makes, speed) not in _JOB_TYPES:
            raise _wrong_media(f"Model {name!r}", MediaType.IMAGE, makes)
        return _by_role(role, makes, catalogue, settings, speed)
    known = names_for(makes, catalogue, settings)
    raise UnknownName(
        f"model {name!r} is unknown to this service.", param="model", hint=suggest(name, known)
    )


def names_for(makes: MediaType, catalogue: Catalogue, settings: Settings) -> tuple[str, ...]:
    """Return the names that ``model`` may say for ``makes``."""
    jobs = (job.name for job in catalogue.job_types.values() if job.media_type is makes)
    roles = dict.fromkeys(role for role, media, _ in _JOB_TYPES if media is makes)
    models = (catalogue.model_for(settings.profile, role).id for role in roles)
    return (*jobs, *models)


def enhanced_twin(job: JobType, *, is_enhanced: bool, catalogue: Catalogue) -> JobType:
    """Return the job type of the same speed with (or without) prompt enhancement.

    Raises:
        InvalidRequest: there is none.
    """
    if job.is_enhanced is is_enhanced:
        return job
    twin = (_ENHANCED if is_enhanced else _PLAIN).get(job.name)
    if twin is None:
        word = "with" if is_enhanced else "without"
        raise InvalidRequest(
            f"Job type {job.name!r} has no twin {word} prompt enhancement.",
            param="enhance_prompt",
            hint="These have: " + ", ".join(_ENHANCED if is_enhanced else _PLAIN) + ".",
        )
    return catalogue.job_type(twin)


def _by_role(
    role: Role, makes: MediaType, catalogue: Catalogue, settings: Settings, speed: Speed
) -> Target:
    return Target(
        job_type=catalogue.job_type(_JOB_TYPES[role, makes, speed]),
        model=catalogue.model_for(settings.profile, role),
        is_named=False,
    )


def _served_model(model: Model, catalogue: Catalogue, settings: Settings) -> Model:
    used = catalogue.model_for(settings.profile, model.role)
    if used.id == model.id:
        return model
    raise UnknownName(
        f"model {model.id!r} is not what this service runs: profile {settings.profile!r} uses "
        f"{used.id!r} for this.",
        param="model",
        hint=f"Send {used.id!r}, or ask the operator for the other model.",
    )


def _wrong_media(what: str, made: MediaType, wanted: MediaType) -> InvalidRequest:
    return InvalidRequest(
        f"{what} makes {_WORDS[made]}, not {_WORDS[wanted]}.",
        param="model",
        hint=f"POST it to {_ROUTES[made]}, or choose another model.",
    )
