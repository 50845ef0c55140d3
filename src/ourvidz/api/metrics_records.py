"""Histograms of what jobs took, counted from their performance records.

Records outlive restarts and are the same for every server, and so are these: where several servers
are scraped, take ``max by`` and not ``sum by``. Each scrape counts only what came since the last.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from ourvidz.core.phase import Phase
from ourvidz.fleet.view import denoising_seconds, gpu_seconds, num_gpus, watt_hours
from ourvidz.perf.kept import Kept, KeptRecords
from ourvidz.perf.record import Origin, PerformanceRecord

# Images of the pocket models take a second, videos of the full ones minutes.
_JOB_S = (0.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 3600)
_PHASE_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_WAIT_S = (0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_GPU_S, _DENOISE_S = "ourvidz_gpu_seconds", "ourvidz_gpu_denoise_seconds"
_JOULES_A_WATT_HOUR = 3600.0
_JOULES = "ourvidz_gpu_energy_joules"
_GPU = (
    (_GPU_S, "GPU time of jobs that ended, failed ones included, of every GPU of their groups."),
    (_DENOISE_S, "The part of ourvidz_gpu_seconds that denoised."),
    (_JOULES, "Energy of the GPUs of jobs that ended; nothing of GPUs that don't tell it."),
)
_STEP_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


@dataclass(kw_only=True, slots=True)
class _Counts:
    """One histogram: counts a bucket, by label values."""

    name: str
    text: str
    labels: tuple[str, ...]
    bounds: Sequence[float]
    counts: dict[tuple[str, ...], list[int]] = field(
        default_factory=dict[tuple[str, ...], list[int]]
    )
    sums: dict[tuple[str, ...], float] = field(default_factory=dict)

    def observe(self, value: float, *labels: str) -> None:
        counts = self.counts.setdefault(labels, [0] * (len(self.bounds) + 1))
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[labels] = self.sums.get(labels, 0.0) + value

    def family(self) -> Metric:
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        for labels, counts in sorted(self.counts.items()):
            buckets = list(zip(names, accumulate(counts), strict=True))
            family.add_metric(labels, buckets, sum_value=self.sums[labels])
        return family


class RecordMetrics:
    """Counts each record once. For several threads."""

    def __init__(self, records: KeptRecords) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._begin(epoch=0)

    def collect(self) -> Iterable[Metric]:
        """Return the histograms as of now."""
        with self._lock:
            self._count(self._records.read())
            ended = CounterMetricFamily(
                "ourvidz_finished_jobs",
                "Jobs that left a performance record, by outcome: succeeded, or why they failed.",
                labels=["job_type", "outcome"],
            )
            for labels, number in sorted(self._ended.items()):
                ended.add_metric(labels, number)
            gpu = [_counter(name, text, self._gpu[name]) for name, text in _GPU]
            return [each.family() for each in self._histograms] + [ended, *gpu]

    def _begin(self, *, epoch: int) -> None:
        self._epoch, self._num_counted = epoch, 0
        self._ended: dict[tuple[str, str], int] = {}
        self._gpu: dict[str, dict[str, float]] = {name: {} for name, _ in _GPU}
        self._jobs = _Counts(
            name="ourvidz_job_seconds",
            text="From claim to end of succeeded jobs, without other jobs' turns.",
            labels=("job_type",),
            bounds=_JOB_S,
        )
        self._phases = _Counts(
            name="ourvidz_phase_seconds",
            text="Exclusive time of each phase of succeeded jobs, those without it left out.",
            labels=("job_type", "phase"),
            bounds=_PHASE_S,
        )
        self._waits = _Counts(
            name="ourvidz_queue_wait_seconds",
            text="From submit to claim of succeeded jobs.",
            labels=("job_type",),
            bounds=_WAIT_S,
        )
        self._steps = _Counts(
            name="ourvidz_step_seconds",
            text="Each denoising step of succeeded jobs.",
            labels=("job_type",),
            bounds=_STEP_S,
        )
        self._histograms = (self._jobs, self._phases, self._waits, self._steps)

    def _count(self, kept: Kept) -> None:
        if kept.epoch != self._epoch:
            self._begin(epoch=kept.epoch)
        for each in kept.records[self._num_counted :]:
            if each.record.origin is not Origin.IMPORTED:
                self._add(each.record)
        self._num_counted = len(kept.records)

    def _add(self, record: PerformanceRecord) -> None:
        job_type = record.job_type
        outcome = "succeeded" if record.is_success else record.failure or "unknown"
        self._ended[job_type, outcome] = self._ended.get((job_type, outcome), 0) + 1
        self._add_gpu(record)
        if not record.is_success:
            return
        if record.run_s is not None:
            self._jobs.observe(max(0.0, record.run_s), job_type)
        for phase, seconds in record.phases_s.items():
            if phase == Phase.QUEUE_WAIT:
                self._waits.observe(seconds, job_type)
            else:
                self._phases.observe(seconds, job_type, phase)
        for seconds in record.step_times_s:
            self._steps.observe(seconds, job_type)

    def _add_gpu(self, record: PerformanceRecord) -> None:
        if not num_gpus(record):
            return
        told_wh = watt_hours(record)
        found = {
            _GPU_S: gpu_seconds(record),
            _DENOISE_S: denoising_seconds(record),
            _JOULES: None if told_wh is None else told_wh * _JOULES_A_WATT_HOUR,
        }
        for name, value in found.items():
            if value is not None:
                sums = self._gpu[name]
                sums[record.job_type] = sums.get(record.job_type, 0.0) + max(0.0, value)


def _counter(name: str, text: str, sums: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["job_type"])
    for job_type, value in sorted(sums.items()):
        family.add_metric([job_type], value)
    return family
