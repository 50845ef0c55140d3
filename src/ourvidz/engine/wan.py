"""Drives the Wan family: one request to decoded frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ourvidz.catalog.techniques import (
    FUSED_WAN,
    STREAMED_WAN,
    WAN_ATTENTION_8BIT,
    WAN_LINEARS_8BIT,
)
from ourvidz.core.event import FramesReady, JobEvent, Note, PhaseEnded, PhaseStarted, Progress
from ourvidz.core.phase import Phase
from ourvidz.core.request import GenerationRequest
from ourvidz.engine.context import JobContext, drive_units, wait_for, wait_until_done
from ourvidz.engine.draft import calibration_of, doubt_of
from ourvidz.engine.embeds import TextEmbeds, TextKey
from ourvidz.engine.residency import Component, ComponentSpec
from ourvidz.engine.timing import device_phase
from ourvidz.kernels.chosen import ChosenAttention
from ourvidz.models.imports import library_imports
from ourvidz.models.wan import decode as wan_decode
from ourvidz.models.wan import denoise as wan_denoise
from ourvidz.models.wan import encode as wan_encode
from ourvidz.models.wan import load as wan_load
from ourvidz.models.wan.config import WanGeometry
from ourvidz.models.wan.fast import FastWan, can_run_fast
from ourvidz.models.wan.step_cache import StepCache
from ourvidz.models.wan.stream import StreamingDecoder, can_stream, options_for
from ourvidz.models.wan.stripes import Stripe

if TYPE_CHECKING:
    from ourvidz.engine.group.wan import GroupWan

Decoder = Callable[..., Generator[torch.Tensor, None, None]]  # of ``latents`` (1, C, F, h, w)

_LINES_A_LATENT = 8  # of a frame, in every VAE that streams
_TEXT_COMPONENTS = ("text_encoder", "tokenizer")


@dataclass(frozen=True, kw_only=True, slots=True)
class WanFutures:
    """The networks that a job needs, on their way."""

    text_encoder: Future[Component] | None  # None: all texts were found embedded
    transformer: Future[Component]
    vae: Future[Component]


def import_libraries() -> None:
    """Import what loading and running need, so that no later phase pays for it unnamed."""
    with library_imports:
        from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan  # noqa: F401
        from diffusers.models.transformers.transformer_wan import (
            WanTransformer3DModel,  # noqa: F401
        )
        from transformers import UMT5EncoderModel  # noqa: F401


def request_components(
    context: JobContext, model_id: str, *, with_text_encoder: bool = True
) -> WanFutures:
    """Start loading everything at once; the text encoder first, because it is needed first."""
    return WanFutures(
        text_encoder=request_encoders(context, model_id)[0] if with_text_encoder else None,
        transformer=context.request(
            _spec(context, model_id, "transformer", Phase.LOAD_TRANSFORMER)
        ),
        vae=context.request(_spec(context, model_id, "vae", Phase.LOAD_VAE)),
    )


def request_encoders(context: JobContext, model_id: str) -> list[Future[Component]]:
    """Start loading what makes embeddings."""
    return [context.request(_spec(context, model_id, "text_encoder", Phase.LOAD_TEXT_ENCODER))]


def component_specs(context: JobContext, model_id: str) -> list[ComponentSpec]:
    """Return how to load everything that a model has, what a job needs first being first."""
    return [
        _spec(context, model_id, "text_encoder", Phase.LOAD_TEXT_ENCODER),
        _spec(context, model_id, "transformer", Phase.LOAD_TRANSFORMER),
        _spec(context, model_id, "vae", Phase.LOAD_VAE),
    ]


def _spec(context: JobContext, model_id: str, name: str, phase: Phase) -> ComponentSpec:
    return ComponentSpec(
        model_id=context.base_of(model_id),
        family="wan",
        name=name,
        folder=context.locate(model_id) / name,
        phase=phase,
        load=getattr(wan_load, f"load_{name}"),
    )


def count_tokens(context: JobContext, model_id: str, text: str) -> int:
    """Return how many tokens of the model's text encoder ``text`` takes, end token included."""
    tokenizer = context.tokenizer(model_id, "tokenizer", wan_load.load_tokenizer)
    return len(tokenizer(wan_encode.clean_prompt(text), verbose=False).input_ids)


