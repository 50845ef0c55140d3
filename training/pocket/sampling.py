"""Makes clips and single frames in batches with the library's classes, one seed a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor, nn
from transformers import AutoTokenizer, UMT5EncoderModel

from ourvidz.catalog.step_plan import DRAFT_NAME, CalibrationFile, SamplerKey, read_calibrations
from ourvidz.kernels.chosen import ChosenAttention
from ourvidz.models.wan.fast import FastWan
from ourvidz.models.wan.step_cache import StepCache
from ourvidz.perf.quality.pocket.detector import Pixels
from training.pocket import common, wan_vae
from training.pocket.captions import DEFAULT_NEGATIVE_PROMPT

Precision = Literal["float32", "bfloat16", "float16", "float8"]
Fidelity = Literal["exact", "high", "draft"]
FIDELITIES: Final[tuple[Fidelity, ...]] = ("exact", "high", "draft")
PRECISIONS: Final[tuple[Precision, ...]] = ("float32", "bfloat16", "float16", "float8")
_DTYPES: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_E4M3_MAX: Final = 448.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to sample, as a job type and preset would.

    Precision is that of the weights and activations of transformer and text encoder; latents,
    guidance, schedulers and the VAE stay in float32, as the engine keeps them. "float8" rounds the
    transformer's linear weights only and computes in float32.

    Fidelity is the product's: `high` is its 8-bit forward, `draft` leaves out the evaluations that
    the plan in the model's folder leaves out.
    """

    num_frames: int = 33
    height: int = 160
    width: int = 96
    scheduler: str = "unipc"
    shift: float = 5.0
    steps: int = 25
    guidance: float = 6.5
    negative_prompt: str = DEFAULT_NEGATIVE_PROMPT
    precision: Precision = "float32"
    fidelity: Fidelity = "exact"

    @property
    def notes(self) -> str:
        """The settings in words."""
        return (
            f"{self.num_frames}x{self.height}x{self.width}, {self.scheduler} shift {self.shift:g}, "
            f"{self.steps} steps, guidance {self.guidance:g}, {self.precision}"
        )


@dataclass(frozen=True, kw_only=True)
class Models:
    """The pipeline's parts, on one device."""

    transformer: WanTransformer3DModel
    text_encoder: UMT5EncoderModel
    vae: AutoencoderKLWan
    tokenizer: Any
    max_sequence_length: int
    device: torch.device
    plans: CalibrationFile | None = None  # of `draft`, where the folder has some

    def cache(self, case: Case) -> StepCache | None:
        """What a case leaves out; None for one that evaluates everything.

        Raises:
            ValueError: A `draft` for which there is no plan.
        """
        if case.fidelity != "draft":
            return None
        key = SamplerKey(
            scheduler={"dpm": "dpm++"}.get(case.scheduler, case.scheduler),
            num_inference_steps=case.steps,
            flow_shift=case.shift,
            guidance_scale=case.guidance,
            is_video=case.num_frames > 1,
        )
        found = self.plans.find(key) if self.plans else None
        if found is None:
            raise ValueError(f"no plan for a draft of {key}")
        return StepCache(found.plan)

    def fits(self, text: str) -> bool:
        """Whether the text encoder reads a text to its end."""
        return len(self.tokenizer(text, verbose=False).input_ids) <= self.max_sequence_length


def dtype_of(precision: Precision) -> torch.dtype:
    """What networks compute in."""
    return _DTYPES.get(precision, torch.float32)


@torch.no_grad()
def round_to_float8(module: nn.Module) -> None:
    """Rounds the weights of all linear layers to e4m3 with one scale an output row, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight.float()
            scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _E4M3_MAX
            rounded = (weight / scale).to(torch.float8_e4m3fn).float() * scale
            layer.weight.copy_(rounded)


def load(folder: Path, device: torch.device, precision: Precision = "float32") -> Models:
    """Loads an export; the VAE is in float32 whatever the precision."""
    facts = json.loads((folder / "ourvidz.json").read_text(encoding="utf-8"))
    dtype = dtype_of(precision)
    transformer = WanTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=dtype)
    if precision == "float8":
        round_to_float8(transformer)
    text = UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=dtype)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    return Models(
        transformer=common.moved(transformer, device).eval(),
        text_encoder=common.moved(text, device).eval(),
        vae=common.moved(vae, device).eval(),
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        max_sequence_length=facts["max_sequence_length"],
        device=device,
        plans=read_calibrations(folder / DRAFT_NAME) if (folder / DRAFT_NAME).exists() else None,
    )


def encode_prompts(models: Models, prompts: Sequence[str]) -> Tensor:
    """Text features [B, L, d], zeros beyond each prompt's end, as `WanPipeline` makes them."""
    batch = models.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=models.max_sequence_length,
        truncation=True,
        return_tensors="pt",
    ).to(models.device)
    mask = batch.attention_mask
    return models.text_encoder(batch.input_ids, mask).last_hidden_state * mask[..., None]


