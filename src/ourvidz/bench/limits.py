"""What this machine can do at best: products, attention, convolutions, copies, disk.

Everything is measured on random data (constant inputs draw less power and clock higher), after
warm-up, with device events on CUDA and the host's clock on a CPU. A rate is the median of some
samples; low and high are the slowest and the quickest. On a GPU the inputs are 16-bit and 8-bit,
on a CPU float32.
"""

from __future__ import annotations

import math
import mmap
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ourvidz.bench.floors import COMPUTE, LIMITS_SUITE, Ceilings, Kind, Precision
from ourvidz.bench.records import BenchmarkResult
from ourvidz.core.phase import LoadState
from ourvidz.engine.page_cache import load_state_of
from ourvidz.kernels.runtime import supports_fp8

__all__ = [
    "LIMITS_SUITE",
    "Limit",
    "Sizes",
    "Skipped",
    "ceilings_of",
    "drop_from_page_cache",
    "measure_limits",
    "read_rate",
    "results_of",
]

_E4M3_MAX = 448.0
_READ_THREADS = 8
_BLOCK_BYTES = 8 * 2**20
_WARM_UPS = 3
_DIRECT_FLAG = getattr(os, "O_DIRECT", 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """One measured rate: FLOP/s for products, attention and convolutions, else bytes/s."""

    kind: Kind
    name: str  # shape, and who ran it if there are several
    precision: Precision
    system: str  # torch or ourvidz
    rate: float
    low: float
    high: float
    n: int
    notes: str = ""

    @property
    def unit(self) -> str:
        """Of ``rate``."""
        return "FLOP/s" if self.kind in COMPUTE else "B/s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """What does not run here, and why."""

    kind: Kind
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """What is measured. Shapes are those of the full-size models on a GPU."""

    matmuls: tuple[tuple[int, int, int], ...]  # M, K, N
    attentions: tuple[tuple[int, int, int, int], ...]  # B, L, H, D
    convolutions: tuple[tuple[int, ...], ...]  # N, C, H, W, or N, C, F, H, W; C in and out
    copy_bytes: int
    disk_bytes: int  # at most, a sample
    samples: int
    sample_s: float  # at least, each
    # Find our 8-bit attention's best blocks for the first shape; the others take the default ones.
    is_probed: bool = False

    @classmethod
    def of_device(cls, device: torch.device) -> Sizes:
        """Return the sizes that a device can be filled with in seconds."""
        return _GPU if device.type == "cuda" else _CPU


# Wan 1.3B at 480x832x81 has 32760 tokens of 12 heads x 128; SDXL at 1024x1024, six images with
# guidance, 12 items of 4096 and 1024 tokens. Convolutions are those of both VAEs and the UNet.
_GPU = Sizes(
    matmuls=(
        (8192, 8192, 8192),
        (32760, 1536, 1536),
        (32760, 1536, 8960),
        (32760, 8960, 1536),
        (49152, 640, 5120),
        (12288, 1280, 10240),
    ),
    attentions=((1, 32760, 12, 128), (12, 4096, 10, 64)),
    convolutions=(
        (12, 640, 64, 64),
        (6, 512, 256, 256),
        (4, 384, 120, 208),
        (4, 192, 240, 416),
        (4, 96, 480, 832),
        (1, 384, 6, 120, 208),
        (1, 96, 6, 480, 832),
    ),
    copy_bytes=2 * 2**30,
    disk_bytes=4 * 2**30,
    samples=10,
    sample_s=0.05,  # long enough for the clock to settle under load
    is_probed=True,
)
_CPU = Sizes(
    matmuls=((1024, 1024, 1024),),
    attentions=((1, 1024, 4, 64),),
    convolutions=((1, 96, 64, 64),),
    copy_bytes=128 * 2**20,
    disk_bytes=2**30,
    samples=5,
    sample_s=0.02,
)


def measure_limits(
    device: torch.device,
    *,
    sizes: Sizes | None = None,
    disk: Path | None = None,
    seed: int = 0,
) -> Iterator[Limit | Skipped]:
    """Yield each rate as it is measured; a minute or two on a data centre GPU.

    Args:
        device: CUDA or CPU.
        sizes: what to measure; ``None`` for what suits the device.
        disk: a file, or a folder whose files are read; ``None`` measures no disk.
        seed: of the random inputs.
    """
    sizes = sizes or Sizes.of_device(device)
    meter = _Meter(device=device, sizes=sizes)
    generator = torch.Generator(device).manual_seed(seed)
    for shape in sizes.matmuls:
        yield from _matmul(meter, generator, shape)
    for shape in sizes.attentions:
        yield from _attention(meter, generator, shape)
    for shape in sizes.convolutions:
        yield from _convolution(meter, generator, shape)
    yield from _copies(meter)
    if disk is not None:
        for is_direct in (False, True):
            yield read_rate(
                disk,
                max_bytes=sizes.disk_bytes,
                samples=min(3, sizes.samples),
                is_direct=is_direct,
            )


def ceilings_of(limits: Sequence[Limit | Skipped]) -> Ceilings:
    """Return the best rate of each kind and precision."""
    return Ceilings.from_rates(
        (limit.kind, limit.precision, limit.rate) for limit in limits if isinstance(limit, Limit)
    )


def results_of(limits: Sequence[Limit | Skipped], *, seed: int = 0) -> list[BenchmarkResult]:
    """Return what a record of the suite ``limits`` holds."""
    return [
        BenchmarkResult(
            case=f"{limit.kind.value}.{limit.name}",
            system=limit.system,
            fidelity=limit.precision.value,
            metric="rate",
            value=limit.rate,
            unit=limit.unit,
            n=limit.n,
            low=limit.low,
            high=limit.high,
            notes="; ".join(filter(None, [limit.notes, f"random inputs, seed {seed}"])),
        )
        for limit in limits
        if isinstance(limit, Limit)
    ]


# ------------------------------------------------------------------------------------- the meter


@dataclass(frozen=True, kw_only=True, slots=True)
class _Meter:
    """Times calls on one device."""

    device: torch.device
    sizes: Sizes

    def measure(
        self,
        call: Callable[[], object],
        work: float,
        *,
        kind: Kind,
        name: str,
        precision: Precision,
        system: str = "torch",
        notes: str = "",
    ) -> Limit | Skipped:
        """Return the rate of ``call``, which does ``work`` operations or bytes.

        A call that torch or a kernel refuses (no such backend, no such hardware, no memory) is
        skipped with its reason.
        """
        try:
            with torch.inference_mode():
                times_s = self._times_s(call)
        except (RuntimeError, NotImplementedError, ImportError, ValueError, TypeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            return Skipped(kind=kind, name=name, reason=reason)
        rates = [work / seconds for seconds in times_s]
        return Limit(
            kind=kind,
            name=name,
            precision=precision,
            system=system,
            rate=statistics.median(rates),
            low=min(rates),
            high=max(rates),
            n=len(rates),
            notes=notes,
        )

    def _times_s(self, call: Callable[[], object]) -> list[float]:
        for _ in range(_WARM_UPS):
            call()
        one_s = self._batch_s(call, 1)
        calls = max(1, math.ceil(self.sizes.sample_s / max(one_s, 1e-7)))
        return [self._batch_s(call, calls) / calls for _ in range(self.sizes.samples)]

    def _batch_s(self, call: Callable[[], object], count: int) -> float:
        if self.device.type != "cuda":
            start_s = time.perf_counter()
            for _ in range(count):
                call()
            return time.perf_counter() - start_s
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        start.record()
        for _ in range(count):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    @property
    def precision(self) -> Precision:
        return Precision.BF16 if self.device.type == "cuda" else Precision.FP32


# ---------------------------------------------------------------------------------- what is timed


def _randn(
    meter: _Meter, generator: torch.Generator, *shape: int, dtype: torch.dtype | None = None
) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, device=meter.device, dtype=dtype or meter.dtype)


def _matmul(
    meter: _Meter, generator: torch.Generator, shape: tuple[int, int, int]
) -> Iterator[Limit | Skipped]:
    rows, inner, columns = shape
    name, flops = "x".join(map(str, shape)), 2.0 * rows * inner * columns
    left = _randn(meter, generator, rows, inner)
    weight = _randn(meter, generator, columns, inner)  # as a linear layer keeps it
    yield meter.measure(
        lambda: torch.nn.functional.linear(left, weight),
        flops,
        kind=Kind.MATMUL,
        name=name,
        precision=meter.precision,
    )
    if meter.device.type != "cuda":
        return
    if not supports_fp8(meter.device):
        yield Skipped(kind=Kind.MATMUL, name=f"{name}.e4m3", reason="no e4m3 on this GPU")
        return
    scaled_mm: Any = getattr(torch, "_scaled_mm")  # noqa: B009 (it has no public name yet)
    left_8, left_scale = _quantized(left)
    weight_8, weight_scale = _quantized(weight)
    yield meter.measure(
        lambda: scaled_mm(
            left_8,
            weight_8.t(),
            scale_a=left_scale,
            scale_b=weight_scale.t(),
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        ),
        flops,
        kind=Kind.MATMUL,
        name=f"{name}.e4m3",
        precision=Precision.EIGHT_BIT,
        notes="scales a row, bfloat16 out; quantisation itself not included",
    )


def _quantized(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return e4m3 rows and their scales, (M, 1) float32."""
    scale = rows.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _E4M3_MAX
    return (rows.float() / scale).to(torch.float8_e4m3fn), scale


_TORCH_BACKENDS = {
    "flash": "FLASH_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
}


def _attention(
    meter: _Meter, generator: torch.Generator, shape: tuple[int, int, int, int]
) -> Iterator[Limit | Skipped]:
    batch, length, heads, head_dim = shape
    query, key, value = (_randn(meter, generator, *shape) for _ in range(3))
    name, flops = "x".join(map(str, shape)), 4.0 * batch * heads * length * length * head_dim
    by_head = [tensor.transpose(1, 2) for tensor in (query, key, value)]

    def timed(
        call: Callable[[], object], run_by: str, precision: Precision, system: str
    ) -> Limit | Skipped:
        return meter.measure(
            call,
            flops,
            kind=Kind.ATTENTION,
            name=f"{name}.{run_by}",
            precision=precision,
            system=system,
        )

    sdpa: Any = torch.nn.functional.scaled_dot_product_attention
    yield timed(lambda: sdpa(*by_head), "default", meter.precision, "torch")
    if meter.device.type != "cuda":
        return
    for run_by, backend in _TORCH_BACKENDS.items():
        yield timed(_with_backend(backend, sdpa, by_head), run_by, meter.precision, "torch")
    is_probed = meter.sizes.is_probed and shape == meter.sizes.attentions[0]
    for run_by, is_8bit in (("ours", False), ("8bit", True)):
        precision = Precision.EIGHT_BIT if is_8bit else meter.precision
        call = partial(_our_attention, query, key, value, is_8bit=is_8bit, is_probed=is_probed)
        yield timed(_made_once(call), run_by, precision, "ourvidz")


def _our_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, is_8bit: bool, is_probed: bool
) -> Callable[[], object]:
    """Return our own attention, the fastest way where it is to be probed; that takes a minute."""
    from ourvidz.kernels.attention import EXACT_BACKENDS
    from ourvidz.kernels.attention_ways import exact_ways, ways_8bit
    from ourvidz.kernels.probe import fastest_attention

    ways = ways_8bit(query) if is_8bit else exact_ways(query)
    ways = {name: way for name, way in ways.items() if name not in EXACT_BACKENDS}
    batch, length, heads, head_dim = query.shape
    if not ways:
        raise ValueError(f"ours is not made for this GPU, or not for a head size of {head_dim}")
    name = next(iter(ways))
    if is_probed:
        shape = (batch, length, heads, head_dim)
        name = fastest_attention(ways, shape, query.dtype, query.device)
    return lambda: ways[name](query, key, value)


