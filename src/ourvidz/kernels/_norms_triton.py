"""The Triton side of ``norms``: one program a row, each value read and written once."""

from __future__ import annotations

import typing

import torch
import triton
import triton.language as tl

from ourvidz.kernels._int8_triton import rotate, row_step, to_int8
from ourvidz.kernels.int8 import PAIRED, ROTATED, Int8Pairs, Int8Rows
from ourvidz.kernels.quantize import Quantized

_NUM_WARPS = 4
_E4M3_MAX = tl.constexpr(448.0)
_SMALLEST = tl.constexpr(1e-12)  # a row of zeros has a scale too
_PAIRED = tl.constexpr(64)
_INVERSE_LENGTH = tl.constexpr(0.25)  # of a row of 16 signs


@triton.jit
def _normed_row(
    row: typing.Any,
    columns: typing.Any,
    x_ptr: typing.Any,
    delta_ptr: typing.Any,
    gate_ptr: typing.Any,
    mul_ptr: typing.Any,
    add_ptr: typing.Any,
    rows_per_item: typing.Any,
    width: typing.Any,
    eps: typing.Any,
    HAS_DELTA: tl.constexpr,
    HAS_GATE: tl.constexpr,
) -> typing.Any:
    """Store a row's sum; return it normalised, in float32, 0 beyond the row's end."""
    item = row // rows_per_item
    inside = columns < width
    x = tl.load(x_ptr + row * width + columns, mask=inside, other=0.0).to(tl.float32)
    if HAS_DELTA:
        delta = tl.load(delta_ptr + row * width + columns, mask=inside, other=0.0).to(tl.float32)
        if HAS_GATE:
            delta *= tl.load(gate_ptr + item * width + columns, mask=inside, other=0.0)
        total = (x + delta).to(x_ptr.dtype.element_ty)
        x = total.to(tl.float32)
    mean = tl.sum(x, axis=0) / width
    centred = tl.where(inside, x - mean, 0.0)
    variance = tl.sum(centred * centred, axis=0) / width
    normed = centred * tl.rsqrt(variance + eps)
    if HAS_DELTA:  # after the sums: by then all threads have read what this overwrites
        tl.store(x_ptr + row * width + columns, x.to(x_ptr.dtype.element_ty), mask=inside)
    mul = tl.load(mul_ptr + item * width + columns, mask=inside, other=0.0)
    add = tl.load(add_ptr + item * width + columns, mask=inside, other=0.0)
    return normed * mul + add


@triton.jit
def _store_int8(
    out: typing.Any,
    row: typing.Any,
    at_scale: typing.Any,
    columns: typing.Any,
    data_ptr: typing.Any,
    width: typing.Any,
    BLOCK: tl.constexpr,
) -> None:
    """Turn a row and round it, as ``int8.int8_rows`` of what ``int8.rotate`` gives."""
    out = rotate(out, BLOCK) * _INVERSE_LENGTH
    scale, inverse = row_step(tl.max(tl.abs(out), axis=0))
    tl.store(at_scale, scale)
    tl.store(data_ptr + row * width + columns, to_int8(out * inverse), mask=columns < width)


