"""The Triton side of ``quantize``: one program a row, each value read and written once."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ourvidz.kernels.quantize import Quantized

_E4M3_MAX = tl.constexpr(448.0)
_SMALLEST = tl.constexpr(1e-12)  # a row of zeros has a scale too
# Above it a row is spread over eight warps, so that a thread's share stays in registers.
_WIDE = 2048


@triton.jit
def row_scale(largest: tl.tensor) -> Any:
    """Scale of a row (or of rows) from its largest magnitude; for kernels that end in 8 bits."""
    return tl.maximum(largest, _SMALLEST) / _E4M3_MAX


@triton.jit
def gelu_tanh(x: tl.tensor) -> Any:
    """GELU's tanh form of float32 values, as x * sigmoid(2 u) (arXiv 1606.08415, section 2)."""
    u = x * (0.7978845608028654 + 0.035677408136300125 * x * x)
    return x / (1.0 + tl.exp2(u * -2.8853900817779268))  # -2 * log2(e)


@triton.jit
def _load(at: tl.tensor, columns: tl.tensor, width: tl.tensor, IS_GELU: tl.constexpr) -> Any:
    x = tl.load(at + columns, mask=columns < width, other=0.0).to(tl.float32)
    if IS_GELU:
        x = gelu_tanh(x)
    return x


@triton.jit
def _quantize_rows_kernel(
    x_ptr: tl.tensor,
    data_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    width: tl.tensor,
    IS_GELU: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
) -> None:
    """A row in two pieces of power-of-two lengths: 8,960 takes 8,192 + 1,024, not 16,384."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, HEAD)
    x = _load(x_ptr + row * width, columns, width, IS_GELU)
    largest = tl.max(tl.abs(x), axis=0)
    if TAIL > 0:
        tail_columns = HEAD + tl.arange(0, TAIL)
        tail = _load(x_ptr + row * width, tail_columns, width, IS_GELU)
        largest = tl.maximum(largest, tl.max(tl.abs(tail), axis=0))
        scale = row_scale(largest)
        tl.store(
            data_ptr + row * width + tail_columns,
            (tail / scale).to(tl.float8e4nv),
            mask=tail_columns < width,
        )
    else:
        scale = row_scale(largest)
    tl.store(data_ptr + row * width + columns, (x / scale).to(tl.float8e4nv), mask=columns < width)
    tl.store(scale_ptr + row, scale)


def quantize_rows(x: torch.Tensor, *, is_gelu: bool) -> Quantized:
    """See ``quantize.quantize_rows`` and ``quantize.gelu_quantize``."""
    num_rows, width = x.shape
    x = x.contiguous()
    data = torch.empty(num_rows, width, dtype=torch.float8_e4m3fn, device=x.device)
    scale = torch.empty(num_rows, 1, dtype=torch.float32, device=x.device)
    head, tail = split_width(width)
    if num_rows:
        kernel: Any = _quantize_rows_kernel[(num_rows,)]
        kernel(
            x,
            data,
            scale,
            width,
            IS_GELU=is_gelu,
            HEAD=head,
            TAIL=tail,
            num_warps=8 if width > _WIDE else 4,
        )
    return Quantized(data=data, scale=scale)


def split_width(width: int) -> tuple[int, int]:
    """Return two powers of two (the second may be 0) that cover ``width`` closely."""
    head = 1 << (width.bit_length() - 1)
    rest = width - head
    return head, 1 << (rest - 1).bit_length() if rest else 0
