"""A fleet for people: nodes, groups, what is loaded, how busy it is and what a video costs.

From workers' rows and performance records alone; whoever shows it (API, metrics, dashboard) reads
both and calls ``fleet_view``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ourvidz.core.phase import Phase
from ourvidz.jobs.model import WorkerInfo
from ourvidz.perf.record import PerformanceRecord

_JOULES_A_WATT_HOUR = 3600.0
_CPU = "cpu"  # the one device that is no GPU
GROUP_SIZE = "group_size"  # in a worker's facts, and in a fingerprint's ``setup``


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupView:
    """One worker."""

    worker_id: str
    device: str
    state: str
    num_gpus: int  # 0: it works on the CPU
    resident: Mapping[str, int]  # bytes by model
    num_jobs: int
    budget_bytes: int | None
    weights_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeView:
    """One machine."""

    host: str
    groups: tuple[GroupView, ...]

    @property
    def num_gpus(self) -> int:
        """Of all its groups."""
        return sum(group.num_gpus for group in self.groups)


@dataclass(frozen=True, kw_only=True, slots=True)
class CostView:
    """What jobs of a type cost, as means."""

    job_type: str
    num_jobs: int
    run_s: float | None  # from claim to end, without other jobs' turns; None: nobody measured it
    gpu_s: float | None  # of all GPUs of the group, of jobs that had one; None: none had
    watt_hours: float | None  # None: no GPU told its power
    num_measured: int  # jobs behind the watt-hours


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetView:
    """A fleet over some time."""

    nodes: tuple[NodeView, ...]
    resident: Mapping[str, int]  # workers that hold a model
    within_s: float
    gpu_s: float  # of all jobs, failed ones included
    utilisation: float | None  # share of GPU time that jobs had; None: there are no GPUs
    goodput: float | None  # share that denoised
    costs: tuple[CostView, ...]

    @property
    def groups(self) -> tuple[GroupView, ...]:
        """Of all nodes."""
        return tuple(group for node in self.nodes for group in node.groups)

    @property
    def num_gpus(self) -> int:
        """Of all nodes."""
        return sum(node.num_gpus for node in self.nodes)

    @property
    def gpus_by_state(self) -> dict[str, int]:
        """GPUs by the state of their worker; states without GPUs are left out."""
        found: dict[str, int] = defaultdict(int)
        for group in self.groups:
            found[group.state] += group.num_gpus
        return {state: found[state] for state in sorted(found) if found[state]}


def fleet_view(
    workers: Sequence[WorkerInfo], records: Iterable[PerformanceRecord], *, within_s: float
) -> FleetView:
    """Return the fleet as it is and as it was used.

    Args:
        workers: the rows of those that live.
        records: of jobs that ended within the last ``within_s``, failed ones included.
        within_s: how long that is. The fleet is taken to have been as large all that time.
    """
    nodes = _nodes(workers)
    capacity_s = within_s * sum(node.num_gpus for node in nodes)
    found = list(records)
    busy_s = sum(map(gpu_seconds, found))
    denoising_s = sum(map(denoising_seconds, found))
    return FleetView(
        nodes=nodes,
        resident=_resident(workers),
        within_s=within_s,
        gpu_s=busy_s,
        utilisation=min(1.0, busy_s / capacity_s) if capacity_s > 0 else None,
        goodput=min(1.0, denoising_s / capacity_s) if capacity_s > 0 else None,
        costs=_costs(found),
    )


def gpu_seconds(record: PerformanceRecord) -> float:
    """Return the GPU time that a job had: of every GPU of its group; of a batch, its own share.

    Encoding, denoising and decoding; of a record that does not tell it, the whole run.
    """
    if record.device_s is not None:  # of a batch, already the job's own share
        return num_gpus(record) * record.device_s
    return num_gpus(record) * (record.run_s or 0.0) / _sharers(record)


def denoising_seconds(record: PerformanceRecord) -> float:
    """Return the part of a job's GPU time that denoised. A batch's phases are whole in each job."""
    return num_gpus(record) * record.phases_s.get(Phase.DENOISE.value, 0.0) / _sharers(record)


def watt_hours(record: PerformanceRecord) -> float | None:
    """Return the energy of the GPUs that is a job's; None where no GPU told it.

    What was measured is the first GPU's during the whole job: the others of a group do the same
    work, and what turns and batches shared is divided by time and number.
    """
    energy_j = record.device.get("energy_j")
    if energy_j is None:
        return None
    run_s = record.run_s or 0.0
    own = run_s / (run_s + record.shared_s) if run_s + record.shared_s > 0 else 1.0
    return num_gpus(record) * energy_j * own / _sharers(record) / _JOULES_A_WATT_HOUR


def num_gpus(record: PerformanceRecord) -> int:
    """Return on how many GPUs a job ran; a record that names no device counts as one GPU's."""
    machine: Mapping[str, Any] = record.environment.get("machine") or {}
    if _is_cpu(machine.get("device")):
        return 0
    setup: Mapping[str, Any] = record.environment.get("setup") or {}
    return _size(setup.get(GROUP_SIZE))


def _sharers(record: PerformanceRecord) -> int:
    return 1 + record.batched_with


def _is_cpu(device: object) -> bool:
    return str(device).partition(":")[0] == _CPU


def _size(value: object) -> int:
    return value if isinstance(value, int) and value >= 1 else 1


def _nodes(workers: Sequence[WorkerInfo]) -> tuple[NodeView, ...]:
    by_host: dict[str, list[GroupView]] = defaultdict(list)
    for worker in sorted(workers, key=lambda worker: (worker.host, worker.device, worker.id)):
        by_host[worker.host].append(_group(worker))
    return tuple(NodeView(host=host, groups=tuple(groups)) for host, groups in by_host.items())


def _group(worker: WorkerInfo) -> GroupView:
    memory: Mapping[str, Any] = worker.facts.get("memory") or {}
    return GroupView(
        worker_id=worker.id,
        device=worker.device,
        state=worker.state,
        num_gpus=0 if _is_cpu(worker.device) else _size(worker.facts.get(GROUP_SIZE)),
        resident=dict(worker.resident),
        num_jobs=len(worker.jobs),
        budget_bytes=memory.get("budget_bytes") or None,
        weights_bytes=memory.get("weights_bytes"),
    )


def _resident(workers: Sequence[WorkerInfo]) -> dict[str, int]:
    models = [model for worker in workers for model in worker.resident]
    return {model: models.count(model) for model in sorted(set(models))}


def _costs(records: Sequence[PerformanceRecord]) -> tuple[CostView, ...]:
    by_type: dict[str, list[PerformanceRecord]] = defaultdict(list)
    for record in records:
        if record.is_success:
            by_type[record.job_type].append(record)
    return tuple(_cost(job_type, by_type[job_type]) for job_type in sorted(by_type))


def _cost(job_type: str, records: Sequence[PerformanceRecord]) -> CostView:
    watts = [each for each in map(watt_hours, records) if each is not None]
    return CostView(
        job_type=job_type,
        num_jobs=len(records),
        run_s=_mean([record.run_s for record in records if record.run_s is not None]),
        gpu_s=_mean([gpu_seconds(record) for record in records if num_gpus(record)]),
        watt_hours=_mean(watts),
        num_measured=len(watts),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
