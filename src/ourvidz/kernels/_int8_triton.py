"""The Triton side of ``int8``: a product on the int8 tensor cores, and rows as 8-bit integers."""

from __future__ import annotations

import typing
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from ourvidz.kernels.int8 import PAIRED, Int8Pairs, Int8Rows, Int8Weight

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


@jit
def row_step(largest: tl.tensor) -> Any:
    """Scale of rows and its inverse from their largest magnitudes, as ``int8.int8_rows``."""
    largest = tl.maximum(largest, _SMALLEST)
    return largest * _STEP, tl.div_rn(1.0, largest) * _INT8_MAX


@jit
def to_int8(scaled: tl.tensor) -> Any:
    """Round float32 values of [-127, 127] to the nearest integers, ties to even."""
    # The sum's lowest byte is the integer: no conversion, which is slow.
    return (scaled + _ROUNDER).to(tl.int32, bitcast=True).to(tl.int8)


@jit
def gelu_tanh(x: tl.tensor) -> Any:
    """GELU's tanh form of float32 values, as x * sigmoid(2 u) (arXiv 1606.08415, section 2)."""
    u = x * (0.7978845608028654 + 0.035677408136300125 * x * x)
    return x / (1.0 + tl.exp2(u * -2.8853900817779268))  # -2 * log2(e)


