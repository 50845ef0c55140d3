"""Looks at GPU and process several times a second while jobs run, and sums up what it saw.

The sums are of the whole GPU and of the whole process: where several jobs ran at once, they are
shared. What happened between two looks is not seen.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import psutil

from ourvidz.core.clock import Clock
from ourvidz.perf.nvml import Gpu, GpuReading, find_gpu, num_others

PERIOD_S = 0.15  # 6.7 a second
THROTTLED = "throttled"
OTHER_PROCESS = "other process on the GPU"

# A moment at the thermal limit is no reason to leave a job out.
_THROTTLED_SHARE = 0.05
_EVERY_PROCESS_LOOK = 7  # about once a second: the list costs more than all else together
_MOST_STRETCHES = 120  # of a job's drawing
_MAX_SAMPLES = 2**15  # 80 minutes; beyond, every other one is dropped
_KEPT_S = 120.0  # after a job's end: its record is made soon


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One look."""

    at_s: float  # on the jobs' clock
    cpu_s: float  # CPU time of this process until now, of all its threads
    resident_bytes: int  # of this process
    gpu: GpuReading | None = None
    others: int = 0  # other processes that compute on the GPU, at the last look at the list


class Sampler:
    """One thread that looks while any job runs. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        gpu: Gpu | None = None,
        period_s: float = PERIOD_S,
        own_ids: Collection[int] | None = None,
    ) -> None:
        """Prepare; the thread starts with the first job and sleeps while none runs.

        Args:
            clock: the jobs'.
            gpu: where they run; None: only the process is looked at.
            period_s: between two looks.
            own_ids: processes that are no others; by default this one, the only one of a
                worker's that computes on its GPU.
        """
        self._clock = clock
        self._gpu = gpu
        self._period_s = period_s
        self._own_ids = own_ids or (os.getpid(),)
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._looking = threading.Lock()  # NVML is asked by one thread at a time
        self._samples: list[Sample] = []
        self._running: dict[object, float] = {}  # job: begin
        self._ended: list[tuple[float, float]] = []  # (begin, end) of those whose sum may come
        self._busy = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._others = 0

    def begin(self, job: object) -> None:
        """A job begins: look now, and go on until ``end``."""
        with self._lock:
            if not self._running:
                self._others = 0  # as it was when something ran last
            self._running[job] = self._clock.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="sampler", daemon=True)
                self._thread.start()
        self.look()
        self._busy.set()

    def end(self, job: object) -> None:
        """A job is over: look once more. Idempotent."""
        with self._lock:
            start_s = self._running.pop(job, None)
            if start_s is None:
                return
            self._ended.append((start_s, self._clock.monotonic()))
            if not self._running:
                self._busy.clear()
        self.look()

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._closing.set()
        self._busy.set()

    def look(self, *, with_list: bool = False) -> None:
        """Take one sample; with the list of processes on the GPU, or as it last was."""
        with self._looking:
            gpu = None if self._gpu is None else self._gpu.read()
            if self._gpu is not None and with_list:
                ids = self._gpu.process_ids()
                self._others = 0 if ids is None else num_others(ids, self._own_ids)
            sample = Sample(
                at_s=self._clock.monotonic(),
                cpu_s=time.process_time(),
                resident_bytes=self._process.memory_info().rss,
                gpu=gpu,
                others=self._others,
            )
            with self._lock:
                self._samples.append(sample)
                if len(self._samples) > _MAX_SAMPLES:
                    self._samples = self._samples[::2]

    def between(self, start_s: float, end_s: float) -> tuple[Sample, ...]:
        """Return the samples of an interval of the jobs' clock, and the next beyond each end.

        What grows, such as CPU time, is known from one look before to one after; none is more than
        two periods away.
        """
        margin_s = 2 * self._period_s
        with self._lock:
            near = [
                one for one in self._samples if start_s - margin_s <= one.at_s <= end_s + margin_s
            ]
        before = [one for one in near if one.at_s < start_s]
        within = [one for one in near if start_s <= one.at_s <= end_s]
        after = [one for one in near if one.at_s > end_s]
        return (*before[-1:], *within, *after[:1])

    def _go_on(self) -> None:
        for number in itertools.count():
            if self._closing.wait(self._period_s):
                return
            self._busy.wait()
            self._forget()
            self.look(with_list=number % _EVERY_PROCESS_LOOK == 0)

    def _forget(self) -> None:
        """Drop what belongs to no job any more."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._ended = [window for window in self._ended if window[1] > now_s - _KEPT_S]
            begins = [*self._running.values(), *(begin for begin, _ in self._ended)]
            first_s = min(begins, default=now_s)
            if self._samples and self._samples[0].at_s < first_s:
                self._samples = [one for one in self._samples if one.at_s >= first_s]


def open_sampler(device: str, *, clock: Clock) -> Sampler:
    """Return the sampler of a worker that runs jobs on torch's ``device``."""
    return Sampler(clock=clock, gpu=find_gpu(device))


