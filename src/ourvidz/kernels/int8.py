"""Linears on rows of 8-bit integers: a float32 scale a row, another an output. Fidelity ``high``.

Shapes: M rows (tokens), K inputs, N outputs. A row's scale is its largest magnitude over 127, so
that an integer's rounding is 0.29 of a scale. A Gaussian row of 1,536 loses 0.8 % (relative L2)
where e4m3 loses 2.6 %; a row with a few large channels loses more of its small ones. Hopper
multiplies both kinds at the same rate (1,979 TFLOP/s, NVIDIA H100 data sheet); sums of products
are exact 32-bit integers for K up to 133,144.

Counted at M = 32,760 with ``int8_linear`` writing bfloat16:

| N x K | operations | at 1,300 TFLOP/s | bytes | at 3.35 TB/s | with an int32 product between |
|---|---|---|---|---|---|
| 4608 x 1536 | 464 GFLOP | 0.36 ms | 0.36 GB | 0.11 ms | + 1.21 GB, 0.36 ms |
| 1536 x 1536 | 155 GFLOP | 0.12 ms | 0.15 GB | 0.05 ms | + 0.40 GB, 0.12 ms |
| 8960 x 1536 | 902 GFLOP | 0.69 ms | 0.65 GB | 0.19 ms | + 2.35 GB, 0.70 ms |
| 1536 x 8960 | 902 GFLOP | 0.69 ms | 0.41 GB | 0.12 ms | + 0.40 GB, 0.12 ms |

which is why scales, bias and GELU are applied before the sums leave the registers. A linear after
GELU gains little: a row's scale needs all of its 8,960 values, which no program of the product
before has, and the pass that makes 8-bit rows of them (0.27 ms measured on an H200) takes what the
product gains (1.12 to 0.75 ms) but for 0.10 ms.

Before rounding, rows may be turned (``rotate``): each 16 channels are multiplied by one orthogonal
matrix, weights by the same, which leaves every product as it was and spreads a channel ten times
larger than its neighbours over all of them (QuaRot, arXiv 2404.00456, section 3). Blocks of 64 gain
nothing over 16 on trained weights, and 16 neighbours are one thread's: nothing is exchanged.

Guidance multiplies the difference of two predictions, and with it what rounding did to the one and
not to the other. ``Int8Pairs`` therefore are rows of one branch, rounded, and what the other has
more, rounded for itself with a scale of its own: products of both are summed in float32, so that
one rounding moves both branches alike. It costs no operation more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.runtime import can_run_triton, capability

INT8_MAX = 127.0
STEP = 0.007874015718698502  # 1 / 127 as float32 has it
SMALLEST = 1e-12  # the magnitude that a row of zeros is scaled by
ALIGNMENT = 16  # what cuBLASLt and the tensor memory accelerator ask of K and N
_HOPPER = (9, 0)
ROTATED = 16  # channels that are turned together
PAIRED = 64  # rows of one branch, before as many of the other
# Rows converted at once where products have to be worked out in float64.
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Int8Rows:
    """Rows ``data * scale``."""

    data: torch.Tensor  # (M, K) int8, row-major
    scale: torch.Tensor  # (M, 1) float32


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Int8Pairs:
    """Rows of two branches: those of the second, and the first's less those of the second.

    The data has 64 rows of the one, the 64 differences, and so on, so that a tile of 128 rows holds
    both; what lies beyond the last row is anything.
    """

    data: torch.Tensor  # (M / 64, rounded up, times 128, K) int8, row-major
    scale: torch.Tensor  # (2, M) float32: of the rows, of the differences


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Int8Weight:
    """A linear's weight ``data * scale.T``: one scale an output."""

    data: torch.Tensor  # (N, K) int8, row-major
    scale: torch.Tensor  # (1, N) float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Tiles:
    """How a product is cut up and launched; any values that fit the device are correct."""

    block_m: int  # rows a program; 2**n
    block_n: int  # outputs a program; 2**n
    block_k: int  # inputs at once; 2**n
    num_warps: int
    num_stages: int  # tiles of inputs under way
    group_m: int = 8  # tiles of rows that share the weights in L2
    has_descriptors: bool = True  # the tensor memory accelerator loads the tiles
    is_persistent: bool = False  # a program a multiprocessor, which walks over the tiles
    has_halves: bool = False  # the result leaves in two halves: fewer registers


