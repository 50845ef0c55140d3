"""Group norm over channels-last images, in pieces that fuse with what stands around it.

A group norm needs one look at everything before it may change anything. So the operation that
writes a tensor (a residual sum, an interleaving) takes its ``Moments`` while the values are in
registers, and the norm itself is one more read and one write: ``group_norm`` makes a scale and a
shift of each channel from the moments and applies them, with SiLU. Moments belong to channels, not
groups: they stay valid when tensors are concatenated (a UNet's skip connections), whatever the
groups then are, and a shift of each channel (a convolution's bias, a timestep's embedding) changes
means only, so that it is never written out. Statistics are in float32 and centred: no difference
of large squares.

Shapes: B images, L = H * W pixels in rows, C channels, S chunks of rows, G groups. Of SDXL's UNet
at 1024 x 1024 and batch 12, a tensor of 128 x 128 x 320 has 126 MB: 0.06 ms to read and write at
4.2 TB/s, and there are about 30 tensors' worth of these in a forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.runtime import can_run_triton

_MIN_ROWS_PER_CHUNK = 128
_MAX_CHUNKS = 512


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moments:
    """Statistics of each channel over chunks of rows of one tensor."""

    mean: torch.Tensor  # (B, S, C) float32
    m2: torch.Tensor  # (B, S, C) float32: squared deviations from that mean, summed
    num_rows: int  # L; the last chunk holds what is left
    rows_per_chunk: int  # a power of two

    @property
    def counts(self) -> torch.Tensor:
        """Rows of each chunk, (S,) float32."""
        num_chunks, device = self.mean.shape[1], self.mean.device
        counts = torch.full((num_chunks,), float(self.rows_per_chunk), device=device)
        counts[-1] = self.num_rows - (num_chunks - 1) * self.rows_per_chunk
        return counts


def choose_rows_per_chunk(num_rows: int) -> int:
    """Return a power of two that makes at most 512 chunks of at least 128 rows."""
    needed = -(-num_rows // _MAX_CHUNKS)
    return max(_MIN_ROWS_PER_CHUNK, 1 << (needed - 1).bit_length())


def channel_moments(x: torch.Tensor, *, rows_per_chunk: int | None = None) -> Moments:
    """Return the moments of (B, L, C); reads it once."""
    rows_per_chunk = rows_per_chunk or choose_rows_per_chunk(x.shape[1])
    if can_run_triton(x):
        return _triton().channel_moments(x, rows_per_chunk=rows_per_chunk)
    return channel_moments_reference(x, rows_per_chunk=rows_per_chunk)


def channel_moments_reference(x: torch.Tensor, *, rows_per_chunk: int) -> Moments:
    """See ``channel_moments``."""
    var_mean = [
        torch.var_mean(chunk.float(), dim=1, correction=0)
        for chunk in x.split(rows_per_chunk, dim=1)
    ]
    var = torch.stack([var for var, _ in var_mean], dim=1)
    moments = Moments(
        mean=torch.stack([mean for _, mean in var_mean], dim=1),
        m2=var,
        num_rows=x.shape[1],
        rows_per_chunk=rows_per_chunk,
    )
    moments.m2.mul_(moments.counts[:, None])
    return moments


def add_with_moments(
    x: torch.Tensor,
    *,
    bias: torch.Tensor,
    residual: torch.Tensor | None = None,
    rows_per_chunk: int | None = None,
) -> Moments:
    """Add a bias and a residual to ``x`` in place and return the sum's moments.

    Rounded to ``x.dtype`` once; the moments are those of the rounded sum. Moves two tensors, or
    three with a residual.

    Args:
        x: (B, L, C), contiguous.
        bias: (C,), of any floating type.
        residual: (B, L, C), contiguous, of ``x.dtype``.
        rows_per_chunk: None chooses.
    """
    rows_per_chunk = rows_per_chunk or choose_rows_per_chunk(x.shape[1])
    if can_run_triton(x):
        return _triton().add_with_moments(
            x, bias=bias, residual=residual, rows_per_chunk=rows_per_chunk
        )
    return add_with_moments_reference(
        x, bias=bias, residual=residual, rows_per_chunk=rows_per_chunk
    )


def add_with_moments_reference(
    x: torch.Tensor,
    *,
    bias: torch.Tensor,
    residual: torch.Tensor | None = None,
    rows_per_chunk: int,
) -> Moments:
    """See ``add_with_moments``."""
    total = x.float() + bias.float()
    x.copy_(total if residual is None else total + residual.float())
    return channel_moments_reference(x, rows_per_chunk=rows_per_chunk)


def interleave_with_moments(
    phases: torch.Tensor, *, bias: torch.Tensor, rows_per_chunk: int | None = None
) -> tuple[torch.Tensor, Moments]:
    """Return an image of twice the size from its four phases, plus a bias, and its moments.

    Pixel (2y + i, 2x + j) is ``phases[:, y + i, x + j, i, j]``: what a 2 x 2 convolution with
    padding 1 gives when its four kernels are those of ``phase_weights``.

    Args:
        phases: (B, H + 1, W + 1, 4 * C), contiguous.
        bias: (C,), of any floating type.
        rows_per_chunk: None chooses.

    Returns:
        (B, 2H, 2W, C) of the same dtype, and its moments with L = 4 * H * W.
    """
    height, width = phases.shape[1] - 1, phases.shape[2] - 1
    rows_per_chunk = rows_per_chunk or choose_rows_per_chunk(4 * height * width)
    if can_run_triton(phases):
        return _triton().interleave_with_moments(phases, bias=bias, rows_per_chunk=rows_per_chunk)
    return interleave_with_moments_reference(phases, bias=bias, rows_per_chunk=rows_per_chunk)


def interleave_with_moments_reference(
    phases: torch.Tensor, *, bias: torch.Tensor, rows_per_chunk: int
) -> tuple[torch.Tensor, Moments]:
    """See ``interleave_with_moments``."""
    batch_size, height, width = phases.shape[0], phases.shape[1] - 1, phases.shape[2] - 1
    split = phases.view(batch_size, height + 1, width + 1, 2, 2, -1)
    rows = [
        torch.stack(
            [split[:, i : i + height, j : j + width, i, j] for j in range(2)],
            dim=3,
        )
        for i in range(2)
    ]
    image = torch.stack(rows, dim=2).reshape(batch_size, 2 * height, 2 * width, -1)
    moments = add_with_moments_reference(
        image.view(batch_size, 4 * height * width, -1), bias=bias, rows_per_chunk=rows_per_chunk
    )
    return image, moments


def phase_weights(weight: torch.Tensor) -> torch.Tensor:
    """Return four 2 x 2 kernels that do what nearest upsampling by 2 and a 3 x 3 one do.

    Of the three taps of an axis, an even output pixel sees one old pixel through the first and the
    next through the sum of the others; an odd one the other way around. 4 / 9 of the arithmetic,
    and the upsampled image is never written. Sums are taken in float32 and rounded once.

    Args:
        weight: (C_out, C_in, 3, 3), of a convolution with padding 1.

    Returns:
        (4 * C_out, C_in, 2, 2), the phases (0, 0), (0, 1), (1, 0), (1, 1) of (row, column) one
        after the other; for padding 1.
    """
    taps = torch.tensor(
        [[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]],
        device=weight.device,
    )  # (phase, new tap, old tap)
    kernels = torch.einsum("ipk,jql,ockl->ijocpq", taps, taps, weight.float())
    return kernels.flatten(0, 2).to(weight.dtype)


def group_norm(
    inputs: Sequence[tuple[torch.Tensor, Moments]],
    *,
    weight: torch.Tensor,
    bias: torch.Tensor,
    num_groups: int,
    eps: float,
    silu: bool,
    shift: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the group norm of one tensor, or of two put side by side in their channels.

    Args:
        inputs: one or two of (B, L, C_i), contiguous, with their moments.
        weight: (C,), C the sum of C_i.
        bias: (C,).
        num_groups: G, a divisor of C; a group may span both tensors.
        eps: added to the variance.
        silu: whether x * sigmoid(x) follows.
        shift: (B or 1, C), of any floating type: added to every pixel before the norm.

    Returns:
        (B, L, C), of the inputs' dtype, rounded once.
    """
    impl = _triton() if can_run_triton(inputs[0][0]) else None
    find = impl.channel_affine if impl else channel_affine_reference
    scale, offset = find(
        [moments for _, moments in inputs],
        weight=weight,
        bias=bias,
        num_groups=num_groups,
        eps=eps,
        shift=shift,
    )
    first = inputs[0][0]
    out = first.new_empty((*first.shape[:2], weight.shape[0]))
    start = 0
    for x, _ in inputs:
        columns = slice(start, start + x.shape[2])
        apply = impl.apply_affine if impl else _apply_affine
        apply(x, scale[:, columns], offset[:, columns], out=out[..., columns], silu=silu)
        start += x.shape[2]
    return out


