"""What ``/metrics`` tells of the fleet: its groups and GPUs, how busy they are and what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from ourvidz.fleet.view import FleetView
from ourvidz.jobs.model import Json

_GPU = (
    ("utilisation", "ourvidz_gpu_utilisation_ratio", "How busy a worker's GPU is, 0 to 1."),
    ("memory_used_bytes", "ourvidz_gpu_memory_used_bytes", "Used of a GPU by all processes."),
    ("power_w", "ourvidz_gpu_power_watts", "What a worker's GPU takes."),
    ("temperature_c", "ourvidz_gpu_temperature_celsius", "How hot a worker's GPU is."),
)


def fleet_metrics(view: FleetView, *, states: Sequence[str]) -> Iterable[Metric]:
    """Return what a view says.

    Args:
        states: of workers; those without GPUs are told too, so that a graph falls to 0.
    """
    yield GaugeMetricFamily("ourvidz_fleet_nodes", "Machines with workers.", value=len(view.nodes))
    groups = GaugeMetricFamily(
        "ourvidz_fleet_groups",
        "Workers by the number of GPUs that share their jobs; 0: on a CPU.",
        labels=["gpus"],
    )
    for size, number in sorted(Counter(group.num_gpus for group in view.groups).items()):
        groups.add_metric([str(size)], number)
    yield groups
    gpus = GaugeMetricFamily(
        "ourvidz_fleet_gpus", "GPUs by the state of their worker.", labels=["state"]
    )
    by_state = view.gpus_by_state
    for state in sorted({*states, *by_state}):
        gpus.add_metric([state], by_state.get(state, 0))
    yield gpus
    yield _share(
        "ourvidz_fleet_utilisation_ratio",
        f"Share of GPU time that encoded, denoised or decoded {_within(view)}; none without GPUs.",
        view.utilisation,
    )
    yield _share(
        "ourvidz_fleet_goodput_ratio",
        f"Share of GPU time that denoised {_within(view)}; none without GPUs.",
        view.goodput,
    )


def gpu_metrics(told: Sequence[tuple[str, Json]]) -> Iterable[Metric]:
    """Return what workers' GPUs did at their last beat; nothing of what the driver hides."""
    for field, name, text in _GPU:
        family = GaugeMetricFamily(name, text, labels=["worker"])
        for worker_id, gpu in told:
            value = gpu.get(field)
            if value is not None:
                family.add_metric([worker_id], float(value))
        yield family


def _within(view: FleetView) -> str:
    return f"in the last {view.within_s:.0f} s"


def _share(name: str, text: str, share: float | None) -> Metric:
    family = GaugeMetricFamily(name, text)
    if share is not None:
        family.add_metric([], share)
    return family
