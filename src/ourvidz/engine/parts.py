"""A model's denoiser taken out of its jobs, at two fidelities, for reports of their difference.

The networks are the very ones that jobs run (the same residency, techniques and choices of
kernels); around them is only what a report needs: the states that an ``exact`` job passes through,
one prediction at a given state, and the library's own forward to look into.

Shapes: (B, C, ...) latents; branches are of the prompt and, under guidance, of the negative prompt.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from ourvidz.catalog.techniques import WAN_ATTENTION_8BIT, WAN_LINEARS_8BIT
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.event import JobEvent
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import Fidelity, GenerationRequest
from ourvidz.engine import enhance, sdxl, wan
from ourvidz.engine.context import JobContext, wait_for
from ourvidz.engine.engine import Engine
from ourvidz.kernels.chosen import ChosenAttention
from ourvidz.kernels.int8 import int8_linear, int8_rows, int8_weight, rotate
from ourvidz.kernels.linear import linear_8bit
from ourvidz.kernels.quantize import quantize_rows, quantize_weight
from ourvidz.models.qwen import encode as qwen_encode
from ourvidz.models.qwen import generate as qwen_generate
from ourvidz.models.qwen import load as qwen_load
from ourvidz.models.qwen.fast import FastQwen
from ourvidz.models.sdxl import denoise as sdxl_denoise
from ourvidz.models.sdxl import encode as sdxl_encode
from ourvidz.models.sdxl.fast import FastUnet
from ourvidz.models.wan import denoise as wan_denoise
from ourvidz.models.wan.fast import FastWan, linears_8bit
from ourvidz.models.wan.predict import LibraryPredictor, Predictor, as_predictor

# Of SDXL's transformer blocks all but the text's keys and values, which are made once a job.
_SDXL_LINEARS_8BIT = re.compile(
    r"transformer_blocks\.\d+\."
    r"(attn1\.(to_[qkv]|to_out\.0)|attn2\.(to_q|to_out\.0)|ff\.net\.(0\.proj|2))$"
)

T = TypeVar("T")
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
BlockObserver = Callable[[int, torch.Tensor], None]  # see ``FastWan.observer``


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moment:
    """A state that a job's denoising passes through."""

    step: int  # from 0
    latents: torch.Tensor  # what the network is given, float32
    timestep: torch.Tensor


