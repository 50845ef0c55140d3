"""How fast a case could be: its arithmetic and bytes, over what this machine was measured to do.

A floor is a lower bound in seconds. Each part of the work (matrix products, attention,
convolutions, weights that must be read) is taken at the best measured rate of its own kind and
precision, and the parts follow each other. What can be fused away counts nothing: norms,
activations, rotary embeddings, softmax, schedulers. So do text encoding (its result can be kept)
and the writing of files (it overlaps). Free of torch.

Counts: a product of (M, K) and (K, N) is 2 M K N operations; attention of L queries over S keys
is 4 L S D over all heads (two products); a convolution 2 operations a tap, zero padding included,
as the libraries run it. The tests hold every formula to torch's own FLOP counter.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import TYPE_CHECKING, Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import Fidelity
from ourvidz.models.wan.config import WanGeometry

if TYPE_CHECKING:
    from ourvidz.bench.records import BenchmarkRecord


class Kind(StrEnum):
    """What a rate is of. The first three are in FLOP/s, the others in bytes/s."""

    MATMUL = "matmul"
    ATTENTION = "attention"
    CONVOLUTION = "convolution"
    MEMORY = "memory"  # device copy, bytes read plus bytes written
    HOST_TO_DEVICE = "host_to_device"
    DEVICE_TO_HOST = "device_to_host"
    DISK = "disk"  # cold read


COMPUTE = frozenset({Kind.MATMUL, Kind.ATTENTION, Kind.CONVOLUTION})


class Precision(StrEnum):
    """Of the inputs of a product, or ``bytes`` for copies."""

    FP32 = "fp32"
    BF16 = "bf16"  # any 16-bit type: bfloat16 and float16 run at one rate
    EIGHT_BIT = "8bit"  # e4m3 or int8
    BYTES = "bytes"


_SIZE_BYTES = {Precision.FP32: 4, Precision.BF16: 2, Precision.EIGHT_BIT: 1}
# The convolutions of ``high`` stay in 16 bits: only linears and attention may be 8-bit.
_EIGHT_BIT_KINDS = frozenset({Kind.MATMUL, Kind.ATTENTION})


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One product, ``count`` times."""

    name: str  # parts of one name are added up in tables
    kind: Kind
    flops: int = 0
    weights: int = 0  # elements that must be read
    activations: int = 0  # elements read and written at least once
    fixed_bytes: int = 0  # bytes that depend on no precision: files
    count: int = 1

    def num_bytes(self, size_bytes: int) -> int:
        """Return the bytes that pass through memory, at ``size_bytes`` an element."""
        return self.count * ((self.weights + self.activations) * size_bytes + self.fixed_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What one run of a case has to do."""

    parts: tuple[Part, ...]

    def __add__(self, other: Work) -> Work:
        return Work(parts=(*self.parts, *other.parts))

    def times(self, count: int) -> Work:
        """Return the work ``count`` times over."""
        return Work(
            parts=tuple(dataclasses.replace(part, count=part.count * count) for part in self.parts)
        )

    @property
    def flops(self) -> int:
        """Operations of all parts."""
        return sum(part.flops * part.count for part in self.parts)

    @property
    def weights(self) -> int:
        """Elements of all weights."""
        return sum(part.weights * part.count for part in self.parts)

    def flops_by_name(self) -> dict[str, int]:
        """Return operations by part name, in the order of the parts."""
        totals: dict[str, int] = {}
        for part in self.parts:
            totals[part.name] = totals.get(part.name, 0) + part.flops * part.count
        return totals


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """The best measured rates of one machine: FLOP/s, or bytes/s for copies."""

    rates: Mapping[tuple[Kind, Precision], float]

    @classmethod
    def from_record(cls, record: BenchmarkRecord) -> Ceilings:
        """Take the rates out of a record that ``bench limits`` wrote.

        Raises:
            InvalidRequest: the record is of another suite.
        """
        if record.suite != LIMITS_SUITE:
            raise InvalidRequest(
                f"a record of {record.suite!r} holds no ceilings",
                param="limits",
                hint="make one with `ourvidz bench limits --out FILE`",
            )
        return cls.from_rates(
            (Kind(result.case.partition(".")[0]), Precision(result.fidelity), result.value)
            for result in record.results
        )

    @classmethod
    def from_rates(cls, rates: Iterable[tuple[Kind, Precision, float]]) -> Ceilings:
        """Keep the best rate of each kind and precision."""
        best: dict[tuple[Kind, Precision], float] = {}
        for kind, precision, rate in rates:
            best[kind, precision] = max(rate, best.get((kind, precision), 0.0))
        return cls(rates=best)

    @property
    def base(self) -> Precision:
        """What ``exact`` computes in on this machine."""
        has_16_bit = (Kind.MATMUL, Precision.BF16) in self.rates
        return Precision.BF16 if has_16_bit else Precision.FP32

    def rate(self, kind: Kind, precision: Precision) -> float:
        """Return a rate.

        Raises:
            InvalidRequest: it was not measured.
        """
        found = self.rates.get((kind, precision))
        if not found:
            raise InvalidRequest(
                f"no ceiling of {kind.value} in {precision.value} was measured",
                hint="measure with `ourvidz bench limits`, for the disk with `--disk FOLDER`",
            )
        return found


LIMITS_SUITE = "limits"


def floor_s(work: Work, ceilings: Ceilings, fidelity: Fidelity = Fidelity.EXACT) -> float:
    """Return the least seconds that ``work`` can take on a machine with these ceilings.

    A part takes its operations at the ceiling of its kind or its bytes at the ceiling of memory,
    whichever is longer. ``high`` takes 8-bit linears and attention where they were measured and
    are quicker; ``draft`` does less work, which is the caller's to say, at the same rates.

    Raises:
        InvalidRequest: a ceiling that is needed was not measured.
    """
    return sum(_part_s(part, ceilings, fidelity) for part in work.parts)


def _part_s(part: Part, ceilings: Ceilings, fidelity: Fidelity) -> float:
    if part.kind not in COMPUTE and part.kind is not Kind.MEMORY:
        return part.num_bytes(0) / ceilings.rate(part.kind, Precision.BYTES)
    return min(
        _at_precision_s(part, ceilings, precision)
        for precision in _precisions(part.kind, ceilings, fidelity)
    )


def _precisions(kind: Kind, ceilings: Ceilings, fidelity: Fidelity) -> Iterator[Precision]:
    yield ceilings.base
    if fidelity is Fidelity.EXACT or kind not in _EIGHT_BIT_KINDS:
        return
    if (kind, Precision.EIGHT_BIT) in ceilings.rates:
        yield Precision.EIGHT_BIT


def _at_precision_s(part: Part, ceilings: Ceilings, precision: Precision) -> float:
    num_bytes = part.num_bytes(_SIZE_BYTES[precision])
    memory_s = num_bytes / ceilings.rate(Kind.MEMORY, Precision.BYTES) if num_bytes else 0.0
    if not part.flops:
        return memory_s
    return max(part.flops * part.count / ceilings.rate(part.kind, precision), memory_s)


# ------------------------------------------------------------------------------- other machines


def _published(bf16: float, eight_bit: float, memory: float) -> Ceilings:
    """Return a data sheet's rates: dense tensor TFLOP/s in 16 and 8 bits, and TB/s of memory."""
    rates = {
        (kind, precision): rate * 1e12
        for kind in sorted(COMPUTE)
        for precision, rate in ((Precision.BF16, bf16), (Precision.EIGHT_BIT, eight_bit))
    }
    return Ceilings(rates={**rates, (Kind.MEMORY, Precision.BYTES): memory * 1e12})


# NVIDIA's data sheets of each card, without sparsity.
PUBLISHED: Mapping[str, Ceilings] = {
    "h200": _published(989.5, 1979.0, 4.8),
    "h100": _published(989.5, 1979.0, 3.35),  # SXM
    "l40s": _published(362.05, 733.0, 0.864),  # Ada, 48 GB
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Modelled:
    """Seconds on a machine that was not measured."""

    value: float
    low: float
    high: float


def modelled(
    work: Work,
    *,
    seconds: tuple[float, float, float],
    ceilings: Ceilings,
    here: str,
    there: str,
    fidelity: Fidelity = Fidelity.EXACT,
) -> Modelled:
    """Return what ``work`` would take on another card, from what it took here.

    The floor's share of the time scales with the cards' published tensor rates. What lies above
    the floor may scale with them too, or with the memory, if it is traffic that could not be
    hidden. The value is the middle of both, low and high the lower and the higher of them.

    Args:
        work: that was measured.
        seconds: it took here: median, smallest, largest.
        ceilings: measured here.
        here: the card that was measured, a name of ``PUBLISHED``.
        there: the card to model.
        fidelity: of the run.

    Raises:
        InvalidRequest: a card whose data sheet is not known.
    """
    for name in (here, there):
        if name not in PUBLISHED:
            raise InvalidRequest(
                f"no published rates of {name!r}", param="card", hint=f"known: {[*PUBLISHED]}"
            )
    sheet_here, sheet_there = PUBLISHED[here], PUBLISHED[there]
    memory = (Kind.MEMORY, Precision.BYTES)
    by_memory = sheet_here.rates[memory] / sheet_there.rates[memory]
    by_tensors = floor_s(work, sheet_there, fidelity) / floor_s(work, sheet_here, fidelity)
    least_s = floor_s(work, ceilings, fidelity)

    def bounds(measured_s: float) -> tuple[float, float]:
        above_s = max(0.0, measured_s - least_s)
        base_s = (measured_s - above_s) * by_tensors
        both = (base_s + above_s * by_tensors, base_s + above_s * by_memory)
        return min(both), max(both)

    median, smallest, largest = seconds
    return Modelled(value=sum(bounds(median)) / 2, low=bounds(smallest)[0], high=bounds(largest)[1])


# ------------------------------------------------------------------------------- building blocks


def _linear(name: str, rows: int, width_in: int, width_out: int, count: int = 1) -> Part:
    return Part(
        name=name,
        kind=Kind.MATMUL,
        flops=2 * rows * width_in * width_out,
        weights=width_in * width_out,
        activations=rows * (width_in + width_out),
        count=count,
    )


def _attention(name: str, items: int, queries: int, keys: int, width: int, count: int = 1) -> Part:
    return Part(
        name=name,
        kind=Kind.ATTENTION,
        flops=4 * items * queries * keys * width,
        activations=2 * items * (queries + keys) * width,
        count=count,
    )


def _conv(name: str, pixels: int, channels_in: int, channels_out: int, taps: int) -> Part:
    """One convolution; ``pixels`` counts output positions, frames and batch included."""
    return Part(
        name=name,
        kind=Kind.CONVOLUTION,
        flops=2 * pixels * channels_in * channels_out * taps,
        weights=channels_in * channels_out * taps,
        activations=pixels * (channels_in + channels_out),
    )


# ------------------------------------------------------------------------------------------- Wan


def wan_forward(
    config: Mapping[str, Any],
    geometry: WanGeometry,
    *,
    num_frames: int,
    height: int,
    width: int,
    text_tokens: int = 512,
    batch: int = 1,
    has_text: bool = True,
) -> Work:
    """Return one pass of ``WanTransformer3DModel`` (diffusers 0.42.1, transformer_wan.py).

    With L tokens, width D, T text tokens and F the feed-forward width, a layer is 4 L^2 D of
    self-attention, L D (12 D + 4 F) of linears, 4 L T D of cross attention and 4 T D^2 for the
    text's keys and values.

    Args:
        config: of the transformer.
        geometry: of the checkpoint.
        num_frames: of the clip, in frames; height and width in pixels.
        text_tokens: T; the library pads text to 512 and masks nothing.
        batch: items.
        has_text: count the text's projection, keys and values: once a job is enough of them.
    """
    tokens = geometry.num_tokens(num_frames=num_frames, height=height, width=width)
    heads, head_dim = config["num_attention_heads"], config["attention_head_dim"]
    dim, layers, ffn_dim = heads * head_dim, config["num_layers"], config["ffn_dim"]
    patch = prod(config["patch_size"])
    rows, text_rows = batch * tokens, batch * text_tokens
    parts = [
        _linear("patches", rows, config["in_channels"] * patch, dim),
        _linear("time", batch, config["freq_dim"], dim),
        _linear("time", batch, dim, dim),
        _linear("time", batch, dim, 6 * dim),
        _attention("self-attention", batch, tokens, tokens, dim, layers),
        _linear("linears", rows, dim, dim, 6 * layers),  # q, k, v, out; cross q, out
        _linear("linears", rows, dim, ffn_dim, layers),
        _linear("linears", rows, ffn_dim, dim, layers),
        _attention("cross attention", batch, tokens, text_tokens, dim, layers),
        _linear("patches", rows, dim, config["out_channels"] * patch),
    ]
    if has_text:
        parts += [
            _linear("text", text_rows, config["text_dim"], dim),
            _linear("text", text_rows, dim, dim),
            _linear("text keys and values", text_rows, dim, dim, 2 * layers),
        ]
    return Work(parts=tuple(parts))


def wan_vae_decode(
    config: Mapping[str, Any],
    *,
    num_latent_frames: int,
    latent_height: int,
    latent_width: int,
    batch: int = 1,
) -> Work:
    """Return one decode of ``AutoencoderKLWan`` with its feature cache (diffusers 0.42.1).

    The first latent frame is not doubled in time, and skips the temporal convolutions that
    double.

    Args:
        config: of the VAE.
        num_latent_frames: latent frames; latent_height, latent_width in latent pixels.
        batch: items.
    """
    base = config.get("decoder_base_dim") or config["base_dim"]
    mults: Sequence[int] = config["dim_mult"]
    is_residual = bool(config.get("is_residual", False))
    doubles_time = tuple(reversed(config["temperal_downsample"]))
    dims = [base * mult for mult in (mults[-1], *reversed(mults))]
    frames, area = num_latent_frames, latent_height * latent_width
    z_dim = config["z_dim"]
    pixels = batch * frames * area
    parts = [
        _conv("entry", pixels, z_dim, z_dim, 1),
        _conv("entry", pixels, z_dim, dims[0], 27),
        *_wan_residual("middle", pixels, dims[0], dims[0]),
        *_wan_middle_attention(batch * frames, area, dims[0]),
        *_wan_residual("middle", pixels, dims[0], dims[0]),
    ]
    for index, (dim_in, dim_out) in enumerate(itertools.pairwise(dims)):
        name = f"up {index + 1}"
        channels = dim_in // 2 if index > 0 and not is_residual else dim_in
        for _ in range(config["num_res_blocks"] + 1):
            parts += _wan_residual(name, batch * frames * area, channels, dim_out)
            channels = dim_out
        if index == len(mults) - 1:
            continue
        if doubles_time[index]:
            later = batch * (frames - 1) * area
            parts.append(_conv(name, later, dim_out, 2 * dim_out, 3))
            frames = 1 + 2 * (frames - 1)
        area *= 4
        narrowed = dim_out if is_residual else dim_out // 2
        parts.append(_conv(name, batch * frames * area, dim_out, narrowed, 9))
    parts.append(_conv("exit", batch * frames * area, dims[-1], config.get("out_channels", 3), 27))
    return Work(parts=tuple(parts))


def _wan_residual(name: str, pixels: int, dim_in: int, dim_out: int) -> list[Part]:
    parts = [_conv(name, pixels, dim_in, dim_out, 27), _conv(name, pixels, dim_out, dim_out, 27)]
    if dim_in != dim_out:
        parts.append(_conv(name, pixels, dim_in, dim_out, 1))
    return parts


def _wan_middle_attention(images: int, area: int, dim: int) -> list[Part]:
    return [
        _conv("middle", images * area, dim, 3 * dim, 1),
        _attention("middle attention", images, area, area, dim),
        _conv("middle", images * area, dim, dim, 1),
    ]


# ------------------------------------------------------------------------------------------ SDXL


def sdxl_unet(
    config: Mapping[str, Any],
    *,
    latent_height: int,
    latent_width: int,
    batch: int,
    text_tokens: int = 77,
) -> Work:
    """Return one pass of SDXL's ``UNet2DConditionModel`` (diffusers 0.42.1).

    Args:
        config: of the UNet.
        latent_height: in latent pixels, as latent_width.
        batch: items; guidance doubles it.
        text_tokens: of the prompt embeddings.
    """
    walk = _UnetWalk(config=config, batch=batch, text_tokens=text_tokens)
    return Work(parts=tuple(walk.parts(latent_height, latent_width)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _UnetWalk:
    config: Mapping[str, Any]
    batch: int
    text_tokens: int

    def parts(self, height: int, width: int) -> Iterator[Part]:
        config = self.config
        channels: Sequence[int] = config["block_out_channels"]
        depths = _per_block(config["transformer_layers_per_block"], len(channels))
        layers = _per_block(config["layers_per_block"], len(channels))
        area = height * width
        yield from self._embeddings()
        yield _conv("convolutions", self.batch * area, config["in_channels"], channels[0], 9)
        skips = [channels[0]]
        current = channels[0]
        for index, kind in enumerate(config["down_block_types"]):
            for _ in range(layers[index]):
                yield from self._residual(area, current, channels[index])
                current = channels[index]
                if "CrossAttn" in kind:
                    yield from self._transformer(area, current, depths[index])
                skips.append(current)
            if index < len(channels) - 1:
                area //= 4
                yield _conv("convolutions", self.batch * area, current, current, 9)
                skips.append(current)
        yield from self._residual(area, current, current)
        yield from self._transformer(area, current, depths[-1])
        yield from self._residual(area, current, current)
        for index, kind in enumerate(config["up_block_types"]):
            level = len(channels) - 1 - index
            for _ in range(layers[level] + 1):
                yield from self._residual(area, current + skips.pop(), channels[level])
                current = channels[level]
                if "CrossAttn" in kind:
                    yield from self._transformer(area, current, depths[level])
            if level > 0:
                area *= 4
                yield _conv("convolutions", self.batch * area, current, current, 9)
        yield _conv("convolutions", self.batch * area, current, config["out_channels"], 9)

    def _embeddings(self) -> Iterator[Part]:
        first, time_dim = self.config["block_out_channels"][0], self._time_dim
        added = self.config.get("projection_class_embeddings_input_dim")
        widths = [(first, time_dim), (time_dim, time_dim)]
        if added:
            widths += [(added, time_dim), (time_dim, time_dim)]
        for width_in, width_out in widths:
            yield _linear("embeddings", self.batch, width_in, width_out)

    @property
    def _time_dim(self) -> int:
        return 4 * self.config["block_out_channels"][0]

    def _residual(self, area: int, channels_in: int, channels_out: int) -> Iterator[Part]:
        pixels = self.batch * area
        yield _conv("convolutions", pixels, channels_in, channels_out, 9)
        yield _linear("embeddings", self.batch, self._time_dim, channels_out)
        yield _conv("convolutions", pixels, channels_out, channels_out, 9)
        if channels_in != channels_out:
            yield _conv("convolutions", pixels, channels_in, channels_out, 1)

    def _transformer(self, area: int, dim: int, depth: int) -> Iterator[Part]:
        rows, text_rows = self.batch * area, self.batch * self.text_tokens
        text_dim = self.config["cross_attention_dim"]
        yield _linear("linears", rows, dim, dim, 2)  # into and out of the blocks
        yield _linear("linears", rows, dim, dim, 6 * depth)  # q, k, v, out; cross q, out
        yield _linear("text keys and values", text_rows, text_dim, dim, 2 * depth)
        yield _linear("linears", rows, dim, 8 * dim, depth)  # the gate doubles the width
        yield _linear("linears", rows, 4 * dim, dim, depth)
        yield _attention("self-attention", self.batch, area, area, dim, depth)
        yield _attention("cross attention", self.batch, area, self.text_tokens, dim, depth)


def _per_block(value: int | Sequence[int], count: int) -> Sequence[int]:
    return [value] * count if isinstance(value, int) else value


def sdxl_vae_decode(
    config: Mapping[str, Any], *, latent_height: int, latent_width: int, batch: int
) -> Work:
    """Return one decode of ``AutoencoderKL`` (diffusers 0.42.1); sizes in latent pixels."""
    channels: Sequence[int] = tuple(reversed(config["block_out_channels"]))
    latent_channels, area, current = config["latent_channels"], latent_height * latent_width, 0
    parts = [
        _conv("entry", batch * area, latent_channels, latent_channels, 1),
        _conv("entry", batch * area, latent_channels, channels[0], 9),
        *_image_residual("middle", batch * area, channels[0], channels[0]),
        *_image_residual("middle", batch * area, channels[0], channels[0]),
    ]
    if config.get("mid_block_add_attention", True):
        parts += [
            _linear("middle", batch * area, channels[0], channels[0], 4),
            _attention("middle attention", batch, area, area, channels[0]),
        ]
    current = channels[0]
    for index, width in enumerate(channels):
        for _ in range(config["layers_per_block"] + 1):
            parts += _image_residual(f"up {index + 1}", batch * area, current, width)
            current = width
        if index < len(channels) - 1:
            area *= 4
            parts.append(_conv(f"up {index + 1}", batch * area, current, current, 9))
    parts.append(_conv("exit", batch * area, current, config["out_channels"], 9))
    return Work(parts=tuple(parts))


def _image_residual(name: str, pixels: int, channels_in: int, channels_out: int) -> list[Part]:
    parts = [
        _conv(name, pixels, channels_in, channels_out, 9),
        _conv(name, pixels, channels_out, channels_out, 9),
    ]
    if channels_in != channels_out:
        parts.append(_conv(name, pixels, channels_in, channels_out, 1))
    return parts


# ------------------------------------------------------------------------------------------ Qwen


def qwen_weights(config: Mapping[str, Any]) -> int:
    """Return the parameters of a ``Qwen2ForCausalLM``, the table of embeddings included."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    layers = config["num_hidden_layers"]
    kv_dim = _kv_dim(config)
    biases_and_norms = layers * (hidden + 2 * kv_dim + 2 * hidden) + hidden
    table = vocab * hidden  # the output's own matrix is counted by ``qwen_token``
    total = _qwen_matrices(config) + biases_and_norms
    return total if config.get("tie_word_embeddings") else total + table


def qwen_token(config: Mapping[str, Any], *, context_tokens: int) -> Work:
    """Return one token of decoding at batch 1, with ``context_tokens`` in the cache.

    Every matrix is read once (of the table of input embeddings, one row) and so are the cached
    keys and values: memory bounds it, not arithmetic.
    """
    layers, hidden = config["num_hidden_layers"], config["hidden_size"]
    matrices = _qwen_matrices(config)
    cached = 2 * context_tokens * _kv_dim(config) * layers
    return Work(
        parts=(
            Part(name="weights", kind=Kind.MATMUL, flops=2 * matrices, weights=matrices),
            Part(
                name="attention",
                kind=Kind.MEMORY,  # a row of queries over the cache is bound by reading it
                activations=cached + 2 * hidden * layers,
            ),
        )
    )


def qwen_generate(config: Mapping[str, Any], *, prompt_tokens: int, new_tokens: int) -> Work:
    """Return the decoding of ``new_tokens``; the prompt's own pass is part of the first."""
    middle = prompt_tokens + new_tokens // 2
    return qwen_token(config, context_tokens=middle).times(new_tokens)


def _qwen_matrices(config: Mapping[str, Any]) -> int:
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    a_layer = 2 * hidden * hidden + 2 * hidden * _kv_dim(config) + 3 * hidden * ffn
    return config["num_hidden_layers"] * a_layer + hidden * config["vocab_size"]


def _kv_dim(config: Mapping[str, Any]) -> int:
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    return config["num_key_value_heads"] * head_dim


# ------------------------------------------------------------------------------------------ load


def load(num_bytes: int) -> Work:
    """Return the reading of ``num_bytes`` from disk."""
    return Work(parts=(Part(name="files", kind=Kind.DISK, fixed_bytes=num_bytes),))
