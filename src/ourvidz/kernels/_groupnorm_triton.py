"""The Triton side of ``groupnorm``: tiles of rows and channels, statistics in float32."""

# pyright: reportCallIssue=false, reportAttributeAccessIssue=false
# (Launch options such as num_warps are not among a kernel's own parameters.)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ourvidz.kernels._norms_triton import is_packed, rounded
from ourvidz.kernels.groupnorm import Moments

_TILE_ROWS = 128
_TILE_CHANNELS = 64  # 128 bytes of a row in half precision
_MOMENTS_WARPS = 4  # 64 values a thread: 0.098 ms on an H200 where 8 warps take 0.119
_APPLY_ROWS = 32
_APPLY_WARPS = 4
_AFFINE_CHUNKS = 32  # of S at a time


@triton.jit
def _row_start(
    rows: tl.tensor, num_channels: tl.tensor, image_width: tl.tensor, IS_INTERLEAVED: tl.constexpr
) -> Any:
    """Return where rows of an image lie in its memory."""
    if IS_INTERLEAVED:
        y, x = rows // image_width, rows % image_width
        # The phases' own grid is one pixel wider, and a pixel of it holds four.
        pixel = (y // 2 + y % 2) * (image_width // 2 + 1) + x // 2 + x % 2
        at = (pixel * 4 + y % 2 * 2 + x % 2) * num_channels
    else:
        at = rows * num_channels
    return at


@triton.jit
def _load_tile(
    x_ptr: tl.tensor,
    bias: tl.tensor,
    residual_ptr: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    inside: tl.tensor,
    num_channels: tl.tensor,
    image_width: tl.tensor,
    HAS_RESIDUAL: tl.constexpr,
    IS_INTERLEAVED: tl.constexpr,
    IS_EVEN: tl.constexpr,
    IS_PACKED: tl.constexpr,
) -> Any:
    """Return x + bias + residual of a tile in float32, rounded to the tensor's type."""
    at = _row_start(rows, num_channels, image_width, IS_INTERLEAVED)
    mask = None if IS_EVEN else inside
    other = None if IS_EVEN else 0.0
    raw = tl.load(x_ptr + at[:, None] + channels[None, :], mask=mask, other=other)
    value = raw.to(tl.float32) + bias[None, :]
    if HAS_RESIDUAL:
        offsets = rows[:, None] * num_channels + channels[None, :]
        value += tl.load(residual_ptr + offsets, mask=mask, other=other).to(tl.float32)
    return rounded(value, x_ptr, IS_PACKED)


@triton.jit
def _moments_kernel(
    x_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    residual_ptr: tl.tensor,
    out_ptr: tl.tensor,
    mean_ptr: tl.tensor,
    m2_ptr: tl.tensor,
    num_rows: tl.tensor,
    num_channels: tl.tensor,
    x_image_stride: tl.tensor,
    image_width: tl.tensor,
    ROWS_PER_CHUNK: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    IS_INTERLEAVED: tl.constexpr,
    HAS_OUT: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_CHANNELS: tl.constexpr,
    IS_EVEN: tl.constexpr,  # no tile reaches beyond the last row or channel
    IS_PACKED: tl.constexpr,
) -> None:
    chunk = tl.program_id(0)
    image = tl.program_id(2).to(tl.int64)
    channels = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    is_channel = channels < num_channels
    x_ptr += image * x_image_stride
    residual_ptr += image * num_rows * num_channels
    out_ptr += image * num_rows * num_channels
    bias = tl.zeros((TILE_CHANNELS,), tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + channels, mask=is_channel, other=0.0).to(tl.float32)
    start = chunk * ROWS_PER_CHUNK

    # Deviations from the first row's values keep the sums of squares small.
    at = _row_start(start, num_channels, image_width, IS_INTERLEAVED)
    pivot = tl.load(x_ptr + at + channels, mask=is_channel, other=0.0).to(tl.float32) + bias
    if HAS_RESIDUAL:
        at = start * num_channels
        pivot += tl.load(residual_ptr + at + channels, mask=is_channel, other=0.0).to(tl.float32)
    if HAS_OUT:
        tl.debug_barrier()  # every thread has read the row before one of them overwrites it

    rows = start + tl.arange(0, TILE_ROWS)
    inside = (rows < num_rows)[:, None] & is_channel[None, :]
    stored = _load_tile(
        x_ptr, bias, residual_ptr, rows, channels, inside, num_channels, image_width,
        HAS_RESIDUAL, IS_INTERLEAVED, IS_EVEN, IS_PACKED,
    )  # fmt: skip
    value = stored.to(tl.float32)
    deviation = value - pivot[None, :]
    if not IS_EVEN:
        deviation = tl.where(inside, deviation, 0.0)
    sums = deviation
    squares = deviation * deviation
    if HAS_OUT:
        offsets = rows[:, None] * num_channels + channels[None, :]
        tl.store(out_ptr + offsets, stored, mask=None if IS_EVEN else inside)

    for tile_start in range(TILE_ROWS, ROWS_PER_CHUNK, TILE_ROWS):
        rows = start + tile_start + tl.arange(0, TILE_ROWS)
        inside = (rows < num_rows)[:, None] & is_channel[None, :]
        stored = _load_tile(
            x_ptr, bias, residual_ptr, rows, channels, inside, num_channels, image_width,
            HAS_RESIDUAL, IS_INTERLEAVED, IS_EVEN, IS_PACKED,
        )  # fmt: skip
        value = stored.to(tl.float32)
        deviation = value - pivot[None, :]
        if not IS_EVEN:
            deviation = tl.where(inside, deviation, 0.0)
        sums += deviation
        squares += deviation * deviation
        if HAS_OUT:
            offsets = rows[:, None] * num_channels + channels[None, :]
            tl.store(out_ptr + offsets, stored, mask=None if IS_EVEN else inside)

    count = tl.minimum(num_rows - start, ROWS_PER_CHUNK).to(tl.float32)
    total = tl.sum(sums, axis=0)
    m2 = tl.sum(squares, axis=0) - total * total / count
    at = (image * tl.num_programs(0) + chunk) * num_channels + channels
    tl.store(mean_ptr + at, pivot + total / count, mask=is_channel)
    tl.store(m2_ptr + at, tl.maximum(m2, 0.0), mask=is_channel)


@triton.jit
def _load_moment(
    first_ptr: tl.tensor,
    second_ptr: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    inside: tl.tensor,
    first_channels: tl.tensor,
    second_channels: tl.tensor,
    HAS_SECOND: tl.constexpr,
) -> Any:
    """Return (chunks, channels) of two tensors side by side."""
    is_first = inside & (channels < first_channels)[None, :]
    at = rows[:, None] * first_channels + channels[None, :]
    value = tl.load(first_ptr + at, mask=is_first, other=0.0)
    if HAS_SECOND:
        is_second = inside & (channels >= first_channels)[None, :]
        at = rows[:, None] * second_channels + (channels - first_channels)[None, :]
        value += tl.load(second_ptr + at, mask=is_second, other=0.0)
    return value


@triton.jit
def _affine_kernel(
    first_mean_ptr: tl.tensor,
    first_m2_ptr: tl.tensor,
    second_mean_ptr: tl.tensor,
    second_m2_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    shift_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    offset_ptr: tl.tensor,
    num_rows: tl.tensor,
    rows_per_chunk: tl.tensor,
    num_chunks: tl.tensor,
    first_channels: tl.tensor,
    second_channels: tl.tensor,
    group_size: tl.tensor,
    shift_stride: tl.tensor,
    eps: tl.tensor,
    HAS_SECOND: tl.constexpr,
    HAS_SHIFT: tl.constexpr,
    MAX_CHUNKS: tl.constexpr,  # a power of two: sizes share what was compiled
    TILE_CHUNKS: tl.constexpr,
    TILE_CHANNELS: tl.constexpr,
) -> None:
    group = tl.program_id(0)
    image = tl.program_id(1)
    columns = tl.arange(0, TILE_CHANNELS)
    is_channel = columns < group_size
    channels = group * group_size + columns
    shift = tl.zeros((TILE_CHANNELS,), tl.float32)
    if HAS_SHIFT:
        shift = tl.load(shift_ptr + image * shift_stride + channels, mask=is_channel, other=0.0)
        shift = shift.to(tl.float32)

    sums = tl.zeros((TILE_CHUNKS, TILE_CHANNELS), tl.float32)
    for start in range(0, MAX_CHUNKS, TILE_CHUNKS):
        chunks = start + tl.arange(0, TILE_CHUNKS)
        inside = (chunks < num_chunks)[:, None] & is_channel[None, :]
        count = tl.minimum(num_rows - chunks * rows_per_chunk, rows_per_chunk).to(tl.float32)
        mean = _load_moment(
            first_mean_ptr, second_mean_ptr, image * num_chunks + chunks, channels, inside,
            first_channels, second_channels, HAS_SECOND,
        )  # fmt: skip
        sums += tl.where(inside, (mean + shift[None, :]) * count[:, None], 0.0)
    total = num_rows * 1.0 * group_size
    center = tl.sum(tl.sum(sums, axis=1), axis=0) / total

    squares = tl.zeros((TILE_CHUNKS, TILE_CHANNELS), tl.float32)
    for start in range(0, MAX_CHUNKS, TILE_CHUNKS):
        chunks = start + tl.arange(0, TILE_CHUNKS)
        inside = (chunks < num_chunks)[:, None] & is_channel[None, :]
        count = tl.minimum(num_rows - chunks * rows_per_chunk, rows_per_chunk).to(tl.float32)
        mean = _load_moment(
            first_mean_ptr, second_mean_ptr, image * num_chunks + chunks, channels, inside,
            first_channels, second_channels, HAS_SECOND,
        )  # fmt: skip
        m2 = _load_moment(
            first_m2_ptr, second_m2_ptr, image * num_chunks + chunks, channels, inside,
            first_channels, second_channels, HAS_SECOND,
        )  # fmt: skip
        deviation = mean + shift[None, :] - center
        squares += tl.where(inside, m2 + deviation * deviation * count[:, None], 0.0)
    variance = tl.sum(tl.sum(squares, axis=1), axis=0) / total

    weight = tl.load(weight_ptr + channels, mask=is_channel, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + channels, mask=is_channel, other=0.0).to(tl.float32)
    scale = weight * tl.rsqrt(variance + eps)
    at = image * (first_channels + second_channels) + channels
    tl.store(scale_ptr + at, scale, mask=is_channel)
    tl.store(offset_ptr + at, bias + (shift - center) * scale, mask=is_channel)


@triton.jit
def _silu(x: tl.tensor, ON_GPU: tl.constexpr) -> Any:
    """Return x / (1 + exp(-x)); on a GPU by its approximate units, right to 3e-7 of the result."""
    if ON_GPU:
        power = tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x * -1.4426950408889634], tl.float32, True, 1
        )
        inverse = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [power + 1.0], tl.float32, True, 1
        )
        return x * inverse
    else:
        return x / (1.0 + tl.exp(-x))