def scheduler_of(case: Case) -> Any:
    """The scheduler of a case, of the library's class."""
    if case.scheduler == "euler":
        return FlowMatchEulerDiscreteScheduler(shift=case.shift)
    kinds = {"unipc": UniPCMultistepScheduler, "dpm": DPMSolverMultistepScheduler}
    return kinds[case.scheduler](
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=case.shift
    )


def noise(shape: Sequence[int], seeds: Sequence[int], device: torch.device) -> Tensor:
    """Normal noise [len(seeds), *shape]: each row depends on its own seed alone."""
    rows = [torch.randn((1, *shape), generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.cat(rows).to(device)


def _velocity(models: Models, latents: Tensor, at: Tensor, text: Tensor) -> Tensor:
    transformer: Any = models.transformer
    inputs, words = latents.to(transformer.dtype), text.to(transformer.dtype)
    return transformer(inputs, at, words, return_dict=False)[0].float()


def _evaluation(
    models: Models, case: Case, texts: Sequence[Tensor]
) -> Callable[[Tensor, Tensor, int], list[Tensor]]:
    """What evaluates the network for the first N texts at a state and a timestep []."""
    if case.fidelity == "high":
        attention = ChosenAttention(is_8bit=True)
        fast = FastWan(models.transformer, attention=attention, is_8bit=True)
        words = [fast.text(text) for text in texts]
        return lambda latents, at, count: fast.velocities(latents, at, words[:count])

    def evaluate(latents: Tensor, at: Tensor, count: int) -> list[Tensor]:
        at = at.expand(len(latents))
        return [_velocity(models, latents, at, text) for text in texts[:count]]

    return evaluate


@torch.inference_mode()
def sample(models: Models, prompts: Sequence[str], case: Case, *, seeds: Sequence[int]) -> Pixels:
    """Makes clips or single frames.

    Args:
        models: The pipeline's parts, in the case's precision.
        prompts: B prompts.
        case: How to sample.
        seeds: Of each row's initial noise, B numbers.

    Returns:
        uint8 [B, F, H, W, 3].
    """
    cond = encode_prompts(models, prompts)
    uncond = encode_prompts(models, [case.negative_prompt]).expand_as(cond)
    config = common.config_of(models.vae)
    shape = (config.z_dim, (case.num_frames + 3) // 4, case.height // 8, case.width // 8)
    latents = noise(shape, seeds, models.device)
    scheduler = scheduler_of(case)
    scheduler.set_timesteps(case.steps, device=models.device)
    texts = [cond, uncond] if case.guidance > 1 else [cond]
    evaluate, cache = _evaluation(models, case, texts), models.cache(case)
    for index, t in enumerate(scheduler.timesteps):
        if cache is not None:
            velocity = cache.velocity(
                index, latents, partial(evaluate, latents, t), guidance_scale=case.guidance
            )
        else:
            velocity, *others = evaluate(latents, t, len(texts))
            for unguided in others:
                velocity = unguided + case.guidance * (velocity - unguided)
        latents = scheduler.step(velocity, t, latents, return_dict=False)[0]
    std = torch.tensor(config.latents_std, device=models.device).view(1, -1, 1, 1, 1)
    mean = torch.tensor(config.latents_mean, device=models.device).view(1, -1, 1, 1, 1)
    pixels = wan_vae.decode(models.vae, latents * std + mean).clamp(-1, 1).nan_to_num()
    return ((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()


def in_batches(
    make: Callable[[Sequence[str], Sequence[int]], Pixels],
    prompts: Sequence[str],
    seeds: Sequence[int],
    batch: int,
) -> list[Pixels]:
    """Makes all rows, `batch` at a time; half as many at a time if the device's memory is full."""
    made: list[Pixels] = []
    while len(made) < len(prompts):
        at = len(made)
        try:
            made += list(make(prompts[at : at + batch], seeds[at : at + batch]))
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            torch.cuda.empty_cache()
    return made
