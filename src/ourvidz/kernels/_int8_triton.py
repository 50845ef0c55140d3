"""The Triton side of ``int8``: a product on the int8 tensor cores, and rows as 8-bit integers."""

from __future__ import annotations

import typing
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from ourvidz.kernels.int8 import Int8Rows, Int8Weight

if TYPE_CHECKING:
    from ourvidz.kernels.int8 import Int8Tiles

jit: Any = triton.jit  # untyped: launches take tensors, and options beside the arguments
_INT8_MAX = tl.constexpr(127.0)
_STEP = tl.constexpr(0.007874015718698502)  # 1 / 127 as float32 has it
_SMALLEST = tl.constexpr(1e-12)
# 1.5 * 2 ** 23: float32 has no bits left for a fraction, so that adding it rounds to nearest even.
_ROUNDER = tl.constexpr(12582912.0)
# Above it a row is spread over eight warps, so that a thread's share stays in registers.
_WIDE = 2048
# Of a program that only scales a product: 32 values a thread.
_SCALE_ROWS = 32
_SCALE_COLUMNS = 128


@jit
def row_step(largest: tl.tensor) -> Any:
    """Scale of rows and its inverse from their largest magnitudes, as ``int8.int8_rows``."""
    largest = tl.maximum(largest, _SMALLEST)
    return largest * _STEP, tl.div_rn(1.0, largest) * _INT8_MAX


@jit
def to_int8(scaled: tl.tensor) -> Any:
    """Round float32 values of [-127, 127] to the nearest integers, ties to even."""
    return ((scaled + _ROUNDER) - _ROUNDER).to(tl.int8)


@jit
def gelu_tanh(x: tl.tensor) -> Any:
    """GELU's tanh form of float32 values, as x * sigmoid(2 u) (arXiv 1606.08415, section 2)."""
    u = x * (0.7978845608028654 + 0.035677408136300125 * x * x)
    return x / (1.0 + tl.exp2(u * -2.8853900817779268))  # -2 * log2(e)


