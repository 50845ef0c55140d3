"""``/models``: the names that ``model`` may say."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter

from ourvidz.api.auth import JobsReader
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.openai.names import names_for
from ourvidz.api.openai.objects import ModelList, ModelObject
from ourvidz.api.openai.schemas import error_responses
from ourvidz.catalog.parameters import suggest
from ourvidz.core.errors import NotFound
from ourvidz.core.request import MediaType

router = APIRouter()

# OpenAI's contract wants a date. Job types have none of their own: the first catalogue's stands.
_CREATED = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp())


@router.get("/models", operation_id="openai_list_models", responses=error_responses())
def list_models(deps: Deps, who: JobsReader) -> ModelList:
    """Return every job type, and the models of the running profile."""
    del who
    return ModelList(data=list(_models(deps).values()))


@router.get(
    "/models/{model:path}", operation_id="openai_retrieve_model", responses=error_responses(404)
)
def retrieve_model(model: str, deps: Deps, who: JobsReader) -> ModelObject:
    """Return one of them."""
    del who
    models = _models(deps)
    if model not in models:
        raise NotFound(
            f"Model {model!r} is not served here.",
            param="model",
            hint=suggest(model, tuple(models)),
        )
    return models[model]


def _models(deps: AppDeps) -> dict[str, ModelObject]:
    found: dict[str, ModelObject] = {}
    for media_type in MediaType:
        for name in names_for(media_type, deps.catalogue, deps.settings):
            if name in found:  # a video model, which makes single frames too
                found[name].media_types.append(media_type.value)
            else:
                found[name] = _model(name, media_type, deps)
    return found


def _model(name: str, media_type: MediaType, deps: AppDeps) -> ModelObject:
    job = deps.catalogue.job_types.get(name)
    return ModelObject(
        id=name,
        created=_CREATED,
        owned_by="ourvidz",
        kind="model" if job is None else "job_type",
        text=deps.catalogue.model(name).title if job is None else job.text,
        media_types=[media_type.value],
    )
