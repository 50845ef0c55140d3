"""What one job's driver works with, and the small pieces that both image families share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future
from concurrent.futures import wait as futures_wait
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import Clock
from ourvidz.core.event import JobEvent, PhaseEnded, PhaseStarted, Progress, Waiting
from ourvidz.core.phase import LoadState, Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.engine.device import component_dtype
from ourvidz.engine.embed_files import encoder_identity
from ourvidz.engine.embeds import TextEmbedCache, TextEmbeds, TextKey
from ourvidz.engine.residency import Component, ComponentSpec, Residency
from ourvidz.engine.timing import UnitTimer, device_phase
from ourvidz.engine.variants import Variant, base_of, denoiser_of

if TYPE_CHECKING:
    from ourvidz.engine.group.leader import Group

T = TypeVar("T")

_POLL_S = 0.05  # how often a wait for a loading component looks at the cancel token


@dataclass(kw_only=True, slots=True)
class Patience:
    """How long a turn may wait for loading weights before it says ``Waiting`` and ends.

    For jobs that share their thread; whoever drives them sets ``block_s`` before each turn.
    """

    block_s: float = _POLL_S


@dataclass(kw_only=True, slots=True)
class JobContext:
    """One job's surroundings. ``states`` and ``step_times_s`` are filled by its driver."""

    device: torch.device
    residency: Residency
    recorder: SpanRecorder
    cancel: CancelToken
    clock: Clock
    locate: Callable[[str], Path]  # catalogue id to the checkpoint's folder
    tokenizers: dict[tuple[str, str], Any]  # (model, folder name); kept between jobs
    states: list[LoadState] = field(default_factory=list[LoadState])
    step_times_s: tuple[float, ...] = ()
    patience: Patience | None = None  # None: nobody else wants the thread, waits may block
    embeds: TextEmbedCache = field(default_factory=TextEmbedCache)  # kept between jobs
    dtype: str = "auto"  # the setting that components load in
    variants: Mapping[str, Variant] = field(default_factory=dict[str, Variant])
    held_models: set[str] = field(default_factory=set[str])  # not to be unloaded meanwhile
    techniques: frozenset[str] = frozenset()  # see catalog.techniques
    cache_dir: Path | None = None  # remembers what this machine does fastest
    group: Group | None = None  # other ranks that may share the work

    def request(self, spec: ComponentSpec) -> Future[Component]:
        """Ask for a component; it loads in the background and stays until ``release``."""
        if spec.model_id not in self.held_models:
            self.residency.hold(spec.model_id)
            self.held_models.add(spec.model_id)
        return self.residency.request(spec, self.recorder, self.cancel)

    def release(self, model_id: str) -> None:
        """Say that this job needs a model no more. Idempotent."""
        if model_id in self.held_models:
            self.held_models.remove(model_id)
            self.residency.release(model_id)

    def release_all(self) -> None:
        """Say that this job needs no model any more. Idempotent."""
        for model_id in tuple(self.held_models):
            self.release(model_id)

    def take(self, future: Future[Component]) -> Any:
        """Return the module of a component that has loaded, and note where it came from."""
        component = future.result()
        self.states.append(component.state)
        return component.module

    def derive(
        self, model_id: str, name: str, what: str, build: Callable[[], T], num_bytes: int
    ) -> T:
        """Return something made of a component, kept with it; see ``Residency.derive``."""
        assert model_id in self.held_models, model_id
        return self.residency.derive((model_id, name), what, build, num_bytes)

    def tokenizer(self, model_id: str, name: str, load: Callable[[Path], Any]) -> Any:
        """Return a tokenizer of ``model_id``, loaded once an engine."""
        model_id = self.base_of(model_id)
        key = (model_id, name)
        if key not in self.tokenizers:
            self.tokenizers[key] = load(self.locate(model_id) / name)
        return self.tokenizers[key]

    def base_of(self, model_id: str) -> str:
        """Return the model whose components ``model_id`` uses: itself, but for a variant."""
        return base_of(self.variants, model_id)

    def denoiser_of(self, model_id: str, name: str, module: Any) -> Any:
        """Return the base's denoiser as ``model_id`` has it; errors as ``denoiser_of``."""
        variant = self.variants.get(model_id)
        return denoiser_of(self.residency, variant, model_id, name, module)

    def text_key(
        self,
        model_id: str,
        text: str,
        *,
        family: str,
        components: Sequence[str],
        max_length: int,
    ) -> TextKey:
        """Return the key of a text's embeddings; loads nothing.

        Args:
            model_id: whose encoder.
            text: as the tokenizer gets it.
            family: of the model.
            components: the encoders and tokenizers that embeddings come from.
            max_length: tokens; 0 where the tokenizer's own limit holds.
        """
        dtype = component_dtype(
            self.dtype, family=family, component="text_encoder", device=self.device
        )
        return TextKey(
            encoder=encoder_identity(
                self.locate(model_id), components, made_with=_encoder_libraries()
            ),
            text=text,
            max_length=max_length,
            dtype=str(dtype).removeprefix("torch."),
            device_type=self.device.type,
        )

    def find_texts(self, keys: Sequence[TextKey]) -> list[TextEmbeds | None]:
        """Return what the cache has of each text, on the device."""
        return [self.embeds.get(key, self.device) for key in keys]