@triton.jit
def _residual_norm_kernel(
    x_ptr: typing.Any,
    delta_ptr: typing.Any,
    gate_ptr: typing.Any,
    mul_ptr: typing.Any,
    add_ptr: typing.Any,
    normed_ptr: typing.Any,
    scale_ptr: typing.Any,
    rows_per_item: typing.Any,
    num_pairs: typing.Any,
    width: typing.Any,
    eps: typing.Any,
    HAS_DELTA: tl.constexpr,
    HAS_GATE: tl.constexpr,
    IS_QUANTIZED: tl.constexpr,
    IS_INT8: tl.constexpr,
    IS_PAIRED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    out = _normed_row(
        row,
        columns,
        x_ptr,
        delta_ptr,
        gate_ptr,
        mul_ptr,
        add_ptr,
        rows_per_item,
        width,
        eps,
        HAS_DELTA,
        HAS_GATE,
    )
    if IS_PAIRED:
        second = _normed_row(
            row + num_pairs,
            columns,
            x_ptr,
            delta_ptr,
            gate_ptr,
            mul_ptr,
            add_ptr,
            rows_per_item,
            width,
            eps,
            HAS_DELTA,
            HAS_GATE,
        )
        at = row // _PAIRED * (2 * _PAIRED) + row % _PAIRED
        _store_int8(second, at, scale_ptr + row, columns, normed_ptr, width, BLOCK)
        at_scale = scale_ptr + num_pairs + row
        _store_int8(out - second, at + _PAIRED, at_scale, columns, normed_ptr, width, BLOCK)
    elif IS_INT8:
        _store_int8(out, row, scale_ptr + row, columns, normed_ptr, width, BLOCK)
    else:
        if IS_QUANTIZED:  # as quantize.quantize_rows, but from float32
            scale = tl.maximum(tl.max(tl.abs(out), axis=0), _SMALLEST) / _E4M3_MAX
            tl.store(scale_ptr + row, scale)
            out = out / scale
        out = out.to(normed_ptr.dtype.element_ty)
        tl.store(normed_ptr + row * width + columns, out, mask=columns < width)


@triton.jit
def _norm_rope_kernel(
    x_ptr: typing.Any,
    weight_ptr: typing.Any,
    cos_ptr: typing.Any,
    sin_ptr: typing.Any,
    row_stride: typing.Any,
    num_positions: typing.Any,
    width: typing.Any,
    eps: typing.Any,
    NUM_PAIRS: tl.constexpr,  # of a head
    HAS_ROPE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    x = tl.load(x_ptr + row * row_stride + columns, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    out = (x * scale * weight).to(x_ptr.dtype.element_ty)
    if HAS_ROPE:
        even, odd = tl.split(tl.reshape(out.to(tl.float32), (BLOCK // 2, 2)))
        pairs = tl.arange(0, BLOCK // 2)
        at = (row % num_positions) * NUM_PAIRS + pairs % NUM_PAIRS
        cos = tl.load(cos_ptr + at, mask=pairs < width // 2, other=0.0)
        sin = tl.load(sin_ptr + at, mask=pairs < width // 2, other=0.0)
        turned = tl.join(even * cos - odd * sin, even * sin + odd * cos)
        out = tl.reshape(turned, (BLOCK,)).to(x_ptr.dtype.element_ty)
    tl.store(x_ptr + row * row_stride + columns, out, mask=inside)


def residual_norm(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
    is_quantized: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | Quantized]:
    """See ``norms.residual_norm``."""
    normed = torch.empty_like(x, dtype=torch.float8_e4m3fn if is_quantized else x.dtype)
    scale = _scales(len(x), 1, x.device) if is_quantized else mul
    _residual_norm(x, normed, scale, mul=mul, add=add, eps=eps, delta=delta, gate=gate)
    return x, Quantized(data=normed, scale=scale) if is_quantized else normed


def residual_norm_int8(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
) -> tuple[torch.Tensor, Int8Rows]:
    """See ``norms.residual_norm_int8``."""
    data, scale = torch.empty_like(x, dtype=torch.int8), _scales(len(x), 1, x.device)
    _residual_norm(x, data, scale, mul=mul, add=add, eps=eps, delta=delta, gate=gate)
    return x, Int8Rows(data=data, scale=scale)


def residual_norm_pairs(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
) -> tuple[torch.Tensor, Int8Pairs]:
    """See ``norms.residual_norm_pairs``."""
    num_pairs, width = len(x) // 2, x.shape[1]
    rows = -(-num_pairs // PAIRED) * 2 * PAIRED
    data = torch.empty(rows, width, dtype=torch.int8, device=x.device)
    scale = _scales(2, num_pairs, x.device)
    _residual_norm(
        x, data, scale, mul=mul, add=add, eps=eps, delta=delta, gate=gate, num_pairs=num_pairs
    )
    return x, Int8Pairs(data=data, scale=scale)


def _scales(num_rows: int, num_columns: int, device: torch.device) -> torch.Tensor:
    return torch.empty(num_rows, num_columns, dtype=torch.float32, device=device)


def _residual_norm(
    x: torch.Tensor,
    normed: torch.Tensor,
    scale: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
    num_pairs: int = 0,
) -> None:
    """Fill ``normed``, and ``scale`` where ``normed`` has 8 bits."""
    num_rows, width = x.shape
    is_int8 = normed.dtype == torch.int8
    assert x.is_contiguous()
    assert delta is None or delta.is_contiguous()
    assert not is_int8 or width % ROTATED == 0, width
    kernel: typing.Any = _residual_norm_kernel[(num_pairs or num_rows,)]
    kernel(
        x,
        x if delta is None else delta,
        mul if gate is None else gate.contiguous(),
        mul.contiguous(),
        add.contiguous(),
        normed,
        scale,
        num_rows // mul.shape[0],
        num_pairs,
        width,
        eps,
        HAS_DELTA=delta is not None,
        HAS_GATE=gate is not None,
        IS_QUANTIZED=normed.dtype == torch.float8_e4m3fn,
        IS_INT8=is_int8,
        IS_PAIRED=num_pairs > 0,
        BLOCK=triton.next_power_of_2(width),
        num_warps=_NUM_WARPS,
    )


def norm_rope(
    x: torch.Tensor,
    *,
    weight: torch.Tensor,
    eps: float,
    cos: torch.Tensor | None,
    sin: torch.Tensor | None,
) -> None:
    """See ``norms.norm_rope_``."""
    num_rows, width = x.shape
    assert x.stride(1) == 1
    has_rope = cos is not None and sin is not None
    kernel: typing.Any = _norm_rope_kernel[(num_rows,)]
    kernel(
        x,
        weight,
        cos if cos is not None else weight,
        sin if sin is not None else weight,
        x.stride(0),
        cos.shape[0] if cos is not None else 1,
        width,
        eps,
        NUM_PAIRS=cos.shape[1] if cos is not None else 1,
        HAS_ROPE=has_rope,
        BLOCK=triton.next_power_of_2(width),
        num_warps=_NUM_WARPS,
    )