# The best on an H200 (Triton 3.6) of 32,760 rows with 1,536 inputs (1,165 to 1,209 TFLOP/s), of as
# many with 8,960 inputs (1,333), and of 1,560 rows.
MANY_ROWS = Int8Tiles(
    block_m=128, block_n=128, block_k=128, num_warps=4, num_stages=3, is_persistent=True,
    has_halves=True,
)  # fmt: skip
MANY_INPUTS = Int8Tiles(block_m=128, block_n=128, block_k=128, num_warps=4, num_stages=3)
FEW_ROWS = Int8Tiles(
    block_m=128, block_n=128, block_k=128, num_warps=4, num_stages=3, has_descriptors=False
)
# As FEW_ROWS within the 99 KiB of shared memory that GPUs before Hopper have, and of 128 rows.
SMALL_PAIRS = Int8Tiles(
    block_m=128, block_n=64, block_k=128, num_warps=4, num_stages=3, has_descriptors=False
)
# For the timing on a GPU. One multiprocessor's registers hold 128 x 256 sums once, or 128 x 128
# twice. Triton 3.6 waits for an integer product before it starts the next (float32 sums stay under
# way): two programs side by side, or longer steps, hide that.
CONFIGS = (
    Int8Tiles(block_m=128, block_n=256, block_k=128, num_warps=8, num_stages=4, has_halves=True),
    MANY_INPUTS,
    Int8Tiles(block_m=256, block_n=128, block_k=128, num_warps=8, num_stages=4),
    Int8Tiles(block_m=128, block_n=256, block_k=128, num_warps=8, num_stages=4),
    Int8Tiles(
        block_m=128, block_n=256, block_k=128, num_warps=8, num_stages=4, group_m=16,
        has_halves=True,
    ),
    Int8Tiles(block_m=128, block_n=256, block_k=128, num_warps=8, num_stages=3, has_halves=True),
    Int8Tiles(
        block_m=128, block_n=256, block_k=128, num_warps=8, num_stages=3, is_persistent=True,
        has_halves=True,
    ),
    MANY_ROWS,
    Int8Tiles(block_m=256, block_n=128, block_k=128, num_warps=8, num_stages=4, has_halves=True),
    Int8Tiles(
        block_m=256, block_n=128, block_k=128, num_warps=8, num_stages=3, is_persistent=True,
        has_halves=True,
    ),
    Int8Tiles(block_m=128, block_n=128, block_k=256, num_warps=8, num_stages=3),
    Int8Tiles(block_m=128, block_n=128, block_k=64, num_warps=4, num_stages=5),
    FEW_ROWS,
    Int8Tiles(
        block_m=128, block_n=256, block_k=128, num_warps=8, num_stages=4, has_descriptors=False,
        has_halves=True,
    ),
)  # fmt: skip
# Where there are too few tiles to fill the device, and before Hopper.
SMALL_TILES = Int8Tiles(
    block_m=64, block_n=128, block_k=128, num_warps=4, num_stages=4, has_descriptors=False
)
_FEWEST_TILES = 132  # multiprocessors of an H100
_MANY_ROWS = 8192  # between what was measured
_MANY_INPUTS = 4096


def int8_rows(x: torch.Tensor) -> Int8Rows:
    """Round each row of ``x`` (M, K), of unit stride in K and any float type, to 8-bit integers."""
    if can_run_triton(x):
        return _triton().int8_rows(x)
    return int8_rows_reference(x)


