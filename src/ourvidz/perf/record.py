"""What one job leaves for those who compare: a performance record.

A record is made of plain values, so that one out of the store, one imported from elsewhere and one
of a benchmark are alike. Free of torch and of the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from ourvidz.core.phase import Phase


class Origin(StrEnum):
    """Where a record comes from, which decides what it may be used for."""

    LIVE = "live"  # a person's job
    PROTOCOL = "protocol"  # a benchmark's run: fixed prompts and seeds, nothing beside it
    IMPORTED = "imported"  # history of another installation: never this machine's baseline


@dataclass(frozen=True, kw_only=True)
class PerformanceRecord:
    """One job's times and what they were measured on.

    ``workload``, ``environment`` and ``state`` decide comparability: records are comparable where
    all three are equal (``comparison.difference``).
    """

    id: str  # of the job; an import's own
    at: datetime  # when the job ended, UTC
    origin: Origin
    job_type: str
    workload: Mapping[str, Any]  # preset, model, size, frames, steps, scheduler, guidance, fidelity
    environment: Mapping[str, Any]  # the fingerprint: hardware, driver, versions, model hashes
    state: str  # cold, warm or resident: where the coldest component came from
    compile_state: str
    total_s: float | None  # None: nobody measured it
    phases_s: Mapping[str, float]  # exclusive seconds a phase, ``unattributed`` among them
    step_times_s: tuple[float, ...] = ()
    is_success: bool = True
    failure: str | None = None  # the class of the failure
    memory: Mapping[str, int] = field(default_factory=dict[str, int])  # bytes by name
    device: Mapping[str, float] = field(default_factory=dict[str, float])  # samples, summed up
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of the delivered files
    # Why it is left out of baselines, for example a throttled GPU; it stays visible.
    flags: tuple[str, ...] = ()
    source: str | None = None  # the door: cli, api, openai or bridge
    host: Mapping[str, float] = field(default_factory=dict[str, float])  # CPU use, resident bytes
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])  # what else was asked for
    network_calls: int | None = None  # evaluations of the denoising network
    image_s: float | None = None  # seconds of the run, an image (of a video: a frame)
    device_s: float | None = None  # the device worked for this job
    shared_s: float = 0.0  # other jobs had the thread that drives this one; within ``total_s``
    batched_with: int = 0  # other jobs in its batch

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What others worked out of this record alone, by name: it never changes, nor do they."""
        return {}

    @property
    def run_s(self) -> float | None:
        """Seconds from claim to end, without what other jobs' turns took."""
        if self.total_s is None:
            return None
        return self.total_s - self.phases_s.get(Phase.QUEUE_WAIT.value, 0.0) - self.shared_s
