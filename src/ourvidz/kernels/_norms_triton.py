"""The Triton side of ``norms``: one program a row, each value read and written once."""

from __future__ import annotations

import typing

import torch
import triton
import triton.language as tl

from ourvidz.kernels.quantize import Quantized

_NUM_WARPS = 4
_E4M3_MAX = tl.constexpr(448.0)
_SMALLEST = tl.constexpr(1e-12)  # a row of zeros has a scale too


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
    width: typing.Any,
    eps: typing.Any,
    HAS_DELTA: tl.constexpr,
    HAS_GATE: tl.constexpr,
    IS_QUANTIZED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    item = row // rows_per_item
    columns = tl.arange(0, BLOCK)
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
    out = normed * mul + add
    if IS_QUANTIZED:  # as quantize.quantize_rows, but from float32
        scale = tl.maximum(tl.max(tl.abs(out), axis=0), _SMALLEST) / _E4M3_MAX
        tl.store(scale_ptr + row, scale)
        out = out / scale
    tl.store(normed_ptr + row * width + columns, out.to(normed_ptr.dtype.element_ty), mask=inside)


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
    num_rows, width = x.shape
    assert x.is_contiguous()
    assert delta is None or delta.is_contiguous()
    normed = torch.empty_like(x, dtype=torch.float8_e4m3fn if is_quantized else x.dtype)
    scale = torch.empty(num_rows, 1, dtype=torch.float32, device=x.device) if is_quantized else mul
    kernel: typing.Any = _residual_norm_kernel[(num_rows,)]
    kernel(
        x,
        x if delta is None else delta,
        mul if gate is None else gate.contiguous(),
        mul.contiguous(),
        add.contiguous(),
        normed,
        scale,
        num_rows // mul.shape[0],
        width,
        eps,
        HAS_DELTA=delta is not None,
        HAS_GATE=gate is not None,
        IS_QUANTIZED=is_quantized,
        BLOCK=triton.next_power_of_2(width),
        num_warps=_NUM_WARPS,
    )
    return x, Quantized(data=normed, scale=scale) if is_quantized else normed


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
