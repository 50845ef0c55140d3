"""Drives the Wan family: one request to decoded frames."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ourvidz.catalog.techniques import (
    FUSED_WAN,
    INT8_WAN_ATTENTION,
    INT8_WAN_LINEARS,
    STREAMED_WAN,
)
from ourvidz.core.event import FramesReady, JobEvent, PhaseEnded, PhaseStarted, Progress
from ourvidz.core.phase import Phase
from ourvidz.core.request import GenerationRequest
from ourvidz.engine.context import JobContext, drive_units, wait_for
from ourvidz.engine.embeds import EmbedKey
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
from ourvidz.models.wan.stream import StreamingDecoder, can_stream

Decoder = Callable[..., Generator[torch.Tensor, None, None]]  # of ``latents`` (1, C, F, h, w)


@dataclass(frozen=True, kw_only=True, slots=True)
class WanFutures:
    """The three networks, on their way."""

    text_encoder: Future[Component]
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


def request_components(context: JobContext, model_id: str) -> WanFutures:
    """Start loading everything at once; the text encoder first, because it is needed first."""
    root = context.locate(model_id)

    def spec(name: str, phase: Phase, load: Any) -> ComponentSpec:
        return ComponentSpec(
            model_id=model_id, family="wan", name=name, folder=root / name, phase=phase, load=load
        )

    return WanFutures(
        text_encoder=context.request(
            spec("text_encoder", Phase.LOAD_TEXT_ENCODER, wan_load.load_text_encoder)
        ),
        transformer=context.request(
            spec("transformer", Phase.LOAD_TRANSFORMER, wan_load.load_transformer)
        ),
        vae=context.request(spec("vae", Phase.LOAD_VAE, wan_load.load_vae)),
    )


def request_all(context: JobContext, model_id: str) -> list[Future[Component]]:
    """Start loading everything that a model has."""
    futures = request_components(context, model_id)
    return [futures.text_encoder, futures.transformer, futures.vae]


def count_tokens(context: JobContext, model_id: str, text: str) -> int:
    """Return how many tokens of the model's text encoder ``text`` takes, end token included."""
    tokenizer = context.tokenizer(model_id, "tokenizer", wan_load.load_tokenizer)
    return len(tokenizer(wan_encode.clean_prompt(text), verbose=False).input_ids)


def embed_ahead(
    context: JobContext, request: GenerationRequest, *, prompt: str, token_limit: int
) -> bool:
    """Keep the job's embeddings if its text encoder is resident; return whether they are kept."""
    text_encoder = context.residency.find(request.model, "text_encoder")
    if text_encoder is None:
        return False
    tokenizer = context.tokenizer(request.model, "tokenizer", wan_load.load_tokenizer)
    key = _embed_key(request, prompt, text_encoder, token_limit)
    if context.embeds.get(key) is None:
        made = _embed(context, key, tokenizer, text_encoder.module)
        context.embeds.put(key, made, made)
    return context.embeds.get(key) is not None


def run(
    context: JobContext,
    request: GenerationRequest,
    *,
    prompt: str,
    token_limit: int,
    futures: WanFutures,
) -> Generator[JobEvent, None, None]:
    """Encode, prepare, denoise and decode; frames leave as ``FramesReady`` in time order."""
    tokenizer = context.tokenizer(request.model, "tokenizer", wan_load.load_tokenizer)
    (text_encoder,) = yield from wait_for(context, Phase.LOAD_TEXT_ENCODER, [futures.text_encoder])
    key = _embed_key(request, prompt, futures.text_encoder.result(), token_limit)
    positive, negative = yield from _encode(context, key, tokenizer, text_encoder)
    transformer, vae = yield from wait_for(
        context, Phase.LOAD_TRANSFORMER, [futures.transformer, futures.vae]
    )
    predictor = _predictor(context, request.model, transformer)
    decoder = _decoder(context, request.model, vae)
    latents, scheduler = _prepare(context, request, transformer, vae)
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
        ),
        num_units=request.num_inference_steps,
    )
    yield from _decode(context, request, decoder, latents)


def _predictor(context: JobContext, model_id: str, transformer: Any) -> Any:
    """Return what denoises: our own forward where it is allowed and knows the module."""
    if FUSED_WAN not in context.techniques or not can_run_fast(transformer):
        return transformer
    is_8bit = INT8_WAN_LINEARS in context.techniques
    is_8bit_attention = INT8_WAN_ATTENTION in context.techniques

    def build() -> FastWan:
        attention = ChosenAttention(is_8bit=is_8bit_attention, cache=context.cache_dir)
        return FastWan(transformer, attention=attention, is_8bit=is_8bit)

    return context.residency.derive(
        (model_id, "transformer"),
        f"forward-{is_8bit}-{is_8bit_attention}",
        build,
        num_bytes=FastWan.added_bytes(transformer) if is_8bit else 0,
    )


def _decoder(context: JobContext, model_id: str, vae: Any) -> Decoder:
    """Return what decodes latents to frames: our own where it is allowed and knows the module."""
    if STREAMED_WAN not in context.techniques or not can_stream(vae):
        return partial(wan_decode.decode, vae=vae)
    on_gpu = context.device.type == "cuda"

    def build() -> StreamingDecoder:
        # On a GPU in bfloat16: within its rounding of the library's, and a third of the time.
        return StreamingDecoder(vae, dtype=torch.bfloat16 if on_gpu else None)

    decoder = context.residency.derive(
        (model_id, "vae"),
        "stream",
        build,
        num_bytes=sum(weight.numel() for weight in vae.decoder.parameters()) * (2 if on_gpu else 4),
    )
    return lambda *, latents: decoder.decode(latents)


def _embed_key(
    request: GenerationRequest, prompt: str, text_encoder: Component, token_limit: int
) -> EmbedKey:
    texts = (prompt, request.negative_prompt) if request.uses_guidance else (prompt,)
    return EmbedKey(
        model_id=request.model,
        checkpoints=(text_encoder.identity,),
        texts=texts,
        max_length=token_limit,
    )


def _embed(context: JobContext, key: EmbedKey, tokenizer: Any, text_encoder: Any) -> torch.Tensor:
    return wan_encode.encode(
        key.texts,
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        max_sequence_length=key.max_length,
        device=context.device,
    ).prompt_embeds


def _encode(
    context: JobContext, key: EmbedKey, tokenizer: Any, text_encoder: Any
) -> Generator[JobEvent, None, tuple[Any, Any]]:
    yield PhaseStarted(phase=Phase.ENCODE)
    start_s = context.clock.monotonic()
    with device_phase(context.recorder, Phase.ENCODE, context.device) as facts:
        embeds = context.embeds.get(key)
        if embeds is None:
            embeds = _embed(context, key, tokenizer, text_encoder)
        else:
            facts["cached"] = True
    yield PhaseEnded(phase=Phase.ENCODE, duration_s=context.clock.monotonic() - start_s)
    return embeds[:1], (embeds[1:] if len(key.texts) > 1 else None)


def _prepare(
    context: JobContext, request: GenerationRequest, transformer: Any, vae: Any
) -> tuple[Any, Any]:
    # Imported here because listing schedulers must not cost a CLI start their import.
    from ourvidz.models.schedulers import make_flow_scheduler

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