def workload_of(request: GenerationRequest) -> str:
    """Return which jobs take as much memory beside the weights as this one."""
    size = f"{request.width}x{request.height}x{request.num_frames}"
    return f"{request.model} {size} {request.num_images} {request.fidelity}"


@cache
def _encoder_libraries() -> tuple[str, ...]:
    return tuple(f"{name} {version(name)}" for name in ("torch", "transformers"))


def wait_for(
    context: JobContext, phase: Phase, futures: Sequence[Future[Component]]
) -> Generator[JobEvent, None, list[Any]]:
    """Wait for components, telling that the job is in ``phase`` meanwhile.

    Looks at the cancel token while it waits. A job that shares its thread gives it back at each
    look, with ``Waiting``.
    """
    context.cancel.raise_if_cancelled()
    if all(future.done() for future in futures):
        return [context.take(future) for future in futures]
    start_s = context.clock.monotonic()
    yield PhaseStarted(phase=phase)
    yield from wait_until_done(context, phase, futures)
    modules = [context.take(future) for future in futures]
    yield PhaseEnded(phase=phase, duration_s=context.clock.monotonic() - start_s)
    return modules


def wait_until_done(
    context: JobContext, phase: Phase, futures: Sequence[Future[Any]]
) -> Generator[JobEvent, None, None]:
    """Wait as ``wait_for`` does, for anything that happens elsewhere."""
    while _are_pending(futures, timeout_s=_block_s(context)):
        context.cancel.raise_if_cancelled()
        if context.patience is not None:
            yield Waiting(phase=phase)


def _are_pending(futures: Sequence[Future[Any]], *, timeout_s: float) -> bool:
    state = futures_wait(futures, timeout=timeout_s, return_when=FIRST_EXCEPTION)
    for future in state.done:
        future.result()  # one that failed ends the job at once
    return bool(state.not_done)


def _block_s(context: JobContext) -> float:
    return _POLL_S if context.patience is None else context.patience.block_s


def drive_units(
    context: JobContext,
    phase: Phase,
    units: Generator[Any, None, Any],
    *,
    num_units: int | None,
) -> Generator[JobEvent, None, tuple[Any, tuple[float, ...]]]:
    """Drive a family's generator of steps or tokens under one span.

    Cancels between units by closing it, reports each unit, and returns what it returned together
    with the seconds of each unit.
    """
    start_s = context.clock.monotonic()
    yield PhaseStarted(phase=phase, num_units=num_units)
    done = num_calls = num_skipped = 0
    try:
        with device_phase(context.recorder, phase, context.device) as facts:
            timer = UnitTimer(context.device, context.clock)
            num_lost = first_lost = context.recorder.num_lost_turns
            while True:
                if num_lost != context.recorder.num_lost_turns:
                    num_lost = context.recorder.num_lost_turns
                    timer.skip()
                try:
                    unit = next(units)
                except StopIteration as stop:
                    result = stop.value
                    break
                timer.unit_done()
                done += 1
                num_calls += getattr(unit, "num_forwards", 0)
                num_skipped += getattr(unit, "num_skipped", 0)
                context.cancel.raise_if_cancelled()
                yield Progress(phase=phase, done=done, num_units=num_units)
            unit_times_s = timer.unit_times_s()
            facts["num_units"] = done
            if num_calls:
                facts["network_calls"] = num_calls
            if num_skipped:
                facts["network_calls_skipped"] = num_skipped
            if num_lost != first_lost:  # the span's own events would count the others' work
                facts["device_s"] = sum(unit_times_s)
    finally:
        units.close()
    yield PhaseEnded(phase=phase, duration_s=context.clock.monotonic() - start_s)
    return result, unit_times_s