def text_key(context: JobContext, model_id: str, text: str, *, token_limit: int) -> TextKey:
    """Return the key of a text's embeddings; loads nothing."""
    return context.text_key(
        model_id,
        wan_encode.clean_prompt(text),
        family="wan",
        components=_TEXT_COMPONENTS,
        max_length=token_limit,
    )


def find_embeds(
    context: JobContext, request: GenerationRequest, *, prompt: str, token_limit: int
) -> list[TextEmbeds | None]:
    """Return what is known of the prompt and, under guidance, the negative prompt."""
    return context.find_texts(_keys(context, request, prompt, token_limit))


def embed(
    context: JobContext, model_id: str, text: str, encoders: Sequence[Any], *, token_limit: int
) -> TextEmbeds:
    """Encode one text with the loaded ``encoders`` and keep the result."""
    made = wan_encode.encode(
        [text],
        tokenizer=context.tokenizer(model_id, "tokenizer", wan_load.load_tokenizer),
        text_encoder=encoders[0],
        max_sequence_length=token_limit,
        device=context.device,
    )
    embeds = TextEmbeds(
        prompt_embeds=made.prompt_embeds,
        num_rows=made.num_tokens[0],  # zero from the text's end
        num_tokens=made.num_tokens[0],
        num_truncated_tokens=made.num_truncated_tokens[0],
    )
    context.embeds.put(text_key(context, model_id, text, token_limit=token_limit), embeds)
    return embeds


def embed_ahead(
    context: JobContext, request: GenerationRequest, *, prompt: str, token_limit: int
) -> bool:
    """Keep the job's embeddings if that needs no loading; return whether they are kept."""
    keys = _keys(context, request, prompt, token_limit)
    found = context.find_texts(keys)
    if None not in found:
        return True
    text_encoder = context.residency.find(context.base_of(request.model), "text_encoder")
    if text_encoder is None:
        return False
    for text, kept in zip(_texts(request, prompt), found, strict=True):
        if kept is None:
            embed(context, request.model, text, [text_encoder.module], token_limit=token_limit)
    return None not in context.find_texts(keys)


def run(
    context: JobContext,
    request: GenerationRequest,
    *,
    prompt: str,
    token_limit: int,
    futures: WanFutures,
) -> Generator[JobEvent, None, None]:
    """Encode, prepare, denoise and decode; frames leave as ``FramesReady`` in time order."""
    team = _team(context, request)
    try:
        yield from _run(
            context, request, prompt=prompt, token_limit=token_limit, futures=futures, team=team
        )
    finally:
        if team is not None:
            team.end()


def _run(
    context: JobContext,
    request: GenerationRequest,
    *,
    prompt: str,
    token_limit: int,
    futures: WanFutures,
    team: GroupWan | None,
) -> Generator[JobEvent, None, None]:
    loaded: Sequence[Future[Any]] = ()
    if team is not None:
        loaded = yield from team.begin()
    positive, negative = yield from _encode(context, request, prompt, token_limit, futures)
    transformer, vae = yield from wait_for(
        context, Phase.LOAD_TRANSFORMER, [futures.transformer, futures.vae]
    )
    if request.model in context.variants:
        with context.recorder.span(Phase.LOAD_TRANSFORMER):
            transformer = context.denoiser_of(request.model, "transformer", transformer)
    with context.recorder.span(Phase.PREPARE):  # the first time, weights are rearranged
        predictor = predictor_of(context, request.model, transformer)
        num_stripes = 1 if team is None else team.size
        decoder = decoder_of(context, request, vae, num_stripes=num_stripes)
    decode = decode_of(decoder)
    can_share = isinstance(predictor, FastWan) and isinstance(decoder, StreamingDecoder)
    if team is not None and can_share:
        yield from wait_until_done(context, Phase.LOAD_TRANSFORMER, loaded)
        team.bind(predictor, decoder)
        predictor, decode = team, team.decode
    latents, scheduler = _prepare(context, request, transformer, vae)
    draft = calibration_of(context, request)
    if draft is not None and (doubt := doubt_of(draft, request)):
        yield Note(code="draft_unconfirmed", text=f"draft: {doubt}")
    latents, context.step_times_s = yield from drive_units(
        context,
        Phase.DENOISE,
        wan_denoise.denoise(
            transformer=predictor,
            scheduler=scheduler,
            latents=latents,
            prompt_embeds=positive.to(transformer.dtype),
            negative_prompt_embeds=None if negative is None else negative.to(transformer.dtype),
            guidance_scale=request.guidance_scale,
            # One frame is bound by kernel launches, and one batch launches half as many.
            guidance_batched=request.num_frames == 1,
            cache=None if draft is None else StepCache(draft.plan),
        ),
        num_units=request.num_inference_steps,
    )
    yield from _decode(context, request, decode, latents)


