"""Attention for Hopper, written for its asynchronous tensor cores. Imported only where it can run.

The order is FlashAttention-3's (arXiv 2407.08608): one warp fetches keys and values by the bulk
copy engine; groups of four warps with 64 queries each share what was fetched; within a group the
product of one block's probabilities and values runs under the softmax of the next block's scores.

What differs is the softmax. It may subtract any number from a row's scores, and float32 and
bfloat16 are as precise at 2^-90 as at 1; so instead of following the largest score so far, which
orders everything after it and multiplies the sums again each block, a row keeps one shift: its
largest score in the first block, or 110 below the most that its length and that of the longest key
allow (Cauchy-Schwarz) if that is larger. Then no exponential overflows, and none that counts
vanishes while the two are within 210 octaves. Groups with a row where they are not take the other
loop, with the running maximum.

Shapes: L tokens, D channels of a head, N keys of a softmax, of which a fetched block has
one or two, G groups of 64 queries of a program.
"""

# pyright: basic, reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false
# Its types are those of the language that it is compiled as, which tensors stand for here.
from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

KEYS_OF_SCALE = gl.constexpr(128)  # see ``attention.KEY_BLOCK``
GROUP_ROWS = gl.constexpr(64)  # queries of four warps: the height of one warp-group product
_LOWEST = gl.constexpr(-1.0e30)
_HEADROOM = gl.constexpr(110.0)  # octaves that an exponential may exceed one by: float32 has 127
_DEPTH = gl.constexpr(100.0)  # octaves below one that a row's largest may be


