"""What the engine and the worker report while a job runs: a small closed set of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ourvidz.core.enhancement import Enhancement
from ourvidz.core.phase import Phase

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseStarted:
    """The job has entered a phase. ``num_units`` counts its steps, frames or tokens, if known."""

    phase: Phase
    num_units: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """One more unit of the current phase is done."""

    phase: Phase
    done: int
    num_units: int | None
    eta_s: float | None = None  # to the end of the job; None while nothing is known
    eta_low_s: float | None = None  # of the interval that holds 90 %; None before any history
    eta_high_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseEnded:
    """The job has left a phase after ``duration_s`` seconds."""

    phase: Phase
    duration_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FramesReady:
    """Decoded frames of one item, in time order: (n, height, width, 3), uint8, RGB."""

    item: int
    frames: npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something a person should know of this job: a fallback, an adjustment, a warning."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptEnhanced:
    """The prompt to generate with is known. Comes before the first frame, if at all."""

    enhancement: Enhancement


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """The job can't go on before weights have loaded; its thread is free for another job."""

    phase: Phase


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewReady:
    """A small picture of the first frame or image, before the files are finished."""

    item: int
    webp: bytes
    width: int  # pixels; the longest edge is 256 at most
    height: int


JobEvent = (
    PhaseStarted
    | Progress
    | PhaseEnded
    | FramesReady
    | Note
    | PromptEnhanced
    | Waiting
    | PreviewReady
)