@triton.jit
def _apply_kernel(
    x_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    offset_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    num_channels: tl.tensor,
    affine_stride: tl.tensor,
    out_image_stride: tl.tensor,
    out_row_stride: tl.tensor,
    HAS_SILU: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_CHANNELS: tl.constexpr,
    IS_EVEN: tl.constexpr,
    ON_GPU: tl.constexpr,
) -> None:
    image = tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)
    channels = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    is_channel = channels < num_channels
    inside = (rows < num_rows)[:, None] & is_channel[None, :]
    scale = tl.load(scale_ptr + image * affine_stride + channels, mask=is_channel, other=0.0)
    offset = tl.load(offset_ptr + image * affine_stride + channels, mask=is_channel, other=0.0)
    x_ptr += image * num_rows * num_channels
    mask = None if IS_EVEN else inside
    other = None if IS_EVEN else 0.0
    x = tl.load(x_ptr + rows[:, None] * num_channels + channels[None, :], mask=mask, other=other)
    value = x.to(tl.float32) * scale[None, :] + offset[None, :]
    if HAS_SILU:
        value = _silu(value, ON_GPU)
    out_ptr += image * out_image_stride
    at = rows[:, None] * out_row_stride + channels[None, :]
    tl.store(out_ptr + at, value.to(out_ptr.dtype.element_ty), mask=mask)


