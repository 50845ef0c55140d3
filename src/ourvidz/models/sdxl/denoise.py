"""Seeds to latents to denoised latents: the loop of StableDiffusionXLPipeline as a generator.

Whoever drives the generator cancels (by closing it), times and reports; there are no callbacks.
``noise_pred`` is the noise, or a velocity, as the checkpoint's scheduler config says.

Shapes: B batch, C latent channels, H, W latent height and width, T text length, D width of both
encoders together, P pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ourvidz.models.events import StepEvent
from ourvidz.models.noise import seeded_noise
from ourvidz.models.sdxl.config import SdxlGeometry
from ourvidz.models.sdxl.encode import PromptEmbeds
from ourvidz.models.solvers import Solver, make_solver


def prepare_latents(
    *,
    seeds: Sequence[int],
    height: int,
    width: int,
    geometry: SdxlGeometry,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Return the initial noise, (B, C, H, W) standard normal, one item a seed.

    Not yet scaled by the scheduler's ``init_noise_sigma``: ``denoise`` does that, so that the
    noise of a seed is one for all schedulers. Each item depends on its seed and size only.

    Raises:
        InvalidRequest: sizes that the architecture can't make.
    """
    geometry.check(height=height, width=width)
    shape = geometry.latent_shape(height=height, width=width)
    return seeded_noise(shape, seeds=seeds, device=device, dtype=dtype)


def denoise(
    *,
    unet: Any,
    scheduler: Any,
    latents: torch.Tensor,
    prompt_embeds: PromptEmbeds,
    time_ids: torch.Tensor,
    negative_prompt_embeds: PromptEmbeds | None = None,
    guidance_scale: float = 1.0,
    guidance_batched: bool = True,
) -> Generator[StepEvent, None, torch.Tensor]:
    """Denoise, yielding after each step and returning the latents (``StopIteration.value``).

    Nothing in a step waits for the device; an event says that the step was issued. Several of these
    may be driven in turns, on one UNet, each with its own scheduler. Closing leaves nothing behind.

    Args:
        unet: from ``load_unet``, or a ``FastUnet`` made of one.
        scheduler: fresh from ``schedulers.make_diffusion_scheduler``; used up by this run.
        latents: (B, C, H, W) unit noise, on the UNet's device.
        prompt_embeds: of B prompts or of one, which then serves the whole batch.
        time_ids: (B or 1, 6) from ``prepare_time_ids``.
        negative_prompt_embeds: needed where ``guidance_scale`` is above 1.
        guidance_scale: classifier-free guidance; 1 or less runs the prompt alone.
        guidance_batched: both branches as one batch of 2B (as the library does) or two passes
            (half the activations).

    Returns:
        (B, C, H, W), float32, on the same device: the VAE's scaled space.
    """
    is_guided = guidance_scale > 1
    assert not is_guided or negative_prompt_embeds is not None, "guidance needs a negative prompt"
    cond = _as_batch(prompt_embeds, time_ids, latents, unet)
    uncond = (
        _as_batch(negative_prompt_embeds, time_ids, latents, unet)
        if is_guided and negative_prompt_embeds is not None
        else None
    )
    if uncond is None:
        branches = [cond]
    elif guidance_batched:
        branches = [_both(uncond, cond)]
    else:
        branches = [uncond, cond]
    passes = [predict_of(unet, branch) for branch in branches]
    solver = make_solver(scheduler, latents.device)
    timesteps = scheduler.timesteps
    facts = list(zip(timesteps.tolist(), scheduler.sigmas.tolist(), strict=False))
    latents = latents.float() * scheduler.init_noise_sigma
    for index, (timestep, sigma) in enumerate(facts):
        latents = _step(solver, latents, index, timesteps[index], passes, guidance_scale)
        yield StepEvent(
            step=index + 1,
            num_inference_steps=len(facts),
            timestep=float(timestep),
            sigma=sigma,
            num_forwards=len(passes),
        )
    return latents.clone()  # outside inference mode: an ordinary tensor again


# (b, C, H, W) model input and timestep to (B or 2B, C, H, W) float32.
Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchRows:
    """One branch of guidance, or both on top of each other; the UNet's dtype."""

    prompt_embeds: torch.Tensor  # (B or 2B, T, D)
    pooled_prompt_embeds: torch.Tensor  # (B or 2B, P)
    time_ids: torch.Tensor  # (B or 2B, 6)


def _as_batch(
    embeds: PromptEmbeds, time_ids: torch.Tensor, latents: torch.Tensor, unet: Any
) -> BranchRows:
    batch_size, dtype = latents.shape[0], unet.dtype

    def as_batch(tensor: torch.Tensor) -> torch.Tensor:
        rows = tensor.to(device=latents.device, dtype=dtype)
        return rows.expand(batch_size, *[-1] * (tensor.ndim - 1)).contiguous()

    return BranchRows(
        prompt_embeds=as_batch(embeds.prompt_embeds),
        pooled_prompt_embeds=as_batch(embeds.pooled_prompt_embeds),
        time_ids=as_batch(time_ids),
    )


def _both(first: BranchRows, second: BranchRows) -> BranchRows:
    return BranchRows(
        prompt_embeds=torch.cat([first.prompt_embeds, second.prompt_embeds]),
        pooled_prompt_embeds=torch.cat([first.pooled_prompt_embeds, second.pooled_prompt_embeds]),
        time_ids=torch.cat([first.time_ids, second.time_ids]),
    )


# The decorator, never ``with`` around a yield: that would leak the mode into the caller.
@torch.inference_mode()
def _step(
    solver: Solver,
    latents: torch.Tensor,
    index: int,
    timestep: torch.Tensor,
    passes: Sequence[Predict],
    guidance_scale: float,
) -> torch.Tensor:
    model_input = solver.model_input(latents, index)
    preds = torch.cat([predict(model_input, timestep) for predict in passes])
    if preds.shape[0] == latents.shape[0]:
        noise_pred = preds
    else:
        # In float32: the scale magnifies the rounding of both branches.
        uncond, cond = preds.chunk(2)
        noise_pred = uncond + guidance_scale * (cond - uncond)
    return solver.step(noise_pred, index, latents)


def predict_of(unet: Any, branch: BranchRows) -> Predict:
    """Return the network's call with everything in place that stays the same from step to step.

    Args:
        unet: as ``denoise`` takes it.
        branch: one row for each that is predicted.
    """
    if not hasattr(unet, "predict"):
        return lambda model_input, timestep: _forward(unet, model_input, timestep, branch)
    context = unet.text(branch.prompt_embeds, branch.pooled_prompt_embeds, branch.time_ids)
    return lambda model_input, timestep: unet.predict(model_input, timestep, context).float()


def _forward(
    unet: Any, model_input: torch.Tensor, timestep: torch.Tensor, branch: BranchRows
) -> torch.Tensor:
    num_copies = branch.prompt_embeds.shape[0] // model_input.shape[0]
    return unet(
        torch.cat([model_input] * num_copies).to(unet.dtype),
        timestep,
        encoder_hidden_states=branch.prompt_embeds,
        added_cond_kwargs={
            "text_embeds": branch.pooled_prompt_embeds,
            "time_ids": branch.time_ids,
        },
        return_dict=False,
    )[0].float()
