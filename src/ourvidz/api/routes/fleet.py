"""The fleet: nodes, groups, residency, utilisation, goodput and what a job costs."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Query, Request

from ourvidz.api.auth import JobsReader
from ourvidz.api.deps import Deps
from ourvidz.api.fleet import DEFAULT_WINDOW_S, fleet_answer, view_of
from ourvidz.api.fleet_schemas import FleetAnswer
from ourvidz.api.routes.common import errors
from ourvidz.perf.kept import KeptRecords

router = APIRouter(tags=["workers"])

_FIGURES_SCOPE = "metrics:read"
_MOST_S = 31 * 86_400.0

Window = Annotated[
    float,
    Query(
        ge=60.0,
        le=_MOST_S,
        description="Use and costs are those of jobs that ended within so many seconds.",
        examples=[3600, 86_400],
    ),
]


@router.get("/fleet", operation_id="get_fleet", response_model=FleetAnswer, responses=errors())
def get_fleet(
    request: Request, deps: Deps, who: JobsReader, window_s: Window = DEFAULT_WINDOW_S
) -> FleetAnswer:
    """Read the fleet as it is, and how its GPUs were used.

    Nodes, groups and loaded models are those of workers that gave a sign of life within the last
    minute. Utilisation, goodput and costs follow from performance records: a job counts once it has
    ended, with all of its time. They are of the whole installation, and so `use` is null for keys
    without `metrics:read`.
    """
    records = cast("KeptRecords", request.app.state.records)
    workers = deps.store.workers()
    view = view_of(deps.store, records, workers, window_s=window_s)
    return fleet_answer(view, workers, may_read_figures=who.may(_FIGURES_SCOPE))
