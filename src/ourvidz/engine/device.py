"""Which device and precision a job runs on, and what memory it took."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass

import torch

from ourvidz.core.errors import ConfigInvalid

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

# What the published pipelines run on a GPU: Wan in bfloat16 and SDXL in float16, each with its
# VAE in float32 (WanPipeline's and SDXL's model cards; SDXL's VAE overflows in float16).
_CUDA_DTYPES = {"wan": torch.bfloat16, "sdxl": torch.float16, "qwen": torch.bfloat16}


def select_device(setting: str) -> torch.device:
    """Return the device that ``setting`` (auto, cpu, cuda or cuda:N) names.

    Raises:
        ConfigInvalid: no such device on this machine.
    """
    if setting == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if setting == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", setting)
    if not match:
        raise ConfigInvalid(
            f"device {setting!r} is unknown.", param="device", hint="Use auto, cpu, cuda or cuda:N."
        )
    index = int(match.group(1) or 0)
    if index >= torch.cuda.device_count():
        raise ConfigInvalid(
            f"device {setting!r} is not on this machine, which has {torch.cuda.device_count()} "
            "CUDA devices.",
            param="device",
            hint="`ourvidz doctor` says what torch sees and why.",
        )
    return torch.device("cuda", index)


def component_dtype(
    setting: str, *, family: str, component: str, device: torch.device
) -> torch.dtype:
    """Return the precision of one component: ``setting``, or for ``auto`` the family's own."""
    if device.type != "cuda":
        return _DTYPES.get(setting, torch.float32)
    if component == "vae":
        return torch.float32 if setting == "auto" else _DTYPES[setting]
    return _CUDA_DTYPES[family] if setting == "auto" else _DTYPES[setting]


def precision_of(setting: str, device: torch.device) -> str:
    """Return in words what ``component_dtype`` makes of ``setting``: auto is each family's own."""
    return setting if device.type == "cuda" or setting in _DTYPES else "float32"


def runtime_versions() -> dict[str, str]:
    """Return the versions of what torch was built with, as far as it has them."""
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    found = {"cuda": torch.version.cuda, "cudnn": None if cudnn is None else _cudnn_words(cudnn)}
    return {name: version for name, version in found.items() if version}


def _cudnn_words(version: int) -> str:
    """Return 9.19.0 for 91900 (cuDNN 9: major x 10000 + minor x 100; before: major x 1000)."""
    major = version // 10000 if version >= 90000 else version // 1000
    rest = version % 10000 if version >= 90000 else version % 1000
    return f"{major}.{rest // 100}.{rest % 100}"


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release_unused(device: torch.device) -> None:
    """Give memory that no tensor holds back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceMemory:
    """Bytes of a CUDA device; all zero on a CPU."""

    total_bytes: int
    free_bytes: int
    allocated_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int


def device_memory(device: torch.device) -> DeviceMemory:
    """Return the device's memory now, and the peaks since ``reset_peaks``."""
    if device.type != "cuda":
        return DeviceMemory(
            total_bytes=0,
            free_bytes=0,
            allocated_bytes=0,
            peak_allocated_bytes=0,
            peak_reserved_bytes=0,
        )
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return DeviceMemory(
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        allocated_bytes=torch.cuda.memory_allocated(device),
        peak_allocated_bytes=torch.cuda.max_memory_allocated(device),
        peak_reserved_bytes=torch.cuda.max_memory_reserved(device),
    )


def reset_peaks(device: torch.device) -> None:
    """Begin a new measurement of the peaks."""
    if device.type == "cuda":
        torch.cuda.init()  # the statistics refuse a device before torch has met it
        torch.cuda.reset_peak_memory_stats(device)
