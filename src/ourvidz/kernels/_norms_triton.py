"""The Triton side of ``norms``: one warp a row, each value read and written once.

Compiled for sm_90, a row of 1,536 takes 730 instructions in 16 bits, 1,250 to 1,390 as turned
8-bit integers and 1,180 to 1,320 in a pair. At 4.2 TB/s memory takes as long as 2,500 (3,000 in
16 bits) at four a clock; what else counts is the first-level cache, see ``_columns``.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ourvidz.kernels._int8_triton import rotate, row_step
from ourvidz.kernels._quantize_triton import over, row_scale, two_pieces
from ourvidz.kernels.int8 import PAIRED, ROTATED, Int8Pairs, Int8Rows
from ourvidz.kernels.layout import Spread
from ourvidz.kernels.quantize import Quantized

_PAIRED = tl.constexpr(64)
_INVERSE_LENGTH = tl.constexpr(0.25)  # of a row of 16 signs
_ROUNDER = tl.constexpr(12582912.0)  # 1.5 * 2 ** 23, as in _int8_triton


@triton.jit
def rounded(x: typing.Any, like: typing.Any, IS_PACKED: tl.constexpr) -> typing.Any:
    """Round float32 values to a pointer's type, two with one instruction where ``IS_PACKED``.

    Left to itself, the compiler converts values that are used further one by one, on a unit that
    takes four times as long.
    """
    if IS_PACKED:
        if like.dtype.element_ty == tl.bfloat16:
            out = tl.inline_asm_elementwise(
                "cvt.rn.bf16x2.f32 $0, $2, $1;", "=r,r,r", [x], tl.bfloat16, True, 2
            )
        else:
            out = tl.inline_asm_elementwise(
                "cvt.rn.f16x2.f32 $0, $2, $1;", "=r,r,r", [x], tl.float16, True, 2
            )
    else:
        out = x.to(like.dtype.element_ty)
    return out


@triton.jit
def _vector(
    at: typing.Any, columns: typing.Any, WIDTH: tl.constexpr, IS_EVEN: tl.constexpr
) -> typing.Any:
    """Load values of a row in float32; 0 beyond its end."""
    mask = None if IS_EVEN else columns < WIDTH
    return tl.load(at + columns, mask=mask, other=None if IS_EVEN else 0.0).to(tl.float32)


@triton.jit
def _put(
    at: typing.Any,
    columns: typing.Any,
    values: typing.Any,
    WIDTH: tl.constexpr,
    IS_EVEN: tl.constexpr,
) -> None:
    """Store values of a row, none beyond its end."""
    tl.store(at + columns, values, mask=None if IS_EVEN else columns < WIDTH)


@triton.jit
def _total(
    row: typing.Any,
    columns: typing.Any,
    x_ptr: typing.Any,
    delta_ptr: typing.Any,
    gate: typing.Any,
    WIDTH: tl.constexpr,
    HAS_DELTA: tl.constexpr,
    HAS_GATE: tl.constexpr,
    IS_EVEN: tl.constexpr,
    IS_PACKED: tl.constexpr,
) -> typing.Any:
    """Return a piece of a row of x + gate * delta, rounded to its type, and that in float32."""
    x = _vector(x_ptr + row * WIDTH, columns, WIDTH, IS_EVEN)
    if HAS_DELTA:
        delta = _vector(delta_ptr + row * WIDTH, columns, WIDTH, IS_EVEN)
        if HAS_GATE:
            delta *= gate
        stored = rounded(x + delta, x_ptr, IS_PACKED)
    else:
        stored = x.to(x_ptr.dtype.element_ty)
    return stored, stored.to(tl.float32)


@triton.jit
def _normed(
    head: typing.Any,
    tail: typing.Any,
    head_columns: typing.Any,
    tail_columns: typing.Any,
    eps: typing.Any,
    WIDTH: tl.constexpr,
    IS_EVEN: tl.constexpr,
) -> typing.Any:
    """Return both pieces of a row less its mean, and what they are to be multiplied by."""
    mean = (tl.sum(head, axis=0) + tl.sum(tail, axis=0)) / WIDTH
    head -= mean
    tail -= mean
    if not IS_EVEN:
        head = tl.where(head_columns < WIDTH, head, 0.0)
        tail = tl.where(tail_columns < WIDTH, tail, 0.0)
    squares = tl.sum(head * head, axis=0) + tl.sum(tail * tail, axis=0)
    return head, tail, tl.rsqrt(squares / WIDTH + eps)


@triton.jit
def _store_int8(
    head: typing.Any,
    tail: typing.Any,
    at: typing.Any,
    at_scale: typing.Any,
    head_columns: typing.Any,
    tail_columns: typing.Any,
    WIDTH: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    IS_EVEN: tl.constexpr,
) -> None:
    """Turn a row and round it, as ``int8.int8_rows`` of what ``int8.rotate`` gives."""
    head, tail = rotate(head, HEAD), rotate(tail, TAIL)
    largest = tl.maximum(tl.max(tl.abs(head), axis=0), tl.max(tl.abs(tail), axis=0))
    # A power of two, that may as well be multiplied by after the maximum is found.
    scale, inverse = row_step(largest * _INVERSE_LENGTH)
    inverse *= _INVERSE_LENGTH
    tl.store(at_scale, scale)
    _put(at, head_columns, _to_int8(head * inverse), WIDTH, IS_EVEN)
    _put(at, tail_columns, _to_int8(tail * inverse), WIDTH, IS_EVEN)


@triton.jit
def _to_int8(scaled: typing.Any) -> typing.Any:
    """Round float32 values of [-127, 127] to the nearest integers, ties to even.

    The sum's last eight bits are the integer already.
    """
    return (scaled + _ROUNDER).to(tl.int32, bitcast=True).to(tl.int8)


@triton.jit
def _store_e4m3(
    head: typing.Any,
    tail: typing.Any,
    at: typing.Any,
    at_scale: typing.Any,
    head_columns: typing.Any,
    tail_columns: typing.Any,
    WIDTH: tl.constexpr,
    IS_EVEN: tl.constexpr,
) -> None:
    """Round a row, as ``quantize.quantize_rows``, but from float32."""
    scale = row_scale(tl.maximum(tl.max(tl.abs(head), axis=0), tl.max(tl.abs(tail), axis=0)))
    tl.store(at_scale, scale)
    inverse = tl.div_rn(1.0, scale)
    _put(at, head_columns, over(head, scale, inverse).to(tl.float8e4nv), WIDTH, IS_EVEN)
    _put(at, tail_columns, over(tail, scale, inverse).to(tl.float8e4nv), WIDTH, IS_EVEN)


@triton.jit
def _columns(START: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr) -> typing.Any:
    """Columns of which a thread stores at most ``VECTOR`` in a row.

    The compiler gives a thread as many neighbours, of all that a program loads and stores, as
    fill 16 bytes of the narrowest. With 16 of them, what it loads in float32 is 64 bytes from what
    the next thread loads, and costs four times what it should.
    """
    return START + tl.max_contiguous(tl.multiple_of(tl.arange(0, BLOCK), VECTOR), VECTOR)


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
    gate_stride: typing.Any,
    mul_stride: typing.Any,
    eps: typing.Any,
    WIDTH: tl.constexpr,
    HAS_DELTA: tl.constexpr,
    HAS_GATE: tl.constexpr,
    IS_QUANTIZED: tl.constexpr,
    IS_INT8: tl.constexpr,
    IS_PAIRED: tl.constexpr,
    IS_SHARED: tl.constexpr,  # one item's vectors are both rows'
    ROWS: tl.constexpr,  # of a program: 1 or 2
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    VECTOR: tl.constexpr,
    IS_PACKED: tl.constexpr,
) -> None:
    """One row or two, each in two pieces of power-of-two lengths: 1,536 is 1,024 + 512."""
    IS_EVEN: tl.constexpr = HEAD + TAIL == WIDTH
    row = tl.program_id(0).to(tl.int64)
    if ROWS == 2 and not IS_PAIRED:
        row *= 2
    c, d = tl.arange(0, HEAD), HEAD + tl.arange(0, TAIL)
    to_c, to_d = _columns(0, HEAD, VECTOR), _columns(HEAD, TAIL, VECTOR)
    item = row // rows_per_item
    gate_c, gate_d = 1.0, 1.0
    if HAS_GATE:
        gate_c = _vector(gate_ptr + item * gate_stride, c, WIDTH, IS_EVEN)
        gate_d = _vector(gate_ptr + item * gate_stride, d, WIDTH, IS_EVEN)
    stored_c, x_c = _total(
        row, c, x_ptr, delta_ptr, gate_c, WIDTH, HAS_DELTA, HAS_GATE, IS_EVEN, IS_PACKED
    )
    stored_d, x_d = _total(
        row, d, x_ptr, delta_ptr, gate_d, WIDTH, HAS_DELTA, HAS_GATE, IS_EVEN, IS_PACKED
    )
    if ROWS == 2:
        other = row + (num_pairs if IS_PAIRED else 1)
        if HAS_GATE and not IS_SHARED:
            at_gate = gate_ptr + other // rows_per_item * gate_stride
            gate_c = _vector(at_gate, c, WIDTH, IS_EVEN)
            gate_d = _vector(at_gate, d, WIDTH, IS_EVEN)
        also_c, y_c = _total(
            other, c, x_ptr, delta_ptr, gate_c, WIDTH, HAS_DELTA, HAS_GATE, IS_EVEN, IS_PACKED
        )
        also_d, y_d = _total(
            other, d, x_ptr, delta_ptr, gate_d, WIDTH, HAS_DELTA, HAS_GATE, IS_EVEN, IS_PACKED
        )
        y_c, y_d, y_scale = _normed(y_c, y_d, c, d, eps, WIDTH, IS_EVEN)
        if HAS_DELTA:
            _put(x_ptr + other * WIDTH, c, also_c, WIDTH, IS_EVEN)
            _put(x_ptr + other * WIDTH, d, also_d, WIDTH, IS_EVEN)
    x_c, x_d, x_scale = _normed(x_c, x_d, c, d, eps, WIDTH, IS_EVEN)
    if HAS_DELTA:  # after the sums: by then all threads have read what this overwrites
        _put(x_ptr + row * WIDTH, c, stored_c, WIDTH, IS_EVEN)
        _put(x_ptr + row * WIDTH, d, stored_d, WIDTH, IS_EVEN)
    at_mul = item * mul_stride
    mul_c = _vector(mul_ptr + at_mul, c, WIDTH, IS_EVEN)
    add_c = _vector(add_ptr + at_mul, c, WIDTH, IS_EVEN)
    mul_d = _vector(mul_ptr + at_mul, d, WIDTH, IS_EVEN)
    add_d = _vector(add_ptr + at_mul, d, WIDTH, IS_EVEN)
    x_c = x_c * x_scale * mul_c + add_c
    x_d = x_d * x_scale * mul_d + add_d
    if ROWS == 2:
        if not IS_SHARED:
            at_mul = other // rows_per_item * mul_stride
            mul_c = _vector(mul_ptr + at_mul, c, WIDTH, IS_EVEN)
            add_c = _vector(add_ptr + at_mul, c, WIDTH, IS_EVEN)
            mul_d = _vector(mul_ptr + at_mul, d, WIDTH, IS_EVEN)
            add_d = _vector(add_ptr + at_mul, d, WIDTH, IS_EVEN)
        y_c = y_c * y_scale * mul_c + add_c
        y_d = y_d * y_scale * mul_d + add_d
    if IS_PAIRED:
        x_c, x_d, y_c, y_d = y_c, y_d, x_c - y_c, x_d - y_d
        at = normed_ptr + (row // _PAIRED * (2 * _PAIRED) + row % _PAIRED) * WIDTH
        at_next, next_scale = at + _PAIRED * WIDTH, scale_ptr + num_pairs + row
    else:
        at = normed_ptr + row * WIDTH
        at_next, next_scale = at + WIDTH, scale_ptr + row + 1
    if IS_INT8:
        _store_int8(x_c, x_d, at, scale_ptr + row, to_c, to_d, WIDTH, HEAD, TAIL, IS_EVEN)
        if ROWS == 2:
            _store_int8(y_c, y_d, at_next, next_scale, to_c, to_d, WIDTH, HEAD, TAIL, IS_EVEN)
    elif IS_QUANTIZED:
        _store_e4m3(x_c, x_d, at, scale_ptr + row, to_c, to_d, WIDTH, IS_EVEN)
        if ROWS == 2:
            _store_e4m3(y_c, y_d, at_next, next_scale, to_c, to_d, WIDTH, IS_EVEN)
    else:
        _put(at, to_c, x_c.to(normed_ptr.dtype.element_ty), WIDTH, IS_EVEN)
        _put(at, to_d, x_d.to(normed_ptr.dtype.element_ty), WIDTH, IS_EVEN)
        if ROWS == 2:
            _put(at_next, to_c, y_c.to(normed_ptr.dtype.element_ty), WIDTH, IS_EVEN)
            _put(at_next, to_d, y_d.to(normed_ptr.dtype.element_ty), WIDTH, IS_EVEN)


@triton.jit
def _turned(
    x: typing.Any,
    first_pair: tl.constexpr,
    cos_ptr: typing.Any,
    sin_ptr: typing.Any,
    NUM_PAIRS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> typing.Any:
    """Turn the pairs of a piece of a row."""
    even, odd = tl.split(tl.reshape(x, (BLOCK // 2, 2)))
    pairs = first_pair + tl.arange(0, BLOCK // 2)
    cos = tl.load(cos_ptr + pairs % NUM_PAIRS)
    sin = tl.load(sin_ptr + pairs % NUM_PAIRS)
    return tl.reshape(tl.join(even * cos - odd * sin, even * sin + odd * cos), (BLOCK,))


@triton.jit
def _spread_at(
    columns: typing.Any,
    rows_per_item: typing.Any,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    CHUNKS: tl.constexpr,
) -> typing.Any:
    """Return where a row's values go within an item of (chunks, parts, rows, W), row left out."""
    W: tl.constexpr = WIDTH // (PARTS * CHUNKS)
    block = columns // W  # its heads, in chunks of a part
    place = block % CHUNKS * PARTS + block // CHUNKS
    return place * rows_per_item * W + columns % W


