"""The Triton side of ``quantize``: one program a row, each value read and written once."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ourvidz.kernels.quantize import Quantized

_E4M3_MAX = tl.constexpr(448.0)
_SMALLEST = tl.constexpr(1e-12)  # a row of zeros has a scale too
# Up to these a row is one warp's, and four warps'; beyond, eight warps': a thread's share stays in
# registers.
_NARROW = 2048
_WIDE = 8192


@triton.jit
def row_scale(largest: tl.tensor) -> Any:
    """Scale of a row (or of rows) from its largest magnitude; for kernels that end in 8 bits."""
    return tl.maximum(largest, _SMALLEST) / _E4M3_MAX


@triton.jit
def over(x: tl.tensor, scale: tl.tensor, inverse: tl.tensor) -> Any:
    """Return x / scale, given 1 / scale, both rounded to nearest.

    One step of Newton's on the remainder rounds the quotient correctly too (Markstein 1990), with
    three multiplications; a division takes more and is less exact.
    """
    quotient = x * inverse
    return tl.fma(tl.fma(-quotient, scale, x), inverse, quotient)


@triton.jit
def gelu_tanh(x: tl.tensor) -> Any:
    """GELU's tanh form of float32 values, as x * sigmoid(2 u) (arXiv 1606.08415, section 2)."""
    u = x * (0.7978845608028654 + 0.035677408136300125 * x * x)
    return x / (1.0 + tl.exp2(u * -2.8853900817779268))  # -2 * log2(e)


@triton.jit
def store_rows(
    head: tl.tensor,
    tail: tl.tensor,
    at: tl.tensor,
    at_scale: tl.tensor,
    WIDTH: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
) -> None:
    """Store a row's pieces, of float32, as e4m3, and its scale.

    A thread stores eight neighbours, though 16 bytes would hold 16: it then loads eight of 16 bits,
    which lie beside the next thread's (the compiler gives loads and stores one layout).
    """
    scale = row_scale(tl.maximum(tl.max(tl.abs(head), axis=0), tl.max(tl.abs(tail), axis=0)))
    tl.store(at_scale, scale)
    inverse = tl.div_rn(1.0, scale)
    columns = tl.max_contiguous(tl.multiple_of(tl.arange(0, HEAD), 8), 8)
    tail_columns = HEAD + tl.max_contiguous(tl.multiple_of(tl.arange(0, TAIL), 8), 8)
    data = over(head, scale, inverse).to(tl.float8e4nv)
    tl.store(at + columns, data, mask=None if HEAD + TAIL == WIDTH else columns < WIDTH)
    data = over(tail, scale, inverse).to(tl.float8e4nv)
    tl.store(at + tail_columns, data, mask=None if HEAD + TAIL == WIDTH else tail_columns < WIDTH)


@triton.jit
def _load(
    at: tl.tensor,
    columns: tl.tensor,
    WIDTH: tl.constexpr,
    IS_EVEN: tl.constexpr,
    IS_GELU: tl.constexpr,
) -> Any:
    mask = None if IS_EVEN else columns < WIDTH
    x = tl.load(at + columns, mask=mask, other=None if IS_EVEN else 0.0).to(tl.float32)
    if IS_GELU:
        x = gelu_tanh(x)
    return x


@triton.jit
def _quantize_rows_kernel(
    x_ptr: tl.tensor,
    data_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    WIDTH: tl.constexpr,
    IS_GELU: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
) -> None:
    """A row in two pieces of power-of-two lengths: 8,960 takes 8,192 + 1,024, not 16,384."""
    IS_EVEN: tl.constexpr = HEAD + TAIL == WIDTH
    row = tl.program_id(0).to(tl.int64)
    at = x_ptr + row * WIDTH
    head = _load(at, tl.arange(0, HEAD), WIDTH, IS_EVEN, IS_GELU)
    tail = _load(at, HEAD + tl.arange(0, TAIL), WIDTH, IS_EVEN, IS_GELU)
    store_rows(head, tail, data_ptr + row * WIDTH, scale_ptr + row, WIDTH, HEAD, TAIL)


def quantize_rows(x: torch.Tensor, *, is_gelu: bool, num_warps: int | None = None) -> Quantized:
    """See ``quantize.quantize_rows`` and ``quantize.gelu_quantize``."""
    num_rows, width = x.shape
    x = x.contiguous()
    data = torch.empty(num_rows, width, dtype=torch.float8_e4m3fn, device=x.device)
    scale = torch.empty(num_rows, 1, dtype=torch.float32, device=x.device)
    head, tail = two_pieces(width)
    if num_rows:
        kernel: Any = _quantize_rows_kernel[(num_rows,)]
        kernel(
            x,
            data,
            scale,
            WIDTH=width,
            IS_GELU=is_gelu,
            HEAD=head,
            TAIL=tail,
            num_warps=num_warps or warps_of(width),
        )
    return Quantized(data=data, scale=scale)


def warps_of(width: int) -> int:
    """Return how many warps take a row: one, which exchanges by shuffles alone, while it can."""
    return 1 if width <= _NARROW else 4 if width <= _WIDE else 8


def two_pieces(width: int, smallest: int = 1) -> tuple[int, int]:
    """Return two powers of two, neither below ``smallest``, that cover ``width`` closely."""
    head, tail = split_width(width)
    head, tail = (head, tail) if tail else (max(head // 2, 1), max(head // 2, 1))
    return max(head, smallest), max(tail, smallest)


def split_width(width: int) -> tuple[int, int]:
    """Return two powers of two (the second may be 0) that cover ``width`` closely."""
    head = 1 << (width.bit_length() - 1)
    rest = width - head
    return head, 1 << (rest - 1).bit_length() if rest else 0
