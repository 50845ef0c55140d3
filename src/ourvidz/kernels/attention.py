"""Attention: the exact ways that torch offers, by name, and ours in 8 bits.

Shapes: B items, L tokens, H heads, D channels of a head; (B, L, H, D) in and out. A call costs
4 B H Lq Lk D operations: 6.6 TFLOP at 12 heads of 32,760 tokens and D = 128.

**8 bits** (fidelity ``high``). Scores are a product of int8, probabilities times values one of
e4m3, both summed exactly or in float32. What is done to the inputs first is exact algebra, chosen
so that rounding hurts less:

- each channel is divided by a power of two in the keys and multiplied by it in the queries, so that
  both are of one size in it;
- queries and keys are then multiplied by one orthogonal matrix (Walsh-Hadamard, signs only), which
  leaves every score as it was and spreads a channel ten times larger than the others over all of
  them (FlashAttention-3, arXiv 2407.08608, section 3.3);
- a mean over keys is subtracted from the keys: each query's scores move by one constant, which the
  softmax does not see (SageAttention, arXiv 2410.02367, section 3.2);
- the values' mean is subtracted, and what their rounding lost on average is added back with it:
  the probabilities of a row sum to one, so both are one vector added to the result.

Bytes at the size above: preparing reads 0.5 GB and writes 0.15 GB (0.2 ms at 3.35 TB/s). The
kernel's floors on an H100 for a tile of 128 queries and 128 keys: 1,024 cycles of tensor cores, the
same of exponentials (16 a cycle), and 1,100 (one scale for 128 keys) to 1,300 (one a key) of
instructions issued, counted in the code compiled for sm_90. All 786,000 tiles at 1,200 cycles are
4.2 ms; with nothing overlapping they are 8 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.quantize import E4M3_MAX
from ourvidz.kernels.runtime import can_run_triton, capability, supports_fp8

EXACT_BACKENDS = ("default", "flash", "cudnn")
BACKENDS = (*EXACT_BACKENDS, "8bit")

# What multiplies queries by keys, and probabilities by values. Relative L2 error on Gaussian inputs
# of 4,096 tokens: 3.5 %, 5.0 %, 1.0 %. Only the first and the last keep to 4 %, with outlier
# channels too: e4m3 scores are there as a measured comparison.
PRODUCTS = ("int8_fp8", "fp8_fp8", "int8_bf16")
# One scale a key, or one for 128 of them, which saves one operation in seven of the inner loop.
KEY_SCALES = ("token", "block")

HEAD_DIMS = (64, 128)
KEY_BLOCK = 128
_PADDING = 256  # of tokens: a multiple of every block size
_INT8_MAX = 127.0
_SMALLEST = 1e-20
_SAMPLE = 1024  # tokens at least that the channels' sizes and the keys' mean are taken over
_BALANCE_CHANNELS = 32  # of a program: heads alone are too few to fill a GPU
_BALANCE_BLOCK = 128
# Tokens of a program and its warps.
_TOKEN_LAUNCH = (32, 4)
_BLOCK_LAUNCH = (KEY_BLOCK, 8)
_MOST_BALANCE = 8  # a channel moves by at most 2^8 from one side to the other
_VALUE_BLOCK = 64
_VALUE_STEPS = 8
_REFERENCE_ROWS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionConfig:
    """How the 8-bit kernel is laid out; changes its speed, and its result by rounding only."""

    block_m: int = 128  # queries of a program
    block_n: int = 128  # keys of a step
    num_warps: int = 8
    num_stages: int = 3

    @property
    def name(self) -> str:
        """A short name, unique among configs."""
        return f"{self.block_m}x{self.block_n}-w{self.num_warps}-s{self.num_stages}"


# What is worth measuring: two warp groups of one program, or programs of one group beside each
# other, which load keys and values twice as often. Compiled for sm_90 by Triton 3.6, none spills
# more than a few registers in its inner loop.
CONFIGS = tuple(
    AttentionConfig(block_m=block_m, block_n=block_n, num_warps=num_warps, num_stages=num_stages)
    for block_m, block_n, num_warps, num_stages in (
        (128, 128, 8, 3),
        (128, 128, 8, 2),
        (128, 64, 8, 3),
        (128, 64, 8, 4),
        (64, 128, 4, 2),
        (64, 64, 4, 3),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttentionOperands:
    """Queries, keys and values as the 8-bit kernel reads them, tokens padded to blocks."""

    q: torch.Tensor  # (B, H, padded Lq, D) int8 or e4m3
    q_scale: torch.Tensor  # (B, H, padded Lq) float32, log2(e) / sqrt(D) in it
    k: torch.Tensor  # (B, H, padded Lk, D) int8 or e4m3
    k_scale: torch.Tensor  # (B, H, padded Lk) or (B, H, padded Lk / 128) float32
    v: torch.Tensor  # (B, H, D, padded Lk) e4m3 in `value_order`, or (B, Lk, H, D) bf16
    v_scale: torch.Tensor  # (B, H, D) float32
    v_offset: torch.Tensor  # (B, H, D) float32, added to the result
    len_q: int
    len_k: int
    key_block: int  # keys of one scale
    # The largest squared length of a head's keys as they are here, (B * H,) float32.
    k_longest: torch.Tensor | None = None


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, backend: str = "default"
) -> torch.Tensor:
    """Return softmax(q k^T / sqrt(D)) v, (B, Lq, H, D), without a mask.

    Args:
        q: (B, Lq, H, D).
        k: (B, Lk, H, D).
        v: (B, Lk, H, D).
        backend: ``default`` (what torch picks), ``flash`` or ``cudnn``, which are exact, or
            ``8bit``. The two in the middle are called without torch's context manager, which
            costs the host more than the call; off CUDA they are torch's own pick too.

    Raises:
        ValueError: an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown attention backend {backend!r}; there are {', '.join(BACKENDS)}")
    if backend == "8bit":
        return attention_8bit(q, k, v)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if backend == "default" or not q.is_cuda:
        out = F.scaled_dot_product_attention(q, k, v)
    elif backend == "flash":
        out = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0]
    else:
        # None: no bias; False: no log-sum-exp, which only a backward pass needs.
        out = torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, False)[0]
    return out.transpose(1, 2).contiguous()  # copies nothing: each keeps the layout of its input


