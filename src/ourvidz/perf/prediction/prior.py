"""What a machine without history is expected to do: counted work over measured ceilings.

The work of a model is counted once (``bench.floors``, which the tests hold these figures to); the
ceilings are those of ``bench limits``, or of the tables below. No run reaches its ceilings: the
shares are what runs on an H200 and on two CPU cores reached. Such a prior is right within a factor
of three; history takes its place from the first record on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ourvidz.core.phase import LoadState
from ourvidz.perf.environment import usable_cores
from ourvidz.perf.nvml import find_gpu
from ourvidz.perf.prediction.features import Group, Load

PRIOR_FACTOR = 3.0  # 90 % of machines and models lie within it
PRIOR_SD = math.log(PRIOR_FACTOR) / 1.645  # of the logarithm


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The best that a machine was measured to do, or its data sheet says."""

    matmul_flops_s: float
    attention_flops_s: float
    convolution_flops_s: float
    host_to_device_bytes_s: float
    memory_bytes_s: float
    is_gpu: bool
    disk_bytes_s: float | None = None  # None: nobody measured it

    @property
    def call_s(self) -> float:
        """Seconds of one step, whatever its size: launches and the interpreter."""
        return _GPU_CALL_S if self.is_gpu else _CPU_CALL_S


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelWork:
    """What a model has to do. Operations count a multiplication and an addition as two."""

    flops_a_token: float  # of one pass of the denoising network
    flops_a_pair: float  # attention: of one pass, a token squared
    flops_a_pixel: float  # of decoding, a pixel of one frame
    num_bytes: float  # of its files


_GIB = 2.0**30
_CPU_CORE_FLOPS = 120e9  # single precision, AVX2 with two units at 2.8 GHz, rounded up

# Bytes: of what a job reads, at the precision that it is kept in.
_MODELS: Mapping[str, ModelWork] = {
    "wan2.1-t2v-1.3b": ModelWork(
        flops_a_token=2.596e9, flops_a_pair=184_320, flops_a_pixel=8.51e6, num_bytes=13.7 * _GIB
    ),
    "sdxl-base-1.0": ModelWork(
        flops_a_token=3.668e8, flops_a_pair=2_800, flops_a_pixel=9.99e6, num_bytes=6.6 * _GIB
    ),
    "pocket-video": ModelWork(
        flops_a_token=5.775e6, flops_a_pair=4_608, flops_a_pixel=3.30e5, num_bytes=31e6
    ),
    "pocket-image": ModelWork(
        flops_a_token=9.388e5, flops_a_pair=52, flops_a_pixel=1.10e5, num_bytes=12e6
    ),
}
_FAMILIES: Mapping[str, str] = {"wan": "wan2.1-t2v-1.3b", "sdxl": "sdxl-base-1.0"}
_ENHANCER_BYTES: Mapping[str, float] = {"pocket-enhancer": 4e6}
_FULL_ENHANCER_BYTES = 15.2e9
_ENHANCED_TOKENS = 130.0  # of an answer of 60 to 120 words

# Shares of the ceilings that jobs reach.
_NETWORK_SHARE = 0.45
_DECODE_SHARE = 0.25
_LOAD_SHARE = 0.5
_TOKEN_SHARE = 0.6

# Seconds that no ceiling explains.
_ENCODE_S = 0.05
_FILE_S = 0.02
_SAVE_PIXEL_S = 8e-9
_UPLOAD_S = 0.05
_UNATTRIBUTED_S = 0.003
_START_S = 5.0  # imports, and the device's first touch
_CPU_CALL_S, _GPU_CALL_S = 0.006, 0.003
_DISK_BYTES_S = 1.5e9


def cpu_rates(cores: int) -> Rates:
    """Return what a CPU of so many cores may be expected to do at best."""
    flops_s = _CPU_CORE_FLOPS * max(1, cores)
    return Rates(
        matmul_flops_s=flops_s,
        attention_flops_s=flops_s,
        convolution_flops_s=flops_s,
        host_to_device_bytes_s=1e10,
        memory_bytes_s=1e10,
        is_gpu=False,
    )


