"""The Triton side of ``geglu``: tiles of both halves, or rows where a scale is needed."""

# pyright: reportCallIssue=false
# (Launch options such as num_warps are not among a kernel's own parameters.)

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ourvidz.kernels._quantize_triton import row_scale, split_width
from ourvidz.kernels.quantize import Quantized

_TILE_ROWS = 4
_TILE_COLUMNS = 512
_TILE_WARPS = 4
_ROW_WARPS = 8
_SQRT_HALF = tl.constexpr(0.7071067811865476)


@triton.jit
def _gated(value: tl.tensor, gate: tl.tensor) -> Any:
    """Return value * gelu(gate) in float32."""
    gate = gate.to(tl.float32)
    return value.to(tl.float32) * (0.5 * gate * (1.0 + tl.erf(gate * _SQRT_HALF)))


@triton.jit
def _geglu_kernel(
    x_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    num_columns: tl.tensor,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
) -> None:
    rows = (tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)).to(tl.int64)[:, None]
    columns = (tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS))[None, :]
    inside = (rows < num_rows) & (columns < num_columns)
    at = x_ptr + rows * (2 * num_columns) + columns
    value = tl.load(at, mask=inside, other=0.0)
    gate = tl.load(at + num_columns, mask=inside, other=0.0)
    out = _gated(value, gate).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + rows * num_columns + columns, out, mask=inside)


@triton.jit
def _load_gated(at: tl.tensor, columns: tl.tensor, num_columns: tl.tensor) -> Any:
    inside = columns < num_columns
    value = tl.load(at + columns, mask=inside, other=0.0)
    return _gated(value, tl.load(at + num_columns + columns, mask=inside, other=0.0))


@triton.jit
def _geglu_quantized_kernel(
    x_ptr: tl.tensor,
    data_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    num_columns: tl.tensor,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
) -> None:
    """A row in two pieces of power-of-two lengths: 5,120 takes 4,096 + 1,024, not 8,192."""
    row = tl.program_id(0).to(tl.int64)
    at = x_ptr + row * (2 * num_columns)
    data_ptr += row * num_columns
    columns = tl.arange(0, HEAD)
    out = _load_gated(at, columns, num_columns)
    largest = tl.max(tl.abs(out), axis=0)
    if TAIL > 0:
        tail_columns = HEAD + tl.arange(0, TAIL)
        tail = _load_gated(at, tail_columns, num_columns)
        scale = row_scale(tl.maximum(largest, tl.max(tl.abs(tail), axis=0)))
        data = (tail / scale).to(tl.float8e4nv)
        tl.store(data_ptr + tail_columns, data, mask=tail_columns < num_columns)
    else:
        scale = row_scale(largest)
    data = (out / scale).to(tl.float8e4nv)
    tl.store(data_ptr + columns, data, mask=columns < num_columns)
    tl.store(scale_ptr + row, scale)


def geglu(x: torch.Tensor) -> torch.Tensor:
    """See ``geglu.geglu``."""
    num_rows, num_columns = x.shape[0], x.shape[1] // 2
    assert x.is_contiguous()
    out = x.new_empty((num_rows, num_columns))
    grid = (triton.cdiv(num_rows, _TILE_ROWS), triton.cdiv(num_columns, _TILE_COLUMNS))
    _geglu_kernel[grid](
        x,
        out,
        num_rows,
        num_columns,
        TILE_ROWS=_TILE_ROWS,
        TILE_COLUMNS=_TILE_COLUMNS,
        num_warps=_TILE_WARPS,
    )
    return out


def geglu_quantized(x: torch.Tensor) -> Quantized:
    """See ``geglu.geglu_quantized``."""
    num_rows, num_columns = x.shape[0], x.shape[1] // 2
    assert x.is_contiguous()
    data = torch.empty((num_rows, num_columns), dtype=torch.float8_e4m3fn, device=x.device)
    scale = torch.empty((num_rows, 1), dtype=torch.float32, device=x.device)
    head, tail = split_width(num_columns)
    _geglu_quantized_kernel[(num_rows,)](
        x,
        data,
        scale,
        num_columns,
        HEAD=head,
        TAIL=tail,
        num_warps=_ROW_WARPS,
    )
    return Quantized(data=data, scale=scale)
