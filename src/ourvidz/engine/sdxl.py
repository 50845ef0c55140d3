"""Drives the SDXL family: one request to a batch of images."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ourvidz.catalog.techniques import FAST_SDXL_VAE, FUSED_SDXL, SDXL_LINEARS_8BIT
from ourvidz.core.event import FramesReady, JobEvent, PhaseEnded, PhaseStarted, Progress
from ourvidz.core.phase import Phase
from ourvidz.core.request import Fidelity, GenerationRequest
from ourvidz.engine.context import JobContext, drive_units, wait_for, wait_until_done
from ourvidz.engine.embeds import TextEmbeds, TextKey
from ourvidz.engine.idle_memory import TrackedUnet
from ourvidz.engine.residency import Component, ComponentSpec
from ourvidz.engine.timing import device_phase
from ourvidz.models.frames import to_host
from ourvidz.models.imports import library_imports
from ourvidz.models.loading import read_config
from ourvidz.models.sdxl import decode as sdxl_decode
from ourvidz.models.sdxl import denoise as sdxl_denoise
from ourvidz.models.sdxl import encode as sdxl_encode
from ourvidz.models.sdxl import load as sdxl_load
from ourvidz.models.sdxl.config import SdxlGeometry
from ourvidz.models.sdxl.fast import can_run_fast as can_run_fast_unet
from ourvidz.models.sdxl.fast_vae import FastVae
from ourvidz.models.sdxl.fast_vae import can_run_fast as can_run_fast_vae

if TYPE_CHECKING:
    from ourvidz.engine.group.sdxl import GroupImages

_TEXT_COMPONENTS = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")


@dataclass(frozen=True, kw_only=True, slots=True)
class SdxlFutures:
    """The networks that a job needs, on their way."""

    encoders: Sequence[Future[Component]]  # both, or none: all texts were found embedded
    unet: Future[Component]
    vae: Future[Component]


def import_libraries() -> None:
    """Import what loading and running need, so that no later phase pays for it unnamed."""
    with library_imports:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # noqa: F401
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: F401
        from transformers import CLIPTextModel, CLIPTextModelWithProjection  # noqa: F401


def request_components(
    context: JobContext, model_id: str, *, with_encoders: bool = True
) -> SdxlFutures:
    """Start loading everything at once; the text encoders first, because they are needed first."""
    return SdxlFutures(
        encoders=request_encoders(context, model_id) if with_encoders else (),
        unet=context.request(_spec(context, model_id, "unet", Phase.LOAD_UNET)),
        vae=context.request(_spec(context, model_id, "vae", Phase.LOAD_VAE)),
    )


def request_encoders(context: JobContext, model_id: str) -> list[Future[Component]]:
    """Start loading what makes embeddings."""
    return [
        context.request(_spec(context, model_id, name, Phase.LOAD_TEXT_ENCODER))
        for name in ("text_encoder", "text_encoder_2")
    ]


def _spec(context: JobContext, model_id: str, name: str, phase: Phase) -> ComponentSpec:
    return ComponentSpec(
        model_id=context.base_of(model_id),
        family="sdxl",
        name=name,
        folder=context.locate(model_id) / name,
        phase=phase,
        load=getattr(sdxl_load, f"load_{name}"),
    )


def _tokenizers(context: JobContext, model_id: str) -> tuple[Any, Any]:
    return (
        context.tokenizer(model_id, "tokenizer", sdxl_load.load_tokenizer),
        context.tokenizer(model_id, "tokenizer_2", sdxl_load.load_tokenizer),
    )


def component_specs(context: JobContext, model_id: str) -> list[ComponentSpec]:
    """Return how to load everything that a model has, what a job needs first being first."""
    phases = {"unet": Phase.LOAD_UNET, "vae": Phase.LOAD_VAE}
    return [
        _spec(context, model_id, name, phases.get(name, Phase.LOAD_TEXT_ENCODER))
        for name in ("text_encoder", "text_encoder_2", "unet", "vae")
    ]


def count_tokens(context: JobContext, model_id: str, text: str) -> int:
    """Return how many tokens ``text`` takes in whichever encoder's tokenizer takes more."""
    return max(
        len(tokenizer(text, verbose=False).input_ids)
        for tokenizer in _tokenizers(context, model_id)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """What one job's prompts say, one row each."""

    positive: sdxl_encode.PromptEmbeds
    negative: sdxl_encode.PromptEmbeds | None  # None: no guidance


def run(
    context: JobContext, request: GenerationRequest, *, prompt: str, futures: SdxlFutures
) -> Generator[JobEvent, None, None]:
    """Encode, prepare, denoise and decode; each image leaves as ``FramesReady``."""
    team = team_of(context, request, num_items=request.num_images)
    try:
        yield from _run(context, request, prompt=prompt, futures=futures, team=team)
    finally:
        if team is not None:
            team.end()


def _run(
    context: JobContext,
    request: GenerationRequest,
    *,
    prompt: str,
    futures: SdxlFutures,
    team: GroupImages | None,
) -> Generator[JobEvent, None, None]:
    loaded = yield from begin(team)
    with context.recorder.span(Phase.PREPARE):
        found = find_embeds(context, request, prompt=prompt)
    encoders: list[Any] = []
    if None in found:
        encoders = yield from wait_for_encoders(context, request.model, futures)
    conditioning = yield from encode(context, request, prompt, found, encoders)
    unet, vae = yield from wait_for(context, Phase.LOAD_UNET, [futures.unet, futures.vae])
    if request.model in context.variants:
        with context.recorder.span(Phase.LOAD_UNET):
            unet = context.denoiser_of(request.model, "unet", unet)
    yield from wait_until_done(context, Phase.LOAD_UNET, loaded)
    with device_phase(context.recorder, Phase.PREPARE, context.device):
        latents = prepare_latents(context, request, unet, vae)
        predictor = shared_predictor(context, request.model, unet, vae, team)
        steps = denoise(
            context, request, predictor=predictor, latents=latents, conditioning=conditioning
        )
    latents, context.step_times_s = yield from drive_units(
        context, Phase.DENOISE, steps, num_units=request.num_inference_steps
    )
    images = images_of(context, request.model, vae, latents, team)
    yield from decode(context, request, images)


def team_of(
    context: JobContext, request: GenerationRequest, *, num_items: int
) -> GroupImages | None:
    """Return the batch on the whole group, None where this rank does it alone.

    A single image stays: a step of its two rows is bound by launches more than by arithmetic.
    """
    if context.group is None or num_items == 1:
        return None
    from ourvidz.engine.group.sdxl import GroupImages  # it drives what is defined here

    return GroupImages(context.group, context, request)


def begin(team: GroupImages | None) -> Generator[JobEvent, None, Sequence[Future[Any]]]:
    """Have the other ranks begin to load, once they have been met; return what to wait for."""
    return () if team is None else (yield from team.begin())


def shared_predictor(
    context: JobContext, model_id: str, unet: Any, vae: Any, team: GroupImages | None
) -> Any:
    """Return what denoises, on this rank or on all that ``team`` has."""
    predictor = predictor_of(context, model_id, unet)
    if team is None:
        return predictor
    team.bind(predictor, partial(decode_on_device, context, model_id, vae))
    return team


def wait_for_encoders(
    context: JobContext, model_id: str, futures: SdxlFutures
) -> Generator[JobEvent, None, list[Any]]:
    """Wait for both text encoders, asking for them where they were not thought to be needed."""
    encoders = futures.encoders or request_encoders(context, model_id)
    return (yield from wait_for(context, Phase.LOAD_TEXT_ENCODER, encoders))


def text_key(context: JobContext, model_id: str, text: str) -> TextKey:
    """Return the key of a text's embeddings; loads nothing."""
    return context.text_key(
        model_id, text, family="sdxl", components=_TEXT_COMPONENTS, max_length=0
    )


def find_embeds(
    context: JobContext, request: GenerationRequest, *, prompt: str
) -> list[TextEmbeds | None]:
    """Return what is known of each text that the job needs."""
    return context.find_texts(_keys(context, request, prompt))


def embed(context: JobContext, model_id: str, text: str, encoders: Sequence[Any]) -> TextEmbeds:
    """Encode one text with the loaded ``encoders`` and keep the result."""
    tokenizer, tokenizer_2 = _tokenizers(context, model_id)
    made = sdxl_encode.encode(
        [text],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        device=context.device,
    )
    embeds = TextEmbeds(
        prompt_embeds=made.prompt_embeds,
        num_rows=made.prompt_embeds.shape[1],  # CLIP's padding is no zeros
        num_tokens=made.num_tokens[0],
        num_truncated_tokens=made.num_truncated_tokens[0],
        pooled_prompt_embeds=made.pooled_prompt_embeds,
    )
    context.embeds.put(text_key(context, model_id, text), embeds)
    return embeds


def embed_ahead(context: JobContext, request: GenerationRequest, *, prompt: str) -> bool:
    """Keep the job's embeddings if that needs no loading; return whether they are kept."""
    keys = _keys(context, request, prompt)
    found = context.find_texts(keys)
    if None not in found:
        return True
    first = context.residency.find(context.base_of(request.model), "text_encoder")
    second = context.residency.find(context.base_of(request.model), "text_encoder_2")
    if first is None or second is None:
        return False
    for text, kept in zip(_texts(context, request, prompt), found, strict=True):
        if kept is None:
            embed(context, request.model, text, [first.module, second.module])
    return None not in context.find_texts(keys)


def encode(
    context: JobContext,
    request: GenerationRequest,
    prompt: str,
    found: Sequence[TextEmbeds | None],
    encoders: Sequence[Any],
) -> Generator[JobEvent, None, Conditioning]:
    """Encode the job's prompts, as far as they were not ``found`` by ``find_embeds``.

    ``encoders`` are both, or none where everything was found.
    """
    yield PhaseStarted(phase=Phase.ENCODE)
    start_s = context.clock.monotonic()
    with device_phase(context.recorder, Phase.ENCODE, context.device) as facts:
        if None not in found:
            facts["cached"] = True
        embeds = [
            _prompt_embeds(kept or embed(context, request.model, text, encoders))
            for text, kept in zip(_texts(context, request, prompt), found, strict=True)
        ]
        negative = embeds[1] if len(embeds) > 1 else None
        if request.uses_guidance and negative is None:
            negative = sdxl_encode.zero_prompt_embeds(embeds[0])
    yield PhaseEnded(phase=Phase.ENCODE, duration_s=context.clock.monotonic() - start_s)
    return Conditioning(positive=embeds[0], negative=negative)


def _prompt_embeds(embeds: TextEmbeds) -> sdxl_encode.PromptEmbeds:
    assert embeds.pooled_prompt_embeds is not None, "made by sdxl.embed"
    return sdxl_encode.PromptEmbeds(
        prompt_embeds=embeds.prompt_embeds,
        pooled_prompt_embeds=embeds.pooled_prompt_embeds,
        num_tokens=(embeds.num_tokens,),
        num_truncated_tokens=(embeds.num_truncated_tokens,),
    )


def _keys(context: JobContext, request: GenerationRequest, prompt: str) -> list[TextKey]:
    return [text_key(context, request.model, text) for text in _texts(context, request, prompt)]


def _texts(context: JobContext, request: GenerationRequest, prompt: str) -> tuple[str, ...]:
    """Return what has to be encoded: the prompt, and the negative one unless zeros stand for it."""
    if not request.uses_guidance:
        return (prompt,)
    if not request.negative_prompt and _zeros_for_empty(context, request.model):
        return (prompt,)
    return (prompt, request.negative_prompt)


def _zeros_for_empty(context: JobContext, model_id: str) -> bool:
    index = read_config(context.locate(model_id), "model_index.json")
    return bool(index.get("force_zeros_for_empty_prompt", True))


def prepare_latents(
    context: JobContext, request: GenerationRequest, unet: Any, vae: Any
) -> torch.Tensor:
    """Return the job's noise, (B, C, H, W), one item a seed."""
    return sdxl_denoise.prepare_latents(
        seeds=request.item_seeds,
        height=request.height,
        width=request.width,
        geometry=SdxlGeometry.from_configs(unet=unet.config, vae=vae.config),
        device=context.device,
    )


def denoise(
    context: JobContext,
    request: GenerationRequest,
    *,
    predictor: Any,
    latents: torch.Tensor,
    conditioning: Conditioning,
) -> Generator[Any, None, torch.Tensor]:
    """Return the generator of steps over ``latents``; nothing has run yet.

    ``request`` gives size, steps, scheduler and guidance, which are one for all items;
    ``predictor`` is from ``shared_predictor``.
    """
    # Imported here because listing schedulers must not cost a CLI start their import.
    from ourvidz.models.schedulers import make_diffusion_scheduler

    scheduler = make_diffusion_scheduler(
        request.scheduler,
        num_inference_steps=request.num_inference_steps,
        config=read_config(context.locate(request.model) / "scheduler", "scheduler_config.json"),
        device=context.device,
        timestep_spacing=request.timestep_spacing,
    )
    return sdxl_denoise.denoise(
        unet=predictor,
        scheduler=scheduler,
        latents=latents,
        prompt_embeds=conditioning.positive,
        time_ids=sdxl_encode.prepare_time_ids(
            height=request.height, width=request.width, device=context.device
        ),
        negative_prompt_embeds=conditioning.negative,
        guidance_scale=request.guidance_scale,
    )


def predictor_of(context: JobContext, model_id: str, unet: Any) -> Any:
    """Return what denoises: our own forward where it is allowed and knows the module."""
    # On a CPU channels-last convolutions are a third slower than the library's.
    if FUSED_SDXL not in context.techniques or context.device.type == "cpu":
        return unet
    if not can_run_fast_unet(unet):
        return unet
    fidelity = Fidelity.HIGH if SDXL_LINEARS_8BIT in context.techniques else Fidelity.EXACT
    return context.residency.derive(
        (context.base_of(model_id), "unet"),
        f"forward-{fidelity}-{model_id}",
        lambda: TrackedUnet(unet, fidelity=fidelity, cache=context.cache_dir),
        num_bytes=TrackedUnet.added_bytes(unet, is_8bit=fidelity is not Fidelity.EXACT),
    )


def decode_on_device(
    context: JobContext, model_id: str, vae: Any, latents: torch.Tensor
) -> torch.Tensor:
    """Return (n, H, W, 3) uint8 on the device, by our own decoder where that is allowed."""
    on_cpu = context.device.type == "cpu"
    if FAST_SDXL_VAE not in context.techniques or on_cpu or not can_run_fast_vae(vae):
        return torch.stack([sdxl_decode.decode_image(vae, item) for item in latents.split(1)])
    decoder = context.residency.derive(
        (context.base_of(model_id), "vae"),
        "decoder",
        lambda: FastVae(vae),
        # In bfloat16, beside the module's own.
        num_bytes=2 * sum(weight.numel() for weight in vae.decoder.parameters()),
    )
    return decoder.decode_uint8(latents)


def images_of(
    context: JobContext,
    model_id: str,
    vae: Any,
    latents: torch.Tensor,
    team: GroupImages | None = None,
) -> Generator[torch.Tensor, None, None]:
    """Yield images in order, each (H, W, 3) uint8 on the CPU, as soon as it is decoded."""
    if team is not None:
        yield from team.decode(latents)
        return
    items = latents.split(1)
    for images in to_host(decode_on_device(context, model_id, vae, item) for item in items):
        yield images[0]


def decode(
    context: JobContext, request: GenerationRequest, images: Iterator[torch.Tensor]
) -> Generator[JobEvent, None, None]:
    """Decode the job's images one by one."""
    yield PhaseStarted(phase=Phase.DECODE, num_units=request.num_images)
    start_s = context.clock.monotonic()
    with device_phase(context.recorder, Phase.DECODE, context.device):
        for item, image in enumerate(images):
            context.cancel.raise_if_cancelled()
            yield FramesReady(item=item, frames=image.numpy()[None])
            yield Progress(phase=Phase.DECODE, done=item + 1, num_units=request.num_images)
    yield PhaseEnded(phase=Phase.DECODE, duration_s=context.clock.monotonic() - start_s)


def decode_all(
    context: JobContext, images: Iterator[torch.Tensor], *, num_images: int
) -> Generator[JobEvent, None, list[torch.Tensor]]:
    """Decode the images of several jobs in one phase of all; return them, in order."""
    yield PhaseStarted(phase=Phase.DECODE, num_units=num_images)
    start_s = context.clock.monotonic()
    decoded: list[torch.Tensor] = []
    with device_phase(context.recorder, Phase.DECODE, context.device):
        for image in images:
            decoded.append(image)
            yield Progress(phase=Phase.DECODE, done=len(decoded), num_units=num_images)
    yield PhaseEnded(phase=Phase.DECODE, duration_s=context.clock.monotonic() - start_s)
    return decoded


def frames_of(images: torch.Tensor) -> Generator[JobEvent, None, None]:
    """Yield a job's images that were decoded before: (n, H, W, 3)."""
    for item, image in enumerate(images.unbind(0)):
        yield FramesReady(item=item, frames=image.numpy()[None])