def attention_8bit(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    products: str | None = None,
    key_scale: str = "token",
    config: AttentionConfig | None = None,
) -> torch.Tensor:
    """Return attention with 8-bit products, (B, Lq, H, D) of ``q.dtype``. Fidelity ``high``.

    Relative L2 error against float32 attention: at most 4 %, also with outlier channels in queries
    and keys and with a mean in the keys.

    Args:
        q: (B, Lq, H, D); D is 64 or 128; a token's heads and channels are dense.
        k: (B, Lk, H, D).
        v: (B, Lk, H, D).
        products: one of ``PRODUCTS``; by default the first that the device multiplies.
        key_scale: one of ``KEY_SCALES``.
        config: block sizes of the kernel; ``probe.attention_8bit_config`` measures the best.

    Raises:
        ValueError: an unknown name, or a head size that the kernel is not made for.
    """
    dtype = q.dtype
    q, k, v = (x.to(torch.bfloat16) for x in (q, k, v))
    products = products or default_products(q.device)
    if not can_run_triton(q, k, v):
        out = attention_8bit_reference(q, k, v, products=products, key_scale=key_scale)
        return out.to(dtype)
    operands = quantize_operands(q, k, v, products=products, key_scale=key_scale)
    return attend_quantized(operands, config=config).to(dtype)


def default_products(device: torch.device) -> str:
    """Return the 8-bit products for a device: with e4m3 unless its hardware lacks it."""
    return "int8_fp8" if device.type != "cuda" or supports_fp8(device) else "int8_bf16"


def default_config(device: torch.device) -> AttentionConfig:
    """Return block sizes that fit a device's shared memory (Hopper has 227 KiB, others 99)."""
    found = capability(device)
    if found is not None and found < (9, 0):
        return AttentionConfig(block_m=128, block_n=64, num_warps=8, num_stages=2)
    return AttentionConfig()


