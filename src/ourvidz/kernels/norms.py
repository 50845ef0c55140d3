"""Norms of a transformer block, fused with what stands before and after them.

Shapes: M rows (tokens of all items), D width, B items of M / B rows each, H heads. Everything is
read and written once: at M = 32,760 and D = 1,536 in bfloat16 a tensor is 101 MB, so that
``residual_norm`` moves 0.40 GB (0.10 ms at 4.2 TB/s) where the library's separate operations
move about 2 GB, most of it in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.int8 import (
    Int8Pairs,
    Int8Rows,
    int8_pairs_reference,
    int8_rows_reference,
    rotate,
)
from ourvidz.kernels.quantize import Quantized, quantize_rows_reference
from ourvidz.kernels.runtime import can_run_triton


def residual_norm(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    is_quantized: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | Quantized]:
    """Return ``x + gate * delta`` and its layer norm times ``mul`` plus ``add``.

    Computed in float32 and rounded to ``x.dtype`` where the library rounds: the sum once, the
    normalised sum once.

    Args:
        x: (M, D), contiguous. Overwritten with the sum where there is a ``delta``.
        mul: (B, D) float32, rows M / B apart: a norm's weight, or one plus a modulation's scale.
        add: (B, D) float32: a norm's bias, or a modulation's shift.
        eps: added to the variance.
        delta: (M, D), contiguous, of ``x.dtype``.
        gate: (B, D) float32; 1 where it is left out.
        is_quantized: give the normalised sum in 8 bits, quantised from float32.

    Returns:
        The sum (``x`` itself) and the normalised sum, both (M, D).
    """
    run = _triton().residual_norm if can_run_triton(x) else residual_norm_reference
    return run(x, mul=mul, add=add, eps=eps, delta=delta, gate=gate, is_quantized=is_quantized)


def residual_norm_reference(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    is_quantized: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | Quantized]:
    """See ``residual_norm``."""
    x, normed = _residual_norm(x, mul=mul, add=add, eps=eps, delta=delta, gate=gate)
    return x, quantize_rows_reference(normed) if is_quantized else normed.to(x.dtype)


def _residual_norm(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None,
    gate: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum and the normalised sum in float32, as ``residual_norm``."""
    num_items, width = mul.shape
    if delta is not None:
        moved = delta.float().view(num_items, -1, width)
        moved = moved if gate is None else moved * gate[:, None]
        x.copy_((x.float().view(num_items, -1, width) + moved).view_as(x))
    normed = F.layer_norm(x.float(), (width,), eps=eps).view(num_items, -1, width)
    return x, (normed * mul[:, None] + add[:, None]).view_as(x)


def residual_norm_int8(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
) -> tuple[torch.Tensor, Int8Rows]:
    """Return what ``residual_norm`` does, the normalised sum turned and in 8-bit integers.

    Turned as ``int8.rotate`` does, so D is a multiple of 16. Rounded once, from float32. Half the
    bytes are written.
    """
    run = _triton().residual_norm_int8 if can_run_triton(x) else residual_norm_int8_reference
    return run(x, mul=mul, add=add, eps=eps, delta=delta, gate=gate)


def residual_norm_int8_reference(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
) -> tuple[torch.Tensor, Int8Rows]:
    """See ``residual_norm_int8``."""
    x, normed = _residual_norm(x, mul=mul, add=add, eps=eps, delta=delta, gate=gate)
    return x, int8_rows_reference(rotate(normed))


def residual_norm_pairs(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    is_shared: bool = False,
) -> tuple[torch.Tensor, Int8Pairs]:
    """Return what ``residual_norm_int8`` does, of two branches as pairs (see ``Int8Pairs``).

    Args:
        x: (M, D), all rows of the first branch, then all of the second.
        mul: (B, D) float32, of the items of both branches.
        add: (B, D) float32.
        eps: added to the variance.
        delta: (M, D).
        gate: (B, D) float32.
        is_shared: what the second branch's items are multiplied by, and what is added to them, is
            that of the first's; then it is read once.

    Returns:
        ``x`` and M / 2 pairs.
    """
    run = _triton().residual_norm_pairs if can_run_triton(x) else residual_norm_pairs_reference
    return run(x, mul=mul, add=add, eps=eps, delta=delta, gate=gate, is_shared=is_shared)


def residual_norm_pairs_reference(
    x: torch.Tensor,
    *,
    mul: torch.Tensor,
    add: torch.Tensor,
    eps: float,
    delta: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    is_shared: bool = False,
) -> tuple[torch.Tensor, Int8Pairs]:
    """See ``residual_norm_pairs``."""
    half = len(mul) // 2
    assert not is_shared or len(mul) == 1 or torch.equal(mul[:half], mul[half:])
    x, normed = _residual_norm(x, mul=mul, add=add, eps=eps, delta=delta, gate=gate)
    return x, int8_pairs_reference(*rotate(normed).chunk(2))


def norm_rope_(
    x: torch.Tensor,
    *,
    weight: torch.Tensor,
    eps: float,
    cos: torch.Tensor | None = None,
    sin: torch.Tensor | None = None,
) -> None:
    """Divide each row by its root mean square, times ``weight``, and turn it, in place.

    The norm is over the whole row (all heads together, as Wan has it), rounded to ``x.dtype``
    before the turn, as in the library. Pairs (2i, 2i + 1) of each head turn by an angle of the
    row's position.

    Args:
        x: (M, D), of unit stride in D; a slice of a wider tensor may be given.
        weight: (D,).
        eps: added to the mean square.
        cos: (L, D / H / 2) float32, rows repeat every L; None: no turn.
        sin: the same.
    """
    if can_run_triton(x):
        _triton().norm_rope(x, weight=weight, eps=eps, cos=cos, sin=sin)
    else:
        x.copy_(norm_rope_reference(x, weight=weight, eps=eps, cos=cos, sin=sin))


def norm_rope_reference(
    x: torch.Tensor,
    *,
    weight: torch.Tensor,
    eps: float,
    cos: torch.Tensor | None = None,
    sin: torch.Tensor | None = None,
) -> torch.Tensor:
    """See ``norm_rope_``; returns (M, D)."""
    width = x.shape[-1]
    normed = F.rms_norm(x.float(), (width,), weight.float(), eps=eps).to(x.dtype)
    if cos is None or sin is None:
        return normed
    pairs = normed.float().view(-1, cos.shape[0], width // cos.shape[1] // 2, cos.shape[1], 2)
    even, odd = pairs.unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.view(x.shape).to(x.dtype)


def _triton() -> Any:
    from ourvidz.kernels import _norms_triton

    return _norms_triton