def int8_rows_reference(x: torch.Tensor) -> Int8Rows:
    """See ``int8_rows``; the kernel gives the same bits."""
    x = x.float()
    largest = x.abs().amax(dim=1, keepdim=True).clamp_min(SMALLEST)
    # As the kernel, bit for bit: torch divides by a number by multiplying with its inverse on CUDA.
    inverse = largest.reciprocal() * INT8_MAX
    return Int8Rows(data=(x * inverse).round().to(torch.int8), scale=largest * STEP)


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Return each 16 channels of ``x`` (M, K) times the Walsh-Hadamard matrix over 4, float32.

    The matrix is orthogonal and its own inverse, so that ``rotate(x) @ rotate(weight).T`` is
    ``x @ weight.T``.

    Raises:
        ValueError: K is no multiple of 16.
    """
    if x.shape[1] % ROTATED:
        raise ValueError(f"{x.shape[1]} channels; rows are turned in blocks of {ROTATED}")
    blocks = x.float().view(x.shape[0], -1, ROTATED)
    for _ in range(ROTATED.bit_length() - 1):
        even, odd = blocks[..., 0::2], blocks[..., 1::2]
        blocks = torch.cat((even + odd, even - odd), dim=2)
    return blocks.reshape(x.shape) * ROTATED**-0.5


def int8_pairs_reference(first: torch.Tensor, second: torch.Tensor) -> Int8Pairs:
    """Round two branches' rows, (M, K) each, to 8-bit integers."""
    base, more = int8_rows_reference(second), int8_rows_reference(first.float() - second.float())
    padding = (0, 0, 0, -len(base.data) % PAIRED)
    blocks = [F.pad(rows.data, padding).unflatten(0, (-1, PAIRED)) for rows in (base, more)]
    data = torch.stack(blocks, dim=1).flatten(0, 2)
    return Int8Pairs(data=data, scale=torch.cat((base.scale, more.scale), dim=1).t().contiguous())


def int8_weight(weight: torch.Tensor, *, is_rotated: bool = False) -> Int8Weight:
    """Round a linear's weight (N, K) to 8-bit integers, one scale an output.

    Args:
        weight: of any float type.
        is_rotated: turn it first, for rows that are turned.
    """
    weight = weight.detach()
    rows = int8_rows(rotate(weight) if is_rotated else weight.contiguous())
    return Int8Weight(data=rows.data, scale=rows.scale.reshape(1, -1))


def int8_values(value: Int8Rows | Int8Weight) -> torch.Tensor:
    """Return what the 8 bits stand for, float32."""
    return value.data.float() * value.scale.reshape(-1, 1)


def int8_linear(
    x: Int8Rows,
    weight: Int8Weight,
    bias: torch.Tensor | None = None,
    *,
    out_dtype: torch.dtype = torch.bfloat16,
    is_gelu: bool = False,
    tiles: Int8Tiles | None = None,
) -> torch.Tensor:
    """Return ``x @ weight.T + bias``, (M, N): exact integer sums, then scales and bias in float32.

    Args:
        x: data (M, K), scale (M, 1).
        weight: data (N, K), scale (1, N).
        bias: (N,) of any float type.
        out_dtype: a float type; rounded to once, at the end.
        is_gelu: end in GELU's tanh form.
        tiles: how the kernel is launched; by default ``default_tiles``.

    Raises:
        ValueError: K or N is no multiple of 16.
    """
    _check(x, weight)
    if not can_run_triton(x.data):
        return int8_linear_reference(x, weight, bias, out_dtype=out_dtype, is_gelu=is_gelu)
    return _triton().linear(
        x,
        weight,
        bias,
        out_dtype=out_dtype,
        is_gelu=is_gelu,
        tiles=tiles or default_tiles(x, weight),
    )


def int8_linear_reference(
    x: Int8Rows,
    weight: Int8Weight,
    bias: torch.Tensor | None = None,
    *,
    out_dtype: torch.dtype = torch.bfloat16,
    is_gelu: bool = False,
) -> torch.Tensor:
    """See ``int8_linear``: the same integers, in the same order of operations after them."""
    product = int8_product_reference(x, weight)
    return int8_scale_reference(
        product, x.scale, weight.scale, bias, out_dtype=out_dtype, is_gelu=is_gelu
    )


def int8_linear_pairs(
    x: Int8Pairs,
    weight: Int8Weight,
    bias: torch.Tensor | None = None,
    *,
    out_dtype: torch.dtype = torch.bfloat16,
    is_gelu: bool = False,
    tiles: Int8Tiles | None = None,
) -> torch.Tensor:
    """Return ``int8_linear`` of both branches, (2 M, N), the first branch's rows first.

    Args:
        x: of M pairs of rows.
        weight: data (N, K), scale (1, N).
        bias: (N,) of any float type.
        out_dtype: a float type; rounded to once, at the end.
        is_gelu: end in GELU's tanh form.
        tiles: how the kernel is launched, of 128 rows; by default ``default_pair_tiles``.

    Raises:
        ValueError: K or N is no multiple of 16.
    """
    _check(x, weight)
    if not can_run_triton(x.data):
        return int8_linear_pairs_reference(x, weight, bias, out_dtype=out_dtype, is_gelu=is_gelu)
    return _triton().linear_pairs(
        x,
        weight,
        bias,
        out_dtype=out_dtype,
        is_gelu=is_gelu,
        tiles=tiles or default_pair_tiles(x, weight),
    )


