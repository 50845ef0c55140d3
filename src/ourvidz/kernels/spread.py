"""Rows laid out by heads for an exchange between ranks, in the pass that makes them.

A row has all heads of a token; an exchange sends some heads of all tokens, which must lie in one
piece. A pass of its own for this reads and writes everything once more (at 16,380 rows of 1,536 in
bfloat16 0.1 GB, which torch's copy takes 0.07 ms for); here queries and keys are written where they
belong by the norm and turn that they go through anyway.

Shapes: M rows, D width, as ``layout.Spread`` has them.
"""

from __future__ import annotations

from typing import Any

import torch

from ourvidz.kernels.layout import Spread
from ourvidz.kernels.norms import norm_rope_reference
from ourvidz.kernels.runtime import can_run_triton


def norm_rope_spread(
    x: torch.Tensor,
    *,
    weight: torch.Tensor,
    eps: float,
    cos: torch.Tensor,
    sin: torch.Tensor,
    spread: Spread,
) -> torch.Tensor:
    """Return what ``norms.norm_rope_`` makes of ``x``, laid out anew; ``x`` stays as it is.

    Args:
        x: (M, D), of unit stride in D; a slice of a wider tensor may be given.
        weight: (D,).
        eps: added to the mean square.
        cos: (M / items, D / heads / 2) float32.
        sin: the same.
        spread: the layout.
    """
    if can_run_triton(x):
        return _triton().norm_rope_spread(
            x, weight=weight, eps=eps, cos=cos, sin=sin, spread=spread
        )
    return spread_reference(
        norm_rope_reference(x, weight=weight, eps=eps, cos=cos, sin=sin), spread=spread
    )


def spread_rows(x: torch.Tensor, *, spread: Spread) -> torch.Tensor:
    """Return ``x``, (M, D) of unit stride in D, laid out anew."""
    if can_run_triton(x):
        return _triton().norm_rope_spread(
            x, weight=None, eps=0.0, cos=None, sin=None, spread=spread
        )
    return spread_reference(x, spread=spread)


def spread_reference(x: torch.Tensor, *, spread: Spread) -> torch.Tensor:
    """See ``spread_rows``."""
    _, _, _, rows, width = spread.shape(x.shape)
    parts = x.unflatten(1, (spread.parts, spread.chunks, width)).unflatten(0, (spread.items, rows))
    return parts.permute(0, 3, 2, 1, 4).contiguous()


def collect_rows(x: torch.Tensor) -> torch.Tensor:
    """Return (M, D) of (items, chunks, parts, M / items, W) contiguous: ``spread_rows`` undone."""
    assert x.is_contiguous(), x.shape
    if can_run_triton(x):
        return _triton().collect(x)
    return collect_reference(x)


def collect_reference(x: torch.Tensor) -> torch.Tensor:
    """See ``collect_rows``."""
    return x.permute(0, 3, 2, 1, 4).flatten(2).flatten(0, 1)


def _triton() -> Any:
    from ourvidz.kernels import _norms_triton

    return _norms_triton
