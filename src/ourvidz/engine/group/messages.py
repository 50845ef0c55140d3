"""What a group's leader tells the other ranks. Tensors follow by broadcast, from rank 0.

Messages travel between a process and its own children, pickled, over a socket pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ourvidz.core.request import GenerationRequest
from ourvidz.engine.variants import Variant

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowerSettings:
    """What a follower's engine has in common with the leader's."""

    dtype: str
    vram_bytes: int | None
    host_cache_bytes: int | None
    cache_dir: Path | None
    num_threads: int | None = None  # of torch on a CPU; None: its own choice


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Load what a job needs and keep it until ``End``. Answered by ``Ready`` or ``Failed``."""

    job: int
    family: str
    request: GenerationRequest  # of a batch: its first, which has size and steps of all
    folders: Mapping[str, Path]  # of the models' checkpoints, by catalogue id
    variants: Mapping[str, Variant]
    techniques: frozenset[str]
    activation_bytes: int | None = None  # beside weights, as the leader measured; None: not yet


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Load what jobs of a model need, for none of them yet; answered and ended as ``Begin``."""

    job: int
    family: str
    model_id: str
    folders: Mapping[str, Path]
    variants: Mapping[str, Variant]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unload:
    """Forget a model's networks, if no job has them."""

    model_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """Measure with the others how fast the group is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeText:
    """A job's prompt embeddings come: the next one's."""

    job: int
    shape: Shape
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Predict:
    """Latents and a timestep come; work out our part of their velocities."""

    job: int
    texts: tuple[int, ...]
    shape: Shape
    is_batched: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StartDecode:
    """A clip's latents come, to be decoded one chunk a ``DecodeChunk``."""

    job: int
    shape: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeChunk:
    """Decode the next chunk of a job's clip."""

    job: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeRows:
    """What a batch of images is made from comes; it replaces what came before.

    Prompt embeddings, pooled ones and sizes, a row each for every prediction of a step.
    """

    job: int
    shapes: tuple[Shape, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictRows:
    """A batch's model input and a timestep come; predict our rows."""

    job: int
    shape: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeItems:
    """Latents of an image a rank come, of fewer where they run out; decode ours."""

    job: int
    shape: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """A job is over; what it held may go."""

    job: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """A rank has started, and meets the others next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A rank has loaded what a job needs."""

    job: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A rank could not load what a job needs."""

    job: int
    code: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A rank ends, and its group with it."""

    reason: str


VideoMessage = TakeText | Predict | StartDecode | DecodeChunk
ImageMessage = TakeRows | PredictRows | DecodeItems
JobMessage = Begin | Load | VideoMessage | ImageMessage | End
Message = Measure | Unload | JobMessage
Reply = Hello | Ready | Failed | Broken