def _team(context: JobContext, request: GenerationRequest) -> GroupWan | None:
    """Return the job on the whole group, None where this rank does it alone.

    A single frame is over before the others have heard of it, and each needs lines to decode.
    """
    needed = {FUSED_WAN, STREAMED_WAN}
    if context.group is None or request.num_frames == 1 or not needed <= context.techniques:
        return None
    if request.height // _LINES_A_LATENT < context.group.size:
        return None
    from ourvidz.engine.group.wan import GroupWan  # it drives what is defined here

    return GroupWan(context.group, context, request)


def predictor_of(context: JobContext, model_id: str, transformer: Any) -> Any:
    """Return what denoises: our own forward where it is allowed and knows the module."""
    if FUSED_WAN not in context.techniques or not can_run_fast(transformer):
        return transformer
    is_8bit = WAN_LINEARS_8BIT in context.techniques
    is_8bit_attention = WAN_ATTENTION_8BIT in context.techniques

    def build() -> FastWan:
        attention = ChosenAttention(is_8bit=is_8bit_attention, cache=context.cache_dir)
        return FastWan(transformer, attention=attention, is_8bit=is_8bit)

    return context.residency.derive(
        (context.base_of(model_id), "transformer"),
        f"forward-{is_8bit}-{is_8bit_attention}-{model_id}",
        build,
        num_bytes=FastWan.added_bytes(transformer) if is_8bit else 0,
    )


def decoder_of(
    context: JobContext, request: GenerationRequest, vae: Any, *, num_stripes: int = 1
) -> Any:
    """Return what decodes latents: our own where it is allowed and knows the module, or ``vae``.

    Args:
        context: of the job.
        request: what is decoded.
        vae: loaded.
        num_stripes: ranks that share the decode.
    """
    if STREAMED_WAN not in context.techniques or not can_stream(vae):
        return vae
    on_gpu = context.device.type == "cuda"

    def build() -> StreamingDecoder:
        # On a GPU in bfloat16: within its rounding of the library's, and a third of the time.
        dtype = torch.bfloat16 if on_gpu else None
        options = options_for(context.device, num_stripes=num_stripes)
        return StreamingDecoder(vae, dtype=dtype, options=options)

    decoder = context.residency.derive(
        (context.base_of(request.model), "vae"),
        "stream" if num_stripes == 1 else f"stream-{num_stripes}",
        build,
        num_bytes=sum(weight.numel() for weight in vae.decoder.parameters()) * (2 if on_gpu else 4),
    )
    if request.num_frames > 1:  # a clip's past frames may take more than its denoising
        shared = num_stripes > 1
        # The first has a line more than others, where they don't go even.
        stripe = Stripe(group=None, rank=0, size=num_stripes) if shared else None
        context.residency.expect_activations(
            f"decode {request.width}x{request.height}" + (f"/{num_stripes}" if shared else ""),
            decoder.memory_bytes(height=request.height, width=request.width, stripe=stripe),
        )
    return decoder


