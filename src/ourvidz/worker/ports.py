"""What the worker service drives: an engine that runs claimed jobs unit by unit.

The service itself imports no torch. ``engine_runner`` puts the real engine behind this, and
``testing`` a stand-in with which queue, leases and recovery are tested and measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ourvidz.core.asset import Asset
from ourvidz.core.cancel import CancelToken
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.event import JobEvent
from ourvidz.core.job import JobResult
from ourvidz.core.phase import Phase
from ourvidz.core.request import GenerationRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One claimed job for an engine."""

    request: GenerationRequest
    job_id: str
    cancel: CancelToken
    folder: Path  # of this attempt alone
    queued_s: float  # from when it could have run to its claim
    enhancement: Enhancement | None  # what an earlier attempt made
    check_prompt: Callable[[str], None]  # raises what refuses an enhanced prompt


class Finishing(Protocol):
    """A job whose last frame has left the device. Its methods may be called on any thread."""

    @property
    def job_id(self) -> str:
        """Whose files these are."""
        ...

    @property
    def device_s(self) -> float:
        """Seconds that the device worked for it."""
        ...

    def files(self) -> tuple[Asset, ...]:
        """Wait for the files and return their facts."""
        ...

    def span(self, phase: Phase) -> AbstractContextManager[object]:
        """Account the time within the block to ``phase``."""
        ...

    def wait(self) -> JobResult:
        """Close the account; after the upload."""
        ...

    def abandon(self) -> None:
        """Remove every file. Idempotent."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one unit of work brought: one of event, finishing and error, or none of them."""

    job_id: str
    event: JobEvent | None = None
    finishing: Finishing | None = None
    error: Exception | None = None
    device_s: float = 0.0  # with an error: device seconds spent until then


class Run(Protocol):
    """One job, or several as one batch, on the device."""

    @property
    def is_done(self) -> bool:
        """Whether every job of it has ended here."""
        ...

    @property
    def is_blocked(self) -> bool:
        """Whether it waits for weights, so that others may have its turn."""
        ...

    def close(self) -> None:
        """Drop everything without a result. Idempotent."""
        ...


RunT = TypeVar("RunT", bound=Run)


class Runner(Protocol[RunT]):
    """One device's engine. One thread drives; methods marked so may come from any thread."""

    @property
    def device(self) -> str:
        """The device's name."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """Versions and hardware, for people."""
        ...

    def fingerprint(self, request: GenerationRequest) -> Mapping[str, Any]:
        """Return what a record of the job says of the environment: JSON. Any thread."""
        ...

    def start(self, orders: Sequence[Order]) -> RunT:
        """Begin one job, or several of one ``batch_shape`` as one batch."""
        ...

    def start_enhance(self, order: Order) -> RunT:
        """Begin a job that only enhances its prompt."""
        ...

    def advance(self, run: RunT, *, block_s: float) -> Turn | None:
        """Do one unit of work; wait at most ``block_s`` where weights are still loading."""
        ...

    def batch_room(self, request: GenerationRequest) -> int:
        """Return how many images fit one batch of this shape."""
        ...

    def can_join(self, model_id: str) -> bool:
        """Whether the model is resident, or fits beside what is."""
        ...

    def encode_ahead(self, request: GenerationRequest, enhancement: Enhancement | None) -> bool:
        """Encode the prompts of a job that is next; False where that can't be done yet."""
        ...

    def expect(self, models: Sequence[str], *, is_idle: bool) -> None:
        """Take note of the models of coming jobs, the next one first, one entry a job.

        They may come in the background, without delaying what runs. Any thread.
        """
        ...

    def use_idle_time(self) -> bool:
        """Do one short piece of work ahead of coming jobs; False where there is none."""
        ...

    def memory(self) -> Mapping[str, Any]:
        """Return what is where, and how full the device is: JSON. Any thread."""
        ...

    def resident(self) -> Mapping[str, int]:
        """Return bytes on the device by model. Any thread."""
        ...

    def load(self, model_id: str) -> None:
        """Load a model. Any thread."""
        ...

    def unload(self, model_id: str) -> None:
        """Unload a model that no job uses. Any thread."""
        ...

    def close(self) -> None:
        """Free everything. Idempotent."""
        ...
