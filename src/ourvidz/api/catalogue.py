"""The catalogue as clients see it: forms and checks derive from its JSON Schemas."""

from __future__ import annotations

from typing import Any

from ourvidz.api.schemas import CatalogueAnswer, JobTypeAnswer, ParameterAnswer, PresetAnswer
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.job_types import JobType
from ourvidz.catalog.models import Model
from ourvidz.catalog.parameters import (
    FRAME_STRIDE,
    MAX_PROMPT_CHARS,
    PARAMETERS,
    Parameter,
)
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE, resolve
from ourvidz.checkpoints.confirmations import offers_of
from ourvidz.core.request import MediaType

_TYPES = {"str": "string", "choice": "string", "int": "integer", "float": "number"}


def catalogue_answer(catalogue: Catalogue, settings: Settings) -> CatalogueAnswer:
    """Return job types, presets and parameters under the active profile."""
    return CatalogueAnswer(
        profile=settings.profile,
        default_job_type=DEFAULT_JOB_TYPE,
        job_types=[_job_type(job, catalogue, settings) for job in catalogue.job_types.values()],
        parameters=[
            ParameterAnswer(
                name=parameter.name,
                text=parameter.text,
                unit=parameter.unit,
                families=list(parameter.applies_to),
                json_schema=schema_of(parameter),
            )
            for parameter in PARAMETERS
        ],
    )


def schema_of(parameter: Parameter, default: Any = None) -> dict[str, Any]:
    """Return the JSON Schema of one parameter; ``default`` is what leaving it out means."""
    schema: dict[str, Any] = {"type": _TYPES[parameter.kind], "description": parameter.text}
    bounds = {
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "multipleOf": parameter.multiple_of,
    }
    for name, bound in bounds.items():
        if bound is not None:
            schema[name] = int(bound) if parameter.kind == "int" else bound
    if parameter.choices:
        schema["enum"] = [str(choice) for choice in parameter.choices]
    if parameter.kind == "str":
        schema["maxLength"] = MAX_PROMPT_CHARS
    if parameter.name == "num_frames":
        schema["x-step"] = FRAME_STRIDE  # 4n+1, which JSON Schema has no word for
    if parameter.unit:
        schema["x-unit"] = parameter.unit
    if default is not None:
        schema["default"] = default
    return schema


def _job_type(job: JobType, catalogue: Catalogue, settings: Settings) -> JobTypeAnswer:
    model = catalogue.model_for(settings.profile, job.role)
    presets = [_preset(job, name, catalogue, settings) for name in catalogue.presets_of(job.name)]
    defaults = presets[0].values
    properties = {
        parameter.name: schema_of(parameter, defaults.get(parameter.name))
        for parameter in PARAMETERS
        if _applies(parameter, job, model)
    }
    return JobTypeAnswer(
        name=job.name,
        text=job.text,
        media_type=job.media_type.value,
        model=model.id,
        family=model.family,
        is_enhanced=job.is_enhanced,
        presets=presets,
        json_schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "prompt": {"type": "string", "minLength": 1, "maxLength": MAX_PROMPT_CHARS},
                **properties,
            },
            "required": ["prompt"],
            "additionalProperties": False,
        },
    )


def _preset(job: JobType, name: str, catalogue: Catalogue, settings: Settings) -> PresetAnswer:
    """Return a preset with the values that it comes to, by resolving it as a job would be."""
    request = resolve(
        catalogue=catalogue,
        settings=settings,
        prompt="any",
        seed=0,
        job_type=job.name,
        preset=name,
        offers=offers_of(settings),
    )
    model = catalogue.model_for(settings.profile, job.role)
    resolved = request.to_dict()
    values = {
        parameter.name: resolved[parameter.name]
        for parameter in PARAMETERS
        if parameter.name != "seed" and _applies(parameter, job, model)
    }
    return PresetAnswer(name=name, text=catalogue.preset(job.name, name).text, values=values)


def _applies(parameter: Parameter, job: JobType, model: Model) -> bool:
    if parameter.applies_to and model.family not in parameter.applies_to:
        return False
    is_video = job.media_type is MediaType.VIDEO
    return is_video or parameter.name not in {"num_frames", "fps"}
