"""Seeds to latents to denoised latents: the loop of WanPipeline as a generator.

Whoever drives the generator cancels (by closing it), times and reports; there are no callbacks.
``noise_pred`` is a velocity here (noise minus data).

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width, T text length,
D the text encoder's width.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ourvidz.models.events import StepEvent
from ourvidz.models.noise import seeded_noise
from ourvidz.models.solvers import Solver, make_solver
from ourvidz.models.wan.config import WanGeometry
from ourvidz.models.wan.predict import Predictor, as_predictor
from ourvidz.models.wan.step_cache import StepCache


def prepare_latents(
    *,
    seeds: Sequence[int],
    num_frames: int,
    height: int,
    width: int,
    geometry: WanGeometry,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Return the initial noise, (B, C, F, H, W) standard normal, one item a seed.

    Each item depends on its seed and size only (see ``noise.seeded_noise``).

    Raises:
        InvalidRequest: sizes that the architecture can't make.
    """
    geometry.check(num_frames=num_frames, height=height, width=width)
    shape = geometry.latent_shape(num_frames=num_frames, height=height, width=width)
    return seeded_noise(shape, seeds=seeds, device=device, dtype=dtype)


def denoise(
    *,
    transformer: Any,
    scheduler: Any,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    negative_prompt_embeds: torch.Tensor | None = None,
    guidance_scale: float = 1.0,
    guidance_batched: bool = False,
    cache: StepCache | None = None,
) -> Generator[StepEvent, None, torch.Tensor]:
    """Denoise, yielding after each step and returning the latents (``StopIteration.value``).

    Nothing in a step waits for the device; an event says that the step was issued. Several of these
    may be driven in turns, on one transformer, each with its own scheduler. Closing leaves nothing
    behind.

    Args:
        transformer: from ``load_transformer``, or a ``Predictor`` made of one.
        scheduler: fresh from ``schedulers.make_flow_scheduler``; used up by this run.
        latents: (B, C, F, H, W) noise, on the transformer's device. Kept in float32.
        prompt_embeds: (B or 1, T, D); one row serves the whole batch.
        negative_prompt_embeds: (B or 1, T, D), needed where ``guidance_scale`` is above 1.
        guidance_scale: classifier-free guidance; 1 or less runs the prompt alone.
        guidance_batched: run both branches as one batch of 2B instead of two passes (as the
            library does): faster where launches bound the step, more memory, other rounding.
        cache: leaves out evaluations; fresh, of a plan for these steps and this guidance. Without
            one every step evaluates everything.

    Returns:
        (B, C, F, H, W), float32, on the same device: the VAE's normalised space.
    """
    is_guided = guidance_scale > 1
    assert not is_guided or negative_prompt_embeds is not None, "guidance needs a negative prompt"
    predictor = as_predictor(transformer)
    embeds = [prompt_embeds]
    if is_guided and negative_prompt_embeds is not None:
        embeds.append(negative_prompt_embeds)
    step_inputs = _StepInputs(
        predictor=predictor,
        solver=make_solver(scheduler, latents.device),
        texts=[predictor.text(_as_batch(each, latents, predictor)) for each in embeds],
        guidance_scale=guidance_scale,
        guidance_batched=guidance_batched,
        cache=cache,
    )
    timesteps = scheduler.timesteps
    facts = list(zip(timesteps.tolist(), scheduler.sigmas.tolist(), strict=False))
    assert cache is None or cache.num_steps == len(facts), "a plan of other steps"
    latents = latents.float()
    for index, (timestep, sigma) in enumerate(facts):
        latents = _step(step_inputs, latents, timesteps[index], index)
        evaluated = len(embeds) if cache is None else cache.num_forwards(index)
        yield StepEvent(
            step=index + 1,
            num_inference_steps=len(facts),
            timestep=float(timestep),
            sigma=sigma,
            num_forwards=min(evaluated, 1) if guidance_batched else evaluated,
            num_skipped=0 if cache is None else cache.num_skipped(index),
        )
    return latents.clone()  # outside inference mode: an ordinary tensor again


@dataclass(frozen=True, kw_only=True, slots=True)
class _StepInputs:
    """What stays the same from step to step."""

    predictor: Predictor
    solver: Solver
    texts: Sequence[Any]  # of the prompt, and of the negative one where there is guidance
    guidance_scale: float
    guidance_batched: bool
    cache: StepCache | None


def _as_batch(embeds: torch.Tensor, latents: torch.Tensor, predictor: Predictor) -> torch.Tensor:
    embeds = embeds.to(device=latents.device, dtype=predictor.dtype)
    return embeds.expand(latents.shape[0], -1, -1).contiguous()


# The decorator, never ``with`` around a yield: that would leak the mode into the caller.
@torch.inference_mode()
def _step(
    inputs: _StepInputs, latents: torch.Tensor, timestep: torch.Tensor, index: int
) -> torch.Tensor:
    noise_pred = _predict(inputs, latents, timestep, index)
    return inputs.solver.step(noise_pred, index, latents)


def _predict(
    inputs: _StepInputs, latents: torch.Tensor, timestep: torch.Tensor, index: int
) -> torch.Tensor:
    """Return the guided velocity in float32.

    Guidance is worked out in float32: its scale magnifies the rounding of both branches.
    """

    def evaluate(num_branches: int) -> list[torch.Tensor]:
        texts = inputs.texts[:num_branches]
        return inputs.predictor.velocities(
            latents, timestep, texts, is_batched=inputs.guidance_batched
        )

    if inputs.cache is not None:
        scale = inputs.guidance_scale
        return inputs.cache.velocity(index, latents, evaluate, guidance_scale=scale)
    found = evaluate(len(inputs.texts))
    if len(found) == 1:
        return found[0]
    cond, uncond = found
    return uncond + inputs.guidance_scale * (cond - uncond)
