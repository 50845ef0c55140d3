"""The ways to run one attention on a device, by name, for ``probe`` to choose among.

Each takes (B, L, H, D) queries, keys and values and returns (B, Lq, H, D) of their type.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from ourvidz.kernels import attention_hopper as hopper
from ourvidz.kernels.attention import (
    CONFIGS,
    EXACT_BACKENDS,
    HEAD_DIMS,
    AttentionConfig,
    attention,
    attention_8bit,
    default_products,
    quantize_operands,
)
from ourvidz.kernels.attention_hopper import HopperConfig
from ourvidz.kernels.runtime import can_run_triton

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def exact_ways(q: torch.Tensor) -> dict[str, Attend]:
    """Return the ways within rounding of the library's, for such queries where they are.

    ``default`` is among them everywhere; off CUDA there is no other.
    """
    names = EXACT_BACKENDS if q.is_cuda else EXACT_BACKENDS[:1]
    ways: dict[str, Attend] = {name: partial(attention, backend=name) for name in names}
    if q.dtype == torch.bfloat16 and hopper.can_run_hopper(q):
        for config in hopper.CONFIGS_EXACT:
            ways[config.name] = partial(hopper.attend_exact, config=config)
    return ways


def ways_8bit(q: torch.Tensor) -> dict[str, Attend]:
    """Return the ways with 8-bit scores, their preparation included; none for some head sizes.

    On Hopper values stay in 16 bits: e4m3 values gained no time there and cost the most
    precision. Elsewhere products are in 8 bits as far as the hardware has them.
    """
    if q.shape[3] not in HEAD_DIMS:
        return {}
    if q.dtype == torch.bfloat16 and hopper.can_run_hopper(q):
        return {
            f"int8-{config.name}": partial(_int8_hopper, config=config)
            for config in hopper.CONFIGS_INT8
        }
    products = default_products(q.device)
    if not (q.is_cuda and can_run_triton(q)):
        return {f"8bit-{products}": partial(attention_8bit, products=products)}
    return {
        f"8bit-{products}-{config.name}": partial(_8bit, products=products, config=config)
        for config in CONFIGS
    }


def _int8_hopper(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, config: HopperConfig
) -> torch.Tensor:
    operands = quantize_operands(q, k, v, products="int8_bf16", key_scale="block")
    return hopper.attend_quantized(operands, config=config)


def _8bit(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, products: str, config: AttentionConfig
) -> torch.Tensor:
    return attention_8bit(q, k, v, products=products, config=config)
