"""The Triton side of ``gemv``. A lane reads 16 bytes of a weight's row at a time.

All of a row's work stays in the lane that read it until one reduction at the end, so that a
program of one warp never waits at a barrier. No tile of 8-bit weights is carried around a loop:
the compiler would take it apart byte by byte. Many programs hide the waiting instead.
"""

# The kernels' language only looks like Python:
# pyright: reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

jit: Any = triton.jit  # untyped: launches take tensors, and options beside the arguments
_LOG2_E = 1.4426950408889634
# Positions of the cache that one program of the attention reads at once.
_BLOCK_T = 32


@jit
def _load_x(
    x_ptr: tl.tensor, start: tl.tensor, K: tl.constexpr, BLOCK_K: tl.constexpr, PER: tl.constexpr
) -> Any:
    """BLOCK_K values from ``start`` on, as float32, each lane holding the PER that it multiplies.

    Beside 8-bit weights a lane needs 16 two-byte values, one load more than 16 bytes: two halves
    are joined in registers; a plain load would be moved across lanes by shuffles.
    """
    if PER == 16:
        at = start + tl.arange(0, BLOCK_K // 16)[:, None] * 16 + tl.arange(0, 8)[None, :]
        if K % BLOCK_K == 0:
            low = tl.load(x_ptr + at)
            high = tl.load(x_ptr + at + 8)
        else:
            low = tl.load(x_ptr + at, mask=at < K, other=0.0)
            high = tl.load(x_ptr + at + 8, mask=at + 8 < K, other=0.0)
        x = tl.reshape(tl.permute(tl.join(low, high), (0, 2, 1)), (BLOCK_K,))
    else:
        at = start + tl.arange(0, BLOCK_K)
        if K % BLOCK_K == 0:  # noqa: SIM108 (the kernel's language knows no such expression)
            x = tl.load(x_ptr + at)
        else:
            x = tl.load(x_ptr + at, mask=at < K, other=0.0)
    return x.to(tl.float32)


@jit
def _load_w(w_ptrs: tl.tensor, start: tl.tensor, K: tl.constexpr, BLOCK_K: tl.constexpr) -> Any:
    if K % BLOCK_K == 0:
        w = tl.load(w_ptrs + start, eviction_policy="evict_first")
    else:
        inside = (start + tl.arange(0, BLOCK_K) < K)[None, :]
        w = tl.load(w_ptrs + start, mask=inside, other=0.0, eviction_policy="evict_first")
    return w


@jit
def _by_lane(
    products: tl.tensor, ROWS: tl.constexpr, BLOCK_K: tl.constexpr, PER: tl.constexpr
) -> Any:
    """(ROWS, BLOCK_K / PER) sums of PER neighbours, which one lane holds."""
    return tl.sum(tl.reshape(products, (ROWS, BLOCK_K // PER, PER)), axis=2)


@jit
def _linear_kernel(
    x_ptr: tl.tensor,
    w_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    norm_ptr: tl.tensor,
    residual_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    eps: tl.tensor,
    K: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    HAS_NORM: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PER: tl.constexpr,
    UNROLL: tl.constexpr,
    PDL: tl.constexpr,
) -> None:
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < num_rows
    kept = tl.minimum(rows, num_rows - 1).to(tl.int64)
    w_ptrs = w_ptr + kept[:, None] * K + tl.arange(0, BLOCK_K)[None, :]
    w = _load_w(w_ptrs, 0, K, BLOCK_K)
    if PDL:  # the weights are nobody's output; all else may be the last kernel's
        gdc_launch_dependents()
        gdc_wait()
    x = _load_x(x_ptr, 0, K, BLOCK_K, PER)
    if HAS_NORM:
        squares = _by_lane(x * x, 1, BLOCK_K, PER)
        x *= _load_x(norm_ptr, 0, K, BLOCK_K, PER)
    sums = _by_lane(w.to(tl.float32) * x[None, :], ROWS, BLOCK_K, PER)
    for start in tl.range(BLOCK_K, K, BLOCK_K, loop_unroll_factor=UNROLL):
        w = _load_w(w_ptrs, start, K, BLOCK_K)
        x = _load_x(x_ptr, start, K, BLOCK_K, PER)
        if HAS_NORM:
            squares += _by_lane(x * x, 1, BLOCK_K, PER)
            x *= _load_x(norm_ptr, start, K, BLOCK_K, PER)
        sums += _by_lane(w.to(tl.float32) * x[None, :], ROWS, BLOCK_K, PER)
    y = tl.sum(sums, axis=1)
    if HAS_NORM:
        y *= tl.rsqrt(tl.sum(tl.sum(squares, axis=1), axis=0) / K + eps)
    if HAS_SCALE:
        y *= tl.load(scale_ptr + kept)
    if HAS_RESIDUAL:
        y += tl.load(residual_ptr + kept).to(tl.float32)
    tl.store(out_ptr + rows, y.to(out_ptr.dtype.element_ty), mask=inside)


@jit
def _pair_sums(
    x_ptr: tl.tensor,
    norm_ptr: tl.tensor,
    first_ptrs: tl.tensor,
    second_ptrs: tl.tensor,
    eps: tl.tensor,
    K: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PER: tl.constexpr,
    UNROLL: tl.constexpr,
    PDL: tl.constexpr,
) -> Any:
    """Two sets of ROWS rows times the normed x, which is read once for both."""
    first_w = _load_w(first_ptrs, 0, K, BLOCK_K)
    second_w = _load_w(second_ptrs, 0, K, BLOCK_K)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    x = _load_x(x_ptr, 0, K, BLOCK_K, PER)
    squares = _by_lane(x * x, 1, BLOCK_K, PER)
    x *= _load_x(norm_ptr, 0, K, BLOCK_K, PER)
    first = _by_lane(first_w.to(tl.float32) * x[None, :], ROWS, BLOCK_K, PER)
    second = _by_lane(second_w.to(tl.float32) * x[None, :], ROWS, BLOCK_K, PER)
    for start in tl.range(BLOCK_K, K, BLOCK_K, loop_unroll_factor=UNROLL):
        first_w = _load_w(first_ptrs, start, K, BLOCK_K)
        second_w = _load_w(second_ptrs, start, K, BLOCK_K)
        x = _load_x(x_ptr, start, K, BLOCK_K, PER)
        squares += _by_lane(x * x, 1, BLOCK_K, PER)
        x *= _load_x(norm_ptr, start, K, BLOCK_K, PER)
        first += _by_lane(first_w.to(tl.float32) * x[None, :], ROWS, BLOCK_K, PER)
        second += _by_lane(second_w.to(tl.float32) * x[None, :], ROWS, BLOCK_K, PER)
    rms = tl.rsqrt(tl.sum(tl.sum(squares, axis=1), axis=0) / K + eps)
    return tl.sum(first, axis=1) * rms, tl.sum(second, axis=1) * rms


@jit
def _gate_up_kernel(
    x_ptr: tl.tensor,
    gate_ptr: tl.tensor,
    up_ptr: tl.tensor,
    gate_scale_ptr: tl.tensor,
    up_scale_ptr: tl.tensor,
    norm_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_rows: tl.tensor,
    eps: tl.tensor,
    K: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PER: tl.constexpr,
    UNROLL: tl.constexpr,
    PDL: tl.constexpr,
) -> None:
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < num_rows
    kept = tl.minimum(rows, num_rows - 1).to(tl.int64)
    at = kept[:, None] * K + tl.arange(0, BLOCK_K)[None, :]
    gate, up = _pair_sums(
        x_ptr, norm_ptr, gate_ptr + at, up_ptr + at, eps, K, ROWS, BLOCK_K, PER, UNROLL, PDL
    )
    if HAS_SCALE:
        gate *= tl.load(gate_scale_ptr + kept)
        up *= tl.load(up_scale_ptr + kept)
    y = gate * tl.sigmoid(gate) * up
    tl.store(out_ptr + rows, y.to(out_ptr.dtype.element_ty), mask=inside)


@jit
def _qkv_rope_kernel(
    x_ptr: tl.tensor,
    q_ptr: tl.tensor,
    k_ptr: tl.tensor,
    v_ptr: tl.tensor,
    q_scale_ptr: tl.tensor,
    k_scale_ptr: tl.tensor,
    v_scale_ptr: tl.tensor,
    q_bias_ptr: tl.tensor,
    k_bias_ptr: tl.tensor,
    v_bias_ptr: tl.tensor,
    norm_ptr: tl.tensor,
    cos_ptr: tl.tensor,
    sin_ptr: tl.tensor,
    position_ptr: tl.tensor,
    query_ptr: tl.tensor,
    cache_ptr: tl.tensor,
    capacity: tl.tensor,
    eps: tl.tensor,
    NUM_HEADS: tl.constexpr,
    NUM_KV_HEADS: tl.constexpr,
    HALF: tl.constexpr,  # of a head's size
    K: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    ROWS: tl.constexpr,  # pairs of rows; divides HALF, so a program stays in one head
    BLOCK_K: tl.constexpr,
    PER: tl.constexpr,
    UNROLL: tl.constexpr,
    PDL: tl.constexpr,
) -> None:
    pair = tl.program_id(0) * ROWS
    head = pair // HALF
    of_head = pair % HALF + tl.arange(0, ROWS)
    if head < NUM_HEADS:
        w_ptr, scale_ptr, bias_ptr, row = q_ptr, q_scale_ptr, q_bias_ptr, head
    elif head < NUM_HEADS + NUM_KV_HEADS:
        w_ptr, scale_ptr, bias_ptr, row = k_ptr, k_scale_ptr, k_bias_ptr, head - NUM_HEADS
    else:
        row = head - NUM_HEADS - NUM_KV_HEADS
        w_ptr, scale_ptr, bias_ptr = v_ptr, v_scale_ptr, v_bias_ptr
    first_rows = row * (2 * HALF) + of_head
    second_rows = first_rows + HALF
    k_range = tl.arange(0, BLOCK_K)[None, :]
    first, second = _pair_sums(
        x_ptr,
        norm_ptr,
        w_ptr + first_rows[:, None] * K + k_range,
        w_ptr + second_rows[:, None] * K + k_range,
        eps,
        K,
        ROWS,
        BLOCK_K,
        PER,
        UNROLL,
        PDL,
    )
    if HAS_SCALE:
        first *= tl.load(scale_ptr + first_rows)
        second *= tl.load(scale_ptr + second_rows)
    first += tl.load(bias_ptr + first_rows).to(tl.float32)
    second += tl.load(bias_ptr + second_rows).to(tl.float32)
    position = tl.load(position_ptr)
    is_turned = head < NUM_HEADS + NUM_KV_HEADS
    cos = tl.load(cos_ptr + position * (2 * HALF) + of_head).to(tl.float32)
    sin = tl.load(sin_ptr + position * (2 * HALF) + of_head).to(tl.float32)
    cos = tl.where(is_turned, cos, 1.0)
    sin = tl.where(is_turned, sin, 0.0)
    dtype = query_ptr.dtype.element_ty
    low = (first * cos - second * sin).to(dtype)
    high = (second * cos + first * sin).to(dtype)
    if head < NUM_HEADS:
        tl.store(query_ptr + first_rows, low)
        tl.store(query_ptr + second_rows, high)
    else:  # (2, NUM_KV_HEADS, capacity, 2 * HALF): keys' heads, then values' heads
        at = ((head - NUM_HEADS).to(tl.int64) * capacity + position) * (2 * HALF) + of_head
        tl.store(cache_ptr + at, low)
        tl.store(cache_ptr + at + HALF, high)


@jit
def _attend_kernel(
    query_ptr: tl.tensor,
    cache_ptr: tl.tensor,
    position_ptr: tl.tensor,
    partial_ptr: tl.tensor,
    most_ptr: tl.tensor,
    total_ptr: tl.tensor,
    arrived_ptr: tl.tensor,
    out_ptr: tl.tensor,
    capacity: tl.tensor,
    scale: tl.tensor,  # log2(e) included: powers of two below
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,  # query heads a key-value head
    SIZE: tl.constexpr,  # of a head
    NUM_SPLITS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    PDL: tl.constexpr,
) -> None:
    head = tl.program_id(0)
    split = tl.program_id(1)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    length = tl.load(position_ptr).to(tl.int32) + 1
    share = tl.cdiv(tl.cdiv(length, NUM_SPLITS), BLOCK_T) * BLOCK_T
    begin = split * share
    end = tl.minimum(begin + share, length)
    d = tl.arange(0, SIZE)
    q = tl.load(query_ptr + head * SIZE + d).to(tl.float32) * scale
    keys_ptr = cache_ptr + (head // GROUP).to(tl.int64) * capacity * SIZE
    values_ptr = keys_ptr + tl.full((), NUM_KV_HEADS, tl.int64) * capacity * SIZE
    most = tl.full((), float("-inf"), tl.float32)
    total = tl.full((), 0.0, tl.float32)
    mixed = tl.zeros((SIZE,), tl.float32)
    start = begin
    while start < end:
        t = start + tl.arange(0, BLOCK_T)
        at = t[:, None] * SIZE + d[None, :]
        inside = (t < end)[:, None]
        keys = tl.load(keys_ptr + at, mask=inside, other=0.0).to(tl.float32)
        values = tl.load(values_ptr + at, mask=inside, other=0.0).to(tl.float32)
        scores = tl.where(t < end, tl.sum(keys * q[None, :], axis=1), float("-inf"))
        new_most = tl.maximum(most, tl.max(scores, axis=0))
        kept = tl.exp2(most - new_most)
        weights = tl.exp2(scores - new_most)
        total = total * kept + tl.sum(weights, axis=0)
        mixed = mixed * kept + tl.sum(values * weights[:, None], axis=0)
        most = new_most
        start += BLOCK_T
    if NUM_SPLITS == 1:
        tl.store(out_ptr + head * SIZE + d, (mixed / total).to(out_ptr.dtype.element_ty))
    else:
        slot = head * NUM_SPLITS + split
        tl.store(partial_ptr + slot * SIZE + d, mixed)
        tl.store(most_ptr + slot, most)
        tl.store(total_ptr + slot, total)
        # Every lane's stores come before the count, which releases them to the other programs.
        tl.debug_barrier()
        num_before = tl.atomic_add(arrived_ptr + head, 1, sem="acq_rel")
        if num_before == NUM_SPLITS - 1:  # the last of a head joins its parts
            splits = head * NUM_SPLITS + tl.arange(0, NUM_SPLITS)
            mosts = tl.load(most_ptr + splits, cache_modifier=".cg")
            weights = tl.exp2(mosts - tl.max(mosts, axis=0))  # 0 for a split without positions
            totals = tl.load(total_ptr + splits, cache_modifier=".cg") * weights
            parts = tl.load(partial_ptr + splits[:, None] * SIZE + d[None, :], cache_modifier=".cg")
            y = tl.sum(parts * weights[:, None], axis=0) / tl.sum(totals, axis=0)
            tl.store(out_ptr + head * SIZE + d, y.to(out_ptr.dtype.element_ty))
            tl.store(arrived_ptr + head, 0)


def linear(
    x: torch.Tensor,
    data: torch.Tensor,
    scale: torch.Tensor | None,
    *,
    norm: torch.Tensor | None,
    eps: float,
    residual: torch.Tensor | None,
    launch: dict[str, Any],
) -> torch.Tensor:
    """See ``gemv.linear``."""
    num_rows = data.shape[0]
    out = torch.empty(num_rows, dtype=x.dtype, device=x.device)
    _linear_kernel[(triton.cdiv(num_rows, launch["ROWS"]),)](
        x,
        data,
        x if scale is None else scale,
        x if norm is None else norm,
        x if residual is None else residual,
        out,
        num_rows,
        eps,
        HAS_SCALE=scale is not None,
        HAS_NORM=norm is not None,
        HAS_RESIDUAL=residual is not None,
        **launch,
    )
    return out


def gate_up(
    x: torch.Tensor,
    gate: torch.Tensor,
    up: torch.Tensor,
    scales: tuple[torch.Tensor, torch.Tensor] | None,
    *,
    norm: torch.Tensor,
    eps: float,
    launch: dict[str, Any],
) -> torch.Tensor:
    """See ``gemv.gate_up``."""
    num_rows = gate.shape[0]
    out = torch.empty(num_rows, dtype=x.dtype, device=x.device)
    gate_scale, up_scale = scales or (x, x)
    _gate_up_kernel[(triton.cdiv(num_rows, launch["ROWS"]),)](
        x,
        gate,
        up,
        gate_scale,
        up_scale,
        norm,
        out,
        num_rows,
        eps,
        HAS_SCALE=scales is not None,
        **launch,
    )
    return out


def qkv_rope_(
    x: torch.Tensor,
    weights: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    scales: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None,
    biases: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    norm: torch.Tensor,
    eps: float,
    cos: torch.Tensor,
    sin: torch.Tensor,
    position: torch.Tensor,
    cache: torch.Tensor,
    launch: dict[str, Any],
) -> torch.Tensor:
    """See ``gemv.qkv_rope_``."""
    _, num_kv_heads, capacity, size = cache.shape
    num_heads = weights[0].shape[0] // size
    query = torch.empty(num_heads * size, dtype=x.dtype, device=x.device)
    num_pairs = (num_heads + 2 * num_kv_heads) * size // 2
    assert (size // 2) % launch["ROWS"] == 0, "a program works on pairs of one head"
    _qkv_rope_kernel[(num_pairs // launch["ROWS"],)](
        x,
        *weights,
        *(scales or (x, x, x)),
        *biases,
        norm,
        cos,
        sin,
        position,
        query,
        cache,
        capacity,
        eps,
        NUM_HEADS=num_heads,
        NUM_KV_HEADS=num_kv_heads,
        HALF=size // 2,
        HAS_SCALE=scales is not None,
        **launch,
    )
    return query


def attend(
    query: torch.Tensor,
    cache: torch.Tensor,
    *,
    position: torch.Tensor,
    arrived: torch.Tensor,
    num_splits: int,
    num_warps: int,
    pdl: bool,
) -> torch.Tensor:
    """See ``gemv.attend``."""
    _, num_kv_heads, capacity, size = cache.shape
    num_heads = query.shape[0] // size
    partial = torch.empty(
        num_heads, num_splits, size + 2, dtype=torch.float32, device=query.device
    ).flatten()
    num_parts = num_heads * num_splits
    out = torch.empty_like(query)
    _attend_kernel[(num_heads, num_splits)](
        query,
        cache,
        position,
        partial,
        partial[num_parts * size :],
        partial[num_parts * (size + 1) :],
        arrived,
        out,
        capacity,
        size**-0.5 * _LOG2_E,
        NUM_KV_HEADS=num_kv_heads,
        GROUP=num_heads // num_kv_heads,
        SIZE=size,
        NUM_SPLITS=num_splits,
        BLOCK_T=_BLOCK_T,
        PDL=pdl,
        num_warps=num_warps,
        **launch_options(pdl),
    )
    return out


def launch_options(pdl: bool) -> dict[str, Any]:
    """Return what a launch is given besides its kernel's arguments."""
    return {"launch_pdl": True} if pdl else {}