def channel_moments(x: torch.Tensor, *, rows_per_chunk: int) -> Moments:
    """See ``groupnorm.channel_moments``."""
    _, num_rows, num_channels = x.shape
    return _moments(x, x, num_rows, num_channels, rows_per_chunk, None, None, has_out=False)


def add_with_moments(
    x: torch.Tensor,
    *,
    bias: torch.Tensor,
    residual: torch.Tensor | None,
    rows_per_chunk: int,
    num_warps: int = _MOMENTS_WARPS,
) -> Moments:
    """See ``groupnorm.add_with_moments``."""
    _, num_rows, num_channels = x.shape
    return _moments(
        x, x, num_rows, num_channels, rows_per_chunk, bias, residual, num_warps=num_warps
    )


def interleave_with_moments(
    phases: torch.Tensor, *, bias: torch.Tensor, rows_per_chunk: int
) -> tuple[torch.Tensor, Moments]:
    """See ``groupnorm.interleave_with_moments``."""
    batch_size, height, width, num_channels = phases.shape
    height, width, num_channels = 2 * height - 2, 2 * width - 2, num_channels // 4
    image = phases.new_empty((batch_size, height, width, num_channels))
    moments = _moments(
        phases, image, height * width, num_channels, rows_per_chunk, bias, None, image_width=width
    )
    return image, moments


