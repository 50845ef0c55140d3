"""Attention on Hopper's asynchronous tensor cores: exact in 16 bits, or with scores of int8.

The kernel is written in Gluon, the part of Triton where layouts and copies are stated, because
Triton's own order of a loop leaves the tensor cores idle during the softmax. Gluon is marked
experimental, so nothing here is taken on trust: ``probe`` runs the kernel beside the library's
once a shape, and takes it only where its result is right and its time the shortest.

Shapes: B items, L tokens, H heads, D channels of a head; (B, L, H, D) in and out.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from ourvidz.kernels.attention import HEAD_DIMS, KEY_BLOCK, AttentionOperands
from ourvidz.kernels.runtime import can_run_triton, capability

_LENGTH_BLOCK = 128
_ROWS = 64  # of queries to a group, see _attention_gluon
# Of a thread at the start, by number of groups: what an SM has, over the groups of four warps and
# the fetching warp, which is counted as four. The groups then take most of the fetching one's.
_REGISTERS = {2: 168, 3: 128}


@dataclass(frozen=True, kw_only=True, slots=True)
class HopperConfig:
    """How the kernel is laid out; changes its speed, and its result by rounding only."""

    groups: int = 3  # of 64 queries each, that share what is fetched: 2 or 3
    block_n: int = 64  # keys of a softmax: 64 or 128
    parts: int = 1  # how many of them are fetched and given free together: 1, 2 or 4
    num_stages: int = 4  # fetches in flight

    @property
    def name(self) -> str:
        """A short name, unique among configs."""
        return f"hopper-{self.groups}x{self.block_n}x{self.parts}-s{self.num_stages}"


def _config(groups: int, block_n: int, parts: int, num_stages: int) -> HopperConfig:
    return HopperConfig(groups=groups, block_n=block_n, parts=parts, num_stages=num_stages)


# What fits into registers and into 227 KiB, by the type of scores' operands.
CONFIGS_EXACT = (_config(3, 64, 1, 4), _config(3, 64, 2, 2), _config(2, 128, 1, 3))
CONFIGS_INT8 = (_config(3, 64, 2, 3), _config(3, 64, 4, 2), _config(3, 64, 1, 4))


def can_run_hopper(q: torch.Tensor) -> bool:
    """Whether the kernel is made for these (B, L, H, D) queries and for where they are."""
    found = capability(q.device)
    return (
        found is not None
        and found[0] == 9
        and q.shape[3] in HEAD_DIMS
        and can_run_triton(q)
        and _has_gluon()
    )


def attend_exact(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, config: HopperConfig | None = None
) -> torch.Tensor:
    """Return softmax(q k^T / sqrt(D)) v, (B, Lq, H, D), of bfloat16; ``can_run_hopper`` holds.

    Args:
        q: (B, Lq, H, D) bfloat16; a token's heads are dense, its stride is free (a part of one
            fused projection).
        k: (B, Lk, H, D), likewise.
        v: (B, Lk, H, D), likewise.
        config: sizes; ``probe`` measures the best.
    """
    shape = (q.shape[0], q.shape[1], k.shape[1], q.shape[2], q.shape[3])
    rows = [_rows(x) for x in (q, k, v)]
    strides = (k.shape[1] * rows[1].stride(0), k.shape[3], rows[1].stride(0))
    return _launch(
        *rows,
        scales=None,
        longest=_longest(rows[1], shape, strides),
        shape=shape,
        padded=(0, 0),
        config=config or HopperConfig(),
    )


def attend_quantized(
    operands: AttentionOperands, *, config: HopperConfig | None = None
) -> torch.Tensor:
    """Return (B, Lq, H, D) bfloat16 of ``int8_bf16`` operands with one scale for 128 keys."""
    q, k, v = operands.q, operands.k, operands.v
    assert q.dtype == torch.int8
    assert v.dtype == torch.bfloat16
    assert operands.key_block == KEY_BLOCK
    num_items, num_heads, padded_q, head_dim = q.shape
    padded_k = k.shape[2]
    shape = (num_items, operands.len_q, operands.len_k, num_heads, head_dim)
    strides = (num_heads * padded_k * head_dim, padded_k * head_dim, head_dim)
    return _launch(
        q.view(-1, head_dim),
        k.view(-1, head_dim),
        _rows(v),
        scales=(operands.q_scale, operands.k_scale),
        longest=_longest(k, shape, strides, scale=operands.k_scale)
        if operands.k_longest is None
        else operands.k_longest,
        shape=shape,
        padded=(padded_q, padded_k),
        config=config or HopperConfig(),
    )


def _longest(
    k: torch.Tensor,
    shape: tuple[int, int, int, int, int],
    strides: tuple[int, int, int],
    *,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """The largest squared length of each head's keys, (B * H,) float32."""
    num_items, _, len_k, num_heads, head_dim = shape
    longest = torch.zeros(num_items * num_heads, dtype=torch.int32, device=k.device)
    _gluon().longest_rows_kernel[(-(-len_k // _LENGTH_BLOCK), num_items * num_heads)](
        k,
        longest if scale is None else scale,
        longest,
        num_heads,
        *strides,
        len_k,
        0 if scale is None else scale.shape[2],
        D=head_dim,
        BLOCK=_LENGTH_BLOCK,
        SCALE_BLOCK=0 if scale is None else KEY_BLOCK,
    )
    return longest.view(torch.float32)


def _launch(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    scales: tuple[torch.Tensor, torch.Tensor] | None,
    longest: torch.Tensor,
    shape: tuple[int, int, int, int, int],
    padded: tuple[int, int],
    config: HopperConfig,
) -> torch.Tensor:
    num_items, len_q, len_k, num_heads, head_dim = shape
    out = torch.empty(num_items, len_q, num_heads, head_dim, dtype=torch.bfloat16, device=q.device)
    keys = config.block_n * config.parts
    grid = (-(-len_q // (_ROWS * config.groups)), num_items * num_heads)
    q_scale, k_scale = scales or (longest, longest)  # not read
    _gluon().attention_kernel[grid](
        _descriptor(q, (_ROWS, head_dim)),
        _descriptor(k, (keys, head_dim)),
        _descriptor(v, (keys, head_dim)),
        q_scale,
        k_scale,
        longest,
        out,
        num_heads,
        len_q,
        len_k,
        padded[0],
        padded[1],
        math.log2(math.e) / math.sqrt(head_dim),
        **constants_of(config, head_dim, is_int8=q.dtype == torch.int8),
        num_warps=4,
        maxnreg=registers_of(config),
    )
    return out


def constants_of(config: HopperConfig, head_dim: int, *, is_int8: bool) -> dict[str, int | bool]:
    """Return what the kernel is compiled for."""
    return {
        "GROUPS": config.groups,
        "D": head_dim,
        "N": config.block_n,
        "PARTS": config.parts,
        "QK_INT8": is_int8,
        "STAGES": config.num_stages,
    }


def registers_of(config: HopperConfig) -> int:
    """Return the registers of a thread that the kernel begins with."""
    return _REGISTERS[config.groups]


def _rows(x: torch.Tensor) -> torch.Tensor:
    """(B, L, H, D) as rows of all heads, (B * L, H * D); copies what is laid out otherwise."""
    num_items, length, num_heads, head_dim = x.shape
    is_dense = x.stride(3) == 1 and x.stride(2) == head_dim
    is_one = num_items == 1 or x.stride(0) == length * x.stride(1)
    if not (is_dense and is_one and x.stride(1) % 8 == 0):
        x = x.contiguous()
    if x.data_ptr() % 16:
        x = x.clone()
    return x.as_strided((num_items * length, num_heads * head_dim), (x.stride(1), 1))


def _descriptor(x: torch.Tensor, block: tuple[int, int]) -> Any:
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

    return TensorDescriptor(
        x, list(x.shape), list(x.stride()), list(block), _layout(block, x.dtype)
    )


@cache
def _layout(block: tuple[int, int], dtype: torch.dtype) -> Any:
    from triton.experimental.gluon import language as gl

    names = {
        torch.bfloat16: gl.bfloat16,
        torch.int8: gl.int8,
    }
    return gl.NVMMASharedLayout.get_default_for(list(block), names[dtype])


@cache
def _has_gluon() -> bool:
    return importlib.util.find_spec("triton.experimental.gluon") is not None


def _gluon() -> Any:
    from ourvidz.kernels import _attention_gluon

    return _attention_gluon