def quantize_operands(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    products: str = "int8_fp8",
    key_scale: str = "token",
) -> AttentionOperands:
    """Quantise (B, L, H, D) bfloat16 tensors for ``attend_quantized``; needs Triton."""
    _check(q, products, key_scale)
    q, k, v = (_with_dense_heads(x) for x in (q, k, v))
    len_q, len_k, head_dim = q.shape[1], k.shape[1], q.shape[3]
    score_dtype = torch.float8_e4m3fn if products == "fp8_fp8" else torch.int8
    q_factor, k_factor, mean, longest = _balance_and_zero(q, k)
    # Both sides carry the rotation's length sqrt(D), so that scores are D times too large.
    factor = math.log2(math.e) / math.sqrt(head_dim) / head_dim
    q_data, q_scale = _quantize_tokens(q, q_factor, score_dtype, factor=factor)
    has_longest = score_dtype == torch.int8
    k_data, k_scale = _quantize_tokens(
        k,
        k_factor,
        score_dtype,
        mean=mean,
        longest=longest if has_longest else None,
        is_per_block=key_scale == "block",
    )
    if products == "int8_bf16":
        v_scale = v_offset = q_scale  # not read
    else:
        v, v_scale, v_offset = _quantize_values(v)
    return AttentionOperands(
        q=q_data,
        q_scale=q_scale,
        k=k_data,
        k_scale=k_scale,
        v=v,
        v_scale=v_scale,
        v_offset=v_offset,
        len_q=len_q,
        len_k=len_k,
        key_block=KEY_BLOCK if key_scale == "block" else 1,
        k_longest=longest.view(torch.float32) if has_longest else None,
    )


