"""The Triton kernels of 8-bit attention. Imported only where Triton can run.

Shapes: B batch, H heads, L tokens, D channels of a head (64 or 128). Quantised tensors are
head-first and their tokens padded to whole blocks, so the inner loop loads without a mask.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

# log2(448): probabilities are stored as e4m3 times 448, its largest finite value, which the final
# division by their sum takes out again. Down to 2^-15 of a row's maximum they keep full precision.
_LOG2_FP8_MAX = tl.constexpr(8.807354922057604)
# Below every score, and finite: infinity minus infinity would be no number.
_LOWEST = tl.constexpr(-1.0e30)
# Adding and subtracting 1.5 * 2^23 rounds a float32 to an integer, halves to even.
_ROUNDER = tl.constexpr(12582912.0)


@triton.jit
def _head_start(
    head: tl.tensor, num_heads: tl.tensor, batch_stride: tl.tensor, D: tl.constexpr
) -> Any:
    """Where a head's channels of the first token begin."""
    return (head // num_heads).to(tl.int64) * batch_stride + (head % num_heads) * D


@triton.jit
def _operand(x: tl.tensor, ON_GPU: tl.constexpr) -> Any:
    """A bfloat16 operand of a product, which the interpreter multiplies in float32 only."""
    if ON_GPU:
        return x
    else:
        return x.to(tl.float32)


@triton.jit
def _sampled(
    x_ptr: tl.tensor,
    channels: tl.tensor,
    every: tl.tensor,
    token_stride: tl.tensor,
    num_sampled: tl.tensor,
    pivot: tl.tensor,
    BLOCK: tl.constexpr,
    STEPS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> Any:
    """Return the sums of a head's sampled tokens less ``pivot``, and of that squared."""
    sums = tl.zeros((BLOCK, CHANNELS), tl.float32)
    squares = tl.zeros((BLOCK, CHANNELS), tl.float32)
    for step in tl.range(0, STEPS):
        samples = step * BLOCK + tl.arange(0, BLOCK)
        is_sample = (samples < num_sampled)[:, None]
        at = x_ptr + (samples * every).to(tl.int64)[:, None] * token_stride + channels[None, :]
        x = tl.load(at, mask=is_sample, other=0.0).to(tl.float32)
        x = tl.where(is_sample, x - pivot[None, :], 0.0)
        sums += x
        squares += x * x
    return tl.sum(sums, 0), tl.sum(squares, 0)


@triton.jit
def balance_kernel(
    q_ptr: tl.tensor,
    k_ptr: tl.tensor,
    q_factor_ptr: tl.tensor,
    k_factor_ptr: tl.tensor,
    mean_ptr: tl.tensor,
    longest_ptr: tl.tensor,
    num_heads: tl.tensor,
    q_batch_stride: tl.tensor,
    q_token_stride: tl.tensor,
    k_batch_stride: tl.tensor,
    k_token_stride: tl.tensor,
    q_every: tl.tensor,
    k_every: tl.tensor,
    q_sampled: tl.tensor,
    k_sampled: tl.tensor,
    D: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    Q_STEPS: tl.constexpr,
    K_STEPS: tl.constexpr,
    MOST: tl.constexpr,
) -> None:
    """What CHANNELS of one head are multiplied by, and the keys' mean after that.

    q, k (B, L, H, D), of which every so-manyth token counts -> factors and mean (B * H, D) float32,
    and 0 as the longest key so far (B * H,) int32. Always the same sums, in one order.
    """
    head = tl.program_id(0)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    q_ptr += _head_start(head, num_heads, q_batch_stride, D)
    k_ptr += _head_start(head, num_heads, k_batch_stride, D)
    # Deviations from the first token keep the sums of squares small.
    pivot = tl.load(k_ptr + channels).to(tl.float32)
    total, squares = _sampled(
        k_ptr, channels, k_every, k_token_stride, k_sampled, pivot, BLOCK, K_STEPS, CHANNELS
    )
    shift = total / k_sampled
    variance = (squares - total * shift) / k_sampled
    _, squares = _sampled(
        q_ptr, channels, q_every, q_token_stride, q_sampled, pivot * 0.0, BLOCK, Q_STEPS, CHANNELS
    )
    ratio = tl.maximum(variance, 1.0e-20) / tl.maximum(squares / q_sampled, 1.0e-20)
    exponent = (tl.log2(ratio) * 0.25 + _ROUNDER) - _ROUNDER
    exponent = tl.minimum(tl.maximum(exponent, -MOST), MOST).to(tl.int32)
    # A float's bits from its exponent: powers of two without a last bit of error.
    k_factor = ((127 - exponent) << 23).to(tl.float32, bitcast=True)
    at = head * D + channels
    tl.store(q_factor_ptr + at, ((127 + exponent) << 23).to(tl.float32, bitcast=True))
    tl.store(k_factor_ptr + at, k_factor)
    tl.store(mean_ptr + at, (pivot + shift) * k_factor)
    if tl.program_id(1) == 0:
        tl.store(longest_ptr + head, 0)


@triton.jit
def _turned_over_threads(x: tl.tensor, SIZE: tl.constexpr, DISTANCE: tl.constexpr) -> Any:
    """Replace values DISTANCE apart by their sum and difference, where two threads have them.

    Both threads get the sum with one exchange; the second takes its own value off twice.
    """
    x = tl.reshape(x, (SIZE // (2 * DISTANCE), 2, DISTANCE))
    own = (tl.arange(0, 2) * -2).to(tl.float32)[None, :, None]
    return x * own + tl.sum(x, 1, keep_dims=True)


@triton.jit
def _turned(x: tl.tensor, TOKENS: tl.constexpr, D: tl.constexpr) -> Any:
    """Multiply (TOKENS, D) float32 by the Walsh-Hadamard matrix of signs.

    A thread has 16 channels, on which nothing is exchanged (see _int8_triton.rotate). Compiled for
    sm_90 it takes as many instructions as a product on the tensor cores with what that needs around
    it, but no shared memory and half of the registers, so that more programs hide each other's
    waits.
    """
    for _ in tl.static_range(4):  # pyright: ignore[reportGeneralTypeIssues]
        even, odd = tl.split(tl.reshape(x, (TOKENS * D // 16, 8, 2)))
        x = tl.permute(tl.join(even + odd, even - odd), (0, 2, 1))
    x = _turned_over_threads(x, TOKENS * D, 16)
    x = _turned_over_threads(x, TOKENS * D, 32)
    if D == 128:
        x = _turned_over_threads(x, TOKENS * D, 64)
    return tl.reshape(x, (TOKENS, D))


@triton.jit
def quantize_tokens_kernel(
    x_ptr: tl.tensor,
    channel_factor_ptr: tl.tensor,
    mean_ptr: tl.tensor,
    data_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    longest_ptr: tl.tensor,
    num_heads: tl.tensor,
    batch_stride: tl.tensor,
    token_stride: tl.tensor,
    length: tl.tensor,
    padded: tl.tensor,
    factor: tl.tensor,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    INT8: tl.constexpr,
    SUBTRACT_MEAN: tl.constexpr,
    PER_BLOCK: tl.constexpr,
    HAS_LONGEST: tl.constexpr,
) -> None:
    """Scale channels, subtract the mean, rotate and quantise BLOCK tokens of one head.

    x (B, L, H, D) -> data (B, H, padded, D), scale (B, H, padded) or (B, H, padded / BLOCK), and
    the largest squared length of what the data stands for, in longest (B * H,) float32 as int32.
    Programs of all heads run side by side, so that what is read together is whole tokens.
    """
    head, block = tl.program_id(0), tl.program_id(1)
    tokens = block * BLOCK + tl.arange(0, BLOCK)
    channels = tl.arange(0, D)
    is_token = tokens < length
    x_ptr += _head_start(head, num_heads, batch_stride, D)
    at = x_ptr + tokens.to(tl.int64)[:, None] * token_stride + channels[None, :]
    x = tl.load(at, mask=is_token[:, None], other=0.0).to(tl.float32)
    x *= tl.load(channel_factor_ptr + head * D + channels)[None, :]
    if SUBTRACT_MEAN:
        x -= tl.load(mean_ptr + head * D + channels)[None, :]
    x = _turned(x, BLOCK, D)
    largest = tl.where(is_token, tl.max(tl.abs(x), 1), 0.0)
    if PER_BLOCK:
        largest = tl.zeros_like(largest) + tl.max(largest, 0)
    largest = tl.maximum(largest, 1.0e-20)
    to = head.to(tl.int64) * padded + tokens
    at = data_ptr + to[:, None] * D + channels[None, :]
    if INT8:
        # 0 beyond the last token. The sum's last eight bits are the integer.
        y = x * tl.where(is_token, 127.0 / largest, 0.0)[:, None] + _ROUNDER
        tl.store(at, y.to(tl.int32, bitcast=True).to(tl.int8))
        scale = largest * (factor / 127.0)
        if HAS_LONGEST:
            y = y - _ROUNDER
            squares = tl.sum(y * y, 1) * scale * scale
            # Floats that are not negative are in the order of their bits.
            longest = tl.max(squares, 0).to(tl.int32, bitcast=True)
            tl.atomic_max(longest_ptr + head, longest, sem="relaxed")
    else:
        y = x * tl.where(is_token, 448.0 / largest, 0.0)[:, None]
        tl.store(at, y.to(tl.float8e4nv))
        scale = largest * (factor / 448.0)
    if PER_BLOCK:
        tl.store(scale_ptr + head * (padded // BLOCK) + block, tl.max(scale, 0))
    else:
        tl.store(scale_ptr + to, scale)


@triton.jit
def value_range_kernel(
    v_ptr: tl.tensor,
    partial_ptr: tl.tensor,
    num_heads: tl.tensor,
    batch_stride: tl.tensor,
    token_stride: tl.tensor,
    length: tl.tensor,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    STEPS: tl.constexpr,
) -> None:
    """Smallest, largest and sum per channel of BLOCK * STEPS tokens of one head.

    v (B, L, H, D) -> partial (3, B * H, parts, D), float32.
    """
    part, head = tl.program_id(0), tl.program_id(1)
    parts, heads = tl.num_programs(0), tl.num_programs(1)
    channels = tl.arange(0, D)
    v_ptr += _head_start(head, num_heads, batch_stride, D)
    low = tl.full((D,), 3.0e38, tl.float32)
    high = tl.full((D,), -3.0e38, tl.float32)
    total = tl.zeros((D,), tl.float32)
    for step in range(STEPS):
        tokens = (part * STEPS + step) * BLOCK + tl.arange(0, BLOCK)
        is_token = (tokens < length)[:, None]
        at = v_ptr + tokens.to(tl.int64)[:, None] * token_stride + channels[None, :]
        v = tl.load(at, mask=is_token, other=0.0).to(tl.float32)
        low = tl.minimum(low, tl.min(tl.where(is_token, v, 3.0e38), 0))
        high = tl.maximum(high, tl.max(tl.where(is_token, v, -3.0e38), 0))
        total += tl.sum(v, 0)
    at = partial_ptr + (head * parts + part) * D + channels
    tl.store(at, low)
    tl.store(at + heads * parts * D, high)
    tl.store(at + 2 * heads * parts * D, total)


@triton.jit
def value_scale_kernel(
    partial_ptr: tl.tensor,
    mean_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    parts: tl.tensor,
    length: tl.tensor,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Combine the at most BLOCK partial ranges of one head: mean and scale (B * H, D), float32."""
    head, heads = tl.program_id(0), tl.num_programs(0)
    channels = tl.arange(0, D)
    plane = heads * parts * D
    index = tl.arange(0, BLOCK)
    at = partial_ptr + (head * parts + index)[:, None] * D + channels[None, :]
    is_part = (index < parts)[:, None]
    low = tl.min(tl.load(at, mask=is_part, other=3.0e38), 0)
    high = tl.max(tl.load(at + plane, mask=is_part, other=-3.0e38), 0)
    total = tl.sum(tl.load(at + 2 * plane, mask=is_part, other=0.0), 0)
    mean = total / length
    largest = tl.maximum(tl.maximum(high - mean, mean - low), 1.0e-20)
    tl.store(mean_ptr + head * D + channels, mean)
    tl.store(scale_ptr + head * D + channels, largest / 448.0)


@triton.jit
def quantize_values_kernel(
    v_ptr: tl.tensor,
    mean_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    data_ptr: tl.tensor,
    residual_ptr: tl.tensor,
    num_heads: tl.tensor,
    batch_stride: tl.tensor,
    token_stride: tl.tensor,
    length: tl.tensor,
    padded: tl.tensor,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Quantise BLOCK tokens of one head, transposed, and sum what the rounding lost.

    v (B, L, H, D) -> data (B, H, D, padded) e4m3, residual (B * H, padded / BLOCK, D) float32:
    the sum over tokens of v - scale * data. Tokens are stored in the order in which a thread's
    scores come out of the first product (see ``value_order``), so the probabilities need no
    exchange between threads.
    """
    block, head = tl.program_id(0), tl.program_id(1)
    blocks = tl.num_programs(0)
    place = block * BLOCK + tl.arange(0, BLOCK)
    tokens = (place & -16) | ((place & 2) << 2) | ((place & 12) >> 1) | (place & 1)
    channels = tl.arange(0, D)
    is_token = (tokens < length)[:, None]
    v_ptr += _head_start(head, num_heads, batch_stride, D)
    at = v_ptr + tokens.to(tl.int64)[:, None] * token_stride + channels[None, :]
    v = tl.load(at, mask=is_token, other=0.0).to(tl.float32)
    mean = tl.load(mean_ptr + head * D + channels)
    scale = tl.load(scale_ptr + head * D + channels)
    y = tl.where(is_token, (v - mean[None, :]) * (1.0 / scale)[None, :], 0.0).to(tl.float8e4nv)
    lost = tl.where(is_token, v - y.to(tl.float32) * scale[None, :], 0.0)
    tl.store(residual_ptr + (head * blocks + block) * D + channels, tl.sum(lost, 0))
    to = (head * D + channels).to(tl.int64)[:, None] * padded + place[None, :]
    tl.store(data_ptr + to, tl.trans(y))


@triton.jit
def _add_product(
    acc: tl.tensor,
    p: tl.tensor,
    v: tl.tensor,
    M: tl.constexpr,
    N: tl.constexpr,
    PV_FP8: tl.constexpr,
    ON_GPU: tl.constexpr,
) -> Any:
    """acc (M, D) + p (M, N) float32 rounded to the type of v (N, D), times v."""
    if PV_FP8:
        y = tl.reshape(p.to(tl.float8e4nv), (M, N // 16, 2, 4, 2))
        y = tl.reshape(tl.permute(y, (0, 1, 3, 2, 4)), (M, N))
        return acc + tl.dot(y, v)
    else:
        return tl.dot(_operand(p.to(tl.bfloat16), ON_GPU), _operand(v, ON_GPU), acc)


@triton.jit
def _softmax(
    s: tl.tensor,
    highest: tl.tensor,
    total: tl.tensor,
    q_scale: tl.tensor,
    k_scale_ptr: tl.tensor,
    start: tl.tensor,
    len_k: tl.tensor,
    N: tl.constexpr,
    KEY_BLOCK: tl.constexpr,
    MASKED: tl.constexpr,
    PV_FP8: tl.constexpr,
) -> Any:
    """One block of the running softmax in base 2.

    s (M, N) scores as integers or floats -> p (M, N), the new row maxima and sums, and the factor
    that everything summed before is to be multiplied by.
    """
    t = s.to(tl.float32)
    columns = start + tl.arange(0, N)
    scale = q_scale
    if KEY_BLOCK == 1:
        t = t * tl.load(k_scale_ptr + columns)[None, :]
    else:
        scale = q_scale * tl.load(k_scale_ptr + start // KEY_BLOCK)
    if MASKED:
        t = tl.where((columns < len_k)[None, :], t, _LOWEST)
    new_highest = tl.maximum(highest, tl.max(t, 1) * scale)
    if PV_FP8:
        p = tl.exp2(t * scale[:, None] - (new_highest - _LOG2_FP8_MAX)[:, None])
    else:
        p = tl.exp2(t * scale[:, None] - new_highest[:, None])
    decay = tl.exp2(highest - new_highest)
    return p, new_highest, total * decay + tl.sum(p, 1), decay


@triton.jit
def _load_values(
    v_ptr: tl.tensor,
    offsets: tl.tensor,
    start: tl.tensor,
    len_k: tl.tensor,
    token_stride: tl.tensor,
    N: tl.constexpr,
    MASKED: tl.constexpr,
    PV_FP8: tl.constexpr,
) -> Any:
    """A block of values (N, D): e4m3 out of (D, padded), or bf16 out of (L, H, D)."""
    if PV_FP8:
        return tl.load(v_ptr + start + offsets).T
    elif MASKED:
        at = v_ptr + start * token_stride + offsets
        return tl.load(at, mask=(start + tl.arange(0, N) < len_k)[:, None], other=0.0)
    else:
        return tl.load(v_ptr + start * token_stride + offsets)


# A length of 1 would be folded into the code and lose its type.
@triton.jit(do_not_specialize=["len_q", "len_k"])
def attention_kernel(
    q_ptr: tl.tensor,
    k_ptr: tl.tensor,
    v_ptr: tl.tensor,
    q_scale_ptr: tl.tensor,
    k_scale_ptr: tl.tensor,
    v_scale_ptr: tl.tensor,
    v_offset_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_heads: tl.tensor,
    v_batch_stride: tl.tensor,
    v_token_stride: tl.tensor,
    len_q: tl.tensor,
    len_k: tl.tensor,
    padded_q: tl.tensor,
    padded_k: tl.tensor,
    D: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    KEY_BLOCK: tl.constexpr,
    PV_FP8: tl.constexpr,
    ON_GPU: tl.constexpr,
    STAGES: tl.constexpr,
    LAST: tl.constexpr,
) -> None:
    """M queries of one head against all keys; out (B, Lq, H, D) bf16.

    The probabilities of a block times its values are summed in fresh accumulators and then added
    to the running sum in float32: Hopper's 8-bit products keep about 14 bits while they
    accumulate (DeepSeek-V3, arXiv 2412.19437, section 3.3.2), which over 1,000 steps would be
    percents; as a fused multiply-add with the decay the second level costs nothing.

    LAST is where the last block starts, for the interpreter, whose loops need a plain number.
    """
    head = tl.program_id(1)
    wide = head.to(tl.int64)
    rows = tl.program_id(0) * M + tl.arange(0, M)
    channels = tl.arange(0, D)
    k_ptr += wide * padded_k * D
    k_scale_ptr += wide * (padded_k // KEY_BLOCK)
    k_offsets = tl.arange(0, N)[:, None] * D + channels[None, :]
    batch, inner = wide // num_heads, head % num_heads
    if PV_FP8:
        v_ptr += wide * D * padded_k
        v_offsets = channels[:, None] * padded_k + tl.arange(0, N)[None, :]
    else:
        v_ptr += _head_start(head, num_heads, v_batch_stride, D)
        v_offsets = tl.arange(0, N)[:, None] * v_token_stride + channels[None, :]
    q = tl.load(q_ptr + (wide * padded_q + rows)[:, None] * D + channels[None, :])
    q_scale = tl.load(q_scale_ptr + wide * padded_q + rows)
    highest = tl.full((M,), _LOWEST, tl.float32)
    total = tl.zeros((M,), tl.float32)
    acc = tl.zeros((M, D), tl.float32)
    last = (len_k - 1) // N * N

    for start in tl.range(0, last if LAST is None else LAST, N, num_stages=STAGES):
        s = tl.dot(q, tl.load(k_ptr + start * D + k_offsets).T)
        p, highest, total, decay = _softmax(
            s, highest, total, q_scale, k_scale_ptr, start, len_k, N, KEY_BLOCK, False, PV_FP8
        )
        v = _load_values(v_ptr, v_offsets, start, len_k, v_token_stride, N, False, PV_FP8)
        acc = _add_product(acc * decay[:, None], p, v, M, N, PV_FP8, ON_GPU)

    s = tl.dot(q, tl.load(k_ptr + last * D + k_offsets).T)
    p, highest, total, decay = _softmax(
        s, highest, total, q_scale, k_scale_ptr, last, len_k, N, KEY_BLOCK, True, PV_FP8
    )
    v = _load_values(v_ptr, v_offsets, last, len_k, v_token_stride, N, True, PV_FP8)
    acc = _add_product(acc * decay[:, None], p, v, M, N, PV_FP8, ON_GPU)

    out = acc / total[:, None]
    if PV_FP8:
        out = out * tl.load(v_scale_ptr + wide * D + channels)[None, :]
        out += tl.load(v_offset_ptr + wide * D + channels)[None, :]
    at = ((batch * len_q + rows) * num_heads + inner)[:, None] * D + channels[None, :]
    tl.store(out_ptr + at, out.to(tl.bfloat16), mask=(rows < len_q)[:, None])
