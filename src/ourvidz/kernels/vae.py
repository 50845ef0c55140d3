"""What a video decoder does between its convolutions, and its causal convolution.

Shapes: frames lie channels-last, (n, H, W, C) with unit stride in C, so that a pixel's channels are
one row and cuDNN needs no change of layout (as (1, C, n, H, W) this is ``channels_last_3d``).

Bytes and FLOPs of Wan's full-size decoder at 480x832, 81 frames, bfloat16: a tensor at full
resolution (96 channels) is 6.2 GB in all, at half resolution (192) 3.1 GB, at a quarter (384)
0.8 GB. A residual block reads and writes 9 of them between its two convolutions (norm and SiLU in
and out, then sum, sum kept, norm and SiLU), about 100 GB in all: 36 ms at 2.8 TB/s. The
convolutions are 275 TFLOP, 193 of them with 96 and 192 channels: 0.37 s at 750 TFLOP/s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.runtime import can_run_triton


def add_norm_silu(
    values: torch.Tensor,
    *,
    gamma: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
    total: torch.Tensor | None = None,
    is_activated: bool = True,
    is_phased: bool = False,
) -> None:
    """Write ``values + bias + residual``, and that sum normalised over its channels.

    The norm is ``WanRMS_norm`` (diffusers 0.42.1): each row divided by its length (at least
    1e-12), times ``gamma``, then SiLU. Computed in float32 and rounded once to each output.

    Args:
        values: (n, H, W, C) contiguous; where ``is_phased``, (n, H / 2 + 1, W / 2 + 1, 4C) from
            the convolution of ``upsample_weight``, whose pixels are put into their places.
        gamma: (C,) float32, the root of C included; needed with ``out``.
        bias: (C,), of any float type.
        residual: (n, H, W, C) contiguous.
        out: (n, H, W, C), rows contiguous in W, any stride of frames and lines: normalised.
        total: the same: the sum.
    """
    run = _triton().add_norm_silu if can_run_triton(values) else add_norm_silu_reference
    run(
        values,
        gamma=gamma,
        bias=bias,
        residual=residual,
        out=out,
        total=total,
        is_activated=is_activated,
        is_phased=is_phased,
    )


def add_norm_silu_reference(
    values: torch.Tensor,
    *,
    gamma: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
    total: torch.Tensor | None = None,
    is_activated: bool = True,
    is_phased: bool = False,
) -> None:
    """See ``add_norm_silu``."""
    summed = join_phases(values) if is_phased else values
    dtype = summed.dtype
    if bias is not None:
        summed = summed.float() + bias
    if residual is not None:
        summed = summed.float() + residual
    summed = summed.to(dtype)
    if total is not None:
        total.copy_(summed)
    if out is not None:
        assert gamma is not None
        normed = F.normalize(summed.float(), dim=-1) * gamma
        out.copy_(F.silu(normed) if is_activated else normed)


def add_norm_silu_pairs(
    values: torch.Tensor,
    *,
    gamma: torch.Tensor,
    past: torch.Tensor,
    out: torch.Tensor,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    total: torch.Tensor | None = None,
    is_phased: bool = False,
) -> None:
    """Do what ``add_norm_silu`` does, and transform the result for ``paired_conv``.

    With s the two past frames and the n new normalised ones, pair p holds s[2p] - s[2p + 2],
    s[2p + 1] + s[2p + 2], s[2p + 2] - s[2p + 1] and s[2p + 1] - s[2p + 3], each rounded once; a
    frame that an odd n lacks counts as zeros.

    Args:
        values: see ``add_norm_silu`` for this and for what is not named here.
        past: (2, H, W, C) contiguous, the two normalised frames before; moved on by n frames.
        out: (4, ceil(n / 2), H, W, C), rows contiguous in W.
    """
    run = _triton().add_norm_silu_pairs if can_run_triton(values) else add_norm_silu_pairs_reference
    run(
        values,
        gamma=gamma,
        past=past,
        out=out,
        bias=bias,
        residual=residual,
        total=total,
        is_phased=is_phased,
    )


def add_norm_silu_pairs_reference(
    values: torch.Tensor,
    *,
    gamma: torch.Tensor,
    past: torch.Tensor,
    out: torch.Tensor,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    total: torch.Tensor | None = None,
    is_phased: bool = False,
) -> None:
    """See ``add_norm_silu_pairs``."""
    num_frames = values.shape[0]
    normed = past.new_zeros(2 * out.shape[1], *past.shape[1:], dtype=torch.float32)
    add_norm_silu_reference(
        values,
        gamma=gamma,
        bias=bias,
        residual=residual,
        out=normed[:num_frames],
        total=total,
        is_phased=is_phased,
    )
    frames = torch.cat((past.float(), normed))
    even, odd = frames[::2], frames[1::2]
    out[0] = even[:-1] - even[1:]
    out[1] = odd[:-1] + even[1:]
    out[2] = even[1:] - odd[:-1]
    out[3] = odd[:-1] - odd[1:]
    past.copy_(frames[num_frames : num_frames + 2])


def upsample_weight(weight: torch.Tensor) -> torch.Tensor:
    """Return (4C', C, 2, 2): a 3x3 convolution after doubling each pixel, without the doubling.

    Each of the four pixels that come of one sees only 2x2 different ones, so the taps that fall on
    the same pixel are added up: 16 products a pixel and channel pair in place of 36, and no tensor
    of four times the size. Exact algebra; the sums are made in float32.

    ``F.conv2d(x, result, padding=1)`` gives (n, 4C', H + 1, W + 1): channel block 2a + b at
    (i + a, j + b) is the pixel (2i + a, 2j + b); ``join_phases`` puts them there.

    Args:
        weight: (C', C, 3, 3).
    """
    lines = _fold(weight.float(), dim=2)
    phases = [phase for line in lines for phase in _fold(line, dim=3)]
    return torch.cat(phases).to(weight.dtype)


def join_phases(phases: torch.Tensor) -> torch.Tensor:
    """Return (n, 2H, 2W, C) of (n, H + 1, W + 1, 4C); see ``upsample_weight``."""
    frames, lines, columns, _ = phases.shape
    height, width = lines - 1, columns - 1
    parts = phases.view(frames, lines, columns, 2, 2, -1)
    joined = phases.new_empty(frames, height, 2, width, 2, parts.shape[-1])
    for a in range(2):
        for b in range(2):
            joined[:, :, a, :, b] = parts[:, a : a + height, b : b + width, a, b]
    return joined.view(frames, 2 * height, 2 * width, -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvTiles:
    """How one program of ``causal_conv`` works: (rows, sum of outs), in steps of sum of channels.

    Powers of two; the second of a pair is 0 or a remainder (96 = 64 + 32).
    """

    rows: int
    outs: tuple[int, int]
    channels: tuple[int, int]
    num_warps: int = 8
    num_stages: int = 4
    # Hopper's bulk copies, which fill the margins with zeros; plain pointers elsewhere.
    has_descriptors: bool = True


def default_tiles(num_channels: int, num_outs: int, *, is_paired: bool = False) -> ConvTiles | None:
    """Return tiles for ``causal_conv`` or ``paired_conv``, None for sizes that they can't do.

    By shared memory, at most 227 KiB a block on Hopper: stages x (rows + outs) x channels x 2
    bytes, which is 132, 168 and 192 KiB for 96, 192 and 384 channels; twice the step where paired,
    which also holds twice the sums, so of half the rows. One step of a program is one
    product an accumulator: two in a row make it wait for the first (seen in the machine code).
    """
    channels = _split(num_channels, ((64, 0), (32, 0), (16, 0)))
    outs = _split(num_outs, ((128, 0), (128, 64), (64, 32), (64, 0), (32, 0), (16, 0)))
    if channels is None or outs is None:
        return None
    is_wide = sum(outs) > 128
    if is_paired:
        return ConvTiles(
            rows=128,
            outs=outs,
            channels=(min(channels[0], 32), 0) if is_wide else channels,
            num_stages=4 if is_wide else 3 if channels[0] == 64 else 6,
        )
    return ConvTiles(
        rows=256,
        outs=outs,
        channels=channels,
        num_warps=16 if is_wide else 8,
        num_stages=3 if is_wide else 4 if channels[0] == 64 else 6,
    )


def causal_conv(
    window: torch.Tensor,
    weight: torch.Tensor,
    *,
    tiles: ConvTiles | None = None,
    has_borders: bool = False,
) -> torch.Tensor:
    """Return a 3x3x3 convolution that looks two frames back, without bias: (n, H, W, C').

    With a column and a line of zeros behind every line and frame, the input at each of the 27
    taps is the whole input shifted by a number of rows. So the convolution is one matrix product
    with 27C inner values whose left side is read 27 times at different rows: contiguous tiles, no
    gathering. The margins cost (H + 1) (W + 1) / (H W) more arithmetic (0.3 % at 480x832).

    Args:
        window: (n + 2, H + 1, W + 1, C) contiguous; its last line and column are zeros.
        weight: (C', 27C) contiguous, from ``conv_weight``.
        tiles: of the Triton kernel; ``default_tiles`` where left out.
        has_borders: the frames are stripes of taller ones: ``window`` is (n + 2, H + 2, W + 1, C),
            its first and last lines the ones above and below.
    """
    tiles = tiles or default_tiles(window.shape[-1], weight.shape[0])
    if tiles is None or not can_run_triton(window, weight):
        return causal_conv_reference(window, weight, has_borders=has_borders)
    return _triton().causal_conv(window, weight, tiles=tiles, has_borders=has_borders)


def conv_weight(weight: torch.Tensor) -> torch.Tensor:
    """Return (C', 27C) of (C', C, 3, 3, 3): taps in order of frame, line, column, then channels."""
    return weight.permute(0, 2, 3, 4, 1).reshape(weight.shape[0], -1).contiguous()


def causal_conv_reference(
    window: torch.Tensor, weight: torch.Tensor, *, has_borders: bool = False
) -> torch.Tensor:
    """See ``causal_conv``."""
    channels = window.shape[-1]
    taps = weight.view(-1, 3, 3, 3, channels).permute(0, 4, 1, 2, 3)
    picture = (window if has_borders else window[:, :-1])[None, :, :, :-1].permute(0, 4, 1, 2, 3)
    result = F.conv3d(picture, taps, padding=(0, 0 if has_borders else 1, 1))
    return result.permute(0, 2, 3, 4, 1)[0].contiguous()


def paired_conv(
    planes: torch.Tensor,
    weight: torch.Tensor,
    *,
    num_frames: int,
    tiles: ConvTiles | None = None,
    has_borders: bool = False,
) -> torch.Tensor:
    """Return the convolution of ``causal_conv`` two frames at a time, with a third less to do.

    Two outputs of a filter of three taps need four products in place of six: F(2, 3) of Winograd
    ("Arithmetic Complexity of Computations", 1980; Lavin and Gray, arXiv:1509.09308), here over
    time. Exact algebra. Its sums of two frames are rounded where the frames themselves were: on
    random inputs the bfloat16 error is 1.0 to 1.3 times that of the plain convolution.

    Args:
        planes: (4, ceil(n / 2), H + 1, W + 1, C) contiguous, from ``add_norm_silu_pairs``; the last
            line and column of each are zeros.
        weight: (4, C', 9C) contiguous, from ``pair_weight``.
        num_frames: n.
        tiles: of the Triton kernel, with one part of channels.
        has_borders: see ``causal_conv``; here lines of the transformed frames.
    """
    tiles = tiles or default_tiles(planes.shape[-1], weight.shape[1], is_paired=True)
    if tiles is None or not can_run_triton(planes, weight):
        return paired_conv_reference(planes, weight, num_frames=num_frames, has_borders=has_borders)
    return _triton().paired_conv(
        planes, weight, num_frames=num_frames, tiles=tiles, has_borders=has_borders
    )


def pair_weight(weight: torch.Tensor) -> torch.Tensor:
    """Return (4, C', 9C) of (C', C, 3, 3, 3) for ``paired_conv``; the sums are made in float32."""
    first, second, third = weight.float().unbind(2)
    transformed = torch.stack(
        (first, (first + second + third) / 2, (first - second + third) / 2, -third)
    )
    return transformed.permute(0, 1, 3, 4, 2).flatten(2).to(weight.dtype).contiguous()


def paired_conv_reference(
    planes: torch.Tensor, weight: torch.Tensor, *, num_frames: int, has_borders: bool = False
) -> torch.Tensor:
    """See ``paired_conv``."""
    channels = planes.shape[-1]
    taps = weight.view(4, -1, 3, 3, channels).permute(0, 1, 4, 2, 3)
    lines = planes if has_borders else planes[:, :, :-1]
    pictures = lines[:, :, :, :-1].permute(0, 1, 4, 2, 3)
    before, plus, minus, behind = (
        F.conv2d(picture, tap, padding=(0 if has_borders else 1, 1)).float()
        for picture, tap in zip(pictures, taps, strict=True)
    )
    pairs = torch.stack((before + plus + minus, plus - minus + behind), dim=1)
    frames = pairs.flatten(0, 1)[:num_frames].permute(0, 2, 3, 1)
    return frames.to(planes.dtype).contiguous()


def _fold(weight: torch.Tensor, *, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two taps of the first and of the second of two doubled pixels."""
    before, at, after = weight.unbind(dim)
    return torch.stack((before, at + after), dim), torch.stack((before + at, after), dim)


def _split(size: int, candidates: tuple[tuple[int, int], ...]) -> tuple[int, int] | None:
    return next((pair for pair in candidates if size % sum(pair) == 0), None)


def _triton() -> Any:
    from ourvidz.kernels import _vae_triton

    return _vae_triton
