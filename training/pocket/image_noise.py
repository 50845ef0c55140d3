"""What pocket-image is trained to undo: losses of its VAE and of its UNet, and the noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.pocket.image_nets import Models, encode_pixels, scheduler
from training.pocket.image_settings import Settings


def noise_levels() -> Tensor:
    """Noise over signal of the scheduler's training timesteps: float32 [1000], ascending."""
    kept = scheduler().alphas_cumprod.double()
    return ((1 - kept) / kept).sqrt().float()


def vae_loss(vae: Any, pixels: Tensor, noise: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Loss and mean squared error of pixels [B, 3, H, W]; `noise` is normal [2, B, 4, H/8, W/8]."""
    mean, log_variance = encode_pixels(vae, pixels)
    spread = settings.latent_noise * mean.detach().std()
    latents = mean + noise[0] * (0.5 * log_variance).exp() + noise[1] * spread
    out = vae.decoder(vae.post_quant_conv(latents)).float()
    error = out - pixels
    down = (error[:, :, 1:] - error[:, :, :-1]).abs().mean()
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    coarse = F.avg_pool2d(error, 4).abs().mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    loss = error.abs().mean() + settings.edge_weight * (down + across) + coarse
    squared = (out.clamp(-1, 1) - pixels).square().mean()
    return loss + settings.kl_weight * kl, squared.detach()


@dataclass(frozen=True, kw_only=True)
class Noised:
    """Latents between picture and noise.

    Attributes:
        sample: [B, 4, h, w], as the scheduler's `scale_model_input` hands them to the UNet.
        target: [B, 4, h, w], what the UNet should say the noise is.
        weight: [B], of each row's squared error.
        timesteps: int64 [B].
    """

    sample: Tensor
    target: Tensor
    weight: Tensor
    timesteps: Tensor


def noised(
    latents: Tensor, levels: Tensor, settings: Settings, generator: torch.Generator
) -> Noised:
    """Mixes latents with noise as training and as the sampler's own path do.

    SDXL's schedule ends before all signal is gone, and its samplers start (at timestep 901 to 981)
    from noise that holds none; a model trained by the book then takes noise's mean for the
    picture's and can draw neither black nor white. So most rows lie on a path from pure noise at
    level S to the picture: signal (1 - s/S), noise s. And because guidance overshoots, some rows
    hold too strong a signal. In every row the target points from the sample to the true latents.

    Args:
        latents: [B, 4, h, w] in the UNet's scale (deviation about 1).
        levels: `noise_levels`, on the device of `latents`.
        settings: Shares of the kinds of rows.
        generator: Source of randomness, on the same device.
    """
    rows, device = latents.shape[0], latents.device

    def uniform() -> Tensor:
        return torch.rand(rows, generator=generator, device=device)

    steps = levels.numel()
    timesteps = torch.randint(steps, (rows,), generator=generator, device=device)
    level = levels[timesteps]
    first = int(0.9 * steps)
    start = levels[torch.randint(first, steps, (rows,), generator=generator, device=device)]
    start = torch.maximum(start, level)
    on_path = uniform() < settings.start_share
    keep = torch.where(on_path, 1 - level / start, 1.0)
    spread = torch.where(on_path, level * (1 + start**-2).sqrt(), level)
    excess = uniform() * level.clamp(max=settings.max_gain) * (uniform() < settings.gain_share)
    noise = torch.randn(latents.shape, generator=generator, device=device)

    def wide(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    mixed = wide(keep * (1 + excess)) * latents + wide(spread) * noise
    return Noised(
        sample=mixed / wide((level.square() + 1).sqrt()),
        target=(mixed - latents) / wide(level),
        # Between the plain loss (1) and that of the predicted picture (level squared): the noisy
        # steps decide what is drawn where, and would hardly count in the plain one.
        weight=1 + 0.25 * level.square(),
        timesteps=timesteps,
    )


@cache  # a new tensor a step would make the device wait for its copy
def time_ids(height: int, width: int, rows: int, device: torch.device) -> Tensor:
    """SDXL's size conditioning float32 [rows, 6]: whole picture, nothing cropped."""
    return torch.tensor([[height, width, 0, 0, height, width]] * rows, device=device).float()


def denoising_loss(
    models: Models,
    unet: Callable[..., Any],
    mixed: Noised,
    tokens: Tensor,
    zeroed: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Weighted squared error of the predicted noise.

    Args:
        models: Text encoders to use.
        unet: The UNet, or its compiled form.
        mixed: Latents between picture and noise, B rows.
        tokens: int64 [B, 77].
        zeroed: bool [B], rows without any text conditioning.
        size: (height, width) in pixels.
    """
    embeds, pooled = models.encode_text(tokens)
    keep = (~zeroed).to(embeds.dtype)
    ids = time_ids(*size, tokens.shape[0], tokens.device)
    predicted = unet(
        mixed.sample,
        mixed.timesteps,
        encoder_hidden_states=embeds * keep[:, None, None],
        added_cond_kwargs={"text_embeds": pooled * keep[:, None], "time_ids": ids},
        return_dict=False,
    )[0]
    squared = (predicted.float() - mixed.target).square().mean((1, 2, 3))
    return (squared * mixed.weight).mean()
