"""What the training commands share: processes, clocks, curves, averages of weights, checkpoints."""

from __future__ import annotations

import argparse
import atexit
import json
import math
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those that train together (data-parallel, one per device)."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0


def start_processes() -> Processes:
    """Joins the group that torchrun started, or stands alone without torchrun."""
    rank = int(os.environ.get("RANK", "0"))
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    if world_size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)  # gloo's threads else abort the exit at times
    return Processes(rank=rank, world_size=world_size, device=device)


def barrier() -> None:
    """Waits for the other processes, if there are any."""
    if dist.is_initialized():
        dist.barrier()


def sum_over_processes(values: Tensor) -> Tensor:
    """Adds a tensor over all processes, in place, and returns it."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def told_by_main(value: float, processes: Processes) -> float:
    """Rank 0's `value`, in every process."""
    told = torch.full((1,), value if processes.is_main else 0.0, device=processes.device)
    return float(sum_over_processes(told))


def average_gradients(
    parameters: Sequence[nn.Parameter], processes: Processes, main_value: float
) -> float:
    """Averages gradients over processes in one message, and tells all of them one number.

    Args:
        parameters: All parameters, in the same order everywhere.
        processes: This process among its peers.
        main_value: A number of which rank 0's is wanted everywhere (progress).

    Returns:
        Rank 0's `main_value`.
    """
    told = average_gradients_ahead(parameters, processes, main_value)
    return main_value if told is None else float(told)


def average_gradients_ahead(
    parameters: Sequence[nn.Parameter], processes: Processes, main_value: float
) -> Tensor | None:
    """As `average_gradients`, without waiting for the device.

    Returns:
        Rank 0's `main_value`, float32 [] on the device: reading it a step later costs no time.
        None where there is one process.
    """
    if processes.world_size == 1:
        return None
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    # `full` launches a kernel; a tensor made from a list would wait for the device.
    told = torch.full((1,), main_value if processes.is_main else 0.0, device=grads[0].device)
    flat = torch.cat([told, *(g.float().flatten() for g in grads)])
    dist.all_reduce(flat)
    at = 1
    for parameter, grad in zip(parameters, grads, strict=True):
        # In place: a gradient keeps its memory format, which fused optimisers insist on.
        grad.copy_(flat[at : at + grad.numel()].view(grad.shape)).div_(processes.world_size)
        parameter.grad = grad
        at += grad.numel()
    return flat[0]


@dataclass(kw_only=True)
class Budget:
    """Training time: of this call, and of all calls together.

    Attributes:
        call_s: Seconds that this call may take, set-up included.
        total_s: Seconds that training may take in all calls; the schedule is tied to it.
        spent_s: Seconds spent in earlier calls.
        max_steps: Optimiser steps that end this call and training; no clock is read then.
        steps: Optimiser steps of this call.
        started_s: Clock reading at the start of this call.
    """

    call_s: float
    total_s: float
    spent_s: float = 0.0
    max_steps: int | None = None
    steps: int = 0
    started_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this call began."""
        return time.monotonic() - self.started_s

    @property
    def all_s(self) -> float:
        """Seconds spent in all calls."""
        return self.spent_s + self.elapsed_s

    @property
    def progress(self) -> float:
        """Share of the whole training that is done, 0..1; 2.0 once the call's time is over."""
        if self.max_steps is not None:
            return min(self.steps / self.max_steps, 1.0)
        if self.elapsed_s >= self.call_s:
            return 2.0
        return min(self.all_s / self.total_s, 1.0)

    @property
    def is_spent(self) -> bool:
        """Whether the whole training, not only this call, is over."""
        if self.max_steps is not None:
            return self.steps >= self.max_steps
        return self.all_s >= self.total_s

    def step(self) -> None:
        """Counts an optimiser step."""
        self.steps += 1


def add_budget_options(parser: argparse.ArgumentParser, *, max_seconds: float) -> None:
    """Adds the options that `budget_of` reads.

    Args:
        parser: Of a trainer's command.
        max_seconds: Default limit of a call, in seconds.
    """
    parser.add_argument("--max-seconds", type=float, default=max_seconds, help="limit of this call")
    parser.add_argument("--total-seconds", type=float, help="of all calls; default: this call's")
    parser.add_argument("--max-steps", type=int, help="end after these steps, whatever the time")


def budget_of(options: argparse.Namespace) -> Budget:
    """The budget that a command's options ask for; its clock starts now."""
    return Budget(
        call_s=options.max_seconds,
        total_s=options.total_seconds or options.max_seconds,
        max_steps=options.max_steps,
    )


def is_over(progress: float) -> bool:
    """Whether `Budget.progress` says that this call or the whole training is over."""
    return progress >= 1.0


def schedule(step: int, progress: float, *, warmup: int = 100, floor: float = 0.02) -> float:
    """Learning-rate factor: linear warm-up in steps, then cosine decay in `progress` (0..1)."""
    decay = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return min(1.0, (step + 1) / warmup) * (floor + (1 - floor) * decay)


class Average:
    """Exponential moving average of a module's parameters, in float32."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.steps = 0
        self._live = [p for p in module.parameters() if p.requires_grad]
        self._mean = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Takes the present parameters in (faster in the first steps)."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        live = [p.detach() for p in self._live]
        # One call for all of them; it has no public name.
        torch._foreach_lerp_(self._mean, live, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the module's parameters and their averages (call again to undo)."""
        for live, mean in zip(self._live, self._mean, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"mean": self._mean, "steps": self.steps}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Takes a checkpoint's average back."""
        self.steps = state["steps"]
        for mean, saved in zip(self._mean, state["mean"], strict=True):
            mean.copy_(saved)


class Curves:
    """Training curves as JSON lines, one object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **values: float | int | str) -> None:
        """Appends one line."""
        rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(rounded) + "\n")


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint so that a crash leaves the former one whole."""
    partial = path.with_suffix(".partial")
    torch.save(dict(state), partial)
    partial.replace(path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Reads a checkpoint of ours, or returns None where there is none."""
    if not path.exists():
        return None
    return torch.load(path, map_location=device, weights_only=True)


def environment() -> dict[str, str]:
    """Versions and devices, for the training record."""
    import diffusers
    import transformers

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.machine()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "device": device,
        "devices": str(max(torch.cuda.device_count(), 1)),
    }


def moved(module: ModuleT, where: torch.device | torch.dtype) -> ModuleT:
    """Calls `module.to(where)`; the library wraps its `to` in a way that hides the types."""
    loose: Any = module
    return loose.to(where)


def config_of(module: nn.Module) -> Any:
    """The config of a module of the library, which declares it as a plain dict."""
    return module.config


def twin(module: ModuleT) -> ModuleT:
    """A second module of diffusers' class with the first one's config and weights."""
    kind: Any = type(module)  # `from_config` may return a tuple, but not when called like this
    made = kind.from_config(module.config)
    made.load_state_dict(module.state_dict())
    return made


def parameter_count(modules: Iterable[nn.Module]) -> int:
    """Number of parameters in all of the modules."""
    return sum(p.numel() for m in modules for p in m.parameters())
