"""What a measurement was made on: enough to compare, nothing that names a person or a machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil

import ourvidz
from ourvidz.perf.nvml import all_gpus, driver_facts

_PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "av", "pillow", "numpy")
_CPU_INFO = Path("/proc/cpuinfo")
_REPOSITORY = Path(__file__).parents[3]


@cache
def environment() -> dict[str, Any]:
    """Return versions and hardware as JSON values.

    Imports no torch: versions come from the installed packages' metadata, GPUs from NVML where
    nvidia-ml-py is installed.
    """
    return {
        "ourvidz": ourvidz.__version__,
        "commit": git_commit(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpu": cpu_model(),
        "cpu_cores": usable_cores(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "gpus": _gpus(),
    }


def git_commit() -> str | None:
    """Return the checkout's commit, with ``-dirty`` for local changes; None outside a checkout."""
    if not (_REPOSITORY / ".git").exists():
        return None
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    return f"{commit}-dirty" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "-C", str(_REPOSITORY), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout.strip()
    return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the processor's name as it gives it itself."""
    with contextlib.suppress(OSError):
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[dict[str, Any]]:
    driver = driver_facts().get("driver")
    limits = [gpu.limits() for gpu in all_gpus()]
    return [
        {"name": one["gpu"], "memory_gib": one["gpu_memory_gib"], "driver": driver}
        for one in limits
    ]
