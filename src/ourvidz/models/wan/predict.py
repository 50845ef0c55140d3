"""From noisy latents to a velocity: the library's transformer, or our own forward of it.

Both give ``denoise`` the same two calls, so that either can stand in for the other and a test can
run both.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width, T text length,
D the text encoder's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Predictor(Protocol):
    """What ``denoise`` asks of a Wan transformer."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision that it works in."""
        ...

    def text(self, prompt_embeds: torch.Tensor) -> Any:
        """Return what the prompts amount to in every step of a job.

        Args:
            prompt_embeds: (B, T, D), on the transformer's device.
        """
        ...

    def velocities(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[Any],
        *,
        is_batched: bool = False,
    ) -> list[torch.Tensor]:
        """Return one velocity (noise minus data) a text, each (B, C, F, H, W) float32.

        Args:
            latents: (B, C, F, H, W) float32.
            timestep: [], one for the whole batch.
            texts: from ``text``, each of B prompts.
            is_batched: run all texts as one batch: faster where launches bound the step, more
                memory, other rounding.
        """
        ...


class LibraryPredictor:
    """The library's own forward, one pass a text, as WanPipeline calls it."""

    def __init__(self, transformer: Any) -> None:
        self._transformer = transformer

    @property
    def dtype(self) -> torch.dtype:
        """See ``Predictor``."""
        return self._transformer.dtype

    def text(self, prompt_embeds: torch.Tensor) -> torch.Tensor:
        """See ``Predictor``."""
        return prompt_embeds.to(self._transformer.dtype)

    def velocities(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[torch.Tensor],
        *,
        is_batched: bool = False,
    ) -> list[torch.Tensor]:
        """See ``Predictor``."""
        if is_batched:
            latents = torch.cat([latents] * len(texts))
            return list(self._forward(latents, timestep, torch.cat([*texts])).chunk(len(texts)))
        return [self._forward(latents, timestep, text) for text in texts]

    def _forward(
        self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor
    ) -> torch.Tensor:
        return self._transformer(
            hidden_states=latents.to(self._transformer.dtype),
            timestep=timestep.expand(latents.shape[0]),
            encoder_hidden_states=prompt_embeds,
            return_dict=False,
        )[0].float()


def as_predictor(transformer: Any) -> Predictor:
    """Return ``transformer`` if it is a predictor, else the library's module as one."""
    return transformer if hasattr(transformer, "velocities") else LibraryPredictor(transformer)