@triton.jit
def _norm_rope_kernel(
    x_ptr: typing.Any,
    weight_ptr: typing.Any,
    cos_ptr: typing.Any,
    sin_ptr: typing.Any,
    out_ptr: typing.Any,
    row_stride: typing.Any,
    num_positions: typing.Any,
    rows_per_item: typing.Any,
    eps: typing.Any,
    WIDTH: tl.constexpr,
    NUM_PAIRS: tl.constexpr,  # of a head
    IS_NORMED: tl.constexpr,
    HAS_ROPE: tl.constexpr,
    PARTS: tl.constexpr,  # 0: rows stay where they are
    CHUNKS: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    IS_PACKED: tl.constexpr,
) -> None:
    """A row in two pieces, as ``_residual_norm_kernel``."""
    IS_EVEN: tl.constexpr = HEAD + TAIL == WIDTH
    row = tl.program_id(0).to(tl.int64)
    c, d = tl.arange(0, HEAD), HEAD + tl.arange(0, TAIL)
    at = x_ptr + row * row_stride
    x_c, x_d = _vector(at, c, WIDTH, IS_EVEN), _vector(at, d, WIDTH, IS_EVEN)
    if IS_NORMED:
        squares = tl.sum(x_c * x_c, axis=0) + tl.sum(x_d * x_d, axis=0)
        scale = tl.rsqrt(squares / WIDTH + eps)
        x_c = rounded(x_c * scale * _vector(weight_ptr, c, WIDTH, IS_EVEN), x_ptr, IS_PACKED)
        x_d = rounded(x_d * scale * _vector(weight_ptr, d, WIDTH, IS_EVEN), x_ptr, IS_PACKED)
    if HAS_ROPE:
        at_turn = row % num_positions * NUM_PAIRS
        cos_ptr += at_turn
        sin_ptr += at_turn
        x_c = _turned(x_c.to(tl.float32), 0, cos_ptr, sin_ptr, NUM_PAIRS, HEAD)
        x_d = _turned(x_d.to(tl.float32), HEAD // 2, cos_ptr, sin_ptr, NUM_PAIRS, TAIL)
    x_c, x_d = x_c.to(x_ptr.dtype.element_ty), x_d.to(x_ptr.dtype.element_ty)
    if PARTS == 0:
        _put(at, c, x_c, WIDTH, IS_EVEN)
        _put(at, d, x_d, WIDTH, IS_EVEN)
    else:
        W: tl.constexpr = WIDTH // (PARTS * CHUNKS)
        item = row // rows_per_item
        to = out_ptr + item * rows_per_item * WIDTH + row % rows_per_item * W
        to_c = _spread_at(c.to(tl.int64), rows_per_item, WIDTH, PARTS, CHUNKS)
        to_d = _spread_at(d.to(tl.int64), rows_per_item, WIDTH, PARTS, CHUNKS)
        tl.store(to + to_c, x_c, mask=None if IS_EVEN else c < WIDTH)
        tl.store(to + to_d, x_d, mask=None if IS_EVEN else d < WIDTH)


@triton.jit
def _collect_kernel(
    spread_ptr: typing.Any,
    out_ptr: typing.Any,
    rows_per_item: typing.Any,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    CHUNKS: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
) -> None:
    """A row of an item of (chunks, parts, rows, W), put together."""
    IS_EVEN: tl.constexpr = HEAD + TAIL == WIDTH
    W: tl.constexpr = WIDTH // (PARTS * CHUNKS)
    row = tl.program_id(0).to(tl.int64)
    c, d = tl.arange(0, HEAD), HEAD + tl.arange(0, TAIL)
    at = spread_ptr + row // rows_per_item * rows_per_item * WIDTH + row % rows_per_item * W
    from_c = _spread_at(c.to(tl.int64), rows_per_item, WIDTH, PARTS, CHUNKS)
    from_d = _spread_at(d.to(tl.int64), rows_per_item, WIDTH, PARTS, CHUNKS)
    x_c = tl.load(at + from_c, mask=None if IS_EVEN else c < WIDTH)
    x_d = tl.load(at + from_d, mask=None if IS_EVEN else d < WIDTH)
    to = out_ptr + row * WIDTH
    _put(to, c, x_c, WIDTH, IS_EVEN)
    _put(to, d, x_d, WIDTH, IS_EVEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class NormLaunch:
    """How rows are spread over the device; changes no result."""

    num_warps: int  # of a program; one exchanges by shuffles alone
    rows: int = 1  # of a program, 1 or 2, which share what their item is multiplied by; of pairs 2
    vector: int = 8  # neighbours that a thread stores: 8, or 16 where they have 8 bits
    maxnreg: int | None = None  # registers a thread may take


def default_launch(width: int, *, is_int8: bool = False) -> NormLaunch:
    """Return one warp for up to 2,048 values: 48 registers of a thread hold 1,536.

    8-bit rows go two to a program with 16 bytes a store: 0.0935 ms at Wan's size on an H200 where
    one to a program with 8 takes 0.102 (``benchmarks.elementwise_gpu``).
    """
    num_warps = 1 if width <= 2048 else 4
    return (
        NormLaunch(num_warps=num_warps, rows=2, vector=16)
        if is_int8
        else (NormLaunch(num_warps=num_warps))
    )


def residual_norm(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
    is_quantized: bool = False,
    launch: NormLaunch | None = None,
) -> tuple[torch.Tensor, torch.Tensor | Quantized]:
    """See ``norms.residual_norm``."""
    normed = torch.empty_like(x, dtype=torch.float8_e4m3fn if is_quantized else x.dtype)
    scale = _scales(len(x), 1, x.device) if is_quantized else mul
    _residual_norm(
        x, normed, scale, mul=mul, add=add, eps=eps, delta=delta, gate=gate, launch=launch
    )
    return x, Quantized(data=normed, scale=scale) if is_quantized else normed


def residual_norm_int8(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
    launch: NormLaunch | None = None,
) -> tuple[torch.Tensor, Int8Rows]:
    """See ``norms.residual_norm_int8``."""
    data, scale = torch.empty_like(x, dtype=torch.int8), _scales(len(x), 1, x.device)
    _residual_norm(x, data, scale, mul=mul, add=add, eps=eps, delta=delta, gate=gate, launch=launch)
    return x, Int8Rows(data=data, scale=scale)


def residual_norm_pairs(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
    is_shared: bool = False,
    launch: NormLaunch | None = None,
) -> tuple[torch.Tensor, Int8Pairs]:
    """See ``norms.residual_norm_pairs``."""
    num_pairs, width = len(x) // 2, x.shape[1]
    rows = -(-num_pairs // PAIRED) * 2 * PAIRED
    data = torch.empty(rows, width, dtype=torch.int8, device=x.device)
    scale = _scales(2, num_pairs, x.device)
    _residual_norm(
        x, data, scale, mul=mul, add=add, eps=eps, delta=delta, gate=gate,
        num_pairs=num_pairs, is_shared=is_shared, launch=launch,
    )  # fmt: skip
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
    is_shared: bool = False,
    launch: NormLaunch | None = None,
) -> None:
    """Fill ``normed``, and ``scale`` where ``normed`` has 8 bits."""
    num_rows, width = x.shape
    num_items = mul.shape[0]
    is_int8 = normed.dtype == torch.int8
    assert x.is_contiguous()
    assert delta is None or delta.is_contiguous()
    assert not is_int8 or width % ROTATED == 0, width
    if mul.stride() != add.stride() or mul.stride(1) != 1:
        mul, add = mul.contiguous(), add.contiguous()
    has_gate = gate is not None
    gate = mul if gate is None else gate if gate.stride(1) == 1 else gate.contiguous()
    launch = launch or default_launch(width, is_int8=is_int8)
    rows_per_item = num_rows // num_items
    rows = 2 if num_pairs else launch.rows if rows_per_item % 2 == 0 else 1
    head, tail = two_pieces(width, ROTATED)
    kernel: typing.Any = _residual_norm_kernel[(num_rows // rows,)]
    kernel(
        x,
        x if delta is None else delta,
        gate,
        mul,
        add,
        normed,
        scale,
        rows_per_item,
        num_pairs,
        gate.stride(0),
        mul.stride(0),
        eps,
        WIDTH=width,
        HAS_DELTA=delta is not None,
        HAS_GATE=has_gate,
        IS_QUANTIZED=normed.dtype == torch.float8_e4m3fn,
        IS_INT8=is_int8,
        IS_PAIRED=num_pairs > 0,
        IS_SHARED=is_shared or num_items == 1 or num_pairs == 0,
        ROWS=rows,
        HEAD=head,
        TAIL=tail,
        VECTOR=launch.vector,
        IS_PACKED=is_packed(x),
        num_warps=launch.num_warps,
        maxnreg=launch.maxnreg,
    )


def is_packed(x: torch.Tensor) -> bool:
    """Whether ``rounded`` has an instruction for two values of this tensor's type."""
    return x.is_cuda and x.dtype in (torch.bfloat16, torch.float16)


def norm_rope(
    x: torch.Tensor,
    *,
    weight: torch.Tensor,
    eps: float,
    cos: torch.Tensor | None,
    sin: torch.Tensor | None,
    launch: NormLaunch | None = None,
) -> None:
    """See ``norms.norm_rope_``."""
    _norm_rope(x, x, weight=weight, eps=eps, cos=cos, sin=sin, spread=None, launch=launch)


def norm_rope_spread(
    x: torch.Tensor,
    *,
    weight: torch.Tensor | None,
    eps: float,
    cos: torch.Tensor | None,
    sin: torch.Tensor | None,
    spread: Spread,
) -> torch.Tensor:
    """See ``spread.norm_rope_spread``; without a weight nothing is normalised."""
    out = x.new_empty(spread.shape(x.shape))
    _norm_rope(x, out, weight=weight, eps=eps, cos=cos, sin=sin, spread=spread, launch=None)
    return out


def collect(spread_rows: torch.Tensor) -> torch.Tensor:
    """See ``spread.collect_rows``."""
    items, chunks, parts, rows, part_width = spread_rows.shape
    width = chunks * parts * part_width
    out = spread_rows.new_empty(items * rows, width)
    head, tail = two_pieces(width, ROTATED)
    kernel: typing.Any = _collect_kernel[(items * rows,)]
    kernel(
        spread_rows,
        out,
        rows,
        WIDTH=width,
        PARTS=parts,
        CHUNKS=chunks,
        HEAD=head,
        TAIL=tail,
        num_warps=default_launch(width).num_warps,
    )
    return out


def _norm_rope(
    x: torch.Tensor,
    out: torch.Tensor,
    *,
    weight: torch.Tensor | None,
    eps: float,
    cos: torch.Tensor | None,
    sin: torch.Tensor | None,
    spread: Spread | None,
    launch: NormLaunch | None,
) -> None:
    num_rows, width = x.shape
    assert x.stride(1) == 1
    has_rope = cos is not None and sin is not None
    launch = launch or default_launch(width)
    head, tail = two_pieces(width, ROTATED)
    kernel: typing.Any = _norm_rope_kernel[(num_rows,)]
    kernel(
        x,
        weight if weight is not None else x,
        cos if cos is not None else x,
        sin if sin is not None else x,
        out,
        x.stride(0),
        cos.shape[0] if cos is not None else 1,
        num_rows // spread.items if spread is not None else num_rows,
        eps,
        WIDTH=width,
        NUM_PAIRS=cos.shape[1] if cos is not None else 1,
        IS_NORMED=weight is not None,
        HAS_ROPE=has_rope,
        PARTS=spread.parts if spread is not None else 0,
        CHUNKS=spread.chunks if spread is not None else 1,
        HEAD=head,
        TAIL=tail,
        IS_PACKED=is_packed(x),
        num_warps=launch.num_warps,
        maxnreg=launch.maxnreg,
    )
