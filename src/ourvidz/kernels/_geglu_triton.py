"""The Triton side of ``geglu``: tiles of both halves, or rows where a scale is needed."""

# pyright: reportCallIssue=false
# (Launch options such as num_warps are not among a kernel's own parameters.)

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ourvidz.kernels._quantize_triton import store_rows, two_pieces
from ourvidz.kernels.quantize import Quantized

_TILE_ROWS = 4
_TILE_COLUMNS = 512
_TILE_WARPS = 4
_ROW_WARPS = 4
# log2 of erfc(u / sqrt(2)) as a polynomial of u without a constant, fitted by least squares with
# weights that level the error of what _gated makes of it: at most 7e-8 of the gate in float32,
# where the formula with erf rounds by up to 3e-7.
_C1 = tl.constexpr(-1.1511051654815674)
_C2 = tl.constexpr(-0.4592081904411316)
_C3 = tl.constexpr(-0.052496179938316345)
_C4 = tl.constexpr(0.00706342002376914)
_C5 = tl.constexpr(-0.00013693637447431684)
_C6 = tl.constexpr(-0.00018618024478200823)
_C7 = tl.constexpr(3.9377689972752705e-05)
_C8 = tl.constexpr(-2.8349129479465773e-06)


@triton.jit
def _gated(value: tl.tensor, gate: tl.tensor, ON_GPU: tl.constexpr) -> Any:
    """Return value * gelu(gate) in float32.

    gelu(g) is max(g, 0) - |g| / 2 erfc(|g| / sqrt(2)), which takes half the instructions of the
    formula with erf.
    """
    gate = gate.to(tl.float32)
    u = tl.abs(gate)
    power = tl.fma(tl.fma(u, _C8, _C7), u, _C6)
    power = tl.fma(tl.fma(power, u, _C5), u, _C4)
    power = tl.fma(tl.fma(power, u, _C3), u, _C2)
    power = tl.fma(tl.fma(power, u, _C1), u, -1.0)
    if ON_GPU:  # what is too small to be a normal float32 is 0
        half_erfc = tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [power], tl.float32, True, 1
        )
    else:
        half_erfc = tl.exp2(power)
    return value.to(tl.float32) * (tl.maximum(gate, 0.0) - u * half_erfc)


@triton.jit
def _geglu_kernel(
    x_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    num_columns: tl.tensor,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
    ON_GPU: tl.constexpr,
) -> None:
    rows = (tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)).to(tl.int64)[:, None]
    columns = (tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS))[None, :]
    inside = (rows < num_rows) & (columns < num_columns)
    at = x_ptr + rows * (2 * num_columns) + columns
    value = tl.load(at, mask=inside, other=0.0)
    gate = tl.load(at + num_columns, mask=inside, other=0.0)
    out = _gated(value, gate, ON_GPU).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + rows * num_columns + columns, out, mask=inside)


@triton.jit
def _load_gated(
    at: tl.tensor,
    columns: tl.tensor,
    NUM_COLUMNS: tl.constexpr,
    IS_EVEN: tl.constexpr,
    ON_GPU: tl.constexpr,
) -> Any:
    mask = None if IS_EVEN else columns < NUM_COLUMNS
    other = None if IS_EVEN else 0.0
    value = tl.load(at + columns, mask=mask, other=other)
    gate = tl.load(at + NUM_COLUMNS + columns, mask=mask, other=other)
    return _gated(value, gate, ON_GPU)


@triton.jit
def _geglu_quantized_kernel(
    x_ptr: tl.tensor,
    data_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    NUM_COLUMNS: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    ON_GPU: tl.constexpr,
) -> None:
    """A row in two pieces of power-of-two lengths: 5,120 takes 4,096 + 1,024, not 8,192."""
    IS_EVEN: tl.constexpr = HEAD + TAIL == NUM_COLUMNS
    row = tl.program_id(0).to(tl.int64)
    at = x_ptr + row * (2 * NUM_COLUMNS)
    columns, tail_columns = tl.arange(0, HEAD), HEAD + tl.arange(0, TAIL)
    out = _load_gated(at, columns, NUM_COLUMNS, IS_EVEN, ON_GPU)
    tail = _load_gated(at, tail_columns, NUM_COLUMNS, IS_EVEN, ON_GPU)
    store_rows(out, tail, data_ptr + row * NUM_COLUMNS, scale_ptr + row, NUM_COLUMNS, HEAD, TAIL)


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
        ON_GPU=x.is_cuda,
        num_warps=_TILE_WARPS,
    )
    return out


def geglu_quantized(x: torch.Tensor, *, num_warps: int = _ROW_WARPS) -> Quantized:
    """See ``geglu.geglu_quantized``."""
    num_rows, num_columns = x.shape[0], x.shape[1] // 2
    assert x.is_contiguous()
    data = torch.empty((num_rows, num_columns), dtype=torch.float8_e4m3fn, device=x.device)
    scale = torch.empty((num_rows, 1), dtype=torch.float32, device=x.device)
    head, tail = two_pieces(num_columns)
    _geglu_quantized_kernel[(num_rows,)](
        x,
        data,
        scale,
        NUM_COLUMNS=num_columns,
        HEAD=head,
        TAIL=tail,
        ON_GPU=x.is_cuda,
        num_warps=num_warps,
    )
    return Quantized(data=data, scale=scale)
