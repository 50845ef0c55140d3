"""Attention by whatever is fastest on this machine for each shape that comes along."""

from __future__ import annotations

from pathlib import Path

import torch

from ourvidz.kernels.attention import (
    HEAD_DIMS,
    AttentionConfig,
    attention,
    attention_8bit,
)
from ourvidz.kernels.probe import attention_8bit_config, attention_backend

# Below, preparing the operands costs more than the products in 8 bits save.
_FEWEST_KEYS_8BIT = 2048
_Shape = tuple[int, int, int, int, int]  # B, Lq, Lk, H, D


class ChosenAttention:
    """Attention of (B, L, H, D) tensors. Measures a new shape once; see ``probe``."""

    def __init__(self, *, is_8bit: bool = False, cache: Path | None = None) -> None:
        """Take the limits.

        Args:
            is_8bit: long sequences may use 8-bit products (fidelity ``high``).
            cache: the folder that remembers what was measured; None: this process only.
        """
        self._is_8bit = is_8bit
        self._cache = cache
        self._backends: dict[_Shape, str] = {}
        self._configs: dict[_Shape, AttentionConfig] = {}

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return softmax(q k^T / sqrt(D)) v, (B, Lq, H, D)."""
        shape = (q.shape[0], q.shape[1], k.shape[1], q.shape[2], q.shape[3])
        if self._is_8bit and k.shape[1] >= _FEWEST_KEYS_8BIT and q.shape[3] in HEAD_DIMS:
            if shape not in self._configs:
                self._configs[shape] = attention_8bit_config(
                    (shape[0], shape[1], shape[3], shape[4]),
                    q.device,
                    len_k=shape[2],
                    cache=self._cache,
                )
            return attention_8bit(q, k, v, config=self._configs[shape])
        if shape not in self._backends:
            self._backends[shape] = attention_backend(
                (shape[0], shape[1], shape[3], shape[4]),
                q.dtype,
                q.device,
                len_k=shape[2],
                cache=self._cache,
            )
        return attention(q, k, v, backend=self._backends[shape])