def device_summary(samples: Sequence[Sample]) -> dict[str, float]:
    """Return what the GPU did: empty where no sample has seen one.

    Keys, each only where the driver tells it: ``samples``; ``utilisation_mean`` and ``_max`` (0 to
    1); ``memory_used_mean_bytes`` and ``_max_bytes`` (all processes); ``sm_clock_mean_mhz``,
    ``_min_mhz`` (where the GPU was busy) and ``_max_mhz``; ``power_mean_w``, ``_max_w`` and
    ``energy_j`` (trapezoids); ``temperature_mean_c`` and ``_max_c``; ``throttled_share``, with
    ``throttled.REASON`` for each, and ``power_capped_share`` (of the samples);
    ``other_processes_max``.
    """
    seen = [(one.at_s, one.gpu) for one in samples if one.gpu is not None]
    if not seen:
        return {}
    readings = [reading for _, reading in seen]
    found: dict[str, float] = {"samples": float(len(readings))}
    found |= _mean_and_max("utilisation", "", [one.utilisation for one in readings])
    found |= _mean_and_max("memory_used", "_bytes", [one.memory_used_bytes for one in readings])
    found |= _mean_and_max("sm_clock", "_mhz", [one.sm_clock_mhz for one in readings])
    busy = [one.sm_clock_mhz for one in readings if one.utilisation and one.sm_clock_mhz]
    if busy:
        found["sm_clock_min_mhz"] = min(busy)
    found |= _mean_and_max("power", "_w", [one.power_w for one in readings])
    energy_j = _energy_j([(at_s, one.power_w) for at_s, one in seen if one.power_w is not None])
    if energy_j is not None:
        found["energy_j"] = energy_j
    found |= _mean_and_max("temperature", "_c", [one.temperature_c for one in readings])
    found["throttled_share"] = sum(1 for one in readings if one.slowed_by) / len(readings)
    reasons = Counter(reason for one in readings for reason in one.slowed_by)
    for reason, count in sorted(reasons.items()):
        found[f"throttled.{reason}"] = count / len(readings)
    capped = sum(1 for one in readings if one.is_power_capped)
    found["power_capped_share"] = capped / len(readings)
    found["other_processes_max"] = float(max(one.others for one in samples if one.gpu is not None))
    return {name: round(value, 6) for name, value in found.items()}


def device_series(samples: Sequence[Sample], *, zero_s: float) -> dict[str, list[float | None]]:
    """Return what the GPU did over a job, in 120 stretches at most: empty where nobody saw one.

    Lists of one length: ``at_s`` since ``zero_s``, the middle of each stretch; ``utilisation`` (0
    to 1), ``memory_used_bytes`` (all processes) and ``power_w``, means; None where the driver did
    not tell. A list of which nothing is known is left out.
    """
    seen = [
        (one.at_s - zero_s, one.gpu)
        for one in samples
        if one.gpu is not None and one.at_s >= zero_s
    ]
    number = min(len(seen), _MOST_STRETCHES)
    edges = [len(seen) * place // number for place in range(number + 1)] if number else []
    stretches = [seen[left:right] for left, right in itertools.pairwise(edges)]
    series = {
        "at_s": [_mean([at_s for at_s, _ in each], 3) for each in stretches],
        "utilisation": [_mean([gpu.utilisation for _, gpu in each], 3) for each in stretches],
        "memory_used_bytes": [
            _mean([gpu.memory_used_bytes for _, gpu in each], None) for each in stretches
        ],
        "power_w": [_mean([gpu.power_w for _, gpu in each], 1) for each in stretches],
    }
    return {name: values for name, values in series.items() if any(v is not None for v in values)}


def _mean(values: Sequence[float | None], digits: int | None) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return round(statistics.fmean(known), digits) if known else None


def host_summary(samples: Sequence[Sample]) -> dict[str, float]:
    """Return what this process took: empty without samples.

    Keys: ``samples``, ``resident_mean_bytes``, ``resident_max_bytes``; from two samples on
    ``cpu_s`` (of all threads), ``cpu_cores_mean`` (CPU seconds a second), ``cpu_cores_max``
    (between two looks a period or more apart).
    """
    if not samples:
        return {}
    resident = [one.resident_bytes for one in samples]
    found = {
        "samples": float(len(samples)),
        "resident_mean_bytes": float(round(statistics.fmean(resident))),
        "resident_max_bytes": float(max(resident)),
    }
    first, last = samples[0], samples[-1]
    if last.at_s > first.at_s:
        cpu_s = last.cpu_s - first.cpu_s
        found["cpu_s"] = round(cpu_s, 6)
        found["cpu_cores_mean"] = round(cpu_s / (last.at_s - first.at_s), 4)
        found["cpu_cores_max"] = round(max(_cpu_rates(samples)), 4)
    return found


def flags_of(device: Mapping[str, float]) -> tuple[str, ...]:
    """Return why a job with this summary is no evidence of how fast the GPU is."""
    flags: list[str] = []
    if device.get("throttled_share", 0.0) > _THROTTLED_SHARE:
        flags.append(THROTTLED)
    if device.get("other_processes_max", 0.0) > 0:
        flags.append(OTHER_PROCESS)
    return tuple(flags)


def _mean_and_max(name: str, unit: str, values: Sequence[float | None]) -> dict[str, float]:
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known:
        return {}
    return {f"{name}_mean{unit}": statistics.fmean(known), f"{name}_max{unit}": max(known)}


def _energy_j(powers: Sequence[tuple[float, float]]) -> float | None:
    if len(powers) < 2:
        return None
    return sum(
        (later_s - at_s) * (power_w + later_w) / 2
        for (at_s, power_w), (later_s, later_w) in itertools.pairwise(powers)
    )


def _cpu_rates(samples: Sequence[Sample]) -> list[float]:
    """Return CPU seconds a second over stretches that the clock of CPU time resolves."""
    rates: list[float] = []
    start = samples[0]
    for one in samples[1:]:
        if one.at_s - start.at_s >= PERIOD_S:
            rates.append((one.cpu_s - start.cpu_s) / (one.at_s - start.at_s))
            start = one
    whole = samples[-1].at_s - samples[0].at_s
    return rates or [(samples[-1].cpu_s - samples[0].cpu_s) / whole]
