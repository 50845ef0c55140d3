"""What ``/metrics`` tells Prometheus: requests of this process, and the queue as the store has it.

Each application has a registry of its own, so that several can live in one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

import ourvidz
from ourvidz.api.fleet import DEFAULT_WINDOW_S, view_of
from ourvidz.api.metrics_fleet import fleet_metrics, gpu_metrics
from ourvidz.api.metrics_records import RecordMetrics
from ourvidz.core.job import JobState
from ourvidz.jobs.model import JobFilter, Json
from ourvidz.jobs.store import JobStore
from ourvidz.perf.kept import KeptRecords

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_STATES = ("starting", "idle", "busy", "draining")
_LAST_JOBS = 500  # job durations are told of so many


class StoreCollector(Collector):
    """Asks the store at every scrape; nothing is counted twice when several servers run."""

    def __init__(self, store: JobStore, records: KeptRecords) -> None:
        self._store = store
        self._records = records
        self._of_records = RecordMetrics(records)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: a registry must not ask the store when it is built."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return queue, worker and job metrics as of now."""
        version = InfoMetricFamily("ourvidz", "What runs here.")
        version.add_metric([], {"version": ourvidz.__version__})
        yield version
        yield from self._queue()
        yield from self._workers()
        yield self._durations()
        yield from self._of_records.collect()

    def _queue(self) -> Iterable[Metric]:
        counts = self._store.counts()
        jobs = GaugeMetricFamily("ourvidz_jobs", "Jobs by state.", labels=["state"])
        for state in JobState:
            jobs.add_metric([state.value], counts.by_state.get(state.value, 0))
        yield jobs
        queued = GaugeMetricFamily(
            "ourvidz_queued_jobs", "Queued jobs by job type.", labels=["job_type"]
        )
        for job_type, number in sorted(counts.queued_by_job_type.items()):
            queued.add_metric([job_type], number)
        yield queued
        yield GaugeMetricFamily(
            "ourvidz_oldest_queued_seconds",
            "How long the oldest queued job has been waiting.",
            value=counts.oldest_queued_s or 0.0,
        )
        paused = GaugeMetricFamily("ourvidz_paused", "Paused scopes.", labels=["scope"])
        for scope in counts.paused:
            paused.add_metric([scope], 1)
        yield paused

    def _workers(self) -> Iterable[Metric]:
        workers = self._store.workers()
        by_state = GaugeMetricFamily("ourvidz_workers", "Workers by state.", labels=["state"])
        for state in sorted({*_STATES, *(worker.state for worker in workers)}):
            by_state.add_metric([state], sum(worker.state == state for worker in workers))
        yield by_state
        resident = GaugeMetricFamily(
            "ourvidz_resident_bytes",
            "Bytes that a model takes on a worker's device.",
            labels=["worker", "model"],
        )
        for worker in workers:
            for model, num_bytes in worker.resident.items():
                resident.add_metric([worker.id, model], float(num_bytes))
        yield resident
        yield from _memory([(worker.id, worker.facts.get("memory") or {}) for worker in workers])
        yield from gpu_metrics([(worker.id, worker.facts.get("gpu") or {}) for worker in workers])
        yield from fleet_metrics(
            view_of(self._store, self._records, workers, window_s=DEFAULT_WINDOW_S),
            states=_STATES,
        )

    def _durations(self) -> Metric:
        """Return run times of the last succeeded jobs: count and sum by job type."""
        family = SummaryMetricFamily(
            "ourvidz_recent_job_run_seconds",
            f"Run times of the last {_LAST_JOBS} succeeded jobs.",
            labels=["job_type"],
        )
        jobs = self._store.list_jobs(JobFilter(states=(JobState.SUCCEEDED,)), limit=_LAST_JOBS)
        by_type: dict[str, list[float]] = {}
        for job in jobs:
            if job.started_at is not None and job.finished_at is not None:
                run_s = max(0.0, job.finished_at - job.started_at)
                by_type.setdefault(job.request.job_type, []).append(run_s)
        for job_type, times_s in sorted(by_type.items()):
            family.add_metric([job_type], count_value=len(times_s), sum_value=sum(times_s))
        return family


_MEMORY_KINDS = ("weights", "derived", "arriving", "activations", "free")


def _memory(told: Sequence[tuple[str, Json]]) -> Iterable[Metric]:
    """Return what workers told of their devices' memory; nothing of one that has not yet."""
    told = [(worker_id, memory) for worker_id, memory in told if memory]
    budget = GaugeMetricFamily(
        "ourvidz_memory_budget_bytes",
        "Bytes of a worker's device, or of host memory for copies of weights, that it may use.",
        labels=["worker", "place"],
    )
    used = GaugeMetricFamily(
        "ourvidz_memory_bytes",
        "Bytes of a worker's device by kind: weights, what is made of them (derived), what is "
        "arriving, what is kept for the work itself (activations), free (may be negative).",
        labels=["worker", "kind"],
    )
    pressure = GaugeMetricFamily(
        "ourvidz_memory_pressure",
        "1 for the level that a worker's device is at: ok, tight or full.",
        labels=["worker", "level"],
    )
    components = GaugeMetricFamily(
        "ourvidz_component_bytes",
        "Bytes of a model's component where its weights are: device, host, page_cache or disk.",
        labels=["worker", "model", "component", "place"],
    )
    for worker_id, memory in told:
        for place, name in (("device", "budget_bytes"), ("host", "host_budget_bytes")):
            budget.add_metric([worker_id, place], float(memory.get(name, 0)))
        for kind in _MEMORY_KINDS:
            used.add_metric([worker_id, kind], float(memory.get(f"{kind}_bytes", 0)))
        for level in ("ok", "tight", "full"):
            pressure.add_metric([worker_id, level], float(memory.get("level") == level))
        for placed in memory.get("components", ()):
            labels = [worker_id, placed["model"], placed["name"], placed["place"]]
            components.add_metric(labels, float(placed["bytes"]))
    yield from (budget, used, pressure, components)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """The registry and what this process counts itself."""

    registry: CollectorRegistry
    requests: Counter
    latency: Histogram
    errors: Counter

    def observe(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one answered request. ``route`` is the template, never the path itself."""
        self.requests.labels(method, route, str(status)).inc()
        self.latency.labels(method, route).observe(duration_s)

    def text(self) -> bytes:
        """Return everything in Prometheus' text form."""
        return generate_latest(self.registry)


def make_metrics(store: JobStore, records: KeptRecords) -> Metrics:
    """Return the metrics of one application."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(store, records))
    return Metrics(
        registry=registry,
        requests=Counter(
            "ourvidz_http_requests",
            "Requests answered by this process.",
            ["method", "route", "status"],
            registry=registry,
        ),
        latency=Histogram(
            "ourvidz_http_request_seconds",
            "From the request's first byte to the start of its answer.",
            ["method", "route"],
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        ),
        errors=Counter(
            "ourvidz_http_unexpected_errors",
            "Requests that ended in an unexpected error; the log has their traces.",
            registry=registry,
        ),
    )
