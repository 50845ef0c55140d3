"""The Triton side of ``vae``: rows of channels, and convolution as a sum of shifted products."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

if TYPE_CHECKING:
    from ourvidz.kernels.vae import ConvTiles

# Of one program of the norm: 32 values a thread at four warps keep enough loads in flight.
_ELEMENTS = 4096
_PAIR_ELEMENTS = 2048  # four frames of them are held at once
_NUM_WARPS = 4


@triton.jit
def _added_up(
    values_ptr: typing.Any,
    bias_ptr: typing.Any,
    residual_ptr: typing.Any,
    total_ptr: typing.Any,
    frame: typing.Any,  # of one row each, or of all; line and column of one row each
    line: typing.Any,
    column: typing.Any,
    inside: typing.Any,
    height: typing.Any,
    width: typing.Any,
    total_frame: typing.Any,
    total_line: typing.Any,
    channel: typing.Any,
    CHANNELS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    HAS_TOTAL: tl.constexpr,
    IS_PHASED: tl.constexpr,
) -> typing.Any:
    """Return the sum of (ROWS, BLOCK) as it is rounded, in float32; store it where wanted."""
    place = ((frame * height + line) * width + column) * CHANNELS
    if IS_PHASED:
        lines = height // 2 + 1
        columns = width // 2 + 1
        source = (frame * lines + line // 2 + line % 2) * columns + column // 2 + column % 2
        source = source * (4 * CHANNELS) + (2 * (line % 2) + column % 2) * CHANNELS
    else:
        source = place
    values = tl.load(values_ptr + source[:, None] + channel[None, :], mask=inside, other=0.0)
    total = values.to(tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)
        total += bias[None, :]
    if HAS_RESIDUAL:
        at = place[:, None] + channel[None, :]
        total += tl.load(residual_ptr + at, mask=inside, other=0.0).to(tl.float32)
    rounded = total.to(values_ptr.dtype.element_ty)
    if HAS_TOTAL:
        at = frame * total_frame + line * total_line + column * CHANNELS
        tl.store(total_ptr + at[:, None] + channel[None, :], rounded, mask=inside)
    return rounded.to(tl.float32)


@triton.jit
def _normed(total: typing.Any, gamma: typing.Any, IS_ACTIVATED: tl.constexpr) -> typing.Any:
    length = tl.sqrt(tl.sum(total * total, axis=1))
    out = total * (1.0 / tl.maximum(length, 1e-12))[:, None] * gamma[None, :]
    if IS_ACTIVATED:
        out = out * tl.sigmoid(out)
    return out


@triton.jit
def _add_norm_kernel(
    values_ptr: typing.Any,
    bias_ptr: typing.Any,
    residual_ptr: typing.Any,
    gamma_ptr: typing.Any,
    out_ptr: typing.Any,
    total_ptr: typing.Any,
    num_rows: typing.Any,
    height: typing.Any,
    width: typing.Any,
    out_frame: typing.Any,
    out_line: typing.Any,
    total_frame: typing.Any,
    total_line: typing.Any,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    HAS_OUT: tl.constexpr,
    HAS_TOTAL: tl.constexpr,
    IS_ACTIVATED: tl.constexpr,
    IS_PHASED: tl.constexpr,
) -> None:
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, BLOCK)
    inside = (row < num_rows)[:, None] & (channel < CHANNELS)[None, :]
    column = row % width
    line = (row // width) % height
    frame = (row // (width * height)).to(tl.int64)
    total = _added_up(
        values_ptr,
        bias_ptr,
        residual_ptr,
        total_ptr,
        frame,
        line,
        column,
        inside,
        height,
        width,
        total_frame,
        total_line,
        channel,
        CHANNELS,
        HAS_BIAS,
        HAS_RESIDUAL,
        HAS_TOTAL,
        IS_PHASED,
    )
    if HAS_OUT:
        gamma = tl.load(gamma_ptr + channel, mask=channel < CHANNELS, other=0.0)
        out = _normed(total, gamma, IS_ACTIVATED).to(out_ptr.dtype.element_ty)
        at = frame * out_frame + line * out_line + column * CHANNELS
        tl.store(out_ptr + at[:, None] + channel[None, :], out, mask=inside)


@triton.jit
def _store_pair(
    out_ptr: typing.Any,
    at: typing.Any,
    inside: typing.Any,
    plane: typing.Any,
    before: typing.Any,
    last: typing.Any,
    first: typing.Any,
    second: typing.Any,
) -> None:
    kind = out_ptr.dtype.element_ty
    tl.store(out_ptr + at, (before - first).to(kind), mask=inside)
    tl.store(out_ptr + plane + at, (last + first).to(kind), mask=inside)
    tl.store(out_ptr + 2 * plane + at, (first - last).to(kind), mask=inside)
    tl.store(out_ptr + 3 * plane + at, (last - second).to(kind), mask=inside)


@triton.jit
def _add_norm_pairs_kernel(
    values_ptr: typing.Any,
    bias_ptr: typing.Any,
    residual_ptr: typing.Any,
    gamma_ptr: typing.Any,
    past_ptr: typing.Any,
    out_ptr: typing.Any,
    total_ptr: typing.Any,
    height: typing.Any,
    width: typing.Any,
    out_plane: typing.Any,
    out_frame: typing.Any,
    out_line: typing.Any,
    total_frame: typing.Any,
    total_line: typing.Any,
    NUM_FRAMES: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    HAS_TOTAL: tl.constexpr,
    IS_PHASED: tl.constexpr,
) -> None:
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, BLOCK)
    num_rows = height * width
    inside = (row < num_rows)[:, None] & (channel < CHANNELS)[None, :]
    column = row % width
    line = (row // width).to(tl.int64)
    gamma = tl.load(gamma_ptr + channel, mask=channel < CHANNELS, other=0.0)
    past = row.to(tl.int64)[:, None] * CHANNELS + channel[None, :]
    picture = num_rows.to(tl.int64) * CHANNELS
    plane = tl.full((), out_plane, tl.int64)
    out = (line * out_line + column * CHANNELS)[:, None] + channel[None, :]
    before = tl.load(past_ptr + past, mask=inside, other=0.0).to(tl.float32)
    last = tl.load(past_ptr + picture + past, mask=inside, other=0.0).to(tl.float32)
    first = tl.zeros((ROWS, BLOCK), tl.float32)
    for frame in tl.static_range(NUM_FRAMES):
        total = _added_up(
            values_ptr,
            bias_ptr,
            residual_ptr,
            total_ptr,
            tl.full((), frame, tl.int64),
            line,
            column,
            inside,
            height,
            width,
            total_frame,
            total_line,
            channel,
            CHANNELS,
            HAS_BIAS,
            HAS_RESIDUAL,
            HAS_TOTAL,
            IS_PHASED,
        )
        normed = _normed(total, gamma, True)
        at = out + tl.full((), frame // 2, tl.int64) * out_frame
        if frame % 2 == 1:
            _store_pair(out_ptr, at, inside, plane, before, last, first, normed)
            before = first
            last = normed
        elif frame == NUM_FRAMES - 1:  # a pair's second frame is missing
            _store_pair(out_ptr, at, inside, plane, before, last, normed, tl.zeros_like(normed))
            before = last
            last = normed
        else:
            first = normed
    kind = past_ptr.dtype.element_ty
    tl.store(past_ptr + past, before.to(kind), mask=inside)
    tl.store(past_ptr + picture + past, last.to(kind), mask=inside)


@triton.jit
def _tile(
    source: typing.Any,
    row: typing.Any,
    column: typing.Any,
    num_rows: typing.Any,
    LINE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HAS_DESCRIPTORS: tl.constexpr,
) -> typing.Any:
    """Load (ROWS, COLUMNS) at (row, column); zeros where there is no such row."""
    if HAS_DESCRIPTORS:
        tile = source.load([row, column])
    else:
        rows = row + tl.arange(0, ROWS)
        at = rows.to(tl.int64)[:, None] * LINE + (column + tl.arange(0, COLUMNS))[None, :]
        tile = tl.load(source + at, mask=((rows >= 0) & (rows < num_rows))[:, None], other=0.0)
    return tile


@triton.jit
def _first_row(
    tile: typing.Any,
    frame_rows: typing.Any,
    line_rows: typing.Any,
    height: typing.Any,
    ROWS: tl.constexpr,
    BORDER: tl.constexpr,
) -> typing.Any:
    """Return where a tile begins: tiles cover all rows, or each frame's own without borders."""
    if BORDER:
        tiles_per_frame = tl.cdiv(height * line_rows, ROWS)
        inside = line_rows + (tile % tiles_per_frame) * ROWS
        row = (tile // tiles_per_frame) * frame_rows + inside
    else:
        row = tile * ROWS
    return row


@triton.jit
def _store(
    out_ptr: typing.Any,
    acc: typing.Any,
    row0: typing.Any,
    n0: typing.Any,
    num_frames: typing.Any,
    frame_rows: typing.Any,
    line_rows: typing.Any,
    height: typing.Any,
    width: typing.Any,
    OUT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    FRAME_STEP: tl.constexpr,
    FRAME: tl.constexpr,
    BORDER: tl.constexpr,
) -> None:
    """Store what belongs to the picture; frames of the rows are FRAME_STEP apart from FRAME on."""
    row = row0 + tl.arange(0, ROWS)
    if BORDER:  # the tile is of one frame
        row = tl.minimum(row, (row0 // frame_rows + 1) * frame_rows - 1)
    line = (row % frame_rows) // line_rows - BORDER
    column = row % line_rows
    frame = (row // frame_rows) * FRAME_STEP + FRAME
    is_picture = (frame < num_frames) & (line < height) & (column < width)
    at = (frame.to(tl.int64) * height + line) * width + column
    out = n0 + tl.arange(0, COLUMNS)
    tl.store(
        out_ptr + at[:, None] * OUT + out[None, :],
        acc.to(out_ptr.dtype.element_ty),
        mask=is_picture[:, None] & (out < OUT)[None, :],
    )


@triton.jit
def _causal_conv_kernel(
    x_first: typing.Any,  # the same tensor twice, in tiles of K1 and of K2 channels
    x_second: typing.Any,
    weight_11: typing.Any,  # the same tensor four times, in tiles of (N1 or N2, K1 or K2)
    weight_12: typing.Any,
    weight_21: typing.Any,
    weight_22: typing.Any,
    out_ptr: typing.Any,
    num_frames: typing.Any,  # of the output
    num_input_rows: typing.Any,
    frame_rows: typing.Any,
    line_rows: typing.Any,
    height: typing.Any,
    width: typing.Any,
    CHANNELS: tl.constexpr,
    OUT: tl.constexpr,
    ROWS: tl.constexpr,
    N1: tl.constexpr,
    N2: tl.constexpr,
    K1: tl.constexpr,
    K2: tl.constexpr,
    PRECISION: tl.constexpr,
    HAS_DESCRIPTORS: tl.constexpr,
    BORDER: tl.constexpr,  # lines above the picture that come with it: 0 or 1
) -> None:
    NUM_N: tl.constexpr = (OUT + N1 + N2 - 1) // (N1 + N2)
    PER_TAP: tl.constexpr = CHANNELS // (K1 + K2)
    LINE: tl.constexpr = 27 * CHANNELS
    program = tl.program_id(0)
    n0 = (program % NUM_N) * (N1 + N2)
    row0 = _first_row(program // NUM_N, frame_rows, line_rows, height, ROWS, BORDER)
    first = tl.zeros((ROWS, N1), tl.float32)
    if N2 > 0:
        second = tl.zeros((ROWS, N2), tl.float32)
    for step in range(27 * PER_TAP):
        tap = step // PER_TAP
        channel = (step % PER_TAP) * (K1 + K2)
        row = row0 + (tap // 9) * frame_rows + (tap // 3 % 3 - 1) * line_rows + tap % 3 - 1
        k = tap * CHANNELS + channel
        x = _tile(x_first, row, channel, num_input_rows, CHANNELS, ROWS, K1, HAS_DESCRIPTORS)
        w = _tile(weight_11, n0, k, OUT, LINE, N1, K1, HAS_DESCRIPTORS)
        first = tl.dot(x, tl.trans(w), first, input_precision=PRECISION)
        if N2 > 0:
            w = _tile(weight_21, n0 + N1, k, OUT, LINE, N2, K1, HAS_DESCRIPTORS)
            second = tl.dot(x, tl.trans(w), second, input_precision=PRECISION)
        if K2 > 0:
            x = _tile(
                x_second, row, channel + K1, num_input_rows, CHANNELS, ROWS, K2, HAS_DESCRIPTORS
            )
            w = _tile(weight_12, n0, k + K1, OUT, LINE, N1, K2, HAS_DESCRIPTORS)
            first = tl.dot(x, tl.trans(w), first, input_precision=PRECISION)
            if N2 > 0:
                w = _tile(weight_22, n0 + N1, k + K1, OUT, LINE, N2, K2, HAS_DESCRIPTORS)
                second = tl.dot(x, tl.trans(w), second, input_precision=PRECISION)
    _store(
        out_ptr,
        first,
        row0,
        n0,
        num_frames,
        frame_rows,
        line_rows,
        height,
        width,
        OUT,
        ROWS,
        N1,
        1,
        0,
        BORDER,
    )
    if N2 > 0:
        n0 += N1
        _store(
            out_ptr,
            second,
            row0,
            n0,
            num_frames,
            frame_rows,
            line_rows,
            height,
            width,
            OUT,
            ROWS,
            N2,
            1,
            0,
            BORDER,
        )


@triton.jit
def _pair_products(
    sum_a1: typing.Any,
    sum_b1: typing.Any,
    sum_a2: typing.Any,
    sum_b2: typing.Any,
    x: typing.Any,
    weight_1: typing.Any,
    weight_2: typing.Any,
    row0: typing.Any,
    n0: typing.Any,
    plane_rows: typing.Any,
    line_rows: typing.Any,
    A: tl.constexpr,  # which of the four transformed frames
    B: tl.constexpr,
    CHANNELS: tl.constexpr,
    OUT: tl.constexpr,
    ROWS: tl.constexpr,
    N1: tl.constexpr,
    N2: tl.constexpr,
    K: tl.constexpr,
    PRECISION: tl.constexpr,
    HAS_DESCRIPTORS: tl.constexpr,
) -> typing.Any:
    """Add the products of two transformed frames with their 3x3 taps to their own sums."""
    PER_TAP: tl.constexpr = CHANNELS // K
    LINE: tl.constexpr = 9 * CHANNELS
    limit = 4 * plane_rows
    for step in range(9 * PER_TAP):  # pyright: ignore[reportArgumentType]
        tap = step // PER_TAP
        channel = (step % PER_TAP) * K  # pyright: ignore[reportOperatorIssue]
        row = row0 + (tap // 3 - 1) * line_rows + tap % 3 - 1
        k = tap * CHANNELS + channel
        xa = _tile(x, row + A * plane_rows, channel, limit, CHANNELS, ROWS, K, HAS_DESCRIPTORS)
        xb = _tile(x, row + B * plane_rows, channel, limit, CHANNELS, ROWS, K, HAS_DESCRIPTORS)
        wa = _tile(weight_1, n0 + A * OUT, k, 4 * OUT, LINE, N1, K, HAS_DESCRIPTORS)
        wb = _tile(weight_1, n0 + B * OUT, k, 4 * OUT, LINE, N1, K, HAS_DESCRIPTORS)
        sum_a1 = tl.dot(xa, tl.trans(wa), sum_a1, input_precision=PRECISION)
        sum_b1 = tl.dot(xb, tl.trans(wb), sum_b1, input_precision=PRECISION)
        if N2 > 0:
            va = _tile(weight_2, n0 + A * OUT + N1, k, 4 * OUT, LINE, N2, K, HAS_DESCRIPTORS)
            vb = _tile(weight_2, n0 + B * OUT + N1, k, 4 * OUT, LINE, N2, K, HAS_DESCRIPTORS)
            sum_a2 = tl.dot(xa, tl.trans(va), sum_a2, input_precision=PRECISION)
            sum_b2 = tl.dot(xb, tl.trans(vb), sum_b2, input_precision=PRECISION)
    return sum_a1, sum_b1, sum_a2, sum_b2


@triton.jit
def _paired_conv_kernel(
    x: typing.Any,
    weight_1: typing.Any,  # the same tensor twice, in tiles of N1 and of N2 outputs
    weight_2: typing.Any,
    out_ptr: typing.Any,
    num_frames: typing.Any,
    plane_rows: typing.Any,
    frame_rows: typing.Any,
    line_rows: typing.Any,
    height: typing.Any,
    width: typing.Any,
    CHANNELS: tl.constexpr,
    OUT: tl.constexpr,
    ROWS: tl.constexpr,
    N1: tl.constexpr,
    N2: tl.constexpr,
    M2: tl.constexpr,  # N2, but 1 for none, since a tensor has no width of 0
    K: tl.constexpr,
    PRECISION: tl.constexpr,
    HAS_DESCRIPTORS: tl.constexpr,
    BORDER: tl.constexpr,  # lines above the picture that come with it: 0 or 1
) -> None:
    NUM_N: tl.constexpr = (OUT + N1 + N2 - 1) // (N1 + N2)
    program = tl.program_id(0)
    n0 = (program % NUM_N) * (N1 + N2)
    row0 = _first_row(program // NUM_N, frame_rows, line_rows, height, ROWS, BORDER)
    a1 = tl.zeros((ROWS, N1), tl.float32)
    b1 = tl.zeros((ROWS, N1), tl.float32)
    a2 = tl.zeros((ROWS, M2), tl.float32)
    b2 = tl.zeros((ROWS, M2), tl.float32)
    # fmt: off
    a1, b1, a2, b2 = _pair_products(
        a1, b1, a2, b2, x, weight_1, weight_2, row0, n0, plane_rows, line_rows, 1, 2,
        CHANNELS, OUT, ROWS, N1, N2, K, PRECISION, HAS_DESCRIPTORS,
    )
    a1, b1, a2, b2 = _pair_products(
        a1 + b1, a1 - b1, a2 + b2, a2 - b2,
        x, weight_1, weight_2, row0, n0, plane_rows, line_rows, 0, 3,
        CHANNELS, OUT, ROWS, N1, N2, K, PRECISION, HAS_DESCRIPTORS,
    )
    _store(
        out_ptr, a1, row0, n0, num_frames, frame_rows, line_rows, height, width,
        OUT, ROWS, N1, 2, 0, BORDER,
    )
    _store(
        out_ptr, b1, row0, n0, num_frames, frame_rows, line_rows, height, width,
        OUT, ROWS, N1, 2, 1, BORDER,
    )
    if N2 > 0:
        n0 += N1
        _store(
            out_ptr, a2, row0, n0, num_frames, frame_rows, line_rows, height, width,
            OUT, ROWS, N2, 2, 0, BORDER,
        )
        _store(
            out_ptr, b2, row0, n0, num_frames, frame_rows, line_rows, height, width,
            OUT, ROWS, N2, 2, 1, BORDER,
        )
    # fmt: on


def add_norm_silu(
    values: torch.Tensor,
    *,
    gamma: torch.Tensor | None,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    out: torch.Tensor | None,
    total: torch.Tensor | None,
    is_activated: bool,
    is_phased: bool,
) -> None:
    """See ``vae.add_norm_silu``."""
    target = out if out is not None else total
    assert target is not None
    num_frames, height, width, channels = target.shape
    for written in (out, total):
        assert written is None or written.stride()[2:] == (channels, 1)
    assert values.is_contiguous()
    assert residual is None or residual.is_contiguous()
    num_rows = num_frames * height * width
    block = triton.next_power_of_2(channels)
    rows = max(1, _ELEMENTS // block)
    kernel: typing.Any = _add_norm_kernel
    kernel[(triton.cdiv(num_rows, rows),)](
        values,
        values if bias is None else bias,
        values if residual is None else residual,
        values if gamma is None else gamma,
        target if out is None else out,
        target if total is None else total,
        num_rows,
        height,
        width,
        0 if out is None else out.stride(0),
        0 if out is None else out.stride(1),
        0 if total is None else total.stride(0),
        0 if total is None else total.stride(1),
        CHANNELS=channels,
        BLOCK=block,
        ROWS=rows,
        HAS_BIAS=bias is not None,
        HAS_RESIDUAL=residual is not None,
        HAS_OUT=out is not None,
        HAS_TOTAL=total is not None,
        IS_ACTIVATED=is_activated,
        IS_PHASED=is_phased,
        num_warps=_NUM_WARPS,
    )


def add_norm_silu_pairs(
    values: torch.Tensor,
    *,
    gamma: torch.Tensor,
    past: torch.Tensor,
    out: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    total: torch.Tensor | None,
    is_phased: bool,
) -> None:
    """See ``vae.add_norm_silu_pairs``."""
    _, height, width, channels = past.shape
    assert out.stride()[3:] == (channels, 1)
    assert total is None or total.stride()[2:] == (channels, 1)
    assert past.is_contiguous()
    assert values.is_contiguous()
    assert residual is None or residual.is_contiguous()
    block = triton.next_power_of_2(channels)
    rows = max(1, _PAIR_ELEMENTS // block)
    kernel: typing.Any = _add_norm_pairs_kernel
    kernel[(triton.cdiv(height * width, rows),)](
        values,
        values if bias is None else bias,
        values if residual is None else residual,
        gamma,
        past,
        out,
        values if total is None else total,
        height,
        width,
        out.stride(0),
        out.stride(1),
        out.stride(2),
        0 if total is None else total.stride(0),
        0 if total is None else total.stride(1),
        NUM_FRAMES=values.shape[0],
        CHANNELS=channels,
        BLOCK=block,
        ROWS=rows,
        HAS_BIAS=bias is not None,
        HAS_RESIDUAL=residual is not None,
        HAS_TOTAL=total is not None,
        IS_PHASED=is_phased,
        num_warps=_NUM_WARPS,
    )


def paired_conv(
    planes: torch.Tensor,
    weight: torch.Tensor,
    *,
    num_frames: int,
    tiles: ConvTiles,
    has_borders: bool = False,
) -> torch.Tensor:
    """See ``vae.paired_conv``."""
    _, pairs, lines, columns, channels = planes.shape
    num_outs = weight.shape[1]
    n1, n2 = tiles.outs
    k, k2 = tiles.channels
    assert planes.is_contiguous()
    assert weight.is_contiguous()
    assert k2 == 0, tiles
    assert channels % k == 0, (channels, tiles)
    assert n2 == 0 or num_outs % (n1 + n2) == 0, (num_outs, tiles)
    frame_rows = lines * columns
    rows, taps = planes.view(-1, channels), weight.view(-1, weight.shape[-1])
    height = lines - 1 - has_borders
    out = planes.new_empty(num_frames, height, columns - 1, num_outs)
    sources: list[typing.Any] = [rows, taps, taps]
    if tiles.has_descriptors:
        blocks = ((rows, tiles.rows), (taps, n1), (taps, n2 or n1))
        sources = [_tiled(tensor, [size, k]) for tensor, size in blocks]
    grid = _num_tiles(pairs, lines, columns, tiles, has_borders) * triton.cdiv(num_outs, n1 + n2)
    kernel: typing.Any = _paired_conv_kernel
    kernel[(grid,)](
        *sources,
        out,
        num_frames,
        pairs * frame_rows,
        frame_rows,
        columns,
        height,
        columns - 1,
        CHANNELS=channels,
        OUT=num_outs,
        ROWS=tiles.rows,
        N1=n1,
        N2=n2,
        M2=n2 or 1,
        K=k,
        PRECISION="ieee" if planes.dtype == torch.float32 else "tf32",
        HAS_DESCRIPTORS=tiles.has_descriptors,
        BORDER=int(has_borders),
        num_warps=tiles.num_warps,
        num_stages=tiles.num_stages,
    )
    return out


def causal_conv(
    window: torch.Tensor, weight: torch.Tensor, *, tiles: ConvTiles, has_borders: bool = False
) -> torch.Tensor:
    """See ``vae.causal_conv``."""
    frames, lines, columns, channels = window.shape
    num_outs = weight.shape[0]
    assert window.is_contiguous()
    assert weight.is_contiguous()
    n1, n2 = tiles.outs
    k1, k2 = tiles.channels
    assert channels % (k1 + k2) == 0, (channels, tiles)
    assert n2 == 0 or num_outs % (n1 + n2) == 0, (num_outs, tiles)
    frame_rows = lines * columns
    height = lines - 1 - has_borders
    out = window.new_empty(frames - 2, height, columns - 1, num_outs)
    num_tiles = _num_tiles(frames - 2, lines, columns, tiles, has_borders)
    grid = num_tiles * triton.cdiv(num_outs, n1 + n2)
    kernel: typing.Any = _causal_conv_kernel
    kernel[(grid,)](
        *_sources(window.view(-1, channels), weight, tiles),
        out,
        frames - 2,
        frames * frame_rows,
        frame_rows,
        columns,
        height,
        columns - 1,
        CHANNELS=channels,
        OUT=num_outs,
        ROWS=tiles.rows,
        N1=n1,
        N2=n2,
        K1=k1,
        K2=k2,
        PRECISION="ieee" if window.dtype == torch.float32 else "tf32",
        HAS_DESCRIPTORS=tiles.has_descriptors,
        BORDER=int(has_borders),
        num_warps=tiles.num_warps,
        num_stages=tiles.num_stages,
    )
    return out


def _num_tiles(frames: int, lines: int, columns: int, tiles: ConvTiles, has_borders: bool) -> int:
    """Return how many tiles of rows there are; see ``_first_row``."""
    if has_borders:
        return frames * -(-(lines - 2) * columns // tiles.rows)
    return -(-frames * lines * columns // tiles.rows)


def _sources(rows: torch.Tensor, weight: torch.Tensor, tiles: ConvTiles) -> list[typing.Any]:
    if not tiles.has_descriptors:
        return [rows, rows, weight, weight, weight, weight]
    # A tile of width 0 is never loaded: any descriptor may stand in its place.
    n1, n2 = tiles.outs[0], tiles.outs[1] or tiles.outs[0]
    k1, k2 = tiles.channels[0], tiles.channels[1] or tiles.channels[0]

    return [
        _tiled(rows, [tiles.rows, k1]),
        _tiled(rows, [tiles.rows, k2]),
        _tiled(weight, [n1, k1]),
        _tiled(weight, [n1, k2]),
        _tiled(weight, [n2, k1]),
        _tiled(weight, [n2, k2]),
    ]


def _tiled(tensor: torch.Tensor, block: list[int]) -> TensorDescriptor:
    return TensorDescriptor(tensor, list(tensor.shape), list(tensor.stride()), block)