def _made_once(make: Callable[[], Callable[[], object]]) -> Callable[[], object]:
    """Return what ``make`` makes, made at the first call: a failure is the call's."""
    made: list[Callable[[], object]] = []

    def call() -> object:
        if not made:
            made.append(make())
        return made[0]()

    return call


def _calling(function: Any, *arguments: Any, **options: Any) -> Callable[[], object]:
    return lambda: function(*arguments, **options)


def _with_backend(backend: str, sdpa: Any, tensors: Sequence[torch.Tensor]) -> Callable[[], object]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def call() -> torch.Tensor:
        with sdpa_kernel(getattr(SDPBackend, backend)):
            return sdpa(*tensors)

    return call


def _convolution(
    meter: _Meter, generator: torch.Generator, shape: tuple[int, ...]
) -> Iterator[Limit | Skipped]:
    channels, num_dims = shape[1], len(shape) - 2
    image = _randn(meter, generator, *shape)
    weight = _randn(meter, generator, channels, channels, *[3] * num_dims)
    layout = torch.channels_last if num_dims == 2 else torch.channels_last_3d
    image, weight = (tensor.to(memory_format=layout) for tensor in (image, weight))
    convolve: Any = torch.nn.functional.conv2d if num_dims == 2 else torch.nn.functional.conv3d
    flops = 2.0 * image.numel() * channels * 3**num_dims

    def call() -> torch.Tensor:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):  # tries its algorithms
            return convolve(image, weight, padding=1)

    yield meter.measure(
        call,
        flops,
        kind=Kind.CONVOLUTION,
        name="x".join(map(str, shape)),
        precision=meter.precision,
        notes="3 taps a dimension, channels last",
    )