@jit
def rotate(x: tl.tensor, BLOCK: tl.constexpr) -> Any:
    """Multiply each 16 of (BLOCK,) float32 values by the Walsh-Hadamard matrix of signs.

    Four times ``int8.rotate``. Four times neighbours become their sum and their difference, and all
    sums move before all differences: the order of values is the first one again in the end.
    """
    for _ in tl.static_range(4):  # pyright: ignore[reportGeneralTypeIssues]
        even, odd = tl.split(tl.reshape(x, (BLOCK // 16, 8, 2)))
        x = tl.reshape(tl.permute(tl.join(even + odd, even - odd), (0, 2, 1)), (BLOCK,))
    return x


@jit
def _rows_kernel(
    x_ptr: tl.tensor,
    data_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    row_stride: tl.tensor,
    width: tl.tensor,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
) -> None:
    """A row in two pieces of power-of-two lengths: 8,960 takes 8,192 + 1,024, not 16,384."""
    row = tl.program_id(0).to(tl.int64)
    at = x_ptr + row * row_stride
    columns = tl.arange(0, HEAD)
    x = tl.load(at + columns, mask=columns < width, other=0).to(tl.float32)
    largest = tl.max(tl.abs(x), axis=0)
    if TAIL > 0:
        tail_columns = HEAD + tl.arange(0, TAIL)
        tail = tl.load(at + tail_columns, mask=tail_columns < width, other=0).to(tl.float32)
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


@jit
def _finish_pairs(
    acc: tl.tensor,
    row0: tl.tensor,
    column0: tl.tensor,
    row_scale_ptr: tl.tensor,
    column_scale_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    out_ptr: typing.Any,
    num_pairs: tl.tensor,
    num_outputs: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_GELU: tl.constexpr,
) -> None:
    """Scale (ROWS, COLUMNS) sums, of which the second half goes on top of the first, and store."""
    sums = tl.permute(tl.reshape(acc, (2, ROWS // 2, COLUMNS)), (1, 2, 0))
    second, more = tl.split(sums)
    pairs = row0 // 2 + tl.arange(0, ROWS // 2)
    columns = column0 + tl.arange(0, COLUMNS)
    is_pair, is_column = pairs < num_pairs, columns < num_outputs
    column_scale = tl.load(column_scale_ptr + columns, mask=is_column, other=0.0)[None, :]
    scale = tl.load(row_scale_ptr + pairs, mask=is_pair, other=0.0)[:, None]
    second = second.to(tl.float32) * scale * column_scale
    if HAS_BIAS:
        bias = tl.load(bias_ptr + columns, mask=is_column, other=0.0)
        second += bias.to(tl.float32)[None, :]
    scale = tl.load(row_scale_ptr + num_pairs + pairs, mask=is_pair, other=0.0)[:, None]
    first = more.to(tl.float32) * scale * column_scale + second
    if IS_GELU:
        first = gelu_tanh(first)
        second = gelu_tanh(second)
    at = out_ptr + pairs.to(tl.int64)[:, None] * num_outputs + columns[None, :]
    inside = is_pair[:, None] & is_column[None, :]
    tl.store(at, first.to(out_ptr.dtype.element_ty), mask=inside)
    at += num_pairs.to(tl.int64) * num_outputs
    tl.store(at, second.to(out_ptr.dtype.element_ty), mask=inside)


# One build serves all sizes.
@triton.jit(do_not_specialize=["num_rows", "num_pairs", "num_programs", "num_turns", "num_steps"])
def _linear_kernel(
    x: tl.tensor,  # (M, K) int8: a pointer, or a descriptor of tiles (BLOCK_M, BLOCK_K)
    weight: tl.tensor,  # (N, K) int8: a pointer, or a descriptor of tiles (BLOCK_N, BLOCK_K)
    row_scale_ptr: tl.tensor,
    column_scale_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    num_pairs: tl.tensor,
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
    IS_PAIRED: tl.constexpr,
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
        if IS_PAIRED:
            _finish_pairs(
                acc,
                row0,
                column0,
                row_scale_ptr,
                column_scale_ptr,
                bias_ptr,
                out_ptr,
                num_pairs,
                num_outputs,
                BLOCK_M,
                BLOCK_N,
                HAS_BIAS,
                IS_GELU,
            )
        elif HALVES:  # half of the shared memory for the way from sums to rows
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


def int8_rows(x: torch.Tensor) -> Int8Rows:
    """See ``int8.int8_rows``."""
    num_rows, width = x.shape
    x = x if x.stride(1) == 1 else x.contiguous()
    data = torch.empty(num_rows, width, dtype=torch.int8, device=x.device)
    scale = torch.empty(num_rows, 1, dtype=torch.float32, device=x.device)
    head = 1 << (width.bit_length() - 1)
    rest = width - head
    if num_rows:
        _rows_kernel[(num_rows,)](
            x,
            data,
            scale,
            x.stride(0),
            width,
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
    out = torch.empty(x.data.shape[0], weight.data.shape[0], dtype=out_dtype, device=x.data.device)
    _linear(x, weight, bias, out, is_gelu=is_gelu, tiles=tiles, num_pairs=0)
    return out


def linear_pairs(
    x: Int8Pairs,
    weight: Int8Weight,
    bias: torch.Tensor | None,
    *,
    out_dtype: torch.dtype,
    is_gelu: bool,
    tiles: Int8Tiles,
) -> torch.Tensor:
    """See ``int8.int8_linear_pairs``."""
    assert tiles.block_m == 2 * PAIRED, tiles
    num_pairs = x.scale.shape[1]
    out = torch.empty(2 * num_pairs, weight.data.shape[0], dtype=out_dtype, device=x.data.device)
    _linear(x, weight, bias, out, is_gelu=is_gelu, tiles=tiles, num_pairs=num_pairs)
    return out


def _linear(
    x: Int8Rows | Int8Pairs,
    weight: Int8Weight,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    *,
    is_gelu: bool,
    tiles: Int8Tiles,
    num_pairs: int,
) -> None:
    (num_rows, num_inputs), num_outputs = x.data.shape, weight.data.shape[0]
    assert x.data.is_contiguous()
    assert x.scale.is_contiguous()
    assert weight.data.is_contiguous()
    assert bias is None or bias.is_contiguous()
    if not num_rows:
        return
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
        num_pairs,
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
        IS_RAW=out.dtype == torch.int32,
        IS_EVEN=tiles.has_descriptors or num_inputs % tiles.block_k == 0,
        HAS_DESCRIPTORS=tiles.has_descriptors,
        TURNS=0 if x.data.is_cuda and tiles.is_persistent else num_turns,
        STEPS=0 if x.data.is_cuda else num_steps,
        HALVES=tiles.has_halves,
        IS_PAIRED=num_pairs > 0,
        num_warps=tiles.num_warps,
        num_stages=tiles.num_stages,
    )


def _num_programs(data: torch.Tensor, tiles: Int8Tiles) -> int:
    """Return how many programs are at work at once: their sums fill the registers."""
    if not data.is_cuda:
        return 3
    per_multiprocessor = max(1, 32768 // (tiles.block_m * tiles.block_n))
    return _num_multiprocessors(data.device) * per_multiprocessor


@cache
def _num_multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count
