"""The fleet as its clients may see it, from workers' rows and performance records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ourvidz.api.fleet_schemas import FleetAnswer, FleetCost, FleetGroup, FleetNode, FleetUse
from ourvidz.api.views import gpu_answer
from ourvidz.fleet.view import FleetView, GroupView, NodeView, fleet_view
from ourvidz.jobs.model import WorkerInfo
from ourvidz.jobs.store import JobStore
from ourvidz.perf.kept import Kept, KeptRecords
from ourvidz.perf.record import Origin, PerformanceRecord

DEFAULT_WINDOW_S = 3600.0
_MARGIN_S = 60.0  # records are kept in the order of their ids, all but the order of their times


def view_of(
    store: JobStore,
    records: KeptRecords,
    workers: Sequence[WorkerInfo],
    *,
    window_s: float,
) -> FleetView:
    """Return the fleet now, used as by the jobs that ended within the last ``window_s``."""
    since_s = store.now() - window_s
    return fleet_view(workers, ended_since(records.read(), since_s), within_s=window_s)


def ended_since(kept: Kept, since_s: float) -> list[PerformanceRecord]:
    """Return the records of jobs that ended here at ``since_s`` (Unix) or later, newest first."""
    since = datetime.fromtimestamp(since_s, UTC)
    until = datetime.fromtimestamp(since_s - _MARGIN_S, UTC)
    found: list[PerformanceRecord] = []
    for each in reversed(kept.records):
        record = each.record
        if record.at < until:
            break
        if record.at >= since and record.origin is not Origin.IMPORTED:
            found.append(record)
    return found


def fleet_answer(
    view: FleetView, workers: Sequence[WorkerInfo], *, may_read_figures: bool
) -> FleetAnswer:
    """Return a view as an answer."""
    by_id = {worker.id: worker for worker in workers}
    return FleetAnswer(
        nodes=[_node(node, by_id) for node in view.nodes],
        num_groups=len(view.groups),
        num_gpus=view.num_gpus,
        gpus_by_state=view.gpus_by_state,
        resident=dict(view.resident),
        use=_use(view) if may_read_figures else None,
    )


def _node(node: NodeView, workers: dict[str, WorkerInfo]) -> FleetNode:
    return FleetNode(
        host=node.host,
        num_gpus=node.num_gpus,
        groups=[_group(group, workers[group.worker_id]) for group in node.groups],
    )


def _group(group: GroupView, worker: WorkerInfo) -> FleetGroup:
    gpu = worker.facts.get("gpu")
    return FleetGroup(
        worker_id=group.worker_id,
        device=group.device,
        state=group.state,
        num_gpus=group.num_gpus,
        num_jobs=group.num_jobs,
        resident=dict(group.resident),
        budget_bytes=group.budget_bytes,
        weights_bytes=group.weights_bytes,
        gpu=gpu_answer(gpu) if gpu else None,
    )


def _use(view: FleetView) -> FleetUse:
    return FleetUse(
        window_s=view.within_s,
        utilisation=view.utilisation,
        goodput=view.goodput,
        gpu_s=view.gpu_s,
        costs=[
            FleetCost(
                job_type=cost.job_type,
                num_jobs=cost.num_jobs,
                run_s=cost.run_s,
                gpu_s=cost.gpu_s,
                watt_hours=cost.watt_hours,
                num_measured=cost.num_measured,
            )
            for cost in view.costs
        ],
    )
