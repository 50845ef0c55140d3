"""What this machine can run. Triton is asked for only when a tensor could use it."""

from __future__ import annotations

import importlib.util
from functools import cache

import torch

# Whether kernels run on a CPU too, by Triton's interpreter. For tests, which must also have set
# ``TRITON_INTERPRET=1`` before anything imported Triton.
is_interpreting = False

# The lowest compute capability with e4m3 matrix products (Ada); Hopper is 9.0.
_FP8_CAPABILITY = (8, 9)


def can_run_triton(*tensors: torch.Tensor) -> bool:
    """Whether Triton kernels may work on these tensors: on CUDA, wherever Triton is installed."""
    if not _has_triton():
        return False
    return is_interpreting or all(tensor.is_cuda for tensor in tensors)


def capability(device: torch.device) -> tuple[int, int] | None:
    """Return a CUDA device's compute capability; None of anything else."""
    if device.type != "cuda":
        return None
    return torch.cuda.get_device_capability(device)


def supports_fp8(device: torch.device) -> bool:
    """Whether the device multiplies e4m3 matrices in hardware."""
    found = capability(device)
    return found is not None and found >= _FP8_CAPABILITY


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
