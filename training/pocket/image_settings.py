"""What pocket-image's result depends on, and sizes small enough to try the code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the result depends on.

    Attributes:
        size: Pixels of a side of the native picture.
        other_sizes: (height, width) in pixels of further sizes, trained `other_share` of the time.
        vae_share: Share of the training time that the VAE gets.
        kl_weight: Per latent value, against a mean absolute error per pixel value. Small, only to
            keep latents bounded and smooth.
        latent_noise: Standard deviation of noise on latents while decoding, in units of theirs:
            the decoder will meet latents that a sampler made.
        zero_share: Share of training rows whose text conditioning is all zeros, as the pipeline
            makes it for an absent negative prompt (`force_zeros_for_empty_prompt`).
        negative_share: Share of rows captioned by an empty or a negative-like sentence.
        start_share: Share of rows noised as a sampler's own path is (see `noised`).
        gain_share: Share of rows whose signal is too strong, as guidance makes it.
        max_gain: How far too strong at most.
        pair_share: Share of pictures with two objects; which of them is where is learned last.
        captions: Of each picture in the bank; a row takes one of them each time.
        bank_rows: Latents kept for the native size; each other size keeps an eighth.
        other_rows: Latents made for each other size before training begins.
    """

    size: int = 128
    other_sizes: tuple[tuple[int, int], ...] = (
        (112, 112),
        (144, 144),
        (112, 128),
        (128, 112),
        (128, 144),
        (144, 128),
        (112, 144),
        (144, 112),
        (96, 160),
        (160, 96),
    )
    other_share: float = 0.2
    vocabulary: int = 1280
    vocabulary_texts: int = 20_000
    text_widths: tuple[int, int] = (64, 64)
    text_layers: tuple[int, int] = (3, 4)
    text_heads: int = 4
    unet_channels: tuple[int, ...] = (48, 64, 64)
    unet_heads: tuple[int, ...] = (3, 4, 4)
    time_id_width: int = 16
    vae_channels: tuple[int, ...] = (24, 32, 40, 48)
    groups: int = 8

    vae_share: float = 0.33
    vae_batch: int = 96
    vae_rate: float = 2e-3
    vae_ema: float = 0.998
    kl_weight: float = 3e-4
    latent_noise: float = 0.05
    edge_weight: float = 0.5

    batch: int = 512
    pair_share: float = 0.45
    captions: int = 4
    rate: float = 1.5e-3
    ema: float = 0.999
    zero_share: float = 0.05
    negative_share: float = 0.10
    start_share: float = 0.8
    gain_share: float = 0.5
    max_gain: float = 4.0
    bank_rows: int = 240_000
    chunk_rows: int = 4096
    first_chunks: int = 24
    other_rows: int = 4096
    clip_gradient: float = 1.0
    seed: int = 17


TINY: Final = Settings(
    size=32,
    vocabulary_texts=400,
    other_sizes=((32, 48),),
    text_widths=(16, 16),
    text_layers=(2, 2),
    text_heads=2,
    unet_channels=(16, 16, 16),
    unet_heads=(2, 2, 2),
    vae_channels=(8, 8, 8, 8),
    groups=4,
    vae_batch=4,
    batch=8,
    bank_rows=64,
    chunk_rows=32,
    first_chunks=2,
)


def for_cpu(settings: Settings) -> Settings:
    """Small banks and batches, so that a refinement on a CPU begins within minutes."""
    return replace(
        settings,
        batch=48,
        captions=8,
        bank_rows=16_000,
        chunk_rows=1024,
        first_chunks=8,
        other_rows=256,
        other_share=0.08,
    )


def for_refinement(settings: Settings) -> Settings:
    """A third of the rate, for weights that have been trained."""
    return replace(settings, rate=settings.rate / 3)