def channel_affine_reference(
    parts: Sequence[Moments],
    *,
    weight: torch.Tensor,
    bias: torch.Tensor,
    num_groups: int,
    eps: float,
    shift: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scale and offset, (B, C) float32 each, that are the norm (see ``group_norm``)."""
    mean = torch.cat([part.mean for part in parts], dim=-1)
    m2 = torch.cat([part.m2 for part in parts], dim=-1)
    batch_size, num_chunks, num_channels = mean.shape
    moved = torch.zeros(1, num_channels, device=mean.device) if shift is None else shift.float()
    grouped = (batch_size, num_chunks, num_groups, num_channels // num_groups)
    mean = (mean + moved[:, None]).view(grouped)
    counts = parts[0].counts[:, None, None]
    total = parts[0].num_rows * grouped[-1]
    group_mean = (mean * counts).sum(dim=(1, 3), keepdim=True) / total
    deviations = m2.view(grouped) + counts * (mean - group_mean).square()
    rstd = (deviations.sum(dim=(1, 3)) / total + eps).rsqrt()
    scale = rstd.repeat_interleave(grouped[-1], dim=1) * weight.float()
    center = group_mean[:, 0, :, 0].repeat_interleave(grouped[-1], dim=1)
    return scale, bias.float() + (moved - center) * scale


def group_norm_reference(
    x: torch.Tensor,
    *,
    weight: torch.Tensor,
    bias: torch.Tensor,
    num_groups: int,
    eps: float,
    silu: bool,
    shift: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return what ``group_norm`` of one (B, L, C) does, by the library's operation, in float32."""
    moved = x.float() if shift is None else x.float() + shift.float()[:, None]
    normed = F.group_norm(
        moved.transpose(1, 2), num_groups, weight.float(), bias.float(), eps
    ).transpose(1, 2)
    return (F.silu(normed) if silu else normed).to(x.dtype)


def _apply_affine(
    x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, *, out: torch.Tensor, silu: bool
) -> None:
    normed = torch.addcmul(offset[:, None], x.float(), scale[:, None])
    out.copy_(F.silu(normed, inplace=True) if silu else normed)


def _triton() -> Any:
    from ourvidz.kernels import _groupnorm_triton

    return _groupnorm_triton
