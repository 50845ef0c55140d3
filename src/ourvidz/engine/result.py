"""What the engine hands over when a job's last frame has left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ourvidz.core.enhancement import Enhancement
from ourvidz.core.phase import CompileState, LoadState


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineResult:
    """What the engine knows when a job's last frame has left."""

    prompt: str  # as it was generated with
    enhancement: Enhancement | None
    step_times_s: tuple[float, ...]  # of a batch: its whole steps
    state: LoadState  # of the coldest component
    compile_state: CompileState
    memory: Mapping[str, int]  # peaks are the device's, shared where several jobs ran at once
    batched_with: int = 0  # other jobs that were denoised with this one
