"""The sampler of few-step flow models: to the data at every step, then fresh noise on top.

``x0 = x - sigma * v``, then ``x = (1 - next) * x0 + next * noise`` (diffusers calls it LCM:
``FlowMatchLCMScheduler``; LightX2V, FastVideo and rCM sample Wan's distilled weights this way). The
library's class draws its noise on the device, unseeded unless it is handed a generator each step;
here a seed means the same on every device, as everywhere in this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class RenoiseScheduler:
    """Has what ``wan.denoise`` asks of a scheduler. One run each."""

    adds_noise = True

    def __init__(
        self,
        sigmas: Sequence[float],
        *,
        shape: Sequence[int],
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        num_train_timesteps: int = 1000,
    ) -> None:
        """Draw all noise now, so that no step waits for the host.

        Args:
            sigmas: noise level of each step, falling, in (0, 1].
            shape: of one item of the latents.
            seeds: one an item, those that ``prepare_latents`` was given: each item's draws follow
                its first one, as in a diffusers pipeline with one CPU generator an item.
            device: the latents'.
            num_train_timesteps: what the network calls sigma 1.
        """
        self.init_noise_sigma = float(sigmas[0])  # data are about 0: x = (1 - sigma) 0 + sigma n
        self.sigmas = torch.tensor([*sigmas, 0.0], dtype=torch.float32)
        self.timesteps = (self.sigmas[:-1] * num_train_timesteps).to(device)
        self._levels = [float(sigma) for sigma in sigmas] + [0.0]
        self._noise = _later_noise(shape, seeds, len(sigmas) - 1).to(device)
        self._step = 0

    def set_begin_index(self, index: int) -> None:
        """Begin at a step."""
        self._step = index

    def step(
        self, velocity: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        """Return the latents of the next level, in float32; the last step's are the data."""
        del timestep, return_dict
        sigma, following = self._levels[self._step : self._step + 2]
        data = sample.float() - sigma * velocity.float()
        self._step += 1
        if self._step == len(self._levels) - 1:
            return (data,)
        return ((1 - following) * data + following * self._noise[self._step - 1],)


def _later_noise(shape: Sequence[int], seeds: Sequence[int], num_draws: int) -> torch.Tensor:
    """Return (num_draws, B, *shape): what each seed's generator gives after its first draw."""
    items: list[torch.Tensor] = []
    for seed in seeds:
        generator = torch.Generator("cpu").manual_seed(seed)
        torch.randn((1, *shape), generator=generator)
        draws = [torch.randn(tuple(shape), generator=generator) for _ in range(num_draws)]
        items.append(torch.stack(draws) if draws else torch.empty(0, *shape))
    return torch.stack(items, dim=1)