def _copies(meter: _Meter) -> Iterator[Limit | Skipped]:
    num_bytes = meter.sizes.copy_bytes
    source, target = (
        torch.randint(0, 255, (num_bytes,), dtype=torch.uint8, device=meter.device)
        for _ in range(2)
    )
    yield meter.measure(
        lambda: target.copy_(source),
        2.0 * num_bytes,
        kind=Kind.MEMORY,
        name="copy",
        precision=Precision.BYTES,
        notes="bytes read plus bytes written",
    )
    if meter.device.type != "cuda":
        return
    pinned = torch.empty(num_bytes // 2, dtype=torch.uint8, pin_memory=True)
    on_device = target[: pinned.numel()]
    for kind, to, from_ in (
        (Kind.HOST_TO_DEVICE, on_device, pinned),
        (Kind.DEVICE_TO_HOST, pinned, on_device),
    ):
        yield meter.measure(
            _calling(to.copy_, from_, non_blocking=True),
            float(pinned.numel()),
            kind=kind,
            name="copy",
            precision=Precision.BYTES,
            notes="pinned",
        )


# ------------------------------------------------------------------------------------------- disk


def read_rate(
    path: Path, *, max_bytes: int, samples: int = 3, is_direct: bool = False
) -> Limit | Skipped:
    """Return how fast files come from disk: several threads, blocks of 8 MiB.

    Args:
        path: a file, or a folder whose files are read, the largest first.
        max_bytes: of a sample, at most.
        samples: reads of the same bytes, each after the page cache let go of them.
        is_direct: past the page cache (``O_DIRECT``), where the file system has that.
    """
    name = "read-direct" if is_direct else "read"
    files = _files(path)
    pieces = _pieces(files, max_bytes)
    total = sum(length for _, _, length in pieces)
    if total == 0:
        return Skipped(kind=Kind.DISK, name=name, reason="there is no file to read")
    rates: list[float] = []
    is_cold = True
    for _ in range(samples):
        is_cold &= drop_from_page_cache(files)
        start_s = time.perf_counter()
        try:
            _read(pieces, _DIRECT_FLAG if is_direct else 0)
        except OSError as error:
            if not is_direct:
                raise
            return Skipped(kind=Kind.DISK, name=name, reason=error.strerror or str(error))
        rates.append(total / (time.perf_counter() - start_s))
    how = "cold" if is_cold else "the page cache could not be emptied: partly from memory"
    return Limit(
        kind=Kind.DISK,
        name=name,
        precision=Precision.BYTES,
        system="ourvidz",
        rate=statistics.median(rates),
        low=min(rates),
        high=max(rates),
        n=len(rates),
        notes=f"{how}; {total / 2**30:.2f} GiB by {_READ_THREADS} threads",
    )


def drop_from_page_cache(files: Sequence[Path]) -> bool:
    """Ask the system to forget what it has of ``files``; return whether it did.

    What was just written is written out first: dirty pages are not dropped.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return False
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return load_state_of(list(files)) is LoadState.COLD


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sorted(found, key=lambda item: (-item.stat().st_size, item.name))


def _pieces(files: Sequence[Path], max_bytes: int) -> list[tuple[Path, int, int]]:
    """Return (file, offset, length) of blocks, ``max_bytes`` in all."""
    pieces: list[tuple[Path, int, int]] = []
    left = max_bytes
    for path in files:
        size = min(path.stat().st_size, left)
        pieces += [
            (path, offset, min(_BLOCK_BYTES, size - offset))
            for offset in range(0, size, _BLOCK_BYTES)
        ]
        left -= size
    return pieces


def _read(pieces: Sequence[tuple[Path, int, int]], flags: int = 0) -> None:
    waiting = iter(pieces)
    lock = threading.Lock()
    errors: list[OSError] = []

    def work() -> None:
        with mmap.mmap(-1, _BLOCK_BYTES) as buffer:  # whole pages, as O_DIRECT wants them
            while not errors:
                with lock:
                    piece = next(waiting, None)
                if piece is None:
                    return
                try:
                    _read_piece(piece, buffer, flags)
                except OSError as error:
                    errors.append(error)

    threads = [threading.Thread(target=work, name="read") for _ in range(_READ_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _read_piece(piece: tuple[Path, int, int], buffer: mmap.mmap, flags: int) -> None:
    path, offset, length = piece
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        done = 0
        while done < length:
            # Always a whole block: what lies behind the end of a file is not read.
            with memoryview(buffer) as whole, whole[done:] as rest:
                count = os.preadv(descriptor, [rest], offset + done)
            if not count:
                return
            done += count
    finally:
        os.close(descriptor)
