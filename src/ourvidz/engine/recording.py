"""One Wan job's denoising as often as wanted, watched, with what the engine runs jobs with.

For calibration: it drives the parts of ``engine.wan`` without events, files or a ledger.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.engine import wan
from ourvidz.engine.context import wait_for
from ourvidz.engine.engine import Engine
from ourvidz.models.wan import denoise as wan_denoise
from ourvidz.models.wan.predict import Predictor, as_predictor
from ourvidz.models.wan.step_cache import StepCache

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trajectory:
    """One run: what the network was given and gave."""

    latents: list[torch.Tensor]  # a step: (1, C, F, h, w) float32
    velocities: list[list[torch.Tensor]]  # a step: of the prompt, and without it under guidance
    final: torch.Tensor  # what the last step left


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenJob:
    """A request whose networks are loaded."""

    predictor: Predictor
    sigmas: tuple[float, ...]  # noise level before each step, and 0 after the last
    _start: Callable[[], tuple[torch.Tensor, Any]]  # fresh noise and scheduler
    _run: Callable[[Predictor, torch.Tensor, Any, StepCache | None], torch.Tensor]
    _decode: Callable[..., Generator[torch.Tensor, None, None]]

    def record(self) -> Trajectory:
        """Denoise with every evaluation, keeping all of them: 3 tensors a step."""
        watched = _Watched(predictor=self.predictor)
        final = self._run(watched, *self._start(), None)
        return Trajectory(latents=watched.given, velocities=watched.found, final=final)

    def denoise(self, cache: StepCache | None = None) -> torch.Tensor:
        """Denoise and return the latents, (1, C, F, h, w) float32."""
        return self._run(self.predictor, *self._start(), cache)

    def frames(self, latents: torch.Tensor) -> torch.Tensor:
        """Return frames (n, H, W, 3) uint8 on the host."""
        return torch.cat(list(self._decode(latents=latents)))


@contextlib.contextmanager
def open_wan_job(engine: Engine, request: GenerationRequest) -> Generator[OpenJob]:
    """Load what ``request`` runs with at ``exact``; it stays loaded until the end of the block.

    Raises:
        ModelMissing, CheckpointInvalid, InvalidRequest: as ``Engine.generate``.
    """
    assert request.family == "wan", request.model
    context = engine._context(SpanRecorder(SystemClock()), CancelToken(), None)
    limit = engine._token_limits[request.model]
    try:
        _finish(engine._import_libraries(context, {"wan": wan}))
        engine._check_tokens(context, request, request.prompt)
        found = wan.find_embeds(context, request, prompt=request.prompt, token_limit=limit)
        futures = wan.request_components(context, request.model, with_text_encoder=None in found)
        positive, negative = _finish(wan._encode(context, request, request.prompt, limit, futures))
        transformer, vae = _finish(
            wait_for(context, Phase.LOAD_TRANSFORMER, [futures.transformer, futures.vae])
        )
        if request.model in context.variants:
            transformer = context.denoiser_of(request.model, "transformer", transformer)

        def run(
            predictor: Predictor, latents: torch.Tensor, scheduler: Any, cache: StepCache | None
        ) -> torch.Tensor:
            steps = wan_denoise.denoise(
                transformer=predictor,
                scheduler=scheduler,
                latents=latents,
                prompt_embeds=positive.to(transformer.dtype),
                negative_prompt_embeds=None if negative is None else negative.to(transformer.dtype),
                guidance_scale=request.guidance_scale,
                guidance_batched=request.num_frames == 1,
                cache=cache,
            )
            return _finish(steps)

        def start() -> tuple[torch.Tensor, Any]:
            return wan._prepare(context, request, transformer, vae)

        yield OpenJob(
            predictor=as_predictor(wan.predictor_of(context, request.model, transformer)),
            sigmas=tuple(start()[1].sigmas.tolist()),
            _start=start,
            _run=run,
            _decode=wan.decode_of(wan.decoder_of(context, request, vae)),
        )
    finally:
        context.release_all()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Watched:
    """A predictor that keeps what it is given and gives."""

    predictor: Predictor
    given: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    found: list[list[torch.Tensor]] = field(default_factory=list[list[torch.Tensor]])

    @property
    def dtype(self) -> torch.dtype:
        return self.predictor.dtype

    def text(self, prompt_embeds: torch.Tensor) -> Any:
        return self.predictor.text(prompt_embeds)

    def velocities(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[Any],
        *,
        is_batched: bool = False,
    ) -> list[torch.Tensor]:
        found = self.predictor.velocities(latents, timestep, texts, is_batched=is_batched)
        self.given.append(latents.clone())
        self.found.append([each.clone() for each in found])
        return found


def _finish(events: Generator[Any, None, T]) -> T:
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value