@jit
def _load_row(
    at: tl.tensor,
    columns: tl.tensor,
    width: tl.tensor,
    factor: tl.tensor,
    column_scale_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    IS_PRODUCT: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_GELU: tl.constexpr,
) -> Any:
    inside = columns < width
    x = tl.load(at + columns, mask=inside, other=0).to(tl.float32)
    if IS_PRODUCT:
        x = x * factor * tl.load(column_scale_ptr + columns, mask=inside, other=0.0)
        if HAS_BIAS:
            x += tl.load(bias_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    if IS_GELU:
        x = gelu_tanh(x)
    return x


@jit
def _rows_kernel(
    x_ptr: tl.tensor,
    row_scale_ptr: tl.tensor,
    column_scale_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    data_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    row_stride: tl.tensor,
    width: tl.tensor,
    IS_PRODUCT: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_GELU: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
) -> None:
    """A row in two pieces of power-of-two lengths: 8,960 takes 8,192 + 1,024, not 16,384."""
    row = tl.program_id(0).to(tl.int64)
    at = x_ptr + row * row_stride
    factor = tl.load(row_scale_ptr + row) if IS_PRODUCT else 1.0
    columns = tl.arange(0, HEAD)
    x = _load_row(
        at, columns, width, factor, column_scale_ptr, bias_ptr, IS_PRODUCT, HAS_BIAS, IS_GELU
    )
    largest = tl.max(tl.abs(x), axis=0)
    if TAIL > 0:
        tail_columns = HEAD + tl.arange(0, TAIL)
        tail = _load_row(
            at,
            tail_columns,
            width,
            factor,
            column_scale_ptr,
            bias_ptr,
            IS_PRODUCT,
            HAS_BIAS,
            IS_GELU,
        )
        scale, inverse = row_step(tl.maximum(largest, tl.max(tl.abs(tail), axis=0)))
        out = data_ptr + row * width + tail_columns
        tl.store(out, to_int8(tail * inverse), mask=tail_columns < width)
    else:
        scale, inverse = row_step(largest)
    tl.store(data_ptr + row * width + columns, to_int8(x * inverse), mask=columns < width)
    tl.store(scale_ptr + row, scale)


@jit
def _load_tile(
    source: typing.Any,
    row0: tl.tensor,
    column0: tl.tensor,
    num_rows: tl.tensor,
    num_inputs: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    IS_EVEN: tl.constexpr,
    HAS_DESCRIPTORS: tl.constexpr,
) -> Any:
    """Load (ROWS, COLUMNS) at (row0, column0). Rows beyond the last hold anything; columns, 0."""
    if HAS_DESCRIPTORS:
        tile = source.load([row0, column0])
    else:
        # Wrapped around instead of masked: what they give is not stored.
        rows = ((row0 + tl.arange(0, ROWS)) % num_rows).to(tl.int64)
        columns = column0 + tl.arange(0, COLUMNS)
        at = source + rows[:, None] * num_inputs + columns[None, :]
        if IS_EVEN:
            tile = tl.load(at)
        else:
            tile = tl.load(at, mask=(columns < num_inputs)[None, :], other=0)
    return tile


@jit
def _finish(
    acc: tl.tensor,
    row0: tl.tensor,
    column0: tl.tensor,
    row_scale_ptr: tl.tensor,
    column_scale_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    out_ptr: typing.Any,
    num_rows: tl.tensor,
    num_outputs: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_GELU: tl.constexpr,
    IS_RAW: tl.constexpr,
) -> None:
    """Scale (ROWS, COLUMNS) sums, add the bias, store."""
    rows = row0 + tl.arange(0, ROWS)
    columns = column0 + tl.arange(0, COLUMNS)
    at = out_ptr + rows.to(tl.int64)[:, None] * num_outputs + columns[None, :]
    inside = (rows < num_rows)[:, None] & (columns < num_outputs)[None, :]
    if IS_RAW:
        tl.store(at, acc, mask=inside)
    else:
        row_scale = tl.load(row_scale_ptr + rows, mask=rows < num_rows, other=0.0)
        is_column = columns < num_outputs
        column_scale = tl.load(column_scale_ptr + columns, mask=is_column, other=0.0)
        out = acc.to(tl.float32) * row_scale[:, None] * column_scale[None, :]
        if HAS_BIAS:
            bias = tl.load(bias_ptr + columns, mask=is_column, other=0.0)
            out += bias.to(tl.float32)[None, :]
        if IS_GELU:
            out = gelu_tanh(out)
        tl.store(at, out.to(out_ptr.dtype.element_ty), mask=inside)


# One build serves all sizes.
@triton.jit(do_not_specialize=["num_rows", "num_programs", "num_turns", "num_steps"])
def _linear_kernel(
    x: tl.tensor,  # (M, K) int8: a pointer, or a descriptor of tiles (BLOCK_M, BLOCK_K)
    weight: tl.tensor,  # (N, K) int8: a pointer, or a descriptor of tiles (BLOCK_N, BLOCK_K)
    row_scale_ptr: tl.tensor,
    column_scale_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    num_outputs: tl.tensor,
    num_inputs: tl.tensor,
    num_programs: tl.tensor,
    num_turns: tl.tensor,
    num_steps: tl.tensor,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_GELU: tl.constexpr,
    IS_RAW: tl.constexpr,
    IS_EVEN: tl.constexpr,
    HAS_DESCRIPTORS: tl.constexpr,
    TURNS: tl.constexpr,  # 0: num_turns. Triton's interpreter takes no count that is an argument
    STEPS: tl.constexpr,  # 0: num_steps
    HALVES: tl.constexpr,
) -> None:
    tiles_m = tl.cdiv(num_rows, BLOCK_M)
    tiles_n = tl.cdiv(num_outputs, BLOCK_N)
    num_tiles = tiles_m * tiles_n
    for turn in tl.range(0, num_turns if TURNS == 0 else TURNS, flatten=TURNS != 1):
        # In the last turn some programs have no tile left: they do the last one, as another does.
        tile = tl.minimum(tl.program_id(0) + turn * num_programs, num_tiles - 1)
        # GROUP_M tiles down, then across: those at work together share rows and weights in L2.
        per_group = GROUP_M * tiles_n
        group_row = (tile // per_group) * GROUP_M
        group_rows = tl.minimum(tiles_m - group_row, GROUP_M)
        row0 = (group_row + tile % per_group % group_rows) * BLOCK_M
        column0 = (tile % per_group // group_rows) * BLOCK_N
        acc = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
        for step in range(num_steps if STEPS == 0 else STEPS):
            k = step * BLOCK_K
            a = _load_tile(
                x, row0, k, num_rows, num_inputs, BLOCK_M, BLOCK_K, IS_EVEN, HAS_DESCRIPTORS
            )
            b = _load_tile(
                weight,
                column0,
                k,
                num_outputs,
                num_inputs,
                BLOCK_N,
                BLOCK_K,
                IS_EVEN,
                HAS_DESCRIPTORS,
            )
            acc = tl.dot(a, tl.trans(b), acc, out_dtype=tl.int32)
        if HALVES:  # half of the shared memory for the way from sums to rows
            pair = tl.permute(tl.reshape(acc, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1))
            left, right = tl.split(pair)
            _finish(
                left,
                row0,
                column0,
                row_scale_ptr,
                column_scale_ptr,
                bias_ptr,
                out_ptr,
                num_rows,
                num_outputs,
                BLOCK_M,
                BLOCK_N // 2,
                HAS_BIAS,
                IS_GELU,
                IS_RAW,
            )
            _finish(
                right,
                row0,
                column0 + BLOCK_N // 2,
                row_scale_ptr,
                column_scale_ptr,
                bias_ptr,
                out_ptr,
                num_rows,
                num_outputs,
                BLOCK_M,
                BLOCK_N // 2,
                HAS_BIAS,
                IS_GELU,
                IS_RAW,
            )
        else:
            _finish(
                acc,
                row0,
                column0,
                row_scale_ptr,
                column_scale_ptr,
                bias_ptr,
                out_ptr,
                num_rows,
                num_outputs,
                BLOCK_M,
                BLOCK_N,
                HAS_BIAS,
                IS_GELU,
                IS_RAW,
            )


@jit
def _scale_kernel(
    product_ptr: tl.tensor,
    row_scale_ptr: tl.tensor,
    column_scale_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    num_outputs: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_GELU: tl.constexpr,
) -> None:
    tiles_n = tl.cdiv(num_outputs, COLUMNS)
    row0 = (tl.program_id(0) // tiles_n) * ROWS
    column0 = (tl.program_id(0) % tiles_n) * COLUMNS
    rows = row0 + tl.arange(0, ROWS)
    columns = column0 + tl.arange(0, COLUMNS)
    at = product_ptr + rows.to(tl.int64)[:, None] * num_outputs + columns[None, :]
    inside = (rows < num_rows)[:, None] & (columns < num_outputs)[None, :]
    _finish(
        tl.load(at, mask=inside, other=0),
        row0,
        column0,
        row_scale_ptr,
        column_scale_ptr,
        bias_ptr,
        out_ptr,
        num_rows,
        num_outputs,
        ROWS,
        COLUMNS,
        HAS_BIAS,
        IS_GELU,
        False,
    )


def scale(
    product: torch.Tensor,
    x_scale: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    out_dtype: torch.dtype,
    is_gelu: bool,
) -> torch.Tensor:
    """See ``int8.int8_scale``."""
    num_rows, num_outputs = product.shape
    assert product.is_contiguous()
    assert bias is None or bias.is_contiguous()
    out = torch.empty(num_rows, num_outputs, dtype=out_dtype, device=product.device)
    programs = triton.cdiv(num_rows, _SCALE_ROWS) * triton.cdiv(num_outputs, _SCALE_COLUMNS)
    if programs:
        _scale_kernel[(programs,)](
            product,
            x_scale,
            weight_scale,
            x_scale if bias is None else bias,
            out,
            num_rows,
            num_outputs,
            ROWS=_SCALE_ROWS,
            COLUMNS=_SCALE_COLUMNS,
            HAS_BIAS=bias is not None,
            IS_GELU=is_gelu,
            num_warps=4,
        )
    return out


def int8_rows(
    x: torch.Tensor,
    *,
    is_gelu: bool,
    x_scale: torch.Tensor | None = None,
    weight_scale: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> Int8Rows:
    """See ``int8.int8_rows``, ``int8.int8_gelu_rows`` and ``int8.int8_gelu_product_rows``."""
    num_rows, width = x.shape
    x = x if x.stride(1) == 1 else x.contiguous()
    data = torch.empty(num_rows, width, dtype=torch.int8, device=x.device)
    scale = torch.empty(num_rows, 1, dtype=torch.float32, device=x.device)
    head = 1 << (width.bit_length() - 1)
    rest = width - head
    if num_rows:
        _rows_kernel[(num_rows,)](
            x,
            scale if x_scale is None else x_scale,
            scale if weight_scale is None else weight_scale,
            scale if bias is None else bias,
            data,
            scale,
            x.stride(0),
            width,
            IS_PRODUCT=x_scale is not None,
            HAS_BIAS=bias is not None,
            IS_GELU=is_gelu,
            HEAD=head,
            TAIL=triton.next_power_of_2(rest) if rest else 0,
            num_warps=8 if width > _WIDE else 4,
        )
    return Int8Rows(data=data, scale=scale)


def linear(
    x: Int8Rows,
    weight: Int8Weight,
    bias: torch.Tensor | None,
    *,
    out_dtype: torch.dtype,
    is_gelu: bool,
    tiles: Int8Tiles,
) -> torch.Tensor:
    """See ``int8.int8_linear``, and ``int8.int8_product`` where ``out_dtype`` is int32."""
    (num_rows, num_inputs), num_outputs = x.data.shape, weight.data.shape[0]
    assert x.data.is_contiguous()
    assert weight.data.is_contiguous()
    assert bias is None or bias.is_contiguous()
    out = torch.empty(num_rows, num_outputs, dtype=out_dtype, device=x.data.device)
    if not num_rows:
        return out
    rows, columns = x.data, weight.data
    if tiles.has_descriptors:
        rows = TensorDescriptor.from_tensor(rows, [tiles.block_m, tiles.block_k])
        columns = TensorDescriptor.from_tensor(columns, [tiles.block_n, tiles.block_k])
    num_tiles = triton.cdiv(num_rows, tiles.block_m) * triton.cdiv(num_outputs, tiles.block_n)
    programs = min(num_tiles, _num_programs(x.data, tiles)) if tiles.is_persistent else num_tiles
    num_turns = triton.cdiv(num_tiles, programs)
    num_steps = triton.cdiv(num_inputs, tiles.block_k)
    kernel: Any = _linear_kernel
    kernel[(programs,)](
        rows,
        columns,
        x.scale,
        weight.scale,
        x.scale if bias is None else bias,
        out,
        num_rows,
        num_outputs,
        num_inputs,
        programs,
        num_turns,
        num_steps,
        BLOCK_M=tiles.block_m,
        BLOCK_N=tiles.block_n,
        BLOCK_K=tiles.block_k,
        GROUP_M=tiles.group_m,
        HAS_BIAS=bias is not None,
        IS_GELU=is_gelu,
        IS_RAW=out_dtype == torch.int32,
        IS_EVEN=tiles.has_descriptors or num_inputs % tiles.block_k == 0,
        HAS_DESCRIPTORS=tiles.has_descriptors,
        TURNS=0 if x.data.is_cuda and tiles.is_persistent else num_turns,
        STEPS=0 if x.data.is_cuda else num_steps,
        HALVES=tiles.has_halves,
        num_warps=tiles.num_warps,
        num_stages=tiles.num_stages,
    )
    return out


def _num_programs(data: torch.Tensor, tiles: Int8Tiles) -> int:
    """Return how many programs are at work at once: their sums fill the registers."""
    if not data.is_cuda:
        return 3
    per_multiprocessor = max(1, 32768 // (tiles.block_m * tiles.block_n))
    return _num_multiprocessors(data.device) * per_multiprocessor


@cache
def _num_multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count
