"""One token through a transformer's layers: products of a matrix with one vector, and attention.

Decoding reads every weight once a token, so that bytes over bandwidth is its floor. Qwen 2.5-7B
reads 7.07e9 weights a token: 28 layers of (4608 + 3584) x 3584 + 3 x 18944 x 3584, and the head's
152064 x 3584 (the embedding is one row). The floors, and what this design should reach with 85 %
of the copy bandwidth and 2.5 us for the start and the end of each of 144 kernels (0.36 ms):

| GPU | bf16 floor | predicted | e4m3 floor | predicted |
|---|---|---|---|---|
| H200, 4.2 TB/s | 3.37 ms | 4.32 ms, 231 tokens/s | 1.68 ms | 2.34 ms, 427 tokens/s |
| H100, 3.35 TB/s | 4.22 ms | 5.33 ms, 188 tokens/s | 2.11 ms | 2.84 ms, 352 tokens/s |

Five kernels a layer reach that number of launches: norm + q, k, v + bias + rotary turn + cache
write; attention; output projection + residual; norm + gate, up + SiLU; down projection +
residual. The norm costs nothing: its factor is one number, known when the product is.
Weights as they are belong to fidelity ``exact`` (the same sums, rounded less often), 8-bit ones to
``high``.

Rows are not split along K: 3584 rows in programs of 2 already are 1792 programs for 132
multiprocessors. Only one vector at a time: nothing here decodes two sequences in step.

Shapes: K inputs, N outputs, H query heads, G key-value heads, S a head's size, T positions.
Weights are (N, K) as ``torch.nn.Linear`` has them, or ``Quantized``. On tensors without Triton
the references run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.quantize import Quantized, quantize_rows_reference
from ourvidz.kernels.runtime import can_run_triton

# Rows converted at once: float32 copies of an output head would take gigabytes.
_ROWS_AT_ONCE = 8192

Weight = torch.Tensor | Quantized


@dataclass(frozen=True, kw_only=True, slots=True)
class GemvConfig:
    """How a product is launched; any values are correct."""

    rows: int  # weight rows a program (of each of the two weights where there are two); 2**n
    num_warps: int  # share a row; one warp needs no barrier
    chunks: int = 1  # of 16 bytes a lane asks for at once, a row; 2**n
    unroll: int = 1
    # Programmatic dependent launch (Hopper): weights are fetched while the last kernel ends.
    pdl: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerConfigs:
    """One launch for each product of a decoder."""

    qkv: GemvConfig
    out: GemvConfig
    gate_up: GemvConfig
    down: GemvConfig
    head: GemvConfig


# Estimated, not measured: each multiprocessor needs about 25 KB under way to fill the memory bus.
NATIVE_CONFIGS = LayerConfigs(
    qkv=GemvConfig(rows=2, num_warps=2),
    out=GemvConfig(rows=2, num_warps=2),
    gate_up=GemvConfig(rows=2, num_warps=2),
    down=GemvConfig(rows=2, num_warps=2, chunks=2),
    head=GemvConfig(rows=4, num_warps=2),
)
QUANTIZED_CONFIGS = LayerConfigs(
    qkv=GemvConfig(rows=2, num_warps=1, chunks=2),
    out=GemvConfig(rows=2, num_warps=1, chunks=2),
    gate_up=GemvConfig(rows=4, num_warps=1),
    down=GemvConfig(rows=2, num_warps=2, chunks=2),
    head=GemvConfig(rows=8, num_warps=1),
)


def quantize_weight(weight: torch.Tensor) -> Quantized:
    """Return ``weight`` (N, K) in e4m3 with a scale a row, part by part.

    The relative error is 2.6 % over Gaussian values (a mantissa of 3 bits), whatever the scale:
    finer scales would not help.
    """
    parts = [quantize_rows_reference(part) for part in weight.split(_ROWS_AT_ONCE)]
    return Quantized(
        data=torch.cat([part.data for part in parts]),
        scale=torch.cat([part.scale for part in parts]),
    )


def matmul(x: torch.Tensor, weight: Weight) -> torch.Tensor:
    """Return ``x`` (..., K) times the weight's transpose, (..., N), in plain operations.

    8-bit values are exact in bfloat16, so that only the products with the scales round.
    """
    if isinstance(weight, torch.Tensor):
        return F.linear(x, weight)
    return (F.linear(x, weight.data.to(x.dtype)).float() * weight.scale[:, 0]).to(x.dtype)


def linear(
    x: torch.Tensor,
    weight: Weight,
    *,
    norm: torch.Tensor | None = None,
    eps: float = 0.0,
    residual: torch.Tensor | None = None,
    config: GemvConfig | None = None,
) -> torch.Tensor:
    """Return ``residual + weight @ (rms_norm(x) * norm)``.

    Sums are in float32 and rounded once, at the end.

    Args:
        x: (K,) float32 or bfloat16.
        weight: (N, K) of the same dtype, or quantized.
        norm: (K,), the norm's weight; None: x is taken as it is.
        eps: added to the mean square.
        residual: (N,).
        config: how to launch the kernel.

    Returns:
        (N,) of x's dtype.
    """
    if not can_run_triton(x):
        return linear_reference(x, weight, norm=norm, eps=eps, residual=residual)
    from ourvidz.kernels import _gemv_triton

    data, scale = _parts(weight)
    return _gemv_triton.linear(
        x,
        data,
        scale,
        norm=norm,
        eps=eps,
        residual=residual,
        launch=_launch(config or _default(weight).out, data),
    )


def linear_reference(
    x: torch.Tensor,
    weight: Weight,
    *,
    norm: torch.Tensor | None = None,
    eps: float = 0.0,
    residual: torch.Tensor | None = None,
) -> torch.Tensor:
    """See ``linear``."""
    if norm is not None:
        x = rms_norm(x, norm, eps=eps)
    y = matmul(x, weight)
    return y if residual is None else residual + y


def gate_up(
    x: torch.Tensor,
    gate: Weight,
    up: Weight,
    *,
    norm: torch.Tensor,
    eps: float,
    config: GemvConfig | None = None,
) -> torch.Tensor:
    """Return ``silu(gate @ n) * (up @ n)`` with ``n`` the normed x, (N,); see ``linear``."""
    if not can_run_triton(x):
        return gate_up_reference(x, gate, up, norm=norm, eps=eps)
    from ourvidz.kernels import _gemv_triton

    gate_data, gate_scale = _parts(gate)
    up_data, up_scale = _parts(up)
    return _gemv_triton.gate_up(
        x,
        gate_data,
        up_data,
        None if gate_scale is None or up_scale is None else (gate_scale, up_scale),
        norm=norm,
        eps=eps,
        launch=_launch(config or _default(gate).gate_up, gate_data),
    )


def gate_up_reference(
    x: torch.Tensor, gate: Weight, up: Weight, *, norm: torch.Tensor, eps: float
) -> torch.Tensor:
    """See ``gate_up``."""
    x = rms_norm(x, norm, eps=eps)
    return F.silu(matmul(x, gate)) * matmul(x, up)


@dataclass(frozen=True, kw_only=True, slots=True)
class Qkv:
    """The three projections before attention, with their biases."""

    query: Weight  # (H * S, K)
    key: Weight  # (G * S, K)
    value: Weight  # (G * S, K)
    query_bias: torch.Tensor  # (H * S,)
    key_bias: torch.Tensor  # (G * S,)
    value_bias: torch.Tensor  # (G * S,)


def qkv_rope_(
    x: torch.Tensor,
    qkv: Qkv,
    *,
    norm: torch.Tensor,
    eps: float,
    cos: torch.Tensor,
    sin: torch.Tensor,
    position: torch.Tensor,
    cache: torch.Tensor,
    config: GemvConfig | None = None,
) -> torch.Tensor:
    """Project the normed x, turn queries and keys, write keys and values into the cache.

    Args:
        x: (K,).
        qkv: the projections.
        norm: (K,).
        eps: added to the mean square.
        cos: (T, S) of x's dtype, by position; value i turns with value i + S / 2, and both halves
            of a row are equal (as the library has it).
        sin: the same.
        position: (1,) int64 on x's device, below T.
        cache: (2, G, T, S), contiguous; written at ``position``.
        config: how to launch the kernel; its ``rows`` are pairs and divide S / 2.

    Returns:
        The queries, (H * S,).
    """
    if not can_run_triton(x):
        return qkv_rope_reference_(
            x, qkv, norm=norm, eps=eps, cos=cos, sin=sin, position=position, cache=cache
        )
    from ourvidz.kernels import _gemv_triton

    parts = [_parts(weight) for weight in (qkv.query, qkv.key, qkv.value)]
    (q, q_scale), (k, k_scale), (v, v_scale) = parts
    scales = None
    if q_scale is not None and k_scale is not None and v_scale is not None:
        scales = (q_scale, k_scale, v_scale)
    return _gemv_triton.qkv_rope_(
        x,
        (q, k, v),
        scales,
        (qkv.query_bias, qkv.key_bias, qkv.value_bias),
        norm=norm,
        eps=eps,
        cos=cos,
        sin=sin,
        position=position,
        cache=cache,
        launch=_launch(config or _default(qkv.query).qkv, q),
    )


def qkv_rope_reference_(
    x: torch.Tensor,
    qkv: Qkv,
    *,
    norm: torch.Tensor,
    eps: float,
    cos: torch.Tensor,
    sin: torch.Tensor,
    position: torch.Tensor,
    cache: torch.Tensor,
) -> torch.Tensor:
    """See ``qkv_rope_``."""
    size = cache.shape[-1]
    x = rms_norm(x, norm, eps=eps)
    query = (matmul(x, qkv.query) + qkv.query_bias).view(-1, size)
    key = (matmul(x, qkv.key) + qkv.key_bias).view(-1, size)
    value = (matmul(x, qkv.value) + qkv.value_bias).view(-1, size)
    cos_1S, sin_1S = cos.index_select(0, position), sin.index_select(0, position)
    written = torch.stack((rotate(key, cos_1S, sin_1S), value))
    cache.index_copy_(2, position, written[:, :, None])
    return rotate(query, cos_1S, sin_1S).flatten()


def attend(
    query: torch.Tensor,
    cache: torch.Tensor,
    *,
    position: torch.Tensor,
    arrived: torch.Tensor,
    num_splits: int = 8,
    num_warps: int = 4,
    pdl: bool = False,
) -> torch.Tensor:
    """Attend with one token's queries to the positions 0 .. ``position`` of the cache.

    The positions are shared out among ``num_splits`` programs a head, the last of which joins
    what they found. How many there are is read on the device.

    Args:
        query: (H * S,), turned.
        cache: (2, G, T, S), contiguous.
        position: (1,) int64 on the device.
        arrived: (H,) int32 zeros on the device, and again zeros afterwards; not to be shared by
            launches that may run at once.
        num_splits: 2**n.
        num_warps: of a program.
        pdl: programmatic dependent launch.

    Returns:
        (H * S,).
    """
    if not can_run_triton(query):
        return attend_reference(query, cache, position=position)
    from ourvidz.kernels import _gemv_triton

    return _gemv_triton.attend(
        query,
        cache,
        position=position,
        arrived=arrived,
        num_splits=num_splits,
        num_warps=num_warps,
        pdl=pdl,
    )


def attend_reference(
    query: torch.Tensor, cache: torch.Tensor, *, position: torch.Tensor
) -> torch.Tensor:
    """See ``attend``. Waits for ``position``."""
    _, num_kv_heads, _, size = cache.shape
    keys, values = cache[:, :, : int(position) + 1]
    heads = query.view(num_kv_heads, -1, size)  # heads of a group are neighbours
    return F.scaled_dot_product_attention(heads, keys, values).flatten()


def rms_norm(x: torch.Tensor, weight: torch.Tensor, *, eps: float) -> torch.Tensor:
    """Return x over its root mean square along the last dimension, times ``weight``."""
    return F.rms_norm(x, (x.shape[-1],), weight, eps=eps)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn the pairs (i, i + S / 2) of the last dimension, as the library's Qwen 2 does."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


def _parts(weight: Weight) -> tuple[torch.Tensor, torch.Tensor | None]:
    if isinstance(weight, torch.Tensor):
        return weight, None
    return weight.data, weight.scale


def _default(weight: Weight) -> LayerConfigs:
    return NATIVE_CONFIGS if isinstance(weight, torch.Tensor) else QUANTIZED_CONFIGS


def _launch(config: GemvConfig, data: torch.Tensor) -> dict[str, Any]:
    """Return the kernel's constants: a lane reads 16 bytes of a row."""
    per_lane = 16 // data.element_size()
    return {
        "K": data.shape[1],
        "ROWS": config.rows,
        "BLOCK_K": per_lane * 32 * config.num_warps * config.chunks,
        "PER": per_lane,
        "UNROLL": config.unroll,
        "PDL": config.pdl,
        "num_warps": config.num_warps,
        **({"launch_pdl": True} if config.pdl else {}),
    }