def attend_quantized(
    operands: AttentionOperands, *, config: AttentionConfig | None = None
) -> torch.Tensor:
    """Return (B, Lq, H, D) bfloat16 of quantised operands; needs Triton."""
    q, v = operands.q, operands.v
    config = config or default_config(q.device)
    num_items, num_heads, padded_q, head_dim = q.shape
    is_fp8 = v.dtype == torch.float8_e4m3fn
    num_blocks = -(-operands.len_k // config.block_n)
    out = torch.empty(
        num_items, operands.len_q, num_heads, head_dim, dtype=torch.bfloat16, device=q.device
    )
    grid = (-(-operands.len_q // config.block_m), num_items * num_heads)
    _triton().attention_kernel[grid](
        q,
        operands.k,
        v,
        operands.q_scale,
        operands.k_scale,
        operands.v_scale,
        operands.v_offset,
        out,
        num_heads,
        v.stride(0),
        v.stride(1),
        operands.len_q,
        operands.len_k,
        padded_q,
        operands.k.shape[2],
        D=head_dim,
        M=config.block_m,
        N=config.block_n,
        KEY_BLOCK=operands.key_block,
        PV_FP8=is_fp8,
        ON_GPU=q.is_cuda,
        STAGES=config.num_stages,
        LAST=None if q.is_cuda else (num_blocks - 1) * config.block_n,
        num_warps=config.num_warps,
        num_stages=config.num_stages,
    )
    return out


def attention_8bit_reference(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    products: str = "int8_fp8",
    key_scale: str = "token",
) -> torch.Tensor:
    """See ``attention_8bit``: the same roundings in plain PyTorch, on any device.

    One thing differs: the kernel rounds probabilities relative to the largest score so far, this
    relative to the largest of all.
    """
    _check(q, products, key_scale)
    head_dim = q.shape[3]
    rotation = _rotation(head_dim, q.device)
    q_factor, k_factor, mean = _balance(q, k)
    q8 = ((q.float() * q_factor.unsqueeze(1)) @ rotation.float()).transpose(1, 2)
    k8 = ((k.float() * k_factor.unsqueeze(1)) @ rotation.float()).transpose(1, 2)
    k8 = k8 - (mean @ rotation.float()).unsqueeze(2)
    is_int8 = products != "fp8_fp8"
    q8, q_scale = _round_rows(q8, is_int8, 1)
    k8, k_scale = _round_rows(k8, is_int8, KEY_BLOCK if key_scale == "block" else 1)
    q_scale = q_scale * (math.log2(math.e) / math.sqrt(head_dim) / head_dim)
    values = v.float().transpose(1, 2)  # (B, H, Lk, D)
    scale = offset = None
    if products != "int8_bf16":
        average = values.mean(2, keepdim=True)
        largest = (values - average).abs().amax(2, keepdim=True).clamp_min(_SMALLEST)
        scale = largest / E4M3_MAX
        rounded = ((values - average) / scale).to(torch.float8_e4m3fn).float()
        offset = (values - rounded * scale).mean(2, keepdim=True)
        values = rounded
    parts = []
    for start in range(0, q.shape[1], _REFERENCE_ROWS):
        rows = slice(start, start + _REFERENCE_ROWS)
        scores = (q8[:, :, rows] @ k8.transpose(2, 3)) * k_scale.transpose(2, 3)
        scores = scores * q_scale[:, :, rows]
        p = torch.exp2(scores - scores.amax(3, keepdim=True))
        total = p.sum(3, keepdim=True)
        if scale is None or offset is None:
            parts.append((p.to(torch.bfloat16).float() @ values) / total)
        else:
            p = (p * E4M3_MAX).to(torch.float8_e4m3fn).float() / E4M3_MAX
            parts.append((p @ values) / total * scale + offset)
    return torch.cat(parts, 2).transpose(1, 2).to(q.dtype).contiguous()


def value_order(padded: int) -> torch.Tensor:
    """Return which token stands at each place of quantised values, (padded,) int64.

    In every 16 tokens, thread t of four holds the scores of tokens 2t, 2t + 1, 2t + 8 and 2t + 9
    after an 8-bit product, and reads places 4t to 4t + 3 of the next one's left operand (PTX ISA,
    wgmma's register fragments). Values stored in this order make the two agree.
    """
    place = torch.arange(padded)
    return (place & -16) | ((place & 2) << 2) | ((place & 12) >> 1) | (place & 1)


def _check(q: torch.Tensor, products: str, key_scale: str) -> None:
    if products not in PRODUCTS:
        raise ValueError(f"unknown products {products!r}; there are {', '.join(PRODUCTS)}")
    if key_scale not in KEY_SCALES:
        raise ValueError(f"unknown key scale {key_scale!r}; there are {', '.join(KEY_SCALES)}")
    if q.shape[3] not in HEAD_DIMS:
        raise ValueError(f"8-bit attention is made for head sizes {HEAD_DIMS}, not {q.shape[3]}")


def _with_dense_heads(x: torch.Tensor) -> torch.Tensor:
    is_dense = x.stride(3) == 1 and x.stride(2) == x.shape[3]
    return x if is_dense else x.contiguous()


@cache
def _rotation(head_dim: int, device: torch.device) -> torch.Tensor:
    """The Walsh-Hadamard matrix of signs, (D, D) bfloat16; sqrt(D) times an orthogonal one."""
    with torch.inference_mode(False):
        signs = torch.ones(1, 1)
        while signs.shape[0] < head_dim:
            signs = torch.cat((torch.cat((signs, signs), 1), torch.cat((signs, -signs), 1)), 0)
        return signs.to(torch.bfloat16).to(device)


def _balance(q: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what queries and keys are multiplied by per channel, and the keys' mean after that.

    All are (B, H, D) float32. Any vectors would leave attention as it is, so a
    sample of tokens decides; powers of two, so that multiplying bfloat16 rounds nothing.
    """
    q_sample, k_sample = (x[:, :: max(1, x.shape[1] // _SAMPLE)].float() for x in (q, k))
    variance, mean = torch.var_mean(k_sample, 1, correction=0)
    ratio = variance.clamp_min(_SMALLEST) / q_sample.square().mean(1).clamp_min(_SMALLEST)
    exponent = (ratio.log2() / 4).round().clamp(-_MOST_BALANCE, _MOST_BALANCE)
    k_factor = torch.exp2(-exponent)
    return torch.exp2(exponent), k_factor, mean * k_factor


def _round_rows(x: torch.Tensor, is_int8: bool, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, H, L, D) -> whole numbers (or e4m3 values) in float32, and a scale (B, H, L, 1)."""
    largest = x.abs().amax(3, keepdim=True)
    if group > 1:
        padded = F.pad(largest, (0, 0, 0, -x.shape[2] % group)).unflatten(2, (-1, group))
        largest = padded.amax(3, keepdim=True).expand_as(padded).flatten(2, 3)[:, :, : x.shape[2]]
    largest = largest.clamp_min(_SMALLEST)
    if is_int8:
        return (x * (_INT8_MAX / largest)).round(), largest / _INT8_MAX
    return (x * (E4M3_MAX / largest)).to(torch.float8_e4m3fn).float(), largest / E4M3_MAX


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _padded(length: int) -> int:
    return -(-length // _PADDING) * _PADDING


def _balance_and_zero(
    q: torch.Tensor, k: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what ``_balance`` does, in one launch, and a zero a head, (B * H,) int32."""
    num_items, _, num_heads, head_dim = q.shape
    (q_every, q_sampled), (k_every, k_sampled) = (_sample(x.shape[1]) for x in (q, k))
    found = torch.empty(
        3, num_items, num_heads, head_dim, dtype=torch.float32, device=q.device
    ).unbind(0)
    longest = torch.empty(num_items * num_heads, dtype=torch.int32, device=q.device)
    _triton().balance_kernel[(num_items * num_heads, head_dim // _BALANCE_CHANNELS)](
        q,
        k,
        *found,
        longest,
        num_heads,
        q.stride(0),
        q.stride(1),
        k.stride(0),
        k.stride(1),
        q_every,
        k_every,
        q_sampled,
        k_sampled,
        D=head_dim,
        CHANNELS=_BALANCE_CHANNELS,
        BLOCK=_BALANCE_BLOCK,
        Q_STEPS=_power_of_two(-(-q_sampled // _BALANCE_BLOCK)),
        K_STEPS=_power_of_two(-(-k_sampled // _BALANCE_BLOCK)),
        MOST=_MOST_BALANCE,
        num_warps=8,
    )
    q_factor, k_factor, mean = found
    return q_factor, k_factor, mean, longest


def _sample(length: int) -> tuple[int, int]:
    """Return which tokens ``_balance`` looks at, every so-manyth, and how many these are."""
    every = max(1, length // _SAMPLE)
    return every, -(-length // every)


def _quantize_tokens(
    x: torch.Tensor,
    channel_factor: torch.Tensor,
    dtype: torch.dtype,
    *,
    factor: float = 1.0,
    mean: torch.Tensor | None = None,
    longest: torch.Tensor | None = None,
    is_per_block: bool = False,
    launch: tuple[int, int] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return data and scale of ``AttentionOperands``.

    Args:
        x: (B, L, H, D).
        channel_factor: (B, H, D) float32.
        dtype: int8 or e4m3.
        factor: goes into the scale.
        mean: (B, H, D) float32, of what is multiplied.
        longest: (B * H,) int32, raised to the bits of the largest squared length.
        is_per_block: one scale for ``KEY_BLOCK`` tokens.
        launch: tokens of a program (``KEY_BLOCK`` if they share a scale) and its warps.
    """
    num_items, length, num_heads, head_dim = x.shape
    padded = _padded(length)
    block, num_warps = launch or (_BLOCK_LAUNCH if is_per_block else _TOKEN_LAUNCH)
    blocks = padded // block
    data = torch.empty(num_items, num_heads, padded, head_dim, dtype=dtype, device=x.device)
    scale = torch.empty(
        num_items,
        num_heads,
        blocks if is_per_block else padded,
        dtype=torch.float32,
        device=x.device,
    )
    _triton().quantize_tokens_kernel[(num_items * num_heads, blocks)](
        x,
        channel_factor,
        scale if mean is None else mean,
        data,
        scale,
        scale if longest is None else longest,
        num_heads,
        x.stride(0),
        x.stride(1),
        length,
        padded,
        factor,
        D=head_dim,
        BLOCK=block,
        INT8=dtype == torch.int8,
        SUBTRACT_MEAN=mean is not None,
        PER_BLOCK=is_per_block,
        HAS_LONGEST=longest is not None,
        num_warps=num_warps,
    )
    return data, scale


def _quantize_values(v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    num_items, length, num_heads, head_dim = v.shape
    heads = num_items * num_heads
    padded = _padded(length)
    parts = -(-length // (_VALUE_BLOCK * _VALUE_STEPS))
    device = v.device
    partial = torch.empty(3, heads, parts, head_dim, dtype=torch.float32, device=device)
    mean = torch.empty(num_items, num_heads, head_dim, dtype=torch.float32, device=device)
    scale = torch.empty_like(mean)
    blocks = padded // KEY_BLOCK
    residual = torch.empty(
        num_items, num_heads, blocks, head_dim, dtype=torch.float32, device=device
    )
    data = torch.empty(
        num_items, num_heads, head_dim, padded, dtype=torch.float8_e4m3fn, device=device
    )
    kernels = _triton()
    kernels.value_range_kernel[(parts, heads)](
        v,
        partial,
        num_heads,
        v.stride(0),
        v.stride(1),
        length,
        D=head_dim,
        BLOCK=_VALUE_BLOCK,
        STEPS=_VALUE_STEPS,
    )
    kernels.value_scale_kernel[(heads,)](
        partial, mean, scale, parts, length, D=head_dim, BLOCK=_power_of_two(parts)
    )
    kernels.quantize_values_kernel[(blocks, heads)](
        v,
        mean,
        scale,
        data,
        residual,
        num_heads,
        v.stride(0),
        v.stride(1),
        length,
        padded,
        D=head_dim,
        BLOCK=KEY_BLOCK,
        num_warps=8,
    )
    return data, scale, residual.sum(2) / length


def _triton() -> Any:
    from ourvidz.kernels import _attention_triton

    return _attention_triton
