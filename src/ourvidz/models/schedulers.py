"""The libraries' schedulers by name, on one sigma grid, ready to run.

A scheduler holds the state of one run: make one a job. Two kinds: flow schedulers (Wan), whose
grid is one for all solvers so that comparing solvers compares solvers, and diffusion schedulers
(SDXL), whose grid is the model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch

from ourvidz.core.errors import UnknownName
from ourvidz.models.imports import library_imports


def flow_sigmas(
    num_inference_steps: int, flow_shift: float, *, num_train_timesteps: int = 1000
) -> list[float]:
    """Return the noise levels of a flow, descending, the final zero left out.

    ``linspace(1, 1/num_train_timesteps, n + 1)[:-1]``, shifted by
    ``s * sigma / (1 + (s - 1) * sigma)``, the first one lowered from 1 to 1 - 1e-6 (its logarithm
    of signal would be infinite): what ``UniPCMultistepScheduler`` uses (diffusers 0.42.1,
    ``set_timesteps``, ``use_flow_sigmas``).

    Returns:
        ``num_inference_steps`` numbers in (0, 1).
    """
    sigmas = np.linspace(1, 1 / num_train_timesteps, num_inference_steps + 1)[:-1]
    sigmas = flow_shift * sigmas / (1 + (flow_shift - 1) * sigmas)
    sigmas[0] -= 1e-6
    return sigmas.tolist()


def make_flow_scheduler(
    name: str,
    *,
    num_inference_steps: int,
    flow_shift: float,
    device: torch.device | str = "cpu",
    grid: Literal["shared", "library"] = "shared",
    config: Mapping[str, Any] | None = None,
) -> Any:
    """Return a flow-matching scheduler with its timesteps set, for one run of ``wan.denoise``.

    Args:
        name: one of ``FLOW_SCHEDULERS``: UniPC order 2, Euler, or DPM-Solver++ 2M (midpoint).
        num_inference_steps: 1 or more.
        flow_shift: 1 .. 20; higher spends more of the steps at high noise.
        device: where the timesteps go (the latents' device).
        grid: ``shared``: all three run on ``flow_sigmas`` and on UniPC's timesteps (cut to whole
            numbers). ``library``: what the library's class would choose for itself; Euler then
            ends at another sigma than the others (0.009 for 0.43 at 5 steps and shift 3).
        config: the checkpoint's ``scheduler_config.json``, of which only ``num_train_timesteps``
            is used.

    Raises:
        UnknownName: no such scheduler; the message lists the known.
    """
    make = _look_up(_FLOW, name)
    num_train_timesteps = int((config or {}).get("num_train_timesteps", 1000))
    with library_imports:
        scheduler = make(num_train_timesteps, flow_shift)
    scheduler.set_timesteps(num_inference_steps, device=device)
    if grid == "shared":
        sigmas = flow_sigmas(
            num_inference_steps, flow_shift, num_train_timesteps=num_train_timesteps
        )
        _set_grid(scheduler, sigmas, num_train_timesteps, device)
    return _ready(name, scheduler, device)


def make_diffusion_scheduler(
    name: str,
    *,
    num_inference_steps: int,
    config: Mapping[str, Any],
    device: torch.device | str = "cpu",
    timestep_spacing: str | None = None,
) -> Any:
    """Return a variance-preserving scheduler with its timesteps set, for one ``sdxl.denoise``.

    Args:
        name: one of ``DIFFUSION_SCHEDULERS``.
        num_inference_steps: 1 or more.
        config: the checkpoint's ``scheduler_config.json``: betas, prediction type, spacing.
        device: where the timesteps go (the latents' device).
        timestep_spacing: in place of the config's; few-step weights need theirs.

    Raises:
        UnknownName: no such scheduler; the message lists the known.
    """
    if timestep_spacing is not None:
        config = {**config, "timestep_spacing": timestep_spacing}
    load_class = _look_up(_DIFFUSION, name)
    with library_imports:
        scheduler = load_class().from_config(dict(config))
    scheduler.set_timesteps(num_inference_steps, device=device)
    return _ready(name, scheduler, device)


def _set_grid(
    scheduler: Any, sigmas: list[float], num_train_timesteps: int, device: torch.device | str
) -> None:
    """Put a scheduler on given sigmas; DPM-Solver++ takes none as an argument, so all by hand."""
    whole = [float(int(sigma * num_train_timesteps)) for sigma in sigmas]
    # Euler refuses integer tensors as timesteps; the networks convert either to float32.
    dtype = scheduler.timesteps.dtype
    scheduler.timesteps = torch.tensor(whole, dtype=torch.float64).to(device=device, dtype=dtype)
    scheduler.sigmas = torch.tensor([*sigmas, 0.0], dtype=torch.float32)


def _ready(name: str, scheduler: Any, device: torch.device | str) -> Any:
    # The library then counts steps instead of looking the timestep up, which waits for the device.
    scheduler.set_begin_index(0)
    if name == "unipc":
        # It copies each sigma to the device anyway, and every such copy waits; once is enough.
        scheduler.sigmas = scheduler.sigmas.to(device)
    return scheduler


def _flow_unipc(num_train_timesteps: int, flow_shift: float) -> Any:
    return _unipc()(
        num_train_timesteps=num_train_timesteps,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=flow_shift,
    )


def _flow_euler(num_train_timesteps: int, flow_shift: float) -> Any:
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
        FlowMatchEulerDiscreteScheduler,
    )

    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=num_train_timesteps, shift=flow_shift
    )


def _flow_dpm(num_train_timesteps: int, flow_shift: float) -> Any:
    return _dpm()(
        num_train_timesteps=num_train_timesteps,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=flow_shift,
    )


def _unipc() -> Any:
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    return UniPCMultistepScheduler


def _euler() -> Any:
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

    return EulerDiscreteScheduler


def _dpm() -> Any:
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler


_FLOW: dict[str, Callable[[int, float], Any]] = {
    "unipc": _flow_unipc,
    "euler": _flow_euler,
    "dpm++": _flow_dpm,
}
_DIFFUSION: dict[str, Callable[[], Any]] = {"euler": _euler, "dpm++": _dpm, "unipc": _unipc}

FLOW_SCHEDULERS = tuple(_FLOW)
DIFFUSION_SCHEDULERS = tuple(_DIFFUSION)


def _look_up(known: Mapping[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    if name not in known:
        raise UnknownName(
            f"No scheduler is called {name!r}. Known: {', '.join(known)}.", param="scheduler"
        )
    return known[name]