class Network(Protocol):
    """One job's denoiser."""

    @property
    def linears_8bit(self) -> Sequence[Any]:
        """The library's linears that run in 8 bits here."""
        ...

    def linear_8bit(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Return one of those as it runs here, of the library's input (..., K): (..., N)."""
        ...

    @property
    def attention_8bit(self) -> Attention | None:
        """What attends in 8 bits here, of (B, L, heads, head size); None: nothing does."""
        ...

    def predict(self, moment: Moment) -> tuple[torch.Tensor, ...]:
        """Return each branch's prediction, float32, the prompt's first."""
        ...

    @contextlib.contextmanager
    def observed(self, observer: BlockObserver) -> Iterator[bool]:
        """Tell ``observer`` of the blocks meanwhile; yields whether this network can."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DenoiserParts:
    """One request's denoiser, at ``exact``, at another fidelity, and as the library has it."""

    module: Any  # the library's, with weights that the networks share
    exact: Network
    other: Network
    library: Network
    guidance_scale: float
    # Runs a job's denoising at ``exact`` and returns its state before each of these steps.
    moments: Callable[[Collection[int]], list[Moment]]

    def guided(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what the solver gets of the branches' predictions."""
        if len(branches) == 1:
            return branches[0]
        cond, uncond = branches
        return uncond + self.guidance_scale * (cond - uncond)


@contextlib.contextmanager
def open_denoiser(
    engine: Engine, request: GenerationRequest, fidelity: Fidelity
) -> Generator[DenoiserParts]:
    """Load what ``request`` denoises with; it stays loaded until the end of the block.

    Raises:
        ModelMissing, CheckpointInvalid, InvalidRequest: as ``Engine.generate``.
    """
    contexts = {each: _context(engine, each, request.model) for each in (Fidelity.EXACT, fidelity)}
    exact, other = contexts[Fidelity.EXACT], contexts[fidelity]
    family = wan if request.family == "wan" else sdxl
    try:
        _finish(engine._import_libraries(exact, {request.family: family}))
        engine._check_tokens(exact, request, request.prompt)
        if request.family == "wan":
            limit = engine._token_limits[request.model]
            yield _wan_parts(exact, other, request, token_limit=limit)
        else:
            yield _sdxl_parts(exact, other, request)
    finally:
        for context in contexts.values():
            context.release_all()


def _context(engine: Engine, fidelity: Fidelity, model_id: str) -> JobContext:
    return engine._context(SpanRecorder(SystemClock()), CancelToken(), None, fidelity, model_id)


def _finish(events: Generator[JobEvent, None, T]) -> T:
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


# --------------------------------------------------------------------------------------------- Wan


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _WanNetwork:
    predictor: Predictor
    texts: Sequence[Any]
    is_batched: bool
    linears_8bit: Sequence[Any]
    attention_8bit: Attention | None

    def linear_8bit(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        rows = int8_rows(rotate(x.reshape(-1, x.shape[-1])))
        rounded = int8_weight(weight, is_rotated=True)
        return int8_linear(rows, rounded, bias, out_dtype=x.dtype).unflatten(0, x.shape[:-1])

    @torch.inference_mode()
    def predict(self, moment: Moment) -> tuple[torch.Tensor, ...]:
        found = self.predictor.velocities(
            moment.latents, moment.timestep, self.texts, is_batched=self.is_batched
        )
        return tuple(each.float() for each in found)

    @contextlib.contextmanager
    def observed(self, observer: BlockObserver) -> Iterator[bool]:
        fast = self.predictor
        if not isinstance(fast, FastWan):
            yield False
            return
        fast.observer = observer
        try:
            yield True
        finally:
            fast.observer = None


@dataclass(kw_only=True, slots=True, eq=False)
class _Watched:
    """A predictor that remembers the states of some of its steps."""

    predictor: Predictor
    steps: Collection[int]
    found: list[Moment]
    count: int = 0

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
        if self.count in self.steps:
            self.found.append(_moment(self.count, latents, timestep))
        self.count += 1
        return self.predictor.velocities(latents, timestep, texts, is_batched=is_batched)


def _moment(step: int, latents: torch.Tensor, timestep: torch.Tensor) -> Moment:
    return Moment(step=step, latents=latents.float().clone(), timestep=timestep.clone())


def _wan_parts(
    exact: JobContext, other: JobContext, request: GenerationRequest, *, token_limit: int
) -> DenoiserParts:
    found = wan.find_embeds(exact, request, prompt=request.prompt, token_limit=token_limit)
    futures = wan.request_components(exact, request.model, with_text_encoder=None in found)
    embeds = [
        each
        for each in _finish(wan._encode(exact, request, request.prompt, token_limit, futures))
        if each is not None
    ]
    transformer, vae = _finish(
        wait_for(exact, Phase.LOAD_TRANSFORMER, [futures.transformer, futures.vae])
    )
    if request.model in exact.variants:
        transformer = exact.denoiser_of(request.model, "transformer", transformer)
    embeds = [each.to(transformer.dtype) for each in embeds]
    is_batched = request.num_frames == 1  # as jobs do

    def network(context: JobContext, predictor: Predictor) -> _WanNetwork:
        is_fast = isinstance(predictor, FastWan)
        has_8bit_attention = is_fast and WAN_ATTENTION_8BIT in context.techniques
        return _WanNetwork(
            predictor=predictor,
            texts=[predictor.text(each) for each in embeds],
            is_batched=is_batched,
            linears_8bit=linears_8bit(transformer)
            if is_fast and WAN_LINEARS_8BIT in context.techniques
            else (),
            attention_8bit=ChosenAttention(is_8bit=True, cache=context.cache_dir)
            if has_8bit_attention
            else None,
        )

    predictors = [
        as_predictor(wan.predictor_of(context, request.model, transformer))
        for context in (exact, other)
    ]

    def moments(steps: Collection[int]) -> list[Moment]:
        latents, scheduler = wan._prepare(exact, request, transformer, vae)
        watched = _Watched(predictor=predictors[0], steps=steps, found=[])
        denoising = wan_denoise.denoise(
            transformer=watched,
            scheduler=scheduler,
            latents=latents,
            prompt_embeds=embeds[0],
            negative_prompt_embeds=embeds[1] if len(embeds) > 1 else None,
            guidance_scale=request.guidance_scale,
            guidance_batched=is_batched,
        )
        for _ in denoising:
            pass
        return watched.found

    return DenoiserParts(
        module=transformer,
        exact=network(exact, predictors[0]),
        other=network(other, predictors[1]),
        library=network(exact, LibraryPredictor(transformer)),
        guidance_scale=request.guidance_scale,
        moments=moments,
    )


# -------------------------------------------------------------------------------------------- SDXL


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _LibraryUnet:
    """The library's module with the calls of ``FastUnet``."""

    module: Any

    @property
    def dtype(self) -> torch.dtype:
        return self.module.dtype

    def text(
        self,
        prompt_embeds: torch.Tensor,
        pooled_prompt_embeds: torch.Tensor,
        time_ids: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return prompt_embeds, pooled_prompt_embeds, time_ids

    def predict(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        context: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        prompt_embeds, pooled_prompt_embeds, time_ids = context
        num_copies = prompt_embeds.shape[0] // sample.shape[0]
        return self.module(
            torch.cat([sample] * num_copies).to(self.dtype),
            timestep,
            encoder_hidden_states=prompt_embeds,
            added_cond_kwargs={"text_embeds": pooled_prompt_embeds, "time_ids": time_ids},
            return_dict=False,
        )[0]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _WatchedUnet:
    """A UNet that remembers the states of some of its steps, and its text."""

    unet: Any  # ``FastUnet`` or ``_LibraryUnet``
    steps: Collection[int]
    found: list[Moment]
    texts: list[tuple[torch.Tensor, ...]]
    seen: list[int]  # one entry a call

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    def text(self, *conditioning: torch.Tensor) -> Any:
        self.texts.append(conditioning)
        return self.unet.text(*conditioning)

    def predict(self, sample: torch.Tensor, timestep: torch.Tensor, context: Any) -> torch.Tensor:
        step = len(self.seen)
        if step in self.steps:
            self.found.append(_moment(step, sample, timestep))
        self.seen.append(step)
        return self.unet.predict(sample, timestep, context)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _SdxlNetwork:
    module: Any
    unet: Any
    texts: list[tuple[torch.Tensor, ...]]  # filled when a denoising begins
    is_guided: bool
    attention_8bit: Attention | None = None  # no attention of SDXL's runs in 8 bits

    @property
    def linears_8bit(self) -> Sequence[Any]:
        if not isinstance(self.unet, FastUnet) or not self.unet.is_8bit:
            return ()
        parts = self.module.named_modules()
        return [part for name, part in parts if _SDXL_LINEARS_8BIT.search(name)]

    def linear_8bit(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        # Where the hardware multiplies e4m3, what comes out is bfloat16.
        dtype = torch.bfloat16 if x.is_cuda else x.dtype
        rows = quantize_rows(x.reshape(-1, x.shape[-1]).contiguous())
        bias = None if bias is None else bias.to(dtype)
        out = linear_8bit(rows, quantize_weight(weight), bias, out_dtype=dtype)
        return out.unflatten(0, x.shape[:-1])

    @torch.inference_mode()
    def predict(self, moment: Moment) -> tuple[torch.Tensor, ...]:
        found = self.unet.predict(
            moment.latents, moment.timestep, self.unet.text(*self.texts[0])
        ).float()
        if not self.is_guided:
            return (found,)
        uncond, cond = found.chunk(2)
        return cond, uncond

    @contextlib.contextmanager
    def observed(self, observer: BlockObserver) -> Iterator[bool]:
        del observer
        yield False  # its steps are replayed as one graph


def _sdxl_parts(exact: JobContext, other: JobContext, request: GenerationRequest) -> DenoiserParts:
    found = sdxl.find_embeds(exact, request, prompt=request.prompt)
    futures = sdxl.request_components(exact, request.model, with_encoders=None in found)
    encoders = (
        _finish(sdxl.wait_for_encoders(exact, request.model, futures)) if None in found else []
    )
    conditioning = _finish(sdxl.encode(exact, request, request.prompt, found, encoders))
    unet, vae = _finish(wait_for(exact, Phase.LOAD_UNET, [futures.unet, futures.vae]))
    if request.model in exact.variants:
        unet = exact.denoiser_of(request.model, "unet", unet)
    unets = [
        made if hasattr(made, "predict") else _LibraryUnet(module=made)
        for made in (sdxl.predictor_of(context, request.model, unet) for context in (exact, other))
    ]
    texts: list[tuple[torch.Tensor, ...]] = []

    def moments(steps: Collection[int]) -> list[Moment]:
        watched = _WatchedUnet(unet=unets[0], steps=steps, found=[], texts=texts, seen=[])
        texts.clear()
        latents = sdxl.prepare_latents(exact, request, unet, vae)
        denoising = _sdxl_denoising(exact, request, watched, latents, conditioning)
        for _ in denoising:
            pass
        return watched.found

    networks = [
        _SdxlNetwork(module=unet, unet=each, texts=texts, is_guided=request.uses_guidance)
        for each in (*unets, _LibraryUnet(module=unet))
    ]
    return DenoiserParts(
        module=unet,
        exact=networks[0],
        other=networks[1],
        library=networks[2],
        guidance_scale=request.guidance_scale,
        moments=moments,
    )


def _sdxl_denoising(
    context: JobContext,
    request: GenerationRequest,
    unet: Any,
    latents: torch.Tensor,
    conditioning: sdxl.Conditioning,
) -> Generator[Any, None, torch.Tensor]:
    # As ``sdxl.denoise``, with this UNet in place of the one that it would choose.
    from ourvidz.models.loading import read_config
    from ourvidz.models.schedulers import make_diffusion_scheduler

    return sdxl_denoise.denoise(
        unet=unet,
        scheduler=make_diffusion_scheduler(
            request.scheduler,
            num_inference_steps=request.num_inference_steps,
            config=read_config(
                context.locate(request.model) / "scheduler", "scheduler_config.json"
            ),
            device=context.device,
            timestep_spacing=request.timestep_spacing,
        ),
        latents=latents,
        prompt_embeds=conditioning.positive,
        time_ids=sdxl_encode.prepare_time_ids(
            height=request.height, width=request.width, device=context.device
        ),
        negative_prompt_embeds=conditioning.negative,
        guidance_scale=request.guidance_scale,
    )


# -------------------------------------------------------------------------------------------- Qwen


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EnhancerParts:
    """The enhancer at ``exact`` and at another fidelity, for one request's prompt."""

    input_ids: torch.Tensor  # (1, T)
    answer: Callable[[], tuple[int, ...]]  # the tokens that ``exact`` writes, the end left out
    exact: Callable[[torch.Tensor], torch.Tensor]  # (1, T) ids to (T, V) logits after each
    other: Callable[[torch.Tensor], torch.Tensor]
    is_same: bool  # both are one and the same here


@contextlib.contextmanager
def open_enhancer(
    engine: Engine, request: GenerationRequest, fidelity: Fidelity
) -> Generator[EnhancerParts]:
    """Load the enhancer of ``request``; it stays loaded until the end of the block.

    Raises:
        ModelMissing, CheckpointInvalid: files that are not there or can't be used.
    """
    plan = request.enhancement
    assert plan is not None, request.job_type
    contexts = [_context(engine, each, plan.model) for each in (Fidelity.EXACT, fidelity)]
    try:
        _finish(engine._import_libraries(contexts[0], {"qwen": enhance}))
        future = enhance.request_model(contexts[0], plan.model)
        (model,) = _finish(wait_for(contexts[0], Phase.ENHANCE_LOAD, [future]))
        input_ids = qwen_encode.encode(
            [
                {"role": "system", "content": plan.template},
                {"role": "user", "content": request.prompt},
            ],
            tokenizer=contexts[0].tokenizer(plan.model, "", qwen_load.load_tokenizer),
            device=engine.device,
        )
        generators = [enhance._generator(context, plan.model, model) for context in contexts]
        owners = [getattr(generator, "__self__", model) for generator in generators]

        def answer() -> tuple[int, ...]:
            tokens = generators[0](
                input_ids=input_ids,
                max_new_tokens=plan.max_new_tokens,
                eos_token_ids=qwen_generate.eos_token_ids(model),
            )
            return _last(tokens).token_ids

        yield EnhancerParts(
            input_ids=input_ids,
            answer=answer,
            exact=_logits_of(owners[0]),
            other=_logits_of(owners[1]),
            is_same=owners[0] is owners[1],
        )
    finally:
        for context in contexts:
            context.release_all()


def _last(units: Generator[Any, None, T]) -> T:
    while True:
        try:
            next(units)
        except StopIteration as stop:
            return stop.value


def _logits_of(owner: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    if isinstance(owner, FastQwen):
        return owner.logits

    @torch.inference_mode()
    def logits(input_ids: torch.Tensor) -> torch.Tensor:
        return owner(input_ids=input_ids).logits[0].float()

    return logits