def int8_linear_pairs_reference(
    x: Int8Pairs,
    weight: Int8Weight,
    bias: torch.Tensor | None = None,
    *,
    out_dtype: torch.dtype = torch.bfloat16,
    is_gelu: bool = False,
) -> torch.Tensor:
    """See ``int8_linear_pairs``."""
    num_pairs = x.scale.shape[1]
    product = int8_product_reference(Int8Rows(data=x.data, scale=x.scale), weight)
    parts = product.unflatten(0, (-1, 2, PAIRED)).transpose(0, 1).flatten(1, 2)[:, :num_pairs]
    second, more = parts.float() * x.scale[:, :, None] * weight.scale
    second = second if bias is None else second + bias.float()
    out = torch.cat((more + second, second))
    return (F.gelu(out, approximate="tanh") if is_gelu else out).to(out_dtype)


def int8_product(
    x: Int8Rows, weight: Int8Weight, *, tiles: Int8Tiles | None = None
) -> torch.Tensor:
    """Return the integers of ``int8_linear`` before scales and bias, (M, N) int32."""
    _check(x, weight)
    if not can_run_triton(x.data):
        return int8_product_reference(x, weight)
    tiles = tiles or default_tiles(x, weight)
    return _triton().linear(x, weight, None, out_dtype=torch.int32, is_gelu=False, tiles=tiles)


def int8_product_reference(x: Int8Rows, weight: Int8Weight) -> torch.Tensor:
    """See ``int8_product``: cuBLASLt's integers on CUDA, elsewhere exact sums in float64."""
    if x.data.is_cuda and x.data.shape[0] > ALIGNMENT:  # it refuses fewer rows
        product: Any = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
        return product(x.data, weight.data.t())
    columns = weight.data.t().double()
    parts = [(part.double() @ columns).int() for part in x.data.split(_ROWS_AT_ONCE)]
    return torch.cat(parts) if parts else x.data.new_empty(0, columns.shape[1], dtype=torch.int32)


def int8_scale_reference(
    product: torch.Tensor,
    x_scale: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    out_dtype: torch.dtype = torch.bfloat16,
    is_gelu: bool = False,
) -> torch.Tensor:
    """Return ``product * x_scale * weight_scale + bias``: what follows ``int8_product``."""
    out = product.float() * x_scale * weight_scale
    out = out if bias is None else out + bias.float()
    return (F.gelu(out, approximate="tanh") if is_gelu else out).to(out_dtype)


def default_tiles(x: Int8Rows, weight: Int8Weight) -> Int8Tiles:
    """Return the launch that ``int8_linear`` takes by itself."""
    (num_rows, num_inputs), num_outputs = x.data.shape, weight.data.shape[0]
    tiles = -(-num_rows // FEW_ROWS.block_m) * -(-num_outputs // FEW_ROWS.block_n)
    if capability(x.data.device) != _HOPPER or tiles < _FEWEST_TILES:
        return SMALL_TILES
    if num_rows < _MANY_ROWS:
        return FEW_ROWS
    return MANY_INPUTS if num_inputs >= _MANY_INPUTS else MANY_ROWS


def default_pair_tiles(x: Int8Pairs, weight: Int8Weight) -> Int8Tiles:
    """Return the launch that ``int8_linear_pairs`` takes by itself."""
    tiles = default_tiles(Int8Rows(data=x.data, scale=x.scale), weight)
    return tiles if tiles.block_m == 2 * PAIRED else SMALL_PAIRS


def _check(x: Int8Rows | Int8Pairs, weight: Int8Weight) -> None:
    num_outputs, num_inputs = weight.data.shape
    if num_inputs % ALIGNMENT or num_outputs % ALIGNMENT:
        raise ValueError(
            f"a linear of {num_inputs} inputs and {num_outputs} outputs: "
            f"both must be multiples of {ALIGNMENT}"
        )
    assert x.data.shape[1] == num_inputs, (x.data.shape, weight.data.shape)


def _triton() -> Any:
    from ourvidz.kernels import _int8_triton

    return _int8_triton
