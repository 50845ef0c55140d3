"""What the driver tells of a GPU, through NVML. Nothing here needs torch, or fails without a GPU.

Source of names and units: NVIDIA's NVML API reference, and nvidia-ml-py's ``pynvml``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

# Reasons that hold the clock back, by bit (nvml.h, nvmlClocksEventReasons).
POWER_CAP = 0x04  # at the power limit: how a card built for it runs under full load
_SLOWED = {
    0x08: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
_CLOCK_SM, _CLOCK_MEMORY = 1, 2
_TEMPERATURE_GPU = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuReading:
    """One look at a GPU. None: the driver does not tell that of this GPU."""

    utilisation: float | None  # share of the time since the last look in which a kernel ran
    memory_used_bytes: int | None  # by all processes
    sm_clock_mhz: float | None
    power_w: float | None
    temperature_c: float | None
    is_power_capped: bool
    slowed_by: tuple[str, ...]  # what else holds the clock back; empty: nothing


class Gpu:
    """One GPU. For one thread at a time."""

    def __init__(self, pynvml: Any, handle: Any) -> None:
        """Wrap what ``find_gpu`` found."""
        self._nvml = pynvml
        self._handle = handle

    def read(self) -> GpuReading:
        """Look: about a millisecond."""
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        reasons = self._clock_reasons()
        return GpuReading(
            utilisation=None if rates is None else rates.gpu / 100,
            memory_used_bytes=None if memory is None else int(memory.used),
            sm_clock_mhz=self._number("nvmlDeviceGetClockInfo", _CLOCK_SM),
            power_w=_thousandth(self._number("nvmlDeviceGetPowerUsage")),
            temperature_c=self._temperature(),
            is_power_capped=bool(reasons & POWER_CAP),
            slowed_by=slowed_by(reasons),
        )

    def process_ids(self) -> tuple[int, ...] | None:
        """Return the processes that compute on it, as the driver numbers them."""
        found = self._ask("nvmlDeviceGetComputeRunningProcesses")
        return None if found is None else tuple(process.pid for process in found)

    def limits(self) -> dict[str, Any]:
        """Return what this GPU is and may do: constant until somebody changes it."""
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return {
            "gpu": self._text("nvmlDeviceGetName"),
            "gpu_memory_gib": None if memory is None else round(memory.total / 2**30, 1),
            "power_limit_w": _thousandth(self._number("nvmlDeviceGetEnforcedPowerLimit")),
            "max_sm_clock_mhz": self._number("nvmlDeviceGetMaxClockInfo", _CLOCK_SM),
            "max_memory_clock_mhz": self._number("nvmlDeviceGetMaxClockInfo", _CLOCK_MEMORY),
            "set_sm_clock_mhz": self._number("nvmlDeviceGetApplicationsClock", _CLOCK_SM),
            "mig": _is_on(self._ask("nvmlDeviceGetMigMode")),
            "ecc": _is_on(self._ask("nvmlDeviceGetEccMode")),
        }

    def _temperature(self) -> float | None:
        newer = self._number("nvmlDeviceGetTemperatureV", _TEMPERATURE_GPU)
        return self._number("nvmlDeviceGetTemperature", 0) if newer is None else newer

    def _clock_reasons(self) -> int:
        for name in (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",  # its name before driver 535
        ):
            found = self._ask(name)
            if found is not None:
                return int(found)
        return 0

    def _number(self, name: str, *arguments: int) -> float | None:
        found = self._ask(name, *arguments)
        return None if found is None else float(found)

    def _text(self, name: str) -> str | None:
        found = self._ask(name)
        return found.decode() if isinstance(found, bytes) else found

    def _ask(self, name: str, *arguments: int) -> Any:
        """Call a function of NVML; None where package, driver or GPU has no answer."""
        function: Callable[..., Any] | None = getattr(self._nvml, name, None)
        if function is None:
            return None
        try:
            return function(self._handle, *arguments)
        except Exception:  # noqa: BLE001 - no job fails because a driver is older or newer
            return None


def find_gpu(device: str) -> Gpu | None:
    """Return the GPU that torch calls ``device`` ("cuda", "cuda:1"); None: there is none to ask.

    Torch counts among ``CUDA_VISIBLE_DEVICES``, which names GPUs by number or UUID. Numbers are
    taken in the order of the bus, which is torch's too where all GPUs are alike.
    """
    match = re.fullmatch(r"cuda(?::(\d+))?", device)
    pynvml = _library()
    if match is None or pynvml is None:
        return None
    name = visible_name(int(match.group(1) or 0), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if name is None:
        return None
    try:
        if name.isdigit():
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(name))
        else:
            handle = pynvml.nvmlDeviceGetHandleByUUID(name)
    except (pynvml.NVMLError, UnicodeEncodeError):
        return None
    return Gpu(pynvml, handle)


def visible_name(index: int, visible: str | None) -> str | None:
    """Return number or UUID of torch's GPU ``index`` where ``visible`` is the variable's value."""
    if visible is None:
        return str(index)
    names = [name.strip() for name in visible.split(",")]
    names = names[: names.index("-1")] if "-1" in names else names  # what follows is not visible
    return names[index] if index < len(names) and names[index] else None


def slowed_by(reasons: int) -> tuple[str, ...]:
    """Return what of NVML's mask slows a GPU down; its power limit is no defect and not there."""
    return tuple(name for bit, name in _SLOWED.items() if reasons & bit)


def num_others(process_ids: Collection[int], own: Collection[int]) -> int:
    """Return how many processes that are not ours compute on a GPU.

    In a container the driver may number processes as the host does, so that ours can't be told
    from others: then all but one are others.
    """
    others = [pid for pid in process_ids if pid not in own]
    return len(others) if len(others) < len(process_ids) else max(0, len(others) - 1)


def driver_facts() -> dict[str, Any]:
    """Return versions of the driver and of the newest CUDA that it runs; empty without NVML."""
    pynvml = _library()
    if pynvml is None:
        return {}
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
    except pynvml.NVMLError:
        return {}
    return {
        "driver": driver.decode() if isinstance(driver, bytes) else driver,
        "driver_cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
    }


def all_gpus() -> tuple[Gpu, ...]:
    """Return every GPU that the driver has; none without NVML."""
    pynvml = _library()
    if pynvml is None:
        return ()
    try:
        count = int(pynvml.nvmlDeviceGetCount())
        return tuple(Gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(n)) for n in range(count))
    except pynvml.NVMLError:
        return ()


@cache
def _library() -> Any:
    """Return the initialised package, which stays so until the process ends; None without it."""
    if importlib.util.find_spec("pynvml") is None:
        return None
    pynvml: Any = importlib.import_module("pynvml")  # ships no types
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _is_on(modes: Any) -> bool | None:
    return None if modes is None else bool(modes[0])  # (current, pending)