def _moments(
    x: torch.Tensor,
    out: torch.Tensor,
    num_rows: int,
    num_channels: int,
    rows_per_chunk: int,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    *,
    image_width: int = 0,
    has_out: bool = True,
    num_warps: int = _MOMENTS_WARPS,
) -> Moments:
    assert rows_per_chunk % _TILE_ROWS == 0
    assert x.is_contiguous()
    assert residual is None or residual.is_contiguous()
    batch_size, num_chunks = x.shape[0], -(-num_rows // rows_per_chunk)
    mean, m2 = x.new_empty((2, batch_size, num_chunks, num_channels), dtype=torch.float32)
    _moments_kernel[(num_chunks, triton.cdiv(num_channels, _TILE_CHANNELS), batch_size)](
        x,
        x if bias is None else bias,
        x if residual is None else residual,
        out,
        mean,
        m2,
        num_rows,
        num_channels,
        x.stride(0),
        image_width,
        ROWS_PER_CHUNK=rows_per_chunk,
        HAS_BIAS=bias is not None,
        HAS_RESIDUAL=residual is not None,
        IS_INTERLEAVED=image_width > 0,
        HAS_OUT=has_out,
        TILE_ROWS=_TILE_ROWS,
        TILE_CHANNELS=_TILE_CHANNELS,
        IS_EVEN=num_rows % rows_per_chunk == 0 and num_channels % _TILE_CHANNELS == 0,
        IS_PACKED=is_packed(x),
        num_warps=num_warps,
    )
    return Moments(mean=mean, m2=m2, num_rows=num_rows, rows_per_chunk=rows_per_chunk)


def channel_affine(
    parts: Sequence[Moments],
    *,
    weight: torch.Tensor,
    bias: torch.Tensor,
    num_groups: int,
    eps: float,
    shift: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """See ``groupnorm.channel_affine_reference``."""
    first, second = parts[0], parts[1] if len(parts) == 2 else None
    batch_size, num_chunks, first_channels = first.mean.shape
    second_channels = 0 if second is None else second.mean.shape[2]
    num_channels = first_channels + second_channels
    assert weight.shape[0] == num_channels
    assert second is None or (second.num_rows, second.rows_per_chunk) == (
        first.num_rows,
        first.rows_per_chunk,
    )
    scale, offset = first.mean.new_empty((2, batch_size, num_channels))
    _affine_kernel[(num_groups, batch_size)](
        first.mean,
        first.m2,
        first.mean if second is None else second.mean,
        first.m2 if second is None else second.m2,
        weight,
        bias,
        weight if shift is None else shift,
        scale,
        offset,
        first.num_rows,
        first.rows_per_chunk,
        num_chunks,
        first_channels,
        second_channels,
        num_channels // num_groups,
        0 if shift is None or shift.shape[0] == 1 else shift.stride(0),
        eps,
        HAS_SECOND=second is not None,
        HAS_SHIFT=shift is not None,
        MAX_CHUNKS=triton.next_power_of_2(num_chunks),
        TILE_CHUNKS=_AFFINE_CHUNKS,
        TILE_CHANNELS=triton.next_power_of_2(num_channels // num_groups),
        num_warps=4,
    )
    return scale, offset


def apply_affine(
    x: torch.Tensor,
    scale: torch.Tensor,
    offset: torch.Tensor,
    *,
    out: torch.Tensor,
    silu: bool,
    tile_rows: int = _APPLY_ROWS,
    num_warps: int = _APPLY_WARPS,
) -> None:
    """Write ``x * scale + offset``, with SiLU where asked; (B, C) float32 may be slices."""
    batch_size, num_rows, num_channels = x.shape
    assert x.is_contiguous()
    assert out.stride(2) == 1
    grid = (
        triton.cdiv(num_rows, tile_rows),
        triton.cdiv(num_channels, _TILE_CHANNELS),
        batch_size,
    )
    _apply_kernel[grid](
        x,
        scale,
        offset,
        out,
        num_rows,
        num_channels,
        scale.stride(0),
        out.stride(0),
        out.stride(1),
        HAS_SILU=silu,
        TILE_ROWS=tile_rows,
        TILE_CHANNELS=_TILE_CHANNELS,
        IS_EVEN=num_rows % tile_rows == 0 and num_channels % _TILE_CHANNELS == 0,
        ON_GPU=x.is_cuda,
        num_warps=num_warps,
    )
