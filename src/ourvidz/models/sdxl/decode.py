"""Latents to images, one at a time.

Shapes: B batch, C latent channels, H, W height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch

from ourvidz.models.frames import to_host, to_uint8


def decode(*, vae: Any, latents: torch.Tensor) -> Generator[torch.Tensor, None, None]:
    """Yield the images of a batch in order.

    A VAE loaded in float16 whose config says ``force_upcast`` runs in float32 (it overflows
    otherwise) for as long as each image takes, and is float16 again between images.

    Args:
        vae: from ``load_vae``.
        latents: (B, C, h, w) as ``denoise`` returns them.

    Yields:
        (H, W, 3) uint8 RGB on the CPU. Fetching one waits for the device.
    """
    return to_host(decode_image(vae, item) for item in latents.split(1))


@torch.inference_mode()
def decode_image(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return (H, W, 3) uint8 on the device, of (1, C, h, w); waits for nothing."""
    is_upcast = vae.dtype == torch.float16 and vae.config.force_upcast
    if is_upcast:
        vae.to(dtype=torch.float32)
    try:
        sample = vae.decode(_unscale(vae, latents), return_dict=False)[0]
    finally:
        if is_upcast:
            vae.to(dtype=torch.float16)
    return to_uint8(sample)[0].permute(1, 2, 0).contiguous()


def _unscale(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    latents = latents.to(device=vae.device, dtype=vae.dtype)
    mean, std = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is None or std is None:
        return latents / vae.config.scaling_factor
    mean, std = (torch.tensor(values).view(1, -1, 1, 1).to(latents) for values in (mean, std))
    return latents * std / vae.config.scaling_factor + mean
