"""Wakes a CUDA device while Python still imports: its driver takes its time and needs no torch."""

from __future__ import annotations

import ctypes
import re
import sys
import threading
from typing import Any

_DRIVER = "libcuda.so.1"


def wake_device(setting: str) -> threading.Thread | None:
    """Begin to make the device's primary context in a thread, which torch then finds made.

    The driver's calls (CUDA driver API: ``cuInit``, ``cuDeviceGet``, ``cuDevicePrimaryCtxRetain``)
    leave Python's lock alone, so that they take no time from imports. Whatever fails here fails
    again where torch asks for the device, which is who tells.

    Args:
        setting: auto, cpu, cuda or cuda:N, as ``device.select_device`` takes it.

    Returns:
        The thread; None where there is nothing to wake: not on Linux, a CPU asked for, or torch's
        own start already done.
    """
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", setting)
    if match is None or not sys.platform.startswith("linux") or _has_torch_begun():
        return None
    thread = threading.Thread(
        target=_make_context, args=(int(match.group(1) or 0),), name="wake-device", daemon=True
    )
    thread.start()
    return thread


def _has_torch_begun() -> bool:
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda is not None and cuda.is_initialized()


def _make_context(ordinal: int) -> bool:
    """Return whether the device has a context now, held until the process ends."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return False  # no NVIDIA driver
    device, context = ctypes.c_int(), ctypes.c_void_p()
    return (
        driver.cuInit(ctypes.c_uint(0)) == 0
        and driver.cuDeviceGet(ctypes.byref(device), ctypes.c_int(ordinal)) == 0
        and driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    )
