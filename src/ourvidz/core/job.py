"""A job's states and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ourvidz.core.asset import Asset
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.event import Note
from ourvidz.core.phase import CompileState, LoadState, Span
from ourvidz.core.request import GenerationRequest


class JobState(StrEnum):
    """Where a job is. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Where a job's wall time went.

    ``phases_s``, ``unattributed_s`` and ``shared_s`` add up to ``total_s``. Step times leave out
    what other jobs' turns took; steps of a batch are those of the whole batch.
    """

    total_s: float
    phases_s: Mapping[str, float]
    unattributed_s: float
    step_s: float | None  # median of the denoise steps but the first and the last
    step_times_s: tuple[float, ...]
    state: LoadState
    compile_state: CompileState
    spans: tuple[Span, ...] = field(repr=False)
    shared_s: float = 0.0  # other jobs had the thread that drives this one
    device_s: float = 0.0  # the device worked for this job; of a batch, its items' share
    batched_with: int = 0  # other jobs in its batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured beside a job's own account. Empty where nobody could."""

    environment: Mapping[str, Any] = field(default_factory=dict[str, Any])  # the fingerprint
    device: Mapping[str, float] = field(default_factory=dict[str, float])  # its samples, summed up
    host: Mapping[str, float] = field(default_factory=dict[str, float])  # this process's
    # The same over the job's time, to be drawn: lists of one length by name.
    device_series: Mapping[str, Sequence[float | None]] = field(
        default_factory=dict[str, Sequence[float | None]]
    )
    flags: tuple[str, ...] = ()  # why the figures are not those of an undisturbed job


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """Everything a finished job leaves behind."""

    job_id: str
    request: GenerationRequest
    state: JobState
    outputs: tuple[Asset, ...]
    enhancement: Enhancement | None
    timing: Timing
    adjustments: tuple[Note, ...]
    environment: Mapping[str, Any]
    memory: Mapping[str, int]  # peak bytes on host and device
    measured: Measured = Measured()
