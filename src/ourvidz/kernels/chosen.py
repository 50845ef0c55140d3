"""Attention by whatever is fastest on this machine for each shape that comes along."""

from __future__ import annotations

from pathlib import Path

import torch

from ourvidz.kernels.attention_ways import Attend, exact_ways, ways_8bit
from ourvidz.kernels.probe import fastest_attention

# Below, preparing the operands costs more than the products in 8 bits save.
_FEWEST_KEYS_8BIT = 2048
_Shape = tuple[int, int, int, int, int, torch.dtype]  # B, Lq, Lk, H, D


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
        self._ways: dict[_Shape, Attend] = {}

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return softmax(q k^T / sqrt(D)) v, (B, Lq, H, D)."""
        shape = (q.shape[0], q.shape[1], k.shape[1], q.shape[2], q.shape[3], q.dtype)
        if shape not in self._ways:
            self._ways[shape] = self._find(q, k)
        return self._ways[shape](q, k, v)

    def _find(self, q: torch.Tensor, k: torch.Tensor) -> Attend:
        ways = exact_ways(q)
        if self._is_8bit and k.shape[1] >= _FEWEST_KEYS_8BIT:
            # First, because off CUDA the first is taken: what 8 bits do shall be seen there too.
            ways = ways_8bit(q) | ways
        num_items, num_queries, num_heads, head_dim = q.shape
        name = fastest_attention(
            ways,
            (num_items, num_queries, num_heads, head_dim),
            q.dtype,
            q.device,
            len_k=k.shape[1],
            cache=self._cache,
        )
        return ways[name]