@triton.jit
def longest_rows_kernel(
    x_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    longest_ptr: tl.tensor,
    num_heads: tl.tensor,
    batch_stride: tl.tensor,
    head_stride: tl.tensor,
    row_stride: tl.tensor,
    length: tl.tensor,
    scale_stride: tl.tensor,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    SCALE_BLOCK: tl.constexpr,
) -> None:
    """Largest squared length of a head's rows: longest (B * H,) float32 as int32, from zero.

    SCALE_BLOCK rows share a factor; 0 means that there is none.
    """
    block, head = tl.program_id(0), tl.program_id(1)
    rows = block * BLOCK + tl.arange(0, BLOCK)
    at = (head // num_heads).to(tl.int64) * batch_stride + (head % num_heads) * head_stride
    offsets = rows.to(tl.int64)[:, None] * row_stride + tl.arange(0, D)[None, :]
    x = tl.load(x_ptr + at + offsets, mask=(rows < length)[:, None], other=0).to(tl.float32)
    squares = tl.sum(x * x, 1)
    if SCALE_BLOCK > 0:
        factors = tl.load(
            scale_ptr + head * scale_stride + rows // SCALE_BLOCK, mask=rows < length, other=0.0
        )
        squares = squares * factors * factors
    # Floats that are not negative are in the order of their bits.
    tl.atomic_max(longest_ptr + head, tl.max(squares, 0).to(tl.int32, bitcast=True))


@gluon.jit
def _fetch(
    q_desc: tl.tensor,
    k_desc: tl.tensor,
    v_desc: tl.tensor,
    q_tiles: tl.tensor,
    k_tiles: tl.tensor,
    v_tiles: tl.tensor,
    q_ready: tl.tensor,
    k_ready: tl.tensor,
    v_ready: tl.tensor,
    empty: tl.tensor,
    q_row: tl.tensor,
    q_column: tl.tensor,
    k_row: tl.tensor,
    k_column: tl.tensor,
    v_row: tl.tensor,
    v_column: tl.tensor,
    num_blocks: tl.tensor,
    GROUPS: gl.constexpr,
    N: gl.constexpr,
    STAGES: gl.constexpr,
) -> None:
    """Bring all groups' queries, then block after block of keys and values."""
    for group in gl.static_range(GROUPS):
        mbarrier.expect(q_ready.index(group), q_desc.block_type.nbytes)
        tma.async_copy_global_to_shared(
            q_desc,
            [q_row + group * GROUP_ROWS, q_column],
            q_ready.index(group),
            q_tiles.index(group),
        )
    for step in range(num_blocks):
        block = num_blocks - 1 - step  # the one that may need a mask comes first
        stage = step % STAGES
        mbarrier.wait(empty.index(stage), ((step // STAGES) & 1) ^ 1)
        mbarrier.expect(k_ready.index(stage), k_desc.block_type.nbytes)
        tma.async_copy_global_to_shared(
            k_desc, [k_row + block * N, k_column], k_ready.index(stage), k_tiles.index(stage)
        )
        mbarrier.expect(v_ready.index(stage), v_desc.block_type.nbytes)
        tma.async_copy_global_to_shared(
            v_desc, [v_row + block * N, v_column], v_ready.index(stage), v_tiles.index(stage)
        )


@gluon.jit
def _sums_of_threads(p: tl.tensor, N: gl.constexpr) -> Any:
    """What each of the four threads of a row sums up of p (64, N): (64, 4), with no exchange."""
    return gl.sum(gl.sum(gl.reshape(p, (GROUP_ROWS, N // 8, 4, 2)), 3), 1)


@gluon.jit
def _pin(sums: tl.tensor) -> Any:
    """Return ``sums``, computed before what follows.

    The assembler would move the wait for the running product before the softmax that is to hide
    it. It does not move it past a barrier; this one no sum of probabilities ever reaches.
    """
    return gl.inline_asm_elementwise(
        """
        {
        .reg .pred never;
        setp.lt.f32 never, $1, 0f00000000;
        @never bar.sync 15, 128;
        mov.b32 $0, $1;
        }
        """,
        "=f,f",
        [sums],
        dtype=gl.float32,
        is_pure=False,
        pack=1,
    )


@gluon.jit
def _round(p: tl.tensor, N: gl.constexpr) -> Any:
    """p (64, N) in bfloat16, two to an int32 (64, N / 2): apart they would take a register each."""
    low, high = gl.split(gl.reshape(p, (GROUP_ROWS, N // 2, 2)))
    return gl.inline_asm_elementwise(
        "cvt.rn.bf16x2.f32 $0, $2, $1;",
        "=r,f,f",
        [low, high],
        dtype=gl.int32,
        is_pure=True,
        pack=1,
    )


@gluon.jit
def _as_operand(rounded: tl.tensor, N: gl.constexpr, LAYOUT: gl.constexpr) -> Any:
    """What ``_round`` made as the left operand of a product; moves nothing."""
    halves = gl.join(rounded.to(gl.int16), (rounded >> 16).to(gl.int16))
    p = gl.reshape(halves, (GROUP_ROWS, N)).to(gl.bfloat16, bitcast=True)
    return gl.convert_layout(p, LAYOUT)


@gluon.jit
def _of_rows(x: tl.tensor, LAYOUT: gl.constexpr) -> Any:
    return gl.expand_dims(gl.convert_layout(x, LAYOUT), 1)


@gluon.jit
def _product(
    acc: tl.tensor,
    rounded: tl.tensor,
    v_tile: tl.tensor,
    N: gl.constexpr,
    LAYOUT: gl.constexpr,
) -> Any:
    """Begin adding a block's probabilities times its values to the sums."""
    return warpgroup_mma(_as_operand(rounded, N, LAYOUT), v_tile, acc, is_async=True)


@gluon.jit
def _step(
    q: tl.tensor,
    k_tile: tl.tensor,
    v_tile: tl.tensor,
    no_scores: tl.tensor,
    acc: tl.tensor,
    rounded: tl.tensor,
    total: tl.tensor,
    highest: tl.tensor,
    scale: tl.tensor,
    start: tl.tensor,
    len_k: tl.tensor,
    N: gl.constexpr,
    MASKED: gl.constexpr,
    IS_FOLLOWING: gl.constexpr,
    P_LAYOUT: gl.constexpr,
    S_LAYOUT: gl.constexpr,
    ROWS_O: gl.constexpr,
) -> Any:
    """The softmax of N keys, over the product of the N keys before (``v_tile``).

    ``highest`` is what scores are shifted by; IS_FOLLOWING: it follows the running maximum.
    Returns acc, rounded, total and highest; the product is complete.
    """
    scores = warpgroup_mma(q, k_tile.permute((1, 0)), no_scores, use_acc=False, is_async=True)
    product = _product(acc, rounded, v_tile, N, P_LAYOUT)
    t = warpgroup_mma_wait(1, deps=(scores,)).to(gl.float32)
    if MASKED:
        columns = start + gl.arange(0, N, layout=gl.SliceLayout(0, S_LAYOUT))
        t = gl.where(gl.expand_dims(columns < len_k, 0), t, _LOWEST)
    decay = scale
    if IS_FOLLOWING:
        higher = gl.maximum(highest, gl.max(t, 1) * scale)
        decay = gl.exp2(highest - higher)
        highest = higher
        total = total * _of_rows(decay, gl.SliceLayout(1, total.type.layout))
    p = gl.exp2(t * gl.expand_dims(scale, 1) - gl.expand_dims(highest, 1))
    total = _pin(total + _sums_of_threads(p, N))
    acc, rounded = warpgroup_mma_wait(0, deps=(product, rounded))
    if IS_FOLLOWING:
        acc = acc * _of_rows(decay, ROWS_O)
    return acc, _round(p, N), total, highest


@gluon.jit
def _rest(
    q: tl.tensor,
    k_tiles: tl.tensor,
    v_tiles: tl.tensor,
    k_ready: tl.tensor,
    v_ready: tl.tensor,
    empty: tl.tensor,
    no_scores: tl.tensor,
    acc: tl.tensor,
    rounded: tl.tensor,
    total: tl.tensor,
    highest: tl.tensor,
    q_scale: tl.tensor,
    k_scale_ptr: tl.tensor,
    len_k: tl.tensor,
    num_blocks: tl.tensor,
    N: gl.constexpr,
    PARTS: gl.constexpr,
    QK_INT8: gl.constexpr,
    STAGES: gl.constexpr,
    IS_FOLLOWING: gl.constexpr,
    P_LAYOUT: gl.constexpr,
    S_LAYOUT: gl.constexpr,
    ROWS_O: gl.constexpr,
) -> Any:
    """All steps after the first; returns acc, rounded and total, one product short."""
    last = num_blocks - 1
    scale = q_scale * _keys_scale(k_scale_ptr, last * PARTS * N, QK_INT8)
    mbarrier.wait(v_ready.index(0), 0)
    for part in gl.static_range(1, PARTS):
        if part * N % KEYS_OF_SCALE == 0:
            scale = q_scale * _keys_scale(k_scale_ptr, (last * PARTS + part) * N, QK_INT8)
        acc, rounded, total, highest = _step(
            q, k_tiles.index(0).slice(part * N, N), v_tiles.index(0).slice((part - 1) * N, N),
            no_scores, acc, rounded, total, highest, scale,
            (last * PARTS + part) * N, len_k, N, True, IS_FOLLOWING, P_LAYOUT, S_LAYOUT, ROWS_O,
        )  # fmt: skip
    for step in range(1, num_blocks):
        stage = step % STAGES
        before = (step - 1) % STAGES
        phase = (step // STAGES) & 1
        scale = q_scale * _keys_scale(k_scale_ptr, (last - step) * PARTS * N, QK_INT8)
        mbarrier.wait(k_ready.index(stage), phase)
        acc, rounded, total, highest = _step(
            q, k_tiles.index(stage).slice(0, N), v_tiles.index(before).slice((PARTS - 1) * N, N),
            no_scores, acc, rounded, total, highest, scale,
            0, len_k, N, False, IS_FOLLOWING, P_LAYOUT, S_LAYOUT, ROWS_O,
        )  # fmt: skip
        mbarrier.arrive(empty.index(before), count=1)
        mbarrier.wait(v_ready.index(stage), phase)
        for part in gl.static_range(1, PARTS):
            if part * N % KEYS_OF_SCALE == 0:
                scale = q_scale * _keys_scale(
                    k_scale_ptr, ((last - step) * PARTS + part) * N, QK_INT8
                )
            acc, rounded, total, highest = _step(
                q, k_tiles.index(stage).slice(part * N, N),
                v_tiles.index(stage).slice((part - 1) * N, N),
                no_scores, acc, rounded, total, highest, scale,
                0, len_k, N, False, IS_FOLLOWING, P_LAYOUT, S_LAYOUT, ROWS_O,
            )  # fmt: skip
    return acc, rounded, total


@gluon.jit
def _keys_scale(k_scale_ptr: tl.tensor, start: tl.tensor, QK_INT8: gl.constexpr) -> Any:
    """The scale of the keys from ``start`` on, which those up to the next have too."""
    if QK_INT8:
        return gl.load(k_scale_ptr + start // KEYS_OF_SCALE)
    else:
        return 1.0


@gluon.jit
def _attend(
    q_tiles: tl.tensor,
    k_tiles: tl.tensor,
    v_tiles: tl.tensor,
    q_ready: tl.tensor,
    k_ready: tl.tensor,
    v_ready: tl.tensor,
    empty: tl.tensor,
    q_scale_ptr: tl.tensor,
    k_scale_ptr: tl.tensor,
    longest_ptr: tl.tensor,
    out_ptr: tl.tensor,
    row: tl.tensor,
    len_q: tl.tensor,
    len_k: tl.tensor,
    out_stride: tl.tensor,
    factor: tl.tensor,
    num_blocks: tl.tensor,
    GROUP: gl.constexpr,
    D: gl.constexpr,
    N: gl.constexpr,
    PARTS: gl.constexpr,
    QK_INT8: gl.constexpr,
    STAGES: gl.constexpr,
) -> None:
    """64 queries against all keys. Pointers are at this head; ``row`` is the program's first."""
    s_type: gl.constexpr = gl.int32 if QK_INT8 else gl.float32
    s_layout: gl.constexpr = gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[4, 1], instr_shape=[16, N, 32 if QK_INT8 else 16]
    )
    o_layout: gl.constexpr = gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[4, 1], instr_shape=[16, D, 16]
    )
    p_layout: gl.constexpr = gl.DotOperandLayout(0, o_layout, 2)
    rows_s: gl.constexpr = gl.SliceLayout(1, s_layout)
    rows_o: gl.constexpr = gl.SliceLayout(1, o_layout)
    q_layout: gl.constexpr = gl.BlockedLayout([1, 16], [4, 8], [4, 1], [1, 0])

    rows = row + GROUP * GROUP_ROWS + gl.arange(0, GROUP_ROWS, layout=rows_s)
    if QK_INT8:
        # The last program's rows may lie beyond the last head's.
        q_scale = gl.load(q_scale_ptr + rows, mask=rows < len_q, other=0.0)
    else:
        q_scale = gl.full((GROUP_ROWS,), 1.0, gl.float32, rows_s) * factor
    acc = gl.zeros((GROUP_ROWS, D), gl.float32, o_layout)
    no_scores = gl.zeros((GROUP_ROWS, N), s_type, s_layout)
    last = num_blocks - 1

    mbarrier.wait(q_ready.index(GROUP), 0)
    values = q_tiles.index(GROUP).load(q_layout).to(gl.float32)
    lengths = gl.convert_layout(gl.sqrt(gl.sum(values * values, 1)), rows_s)
    most = lengths * q_scale * gl.sqrt(gl.load(longest_ptr))
    q = q_tiles.index(GROUP)

    mbarrier.wait(k_ready.index(0), 0)
    first = k_tiles.index(0).slice(0, N)
    scores = warpgroup_mma(q, first.permute((1, 0)), no_scores, use_acc=False, is_async=True)
    t = warpgroup_mma_wait(0, deps=(scores,)).to(gl.float32)
    columns = last * PARTS * N + gl.arange(0, N, layout=gl.SliceLayout(0, s_layout))
    t = gl.where(gl.expand_dims(columns < len_k, 0), t, _LOWEST)
    scale = q_scale * _keys_scale(k_scale_ptr, last * PARTS * N, QK_INT8)
    highest = gl.max(t, 1) * scale
    is_far = gl.max(most - highest, 0) >= _HEADROOM + _DEPTH
    if not is_far:
        highest = gl.maximum(highest, most - _HEADROOM)
    p = gl.exp2(t * gl.expand_dims(scale, 1) - gl.expand_dims(highest, 1))
    total = _sums_of_threads(p, N)
    rounded = _round(p, N)
    if is_far:
        acc, rounded, total = _rest(
            q, k_tiles, v_tiles, k_ready, v_ready, empty, no_scores, acc, rounded, total, highest,
            q_scale, k_scale_ptr, len_k, num_blocks, N, PARTS, QK_INT8, STAGES, True,
            p_layout, s_layout, rows_o,
        )  # fmt: skip
    else:
        acc, rounded, total = _rest(
            q, k_tiles, v_tiles, k_ready, v_ready, empty, no_scores, acc, rounded, total, highest,
            q_scale, k_scale_ptr, len_k, num_blocks, N, PARTS, QK_INT8, STAGES, False,
            p_layout, s_layout, rows_o,
        )  # fmt: skip
    v_tile = v_tiles.index(last % STAGES).slice((PARTS - 1) * N, N)
    product = _product(acc, rounded, v_tile, N, p_layout)
    acc, rounded = warpgroup_mma_wait(0, deps=(product, rounded))

    out = acc / _of_rows(gl.sum(total, 1), rows_o)
    channels = gl.arange(0, D, layout=gl.SliceLayout(0, o_layout))
    out_rows = row + GROUP * GROUP_ROWS + gl.arange(0, GROUP_ROWS, layout=rows_o)
    at = out_ptr + gl.expand_dims(out_rows, 1) * out_stride + gl.expand_dims(channels, 0)
    gl.store(at, out.to(gl.bfloat16), mask=gl.expand_dims(out_rows < len_q, 1))


@gluon.jit(do_not_specialize=["len_q", "len_k"])
def attention_kernel(
    q_desc: tl.tensor,
    k_desc: tl.tensor,
    v_desc: tl.tensor,
    q_scale_ptr: tl.tensor,
    k_scale_ptr: tl.tensor,
    longest_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_heads: tl.tensor,
    len_q: tl.tensor,
    len_k: tl.tensor,
    padded_q: tl.tensor,
    padded_k: tl.tensor,
    factor: tl.tensor,
    GROUPS: gl.constexpr,
    D: gl.constexpr,
    N: gl.constexpr,
    PARTS: gl.constexpr,
    QK_INT8: gl.constexpr,
    STAGES: gl.constexpr,
) -> None:
    """64 G queries of one head against all keys; out (B, Lq, H, D) bf16, dense.

    16-bit tensors are rows of all heads, (B * L, H * D), with a stride; int8 ones head-first and
    padded, (B * H * padded, D). ``factor`` is log2(e) / sqrt(D), which is in ``q_scale`` already
    where scores are integers. ``longest`` (B * H,) is the keys' largest squared length.
    """
    q_tiles = gl.allocate_shared_memory(q_desc.dtype, [GROUPS, GROUP_ROWS, D], q_desc.layout)
    k_tiles = gl.allocate_shared_memory(k_desc.dtype, [STAGES, N * PARTS, D], k_desc.layout)
    v_tiles = gl.allocate_shared_memory(v_desc.dtype, [STAGES, N * PARTS, D], v_desc.layout)
    q_ready = gl.allocate_shared_memory(gl.int64, [GROUPS, 1], mbarrier.MBarrierLayout())
    k_ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    v_ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for group in gl.static_range(GROUPS):
        mbarrier.init(q_ready.index(group), count=1)
    for stage in gl.static_range(STAGES):
        mbarrier.init(k_ready.index(stage), count=1)
        mbarrier.init(v_ready.index(stage), count=1)
        mbarrier.init(empty.index(stage), count=GROUPS)
    fence_async_shared()

    head = gl.program_id(1)
    batch = head // num_heads
    inner = head % num_heads
    row = gl.program_id(0) * (GROUPS * GROUP_ROWS)
    num_blocks = (len_k + N * PARTS - 1) // (N * PARTS)
    q_row, q_column = batch * len_q + row, inner * D
    k_row, k_column = batch * len_k, inner * D
    v_row, v_column = k_row, k_column
    if QK_INT8:
        q_row, q_column = head * padded_q + row, head * 0
        k_row, k_column = head * padded_k, head * 0
    out_at = out_ptr + (batch * len_q).to(gl.int64) * num_heads * D + inner * D
    q_scale_at = q_scale_ptr + head * padded_q
    k_scale_at = k_scale_ptr + head * (padded_k // KEYS_OF_SCALE)
    longest_at = longest_ptr + head
    out_stride = num_heads * D
    # Tuples in names would lose which of their values are constants.
    if GROUPS == 2:
        gl.warp_specialize(
            [
                (_attend, (
                    q_tiles, k_tiles, v_tiles, q_ready, k_ready, v_ready, empty, q_scale_at,
                    k_scale_at, longest_at, out_at, row, len_q, len_k, out_stride, factor,
                    num_blocks, 0, D, N, PARTS, QK_INT8, STAGES,
                )),
                (_attend, (
                    q_tiles, k_tiles, v_tiles, q_ready, k_ready, v_ready, empty, q_scale_at,
                    k_scale_at, longest_at, out_at, row, len_q, len_k, out_stride, factor,
                    num_blocks, 1, D, N, PARTS, QK_INT8, STAGES,
                )),
                (_fetch, (
                    q_desc, k_desc, v_desc, q_tiles, k_tiles, v_tiles, q_ready, k_ready, v_ready,
                    empty, q_row, q_column, k_row, k_column, v_row, v_column, num_blocks,
                    GROUPS, N * PARTS, STAGES,
                )),
            ],
            [4, 1],
            [240, 24],
        )  # fmt: skip
    else:
        gl.warp_specialize(
            [
                (_attend, (
                    q_tiles, k_tiles, v_tiles, q_ready, k_ready, v_ready, empty, q_scale_at,
                    k_scale_at, longest_at, out_at, row, len_q, len_k, out_stride, factor,
                    num_blocks, 0, D, N, PARTS, QK_INT8, STAGES,
                )),
                (_attend, (
                    q_tiles, k_tiles, v_tiles, q_ready, k_ready, v_ready, empty, q_scale_at,
                    k_scale_at, longest_at, out_at, row, len_q, len_k, out_stride, factor,
                    num_blocks, 1, D, N, PARTS, QK_INT8, STAGES,
                )),
                (_attend, (
                    q_tiles, k_tiles, v_tiles, q_ready, k_ready, v_ready, empty, q_scale_at,
                    k_scale_at, longest_at, out_at, row, len_q, len_k, out_stride, factor,
                    num_blocks, 2, D, N, PARTS, QK_INT8, STAGES,
                )),
                (_fetch, (
                    q_desc, k_desc, v_desc, q_tiles, k_tiles, v_tiles, q_ready, k_ready, v_ready,
                    empty, q_row, q_column, k_row, k_column, v_row, v_column, num_blocks,
                    GROUPS, N * PARTS, STAGES,
                )),
            ],
            [4, 4, 1],
            [160, 160, 24],
        )  # fmt: skip
