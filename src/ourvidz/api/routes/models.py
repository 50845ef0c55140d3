"""What can be asked for, and what runs it: catalogue, models, workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from ourvidz.api.auth import JobsReader, ModelsWriter, QueueWriter
from ourvidz.api.catalogue import catalogue_answer
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.overview import worker_list
from ourvidz.api.routes.common import errors
from ourvidz.api.schemas import (
    CatalogueAnswer,
    Commanded,
    FidelityAnswer,
    FidelityFigure,
    FidelityVerdict,
    ModelAnswer,
    ModelList,
    Residency,
    ResidencyRequest,
    WorkerList,
)
from ourvidz.catalog.models import Model
from ourvidz.catalog.offers import confirm_command
from ourvidz.checkpoints.confirmations import Confirmation, Standing, standings
from ourvidz.core.errors import IllegalState, NotFound, UnknownName
from ourvidz.core.request import Fidelity
from ourvidz.jobs.model import WorkerInfo

router = APIRouter()

ModelId = Annotated[str, Path(max_length=200, description="The model's id in the catalogue.")]
WorkerId = Annotated[str, Path(max_length=200, description="The worker's id.")]


@router.get(
    "/catalog",
    operation_id="get_catalog",
    response_model=CatalogueAnswer,
    responses=errors(),
    tags=["catalogue"],
)
def get_catalog(deps: Deps, who: JobsReader) -> CatalogueAnswer:
    """Read job types, presets and parameters, with JSON Schemas for forms and checks."""
    del who
    return catalogue_answer(deps.catalogue, deps.settings)


@router.get(
    "/models",
    operation_id="list_models",
    response_model=ModelList,
    responses=errors(),
    tags=["models"],
)
def list_models(deps: Deps, who: JobsReader) -> ModelList:
    """List the models of the catalogue, and on which workers they are resident."""
    del who
    workers = deps.store.workers()
    return ModelList(
        data=[_answer(model, workers, deps) for model in deps.catalogue.models.values()]
    )


@router.get(
    "/models/{model_id}",
    operation_id="get_model",
    response_model=ModelAnswer,
    responses=errors(404),
    tags=["models"],
)
def get_model(model_id: ModelId, deps: Deps, who: JobsReader) -> ModelAnswer:
    """Read one model."""
    del who
    return _answer(_known(model_id, deps), deps.store.workers(), deps)


@router.post(
    "/models/{model_id}/load",
    operation_id="load_model",
    status_code=202,
    response_model=Commanded,
    responses=errors(404, 409),
    tags=["models"],
)
def load_model(
    model_id: ModelId, deps: Deps, who: ModelsWriter, body: ResidencyRequest | None = None
) -> Commanded:
    """Ask workers to load a model before a job needs it."""
    del who
    return _command("load", _known(model_id, deps), body, deps)


@router.post(
    "/models/{model_id}/unload",
    operation_id="unload_model",
    status_code=202,
    response_model=Commanded,
    responses=errors(404, 409),
    tags=["models"],
)
def unload_model(
    model_id: ModelId, deps: Deps, who: ModelsWriter, body: ResidencyRequest | None = None
) -> Commanded:
    """Ask workers to free a model that no job of theirs uses."""
    del who
    return _command("unload", _known(model_id, deps), body, deps)


@router.get(
    "/workers",
    operation_id="list_workers",
    response_model=WorkerList,
    responses=errors(),
    tags=["workers"],
)
def list_workers(deps: Deps, who: JobsReader) -> WorkerList:
    """List the workers that gave a sign of life within the last minute."""
    return worker_list(deps.store.workers(), who.tenant_filter)


@router.post(
    "/workers/{worker_id}/drain",
    operation_id="drain_worker",
    status_code=202,
    response_model=Commanded,
    responses=errors(404),
    tags=["workers"],
)
def drain_worker(worker_id: WorkerId, deps: Deps, who: QueueWriter) -> Commanded:
    """Ask a worker to finish what it runs, take nothing more, and end."""
    del who
    if worker_id not in {worker.id for worker in deps.store.workers()}:
        raise NotFound(hint="See the list of workers.")
    deps.store.command_worker(worker_id, "drain")
    return Commanded(worker_ids=[worker_id])


def _known(model_id: str, deps: AppDeps) -> Model:
    try:
        return deps.catalogue.model(model_id)
    except UnknownName as error:
        raise NotFound(error.message, param="model_id", hint=error.hint) from None


def _command(verb: str, model: Model, body: ResidencyRequest | None, deps: AppDeps) -> Commanded:
    able = [
        worker.id
        for worker in deps.store.workers()
        if (not worker.models or model.id in worker.models)
        and (body is None or body.worker_id in (None, worker.id))
    ]
    asked = [worker_id for worker_id in able if _ask(worker_id, verb, model, deps)]
    if not asked:
        raise IllegalState(
            "No running worker runs this model.", hint="Start one with: ourvidz worker"
        )
    return Commanded(worker_ids=asked)


def _ask(worker_id: str, verb: str, model: Model, deps: AppDeps) -> bool:
    """Leave a command; False for a worker that has gone since it was listed."""
    try:
        deps.store.command_worker(worker_id, verb, model.id)
    except NotFound:
        return False
    return True


def _answer(model: Model, workers: tuple[WorkerInfo, ...], deps: AppDeps) -> ModelAnswer:
    profile = deps.settings.profile
    found = standings(deps.settings, model)
    offered = [standing.offer.fidelity for standing in found if standing.offer.is_offered]
    default = deps.settings.default_fidelity.get(model.id, Fidelity.EXACT)
    return ModelAnswer(
        id=model.id,
        title=model.title,
        role=model.role.value,
        family=model.family,
        profile=model.profile,
        license=model.license,
        is_active=deps.catalogue.model_for(profile, model.role).id == model.id,
        width=model.width,
        height=model.height,
        num_frames=model.num_frames,
        fps=model.fps,
        fidelities=[fidelity.value for fidelity in offered],
        default_fidelity=(default if default in offered else Fidelity.EXACT).value,
        fidelity_verdicts=[_fidelity(model, standing) for standing in found],
        resident_on=[
            Residency(
                worker_id=worker.id, device=worker.device, bytes=int(worker.resident[model.id])
            )
            for worker in workers
            if model.id in worker.resident
        ],
    )


def _fidelity(model: Model, standing: Standing) -> FidelityAnswer:
    offer = standing.offer
    return FidelityAnswer(
        fidelity=offer.fidelity.value,
        is_offered=offer.is_offered,
        reason=offer.reason or None,
        command=None if offer.is_offered else confirm_command(model.id, offer.fidelity),
        verdict=_verdict(standing.confirmation),
    )


def _verdict(found: Confirmation | None) -> FidelityVerdict | None:
    if found is None:
        return None
    return FidelityVerdict(
        is_held=found.is_held,
        is_random=found.is_random,
        created_at=found.created_at.isoformat(),
        device=found.subject.device,
        version=found.subject.version,
        plan=found.plan,
        figures=[
            FidelityFigure(
                metric=figure.metric,
                value=figure.value,
                limit=figure.limit,
                is_least=figure.is_least,
                unit=figure.unit,
                is_held=figure.is_held,
            )
            for figure in found.figures
        ],
    )