def _gpu_rates(tera_flops: float, tera_bytes_s: float) -> Rates:
    return Rates(
        matmul_flops_s=tera_flops * 1e12,
        attention_flops_s=tera_flops * 1e12,
        convolution_flops_s=tera_flops * 1e12,
        host_to_device_bytes_s=2e10,
        memory_bytes_s=tera_bytes_s * 1e12,
        is_gpu=True,
    )


# NVIDIA's data sheets: dense 16-bit TFLOP/s and TB/s; the first name that fits decides.
_GPUS: tuple[tuple[str, Rates], ...] = (
    ("H200", _gpu_rates(989.5, 4.8)),
    ("H100", _gpu_rates(989.5, 3.35)),
    ("A100", _gpu_rates(312.0, 2.0)),
    ("L40S", _gpu_rates(362.05, 0.864)),
    ("RTX 6000 Ada", _gpu_rates(364.2, 0.96)),
    ("4090", _gpu_rates(165.2, 1.008)),
)
_OTHER_GPU = _gpu_rates(100.0, 0.7)


def rates_of(machine: Mapping[str, Any]) -> Rates:
    """Return what a machine may be expected to do at best.

    Args:
        machine: a fingerprint's part ``machine``: ``gpu`` by name where there is one, else
            ``cpu_cores``.
    """
    gpu = machine.get("gpu")
    if gpu is None:
        return cpu_rates(int(machine.get("cpu_cores") or 1))
    return next((rates for name, rates in _GPUS if name in str(gpu)), _OTHER_GPU)


def local_rates(device: str) -> Rates:
    """Return what this machine may be expected to do at best.

    Args:
        device: the setting: ``auto`` is the first GPU where there is one.
    """
    gpu = find_gpu("cuda" if device == "auto" else device)
    return rates_of({"cpu_cores": usable_cores(), **({} if gpu is None else gpu.limits())})


def work_of(load: Load) -> ModelWork:
    """Return a model's work; of one that is not known, that of its family's full size."""
    return _MODELS.get(load.model) or _MODELS[_FAMILIES.get(load.family, "wan2.1-t2v-1.3b")]


def coefficients(load: Load, group: Group, rates: Rates, *, state: str) -> tuple[float, ...]:
    """Return the expected coefficients of a group's features, in seconds; all above 0."""
    work = work_of(load)
    match group:
        case Group.DENOISE:
            return (
                rates.call_s,
                work.flops_a_token / (rates.matmul_flops_s * _NETWORK_SHARE),
                work.flops_a_pair / (rates.attention_flops_s * _NETWORK_SHARE),
            )
        case Group.DECODE:
            a_pixel = work.flops_a_pixel / (rates.convolution_flops_s * _DECODE_SHARE)
            return (rates.call_s, a_pixel)
        case Group.SAVE:
            return (_FILE_S, _SAVE_PIXEL_S)
        case Group.LOAD:
            return (_load_s(load, rates, state=state),)
        case Group.ENHANCE:
            num_bytes = _enhancer_bytes(load)
            token_s = rates.call_s + num_bytes / (rates.memory_bytes_s * _TOKEN_SHARE)
            return (_ENHANCED_TOKENS * token_s,)
        case Group.ENCODE:
            return (_ENCODE_S,)
        case Group.UPLOAD:
            return (_UPLOAD_S,)
        case Group.UNATTRIBUTED:
            return (_UNATTRIBUTED_S,)


def _load_s(load: Load, rates: Rates, *, state: str) -> float:
    num_bytes = work_of(load).num_bytes
    if load.enhancer is not None:
        num_bytes += _enhancer_bytes(load)
    is_warm = state == LoadState.WARM.value
    rate = rates.host_to_device_bytes_s if is_warm else rates.disk_bytes_s or _DISK_BYTES_S
    return _START_S + num_bytes / (rate * _LOAD_SHARE)


def _enhancer_bytes(load: Load) -> float:
    return _ENHANCER_BYTES.get(load.enhancer or "", _FULL_ENHANCER_BYTES)
