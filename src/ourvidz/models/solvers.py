"""A scheduler's steps, by the library's own code or as sums that never wait for the device.

Every deterministic scheduler is linear: the next latents are a sum of the latents and the network's
outputs, now and some steps back, with factors that depend on the grid alone. The library works some
of these factors out on the device (UniPC solves a 2x2 system there, which waits for it at every
step). ``LinearSolver`` runs the library's scheduler once on the host, on unit vectors in place of
latents, and reads the factors off.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

_NUM_BACK = 3  # steps back that a solver may look; UniPC of order 2 looks two back
# Of what the factors leave unexplained, relative: the library's scheduler rounds to float32.
_TOLERANCE = 2e-6
_SMALLEST = 1e-9  # a factor below is rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFactors:
    """One step as numbers."""

    input_scale: float  # of the latents, for the network
    sums: tuple[float, ...]  # of latents and output now, one step back, two back...


class Solver(Protocol):
    """What the denoising loops ask of a scheduler."""

    def model_input(self, latents: torch.Tensor, index: int) -> torch.Tensor:
        """Return what the network takes at a step: the latents, scaled where the scheduler does."""
        ...

    def step(self, output: torch.Tensor, index: int, latents: torch.Tensor) -> torch.Tensor:
        """Return the next latents; call it once a step, in order.

        Args:
            output: the network's guided output for ``latents``.
            index: of the step, from 0.
            latents: (B, ...) float32.
        """
        ...


class LibrarySolver:
    """The library's own step."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    def model_input(self, latents: torch.Tensor, index: int) -> torch.Tensor:
        """See ``Solver``."""
        scale = getattr(self._scheduler, "scale_model_input", None)
        return latents if scale is None else scale(latents, self._scheduler.timesteps[index])

    def step(self, output: torch.Tensor, index: int, latents: torch.Tensor) -> torch.Tensor:
        """See ``Solver``."""
        timestep = self._scheduler.timesteps[index]
        return self._scheduler.step(output, timestep, latents, return_dict=False)[0]


class LinearSolver:
    """The same sums with factors known beforehand: equal to about 1e-6, and nothing waits."""

    def __init__(self, factors: Sequence[StepFactors]) -> None:
        self._factors = factors
        self._past: list[torch.Tensor] = []  # latents and outputs, latest first

    def model_input(self, latents: torch.Tensor, index: int) -> torch.Tensor:
        """See ``Solver``."""
        scale = self._factors[index].input_scale
        return latents if scale == 1 else latents * scale

    def step(self, output: torch.Tensor, index: int, latents: torch.Tensor) -> torch.Tensor:
        """See ``Solver``."""
        self._past = [latents, output, *self._past[: 2 * (_NUM_BACK - 1)]]
        factors = self._factors[index].sums
        total = latents * factors[0]
        for factor, tensor in zip(factors[1:], self._past[1:], strict=False):
            if factor:
                total = torch.add(total, tensor, alpha=factor)
        return total


def make_solver(scheduler: Any, device: torch.device) -> Solver:
    """Return how to step on ``device``: without waiting on a GPU, the library's way elsewhere."""
    # A sampler that adds noise is no such sum, and waits for nothing as it is.
    if device.type == "cuda" and not getattr(scheduler, "adds_noise", False):
        factors = step_factors(scheduler)
        if factors is not None:
            return LinearSolver(factors)
    return LibrarySolver(scheduler)


def step_factors(scheduler: Any) -> list[StepFactors] | None:
    """Return each step's factors, or None where a step is no such sum.

    Args:
        scheduler: with its timesteps set and not used yet; it stays so.
    """
    scheduler = _on_host(scheduler)
    count = len(scheduler.timesteps)
    units = torch.eye(1 + count, dtype=torch.float64)
    latents, known, factors = units[:1], [], list[StepFactors]()
    for index in range(count):
        output = units[1 + index : 2 + index]
        known = [latents, output, *known[: 2 * (_NUM_BACK - 1)]]
        input_scale = _input_scale(scheduler, index)
        after = scheduler.step(
            output.clone(), scheduler.timesteps[index], latents.clone(), return_dict=False
        )[0].double()
        found = _fit(known, after)
        if found is None:
            return None
        factors.append(StepFactors(input_scale=input_scale, sums=found))
        latents = after
    return factors


def _input_scale(scheduler: Any, index: int) -> float:
    if not hasattr(scheduler, "scale_model_input"):
        return 1.0
    return float(scheduler.scale_model_input(torch.ones(1), scheduler.timesteps[index]))


def _on_host(scheduler: Any) -> Any:
    scheduler = copy.deepcopy(scheduler)
    scheduler.timesteps = scheduler.timesteps.cpu()
    scheduler.sigmas = scheduler.sigmas.cpu()
    return scheduler


def _fit(known: Sequence[torch.Tensor], wanted: torch.Tensor) -> tuple[float, ...] | None:
    """Return factors of ``known`` that add up to ``wanted``, looking back as little as will do."""
    for num_back in range(1, _NUM_BACK + 1):
        rows = torch.cat([*known[: 2 * num_back]])
        factors = torch.linalg.lstsq(rows.T, wanted.T, driver="gelsd", rcond=1e-7).solution
        missed = (rows.T @ factors - wanted.T).norm() / wanted.norm()
        if float(missed) < _TOLERANCE:
            found = factors[:, 0].tolist()
            return tuple(0.0 if abs(factor) < _SMALLEST else factor for factor in found)
    return None