def decode_of(decoder: Any) -> Decoder:
    if isinstance(decoder, StreamingDecoder):
        return lambda *, latents: decoder.decode(latents)
    return partial(wan_decode.decode, vae=decoder)


def _texts(request: GenerationRequest, prompt: str) -> tuple[str, ...]:
    return (prompt, request.negative_prompt) if request.uses_guidance else (prompt,)


def _keys(
    context: JobContext, request: GenerationRequest, prompt: str, token_limit: int
) -> list[TextKey]:
    return [
        text_key(context, request.model, text, token_limit=token_limit)
        for text in _texts(request, prompt)
    ]


def _encode(
    context: JobContext,
    request: GenerationRequest,
    prompt: str,
    token_limit: int,
    futures: WanFutures,
) -> Generator[JobEvent, None, tuple[torch.Tensor, torch.Tensor | None]]:
    """Return what the prompt and, under guidance, the negative prompt say: (1, T, D) each."""
    with context.recorder.span(Phase.PREPARE):
        found = find_embeds(context, request, prompt=prompt, token_limit=token_limit)
    encoders: list[Any] = []
    if None in found:
        # Asked for above, unless the cache lost what it had then.
        wanted = [futures.text_encoder or request_encoders(context, request.model)[0]]
        encoders = yield from wait_for(context, Phase.LOAD_TEXT_ENCODER, wanted)
    yield PhaseStarted(phase=Phase.ENCODE)
    start_s = context.clock.monotonic()
    with device_phase(context.recorder, Phase.ENCODE, context.device) as facts:
        if not encoders:
            facts["cached"] = True
        embeds = [
            kept or embed(context, request.model, text, encoders, token_limit=token_limit)
            for text, kept in zip(_texts(request, prompt), found, strict=True)
        ]
    yield PhaseEnded(phase=Phase.ENCODE, duration_s=context.clock.monotonic() - start_s)
    return embeds[0].prompt_embeds, embeds[1].prompt_embeds if len(embeds) > 1 else None


def _prepare(
    context: JobContext, request: GenerationRequest, transformer: Any, vae: Any
) -> tuple[Any, Any]:
    # Imported here because listing schedulers must not cost a CLI start their import.
    from ourvidz.models.renoise import RenoiseScheduler
    from ourvidz.models.schedulers import flow_sigmas, make_flow_scheduler

    assert request.flow_shift is not None, request.job_type
    with device_phase(context.recorder, Phase.PREPARE, context.device):
        latents = wan_denoise.prepare_latents(
            seeds=request.item_seeds,
            num_frames=request.num_frames,
            height=request.height,
            width=request.width,
            geometry=WanGeometry.from_configs(transformer=transformer.config, vae=vae.config),
            device=context.device,
        )
        if request.scheduler == "lcm":
            sigmas = request.sigmas or flow_sigmas(request.num_inference_steps, request.flow_shift)
            scheduler = RenoiseScheduler(
                sigmas, shape=latents.shape[1:], seeds=request.item_seeds, device=context.device
            )
            return latents * scheduler.init_noise_sigma, scheduler
        scheduler = make_flow_scheduler(
            request.scheduler,
            num_inference_steps=request.num_inference_steps,
            flow_shift=request.flow_shift,
            device=context.device,
        )
    return latents, scheduler


def _decode(
    context: JobContext, request: GenerationRequest, decoder: Decoder, latents: Any
) -> Generator[JobEvent, None, None]:
    yield PhaseStarted(phase=Phase.DECODE, num_units=request.num_frames)
    start_s = context.clock.monotonic()
    done = 0
    with device_phase(context.recorder, Phase.DECODE, context.device):
        chunks = decoder(latents=latents)
        for chunk in chunks:
            context.cancel.raise_if_cancelled()
            done += len(chunk)
            yield FramesReady(item=0, frames=chunk.numpy())
            yield Progress(phase=Phase.DECODE, done=done, num_units=request.num_frames)
    yield PhaseEnded(phase=Phase.DECODE, duration_s=context.clock.monotonic() - start_s)
