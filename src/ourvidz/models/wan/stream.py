"""The Wan VAE's decoder as a stream, on the library's weights: exact algebra, less movement.

``models.wan.decode`` drives the library's modules: two thirds of its time goes into layout changes,
growing caches, padding and elementwise passes. Here

- everything is channels-last, (frames, H, W, C), so that cuDNN changes no layout;
- each causal convolution has an input tensor with room for the two frames before: the norm before
  it writes straight into it, and neither past nor padding is ever concatenated;
- sum, bias, norm and SiLU are one pass (``kernels.vae.add_norm_silu``);
- doubling the resolution and the convolution behind it are one convolution of a quarter of the
  positions (``kernels.vae.upsample_weight``);
- the first stage takes several latent frames at once, because one of them does not fill a GPU.

Causal convolutions over a longer piece are the same convolutions, so the pieces' lengths change
nothing but rounding. Fidelity: exact (float32: within 1e-5 of the library; bfloat16: its rounding).
The off switch is ``models.wan.decode.decode``, which also does what ``can_stream`` refuses.

Two ways of convolving can stand in for cuDNN: ``StreamOptions.triton_convs``, and ``paired_convs``
with a third less arithmetic. Which is fastest is for a measurement to say
(``benchmarks/decode_gpu.py``), so cuDNN is the default.

Several ranks can decode one clip, each a stripe of its lines: ``decode_stripe``, and
``models.wan.stripes`` for what they exchange.

Memory in bfloat16 at full size, one latent frame a step, in GB (``memory_bytes`` counts it):
inputs of convolutions 5.4 at 480x832 and 12.5 at 720x1280 (3.6 and 8.3 with pairs at 96 and 192
channels), activations up to 2.1 and 4.8, and cuDNN's workspaces.

Shapes: n frames, H, W lines and columns at a stage, C channels; F latent frames, h, w of latents.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels import vae as kernels
from ourvidz.kernels.runtime import capability
from ourvidz.kernels.vae import ConvTiles
from ourvidz.models.frames import to_host, to_uint8
from ourvidz.models.imports import library_imports
from ourvidz.models.wan.stripes import Stripe

# Frames that a convolution over three frames sees before the newest.
_PAST = 2

# Of a stage at once, in stripes: the kernel that makes pairs is unrolled over them.
_MOST_FRAMES = 16

# Tensor cores want output channels in eights; the last convolution has three.
_OUT_ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamOptions:
    """What trades memory for speed, and which kernels run. None of it changes the algebra.

    Attributes:
        frames_per_step: latent frames that go through the later stages at once, which is most of
            the memory; a yielded chunk has four times as many frames.
        head_frames: latent frames that go through the first stage at once.
        spare_steps: steps that a convolution's input has room for. At 1 its two past frames are
            moved to the front at every step, at 2 at every second one, and so on.
        has_kernels: our Triton kernels on a GPU; else their references (which are for tests).
        triton_convs: output channels of the 3x3x3 convolutions that ``kernels.vae.causal_conv``
            does in place of cuDNN, and its tiles for them.
        paired_convs: the same for ``kernels.vae.paired_conv``, which comes first: two thirds of
            the arithmetic, and no past but two frames a convolution to keep.
        is_upsampling_folded: see ``kernels.vae.upsample_weight``.
        has_autotuning: cuDNN measures its algorithms the first time that it meets a shape.
    """

    frames_per_step: int = 1
    head_frames: int = 4
    spare_steps: int = 1
    has_kernels: bool = True
    triton_convs: Mapping[int, ConvTiles] = field(default_factory=dict)
    paired_convs: Mapping[int, ConvTiles] = field(default_factory=dict)
    is_upsampling_folded: bool = True
    has_autotuning: bool = True

    def __post_init__(self) -> None:
        assert min(self.frames_per_step, self.head_frames, self.spare_steps) >= 1, self


# Fastest of the options tried on an H200: 0.59 s for 81 frames of 480x832 where the defaults take
# 0.65, and 5.1 in place of 7.0 GiB (``python -m benchmarks.decode_gpu``).
HOPPER_OPTIONS = StreamOptions(
    triton_convs={
        96: ConvTiles(rows=256, outs=(64, 32), channels=(32, 0), num_stages=6),
        192: ConvTiles(rows=256, outs=(128, 64), channels=(64, 0), num_warps=16, num_stages=3),
        384: ConvTiles(rows=256, outs=(128, 0), channels=(64, 0), num_stages=4),
    },
    paired_convs={
        96: ConvTiles(rows=128, outs=(64, 32), channels=(32, 0), num_stages=6),
        192: ConvTiles(rows=128, outs=(128, 64), channels=(32, 0), num_stages=4),
        384: ConvTiles(rows=128, outs=(128, 0), channels=(64, 0), num_stages=3),
    },
)


def options_for(device: torch.device, *, num_stripes: int = 1) -> StreamOptions:
    """Return the options for a device: what was measured there, else the defaults.

    Args:
        device: what decodes.
        num_stripes: ranks of one clip's decode. Each has so much less of every frame, and takes
            so many more at once: as much work a launch, as much memory, fewer exchanges.
    """
    found = capability(device)
    options = HOPPER_OPTIONS if found is not None and found[0] == 9 else StreamOptions()
    return replace(
        options,
        frames_per_step=min(options.frames_per_step * num_stripes, _MOST_FRAMES // 4),
        head_frames=min(options.head_frames * num_stripes, _MOST_FRAMES),
    )


def can_stream(vae: Any) -> bool:
    """Whether ``StreamingDecoder`` knows every layer of this VAE's decoder.

    It knows Wan 2.1's (``is_residual`` false, no patches), at any width and depth, as the library
    (diffusers 0.42.1) builds it: its own classes, not subclasses of them.
    """
    with library_imports:
        from diffusers.models.autoencoders import autoencoder_kl_wan as library

    if type(vae) is not library.AutoencoderKLWan:
        return False
    config: Any = vae.config
    if config.is_residual or config.patch_size is not None or vae.training:
        return False
    decoder: Any = vae.decoder
    blocks = [*decoder.mid_block.resnets, *(r for up in decoder.up_blocks for r in up.resnets)]
    upsamplers = [u for up in decoder.up_blocks for u in (up.upsamplers or ())]
    convs = [m for m in decoder.modules() if isinstance(m, torch.nn.Conv3d)]
    norms = [m for m in decoder.modules() if isinstance(m, library.WanRMS_norm)]
    return (
        type(decoder) is library.WanDecoder3d
        and type(decoder.mid_block) is library.WanMidBlock
        and all(type(a) is library.WanAttentionBlock for a in decoder.mid_block.attentions)
        and all(type(up) is library.WanUpBlock for up in decoder.up_blocks)
        and all(type(block) is library.WanResidualBlock for block in blocks)
        and all(type(block.nonlinearity) is torch.nn.SiLU for block in (*blocks, decoder))
        and all(type(conv) is library.WanCausalConv3d for conv in convs)
        and all(type(u) is library.WanResample for u in upsamplers)
        and all(u.mode in ("upsample2d", "upsample3d") for u in upsamplers)
        and all(not isinstance(norm.bias, torch.Tensor) for norm in norms)
        and all(p.is_floating_point() and not p.is_meta for p in decoder.parameters())
    )


class StreamingDecoder:
    """Decodes clips with one VAE's weights. Holds no state of a clip: decodes may take turns."""

    def __init__(
        self,
        vae: Any,
        *,
        dtype: torch.dtype | None = None,
        options: StreamOptions | None = None,
    ) -> None:
        """Convert the decoder's weights once; they take as much memory again as the module's.

        Args:
            vae: from ``load_vae``, on its device; one that ``can_stream``.
            dtype: of weights and activations, the module's own where left out. Norms, sums and
                pixels are computed in float32 whatever it is.
            options: see ``StreamOptions``.
        """
        assert can_stream(vae), type(vae)
        decoder = vae.decoder
        parameter = next(decoder.parameters())
        self.options = options or StreamOptions()
        self.dtype = dtype or parameter.dtype
        self.device = parameter.device
        make = _Maker(dtype=self.dtype, device=self.device, options=self.options)
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=self.device)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        self._quant = make.linear(vae.post_quant_conv, dtype=torch.float32)
        self._conv_in = make.plain_conv(decoder.conv_in)
        self._stages = [make.stage(up) for up in decoder.up_blocks]
        self._stages[0].blocks[:0] = make.mid_blocks(decoder.mid_block)
        self._gamma_out = make.gamma(decoder.norm_out)
        self._conv_out = make.plain_conv(decoder.conv_out, is_padded=self.device.type == "cuda")
        self._num_outs = decoder.conv_out.out_channels
        self._has_kernels = make.has_kernels
        self._limits = self._frame_limits()

    def decode(self, latents: torch.Tensor) -> Generator[torch.Tensor, None, None]:
        """Yield frames of one clip as they are made; see ``models.wan.decode.decode``.

        Args:
            latents: (1, C, F, h, w), normalised.

        Yields:
            (n, H, W, 3) uint8 RGB on the CPU: 1 frame for the first latent frame, then at most 4
            for each of ``frames_per_step``.
        """
        return to_host(_as_uint8(sample) for sample in self.decode_samples(latents))

    def decode_samples(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the same frames as (n, H, W, 3) float32 in [-1, 1] on the device."""
        return self._decode(latents, stripe=None)

    def decode_stripe(self, latents: torch.Tensor, *, stripe: Stripe) -> Iterator[torch.Tensor]:
        """Yield this rank's lines of the clip's frames, in the chunks of ``decode_samples``.

        All ranks of the stripe must run it at once; see ``models.wan.stripes``.

        Args:
            latents: (1, C, F, h, w), normalised, the whole clip's and the same on all ranks.
            stripe: this rank's, of at most h ranks.

        Yields:
            (n, stripe's H, W, 3) uint8 RGB on the device.
        """
        samples = self._decode(latents, stripe=stripe if stripe.size > 1 else None)
        return (_as_uint8(sample) for sample in samples)

    def memory_bytes(self, *, height: int, width: int, stripe: Stripe | None = None) -> int:
        """Return what a long clip takes beyond the weights, without cuDNN's workspaces.

        Args:
            height: of the frames, in pixels, a multiple of the VAE's factor.
            width: the same.
            stripe: where only these lines are decoded.
        """
        lines, columns = height // self.scale, width // self.scale
        has_borders = stripe is not None and stripe.size > 1
        if stripe is not None:
            own = stripe.lines(lines)
            lines = own.stop - own.start
        count = partial(_CausalConv.input_bytes, options=self.options, has_borders=has_borders)
        total = count(self._conv_in, self._limits[0], lines, columns)
        for stage, frames in zip(self._stages, self._limits, strict=True):
            for conv in stage.convs():
                total += count(conv, frames, lines, columns)
            widths = {conv.num_channels for conv in stage.convs() if conv.is_paired}
            pairs = 4 * -(-frames // 2) * (lines + 1 + has_borders) * (columns + 1)
            total += sum(pairs * width * self.dtype.itemsize for width in widths)
            # The incoming sum, the sum kept, and two convolutions' results.
            total += 4 * frames * lines * columns * stage.width * self.dtype.itemsize
            if stage.upsample is not None:
                lines, columns = 2 * lines, 2 * columns
        return total + count(self._conv_out, self._limits[-1], lines, columns)

    @property
    def scale(self) -> int:
        """Lines of a frame that one line of latents becomes."""
        return 2 ** sum(stage.upsample is not None for stage in self._stages)

    def _decode(self, latents: torch.Tensor, *, stripe: Stripe | None) -> Iterator[torch.Tensor]:
        """Yield frames in [-1, 1] on the device: (n, H, W, 3) float32, or the stripe's lines."""
        assert latents.shape[0] == 1, "one clip a call"
        run = _Run(
            options=self.options,
            has_kernels=self._has_kernels,
            stripe=stripe,
            num_lines=latents.shape[3],
        )
        hidden = self._enter(latents)
        # The first latent frame alone: it becomes one frame, the others four, and the pieces of
        # all others have one length.
        for piece in (hidden[:1], *hidden[1:].split(self._limits[0])):
            if len(piece):
                yield from self._descend(run, 0, self._start(run, piece))

    def _frame_limits(self) -> list[int]:
        """Return how many frames each stage takes at once."""
        limits = [max(self.options.head_frames, self.options.frames_per_step)]
        factor = 1
        for stage in self._stages[:-1]:
            if stage.upsample is not None and stage.upsample.time_conv is not None:
                factor *= 2
            limits.append(self.options.frames_per_step * factor)
        return limits

    @torch.inference_mode()
    def _enter(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (F, h, w, C) of the data's scale, through the convolution before the decoder."""
        rows = latents[0].to(device=self.device, dtype=torch.float32).permute(1, 2, 3, 0)
        # Divided by the reciprocal, as WanPipeline does: another rounding than a product.
        return self._quant(rows / (1.0 / self._std) + self._mean).to(self.dtype)

    @torch.inference_mode()
    def _start(self, run: _Run, piece: torch.Tensor) -> _Sum:
        with _autotuning(self.options.has_autotuning):
            run.enter(self._conv_in, piece)
            return _Sum(values=run.convolve(self._conv_in), bias=self._conv_in.bias)

    def _descend(self, run: _Run, index: int, x: _Sum) -> Iterator[torch.Tensor]:
        """Yield what becomes of ``x`` from stage ``index`` on, in pieces that fit each stage."""
        for piece in x.split(self._limits[index]):
            y = self._run_stage(run, index, piece)
            if index + 1 < len(self._stages):
                yield from self._descend(run, index + 1, y)
            else:
                yield self._finish(run, y)

    @torch.inference_mode()
    def _run_stage(self, run: _Run, index: int, x: _Sum) -> _Sum:
        with _autotuning(self.options.has_autotuning):
            return self._stages[index](run, x)

    @torch.inference_mode()
    def _finish(self, run: _Run, x: _Sum) -> torch.Tensor:
        with _autotuning(self.options.has_autotuning):
            run.feed(self._conv_out, x, gamma=self._gamma_out)
            values = run.convolve(self._conv_out)[..., : self._num_outs]
            return (values.float() + self._conv_out.bias).clamp_(-1.0, 1.0)


@torch.inference_mode()
def _as_uint8(sample: torch.Tensor) -> torch.Tensor:
    return to_uint8(sample)


@contextmanager
def _autotuning(is_on: bool) -> Iterator[None]:
    was_on = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = is_on or was_on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = was_on


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sum:
    """values + bias + residual, not added yet: whoever needs it adds it in its own pass."""

    values: torch.Tensor  # (n, H, W, C), or the phases of an upsampling
    bias: torch.Tensor | None = None
    residual: torch.Tensor | None = None
    is_phased: bool = False

    @property
    def shape(self) -> torch.Size:
        frames, lines, columns, channels = self.values.shape
        if not self.is_phased:
            return self.values.shape
        return torch.Size((frames, 2 * (lines - 1), 2 * (columns - 1), channels // 4))

    @property
    def is_plain(self) -> bool:
        return self.bias is None and self.residual is None and not self.is_phased

    def split(self, num_frames: int) -> list[_Sum]:
        """Return pieces of at most ``num_frames``, views of the same memory."""
        residuals = None if self.residual is None else self.residual.split(num_frames)
        return [
            _Sum(
                values=values,
                bias=self.bias,
                residual=None if residuals is None else residuals[index],
                is_phased=self.is_phased,
            )
            for index, values in enumerate(self.values.split(num_frames))
        ]


class _CausalInput:
    """A convolution's input: two past frames, zeros before the clip, and the new ones behind."""

    def __init__(self, *, margin: int, has_borders: bool, spare_steps: int, like: _Like) -> None:
        self._margin = margin
        self._border = int(has_borders)  # lines of other stripes above and below
        self._spare_steps = spare_steps
        self._like = like
        self._frames: torch.Tensor | None = None
        self._end = _PAST
        self._num_new = 0

    def reserve(self, shape: torch.Size) -> torch.Tensor:
        """Return where the next frames go, (n, H, W, C), to be written before ``window``."""
        frames = self._with_room(shape)
        self._num_new = shape[0]
        self._end += shape[0]
        lines = slice(self._border, self._border + shape[1])
        return frames[self._end - shape[0] : self._end, lines, : shape[2]]

    def window(self) -> torch.Tensor:
        """Return past and new frames, (n + 2, H + margin or both borders, W + margin, C)."""
        assert self._frames is not None
        return self._frames[self._end - self._num_new - _PAST : self._end]

    def newest(self) -> torch.Tensor:
        """Return the new frames of the window."""
        return self.window()[_PAST:]

    @property
    def num_bytes(self) -> int:
        return 0 if self._frames is None else self._frames.nbytes

    def _with_room(self, shape: torch.Size) -> torch.Tensor:
        frames = self._frames
        if frames is not None and self._end + shape[0] <= len(frames):
            return frames
        length = _PAST + self._spare_steps * shape[0]
        past = None if frames is None else frames[self._end - _PAST : self._end]
        if frames is None or len(frames) < length:
            frames = self._new(length, shape)
            self._frames = frames
        elif past is not None and self._end < 2 * _PAST:
            past = past.clone()  # source and target overlap
        if past is not None:
            frames[:_PAST] = past
        self._end = _PAST
        return frames

    def _new(self, length: int, shape: torch.Size) -> torch.Tensor:
        lines = shape[1] + (2 * self._border or self._margin)
        size = (length, lines, shape[2] + self._margin, shape[3])
        if self._margin:
            return torch.zeros(size, dtype=self._like.dtype, device=self._like.device)
        frames = torch.empty(size, dtype=self._like.dtype, device=self._like.device)
        frames[:_PAST] = 0
        return frames


class _Planes:
    """What ``paired_conv`` takes, its margins zeros; for one convolution after the other."""

    def __init__(self, *, has_borders: bool, like: _Like) -> None:
        self._border = int(has_borders)
        self._like = like
        self._frames: torch.Tensor | None = None

    def inside(self, shape: torch.Size) -> torch.Tensor:
        """Return where the pairs of n frames go, (4, ceil(n / 2), H, W, C) of ``view``."""
        lines = slice(self._border, self._border + shape[1])
        return self.view(shape)[:, :, lines, : shape[2]]

    def view(self, shape: torch.Size) -> torch.Tensor:
        """Return (4, ceil(n / 2), H + 1, W + 1, C) for n frames; H + 2 with borders."""
        num_frames, lines, columns, channels = shape
        pairs = -(-num_frames // 2)
        if self._frames is None or len(self._frames) < 4 * pairs:
            size = (4 * pairs, lines + 1 + self._border, columns + 1, channels)
            self._frames = torch.zeros(size, dtype=self._like.dtype, device=self._like.device)
        return self._frames[: 4 * pairs].unflatten(0, (4, pairs))

    @property
    def num_bytes(self) -> int:
        return 0 if self._frames is None else self._frames.nbytes


@dataclass(frozen=True, kw_only=True, slots=True)
class _Like:
    dtype: torch.dtype
    device: torch.device


class _Run:
    """The state of one clip's decode, of all its lines or of one stripe."""

    def __init__(
        self,
        *,
        options: StreamOptions,
        has_kernels: bool,
        stripe: Stripe | None = None,
        num_lines: int = 0,
    ) -> None:
        self._spare_steps = options.spare_steps
        self._has_kernels = has_kernels
        self._stripe = stripe
        self._num_lines = num_lines  # of the latents, in all stripes
        self._inputs: dict[_CausalConv, _CausalInput] = {}
        self._pasts: dict[_CausalConv, torch.Tensor] = {}
        self._planes: dict[tuple[int, ...], _Planes] = {}
        self._shapes: dict[_CausalConv, torch.Size] = {}
        self.has_begun: set[_Upsample] = set()

    @property
    def num_bytes(self) -> int:
        """What the convolutions' inputs take."""
        held = (*self._inputs.values(), *self._planes.values())
        return sum(h.num_bytes for h in held) + sum(past.nbytes for past in self._pasts.values())

    def reserve(self, conv: _CausalConv, shape: torch.Size) -> torch.Tensor:
        """Return where the frames go that ``convolve`` will take, of the given (n, H, W, C)."""
        if conv not in self._inputs:
            self._inputs[conv] = _CausalInput(
                margin=conv.margin,
                has_borders=self._has_borders(conv),
                spare_steps=self._spare_steps,
                like=conv.like,
            )
        return self._inputs[conv].reserve(shape)

    def enter(self, conv: _CausalConv, frames: torch.Tensor) -> None:
        """Put ``frames`` (n, H, W, C) of all stripes where ``convolve`` takes them."""
        if self._stripe is None:
            self.reserve(conv, frames.shape).copy_(frames)
            return
        own = self._stripe.lines(self._num_lines)
        self.reserve(conv, frames[:, own].shape)
        # Every rank has all the latents, so that nobody needs to be asked for borders.
        bordered = F.pad(frames, (0, 0, 0, 0, 1, 1))[:, own.start : own.stop + 2]
        self._inputs[conv].newest().copy_(bordered)

    def room(self, shape: Sequence[int], *, like: torch.Tensor) -> torch.Tensor:
        """Return room for (n, H, W, C) frames; in a stripe with a line above and one below."""
        frames, lines, columns, channels = shape
        return like.new_empty(frames, lines + 2 * self.is_striped, columns, channels)

    def inside(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the stripe's own lines of (..., H + 2, W, C), or all of (..., H, W, C)."""
        return rows[..., 1:-1, :, :] if self.is_striped else rows

    def share(self, rows: torch.Tensor) -> None:
        """Fill the lines above and below of frames that have them."""
        if self._stripe is not None:
            self._stripe.exchange(rows)

    def gathered(self, frames: torch.Tensor) -> tuple[torch.Tensor, slice]:
        """Return all stripes' lines of the first stage, and which of them are ``frames``."""
        if self._stripe is None:
            return frames, slice(0, frames.shape[1])
        own = self._stripe.lines(self._num_lines)
        return self._stripe.gather(frames, num_lines=self._num_lines), own

    @property
    def is_striped(self) -> bool:
        """Whether other ranks have lines above or below."""
        return self._stripe is not None

    def _has_borders(self, conv: _CausalConv) -> bool:
        return self.is_striped and conv.is_spatial

    def feed(
        self, conv: _CausalConv, x: _Sum, *, gamma: torch.Tensor, total: torch.Tensor | None = None
    ) -> None:
        """Put the norm of ``x`` where ``convolve`` takes it, and ``x`` added up into ``total``."""
        if conv.is_paired:
            self._feed_pairs(conv, x, gamma=gamma, total=total)
        else:
            self.norm(x, gamma=gamma, out=self.reserve(conv, x.shape), total=total)
            if conv.is_spatial:
                self.share(self._inputs[conv].newest())

    def feed_and_keep(self, conv: _CausalConv, x: _Sum, *, gamma: torch.Tensor) -> torch.Tensor:
        """Do as ``feed``; return ``x`` added up."""
        total = None if x.is_plain else x.values.new_empty(x.shape)
        self.feed(conv, x, gamma=gamma, total=total)
        return x.values if total is None else total

    def added_up(self, x: _Sum) -> torch.Tensor:
        """Return ``x`` as one tensor."""
        if x.is_plain:
            return x.values
        total = x.values.new_empty(x.shape)
        self.norm(x, total=total)
        return total

    def convolve(self, conv: _CausalConv) -> torch.Tensor:
        """Return (n, H, W, C') of the frames last fed, without bias."""
        has_borders = self._has_borders(conv)
        if not conv.is_paired:
            return conv(self._inputs[conv].window(), has_borders=has_borders)
        shape = self._shapes[conv]
        planes = self._planes[tuple(shape[1:])].view(shape)
        return conv.convolve_pairs(planes, num_frames=shape[0], has_borders=has_borders)

    def _feed_pairs(
        self, conv: _CausalConv, x: _Sum, *, gamma: torch.Tensor, total: torch.Tensor | None
    ) -> None:
        _, lines, columns, channels = x.shape
        self._shapes[conv] = x.shape
        planes = self._planes.setdefault(
            tuple(x.shape[1:]), _Planes(has_borders=self.is_striped, like=conv.like)
        )
        if conv not in self._pasts:
            self._pasts[conv] = torch.zeros(
                (_PAST, lines, columns, channels), dtype=conv.like.dtype, device=conv.like.device
            )
        add = (
            kernels.add_norm_silu_pairs
            if self._has_kernels
            else kernels.add_norm_silu_pairs_reference
        )
        add(
            x.values,
            gamma=gamma,
            past=self._pasts[conv],
            out=planes.inside(x.shape),
            bias=x.bias,
            residual=x.residual,
            total=total,
            is_phased=x.is_phased,
        )
        self.share(planes.view(x.shape).flatten(0, 1))

    def norm(
        self,
        x: _Sum,
        *,
        gamma: torch.Tensor | None = None,
        out: torch.Tensor | None = None,
        total: torch.Tensor | None = None,
        is_activated: bool = True,
    ) -> None:
        """Add ``x`` up into ``total`` and its norm into ``out``."""
        add = kernels.add_norm_silu if self._has_kernels else kernels.add_norm_silu_reference
        add(
            x.values,
            gamma=gamma,
            bias=x.bias,
            residual=x.residual,
            out=out,
            total=total,
            is_activated=is_activated,
            is_phased=x.is_phased,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Linear:
    """A convolution of one pixel."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _CausalConv:
    """A convolution over three frames, 3x3 or 1x1 in the picture; its bias is added later."""

    # (C', C, 3, k, k), channels-last; (C', 27C) where there are tiles, (4, C', 9C) where paired.
    weight: torch.Tensor
    bias: torch.Tensor  # (number of true outputs,) float32
    num_channels: int
    tiles: ConvTiles | None
    is_paired: bool
    has_kernels: bool

    @property
    def like(self) -> _Like:
        return _Like(dtype=self.weight.dtype, device=self.weight.device)

    @property
    def margin(self) -> int:
        """Lines and columns of zeros behind each frame and line of the input."""
        return 0 if self.tiles is None else 1

    @property
    def is_spatial(self) -> bool:
        """Whether it reads lines above and below."""
        return self.tiles is not None or self.weight.shape[-1] > 1

    def __call__(self, window: torch.Tensor, *, has_borders: bool) -> torch.Tensor:
        """Return (n, H, W, C') without bias; with borders the window brings its padding lines."""
        if self.tiles is None:
            across = self.weight.shape[-1] // 2
            padding = (0, 0 if has_borders else across, across)
            result = F.conv3d(window[None].permute(0, 4, 1, 2, 3), self.weight, padding=padding)
            return result.permute(0, 2, 3, 4, 1)[0].contiguous()
        if self.has_kernels:
            return kernels.causal_conv(
                window, self.weight, tiles=self.tiles, has_borders=has_borders
            )
        return kernels.causal_conv_reference(window, self.weight, has_borders=has_borders)

    def convolve_pairs(
        self, planes: torch.Tensor, *, num_frames: int, has_borders: bool
    ) -> torch.Tensor:
        """Return (n, H, W, C'), without bias."""
        convolve = (
            partial(kernels.paired_conv, tiles=self.tiles)
            if self.has_kernels
            else kernels.paired_conv_reference
        )
        return convolve(planes, self.weight, num_frames=num_frames, has_borders=has_borders)

    def input_bytes(
        self,
        num_frames: int,
        lines: int,
        columns: int,
        *,
        options: StreamOptions,
        has_borders: bool,
    ) -> int:
        """Return what it keeps between steps and, if not paired, what it takes at one."""
        if self.is_paired:
            return _PAST * lines * columns * self.num_channels * self.weight.dtype.itemsize
        borders = 2 if has_borders and self.is_spatial else self.margin
        pixels = (lines + borders) * (columns + self.margin)
        frames = _PAST + options.spare_steps * num_frames
        return frames * pixels * self.num_channels * self.weight.dtype.itemsize


@dataclass(frozen=True, kw_only=True, slots=True)
class _Residual:
    gamma_1: torch.Tensor
    conv_1: _CausalConv
    gamma_2: torch.Tensor
    conv_2: _CausalConv
    shortcut: _Linear | None

    def __call__(self, run: _Run, x: _Sum) -> _Sum:
        kept = run.feed_and_keep(self.conv_1, x, gamma=self.gamma_1)
        y = _Sum(values=run.convolve(self.conv_1), bias=self.conv_1.bias)
        run.feed(self.conv_2, y, gamma=self.gamma_2)
        return _Sum(
            values=run.convolve(self.conv_2),
            bias=self.conv_2.bias,
            residual=kept if self.shortcut is None else self.shortcut(kept),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attention:
    """One head over the pixels of each frame."""

    gamma: torch.Tensor
    to_qkv: _Linear
    proj: _Linear

    def __call__(self, run: _Run, x: _Sum) -> _Sum:
        frames, _, columns, channels = x.shape
        normed, kept = x.values.new_empty(x.shape), run.added_up(x)
        run.norm(_Sum(values=kept), gamma=self.gamma, out=normed, is_activated=False)
        whole, own = run.gathered(normed)
        qkv = self.to_qkv(whole.view(frames, 1, whole.shape[1] * columns, channels))
        query, key, value = qkv.chunk(3, dim=-1)
        query = query[:, :, own.start * columns : own.stop * columns]
        attended = F.scaled_dot_product_attention(query, key, value)
        return _Sum(values=self.proj(attended).view(x.shape), residual=kept)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Upsample:
    """Twice the lines and columns; with a ``time_conv`` twice the frames too, after the first."""

    weight: torch.Tensor  # (4C', C, 2, 2) where folded, else (C', C, 3, 3)
    bias: torch.Tensor
    is_folded: bool
    time_conv: _CausalConv | None

    def __call__(self, run: _Run, x: _Sum) -> _Sum:
        if self.time_conv is None or self not in run.has_begun:
            # The clip's first frame neither goes through the convolution over time nor is it part
            # of its past (the library's "Rep").
            assert self.time_conv is None or len(x.values) == 1
            run.has_begun.add(self)
            rows = run.room(x.shape, like=x.values)
            run.norm(x, total=run.inside(rows))
        else:
            rows = self._doubled(run, x, self.time_conv)
        run.share(rows)
        return _Sum(
            values=self._convolve(rows, has_borders=run.is_striped),
            bias=self.bias,
            is_phased=self.is_folded,
        )

    def _convolve(self, rows: torch.Tensor, *, has_borders: bool) -> torch.Tensor:
        planes = rows.permute(0, 3, 1, 2)
        if not self.is_folded:
            planes = F.interpolate(planes, scale_factor=2.0, mode="nearest-exact")
            planes = planes[:, :, 1:-1] if has_borders else planes
        values = F.conv2d(planes, self.weight, padding=(0 if has_borders else 1, 1))
        return values.permute(0, 2, 3, 1).contiguous()

    @staticmethod
    def _doubled(run: _Run, x: _Sum, time_conv: _CausalConv) -> torch.Tensor:
        frames, lines, columns, channels = x.shape
        run.norm(x, total=run.reserve(time_conv, x.shape))
        pairs = run.convolve(time_conv).view(frames, lines, columns, 2, channels)
        rows = run.room((2 * frames, lines, columns, channels), like=x.values)
        bias = time_conv.bias.view(2, 1, 1, channels)
        out = run.inside(rows.unflatten(0, (frames, 2)))
        torch.add(pairs.permute(0, 3, 1, 2, 4), bias, out=out)
        return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """What happens at one resolution."""

    blocks: list[_Residual | _Attention]
    upsample: _Upsample | None

    def __call__(self, run: _Run, x: _Sum) -> _Sum:
        for block in self.blocks:
            x = block(run, x)
        return x if self.upsample is None else self.upsample(run, x)

    @property
    def width(self) -> int:
        return max(conv.num_channels for conv in self.convs())

    def convs(self) -> Iterator[_CausalConv]:
        """Yield the causal convolutions, in order."""
        for block in self.blocks:
            if isinstance(block, _Residual):
                yield from (block.conv_1, block.conv_2)
        if self.upsample is not None and self.upsample.time_conv is not None:
            yield self.upsample.time_conv


class _Maker:
    """Our layers of the library's, their weights in the layout that they are used in."""

    def __init__(self, *, dtype: torch.dtype, device: torch.device, options: StreamOptions) -> None:
        self._dtype = dtype
        self._options = options
        self.has_kernels = options.has_kernels and _runs_kernels(device)

    def stage(self, up_block: Any) -> _Stage:
        (upsampler,) = up_block.upsamplers or (None,)
        return _Stage(
            blocks=[self.residual(block) for block in up_block.resnets],
            upsample=None if upsampler is None else self.upsample(upsampler),
        )

    def mid_blocks(self, mid_block: Any) -> list[_Residual | _Attention]:
        blocks: list[_Residual | _Attention] = [self.residual(mid_block.resnets[0])]
        for attention, block in zip(mid_block.attentions, mid_block.resnets[1:], strict=True):
            blocks += [self.attention(attention), self.residual(block)]
        return blocks

    def residual(self, block: Any) -> _Residual:
        is_identity = isinstance(block.conv_shortcut, torch.nn.Identity)
        return _Residual(
            gamma_1=self.gamma(block.norm1),
            conv_1=self.conv(block.conv1),
            gamma_2=self.gamma(block.norm2),
            conv_2=self.conv(block.conv2),
            shortcut=None if is_identity else self.linear(block.conv_shortcut),
        )

    def attention(self, block: Any) -> _Attention:
        return _Attention(
            gamma=self.gamma(block.norm),
            to_qkv=self.linear(block.to_qkv),
            proj=self.linear(block.proj),
        )

    def upsample(self, resample: Any) -> _Upsample:
        conv = resample.resample[1]
        is_folded = self._options.is_upsampling_folded
        weight = conv.weight.detach()
        weight = kernels.upsample_weight(weight) if is_folded else weight
        return _Upsample(
            weight=weight.to(self._dtype).contiguous(memory_format=torch.channels_last),
            bias=conv.bias.detach().float(),
            is_folded=is_folded,
            time_conv=self.conv(resample.time_conv) if resample.mode == "upsample3d" else None,
        )

    def gamma(self, norm: Any) -> torch.Tensor:
        return norm.gamma.detach().float().flatten() * norm.scale

    def linear(self, conv: Any, *, dtype: torch.dtype | None = None) -> _Linear:
        dtype = dtype or self._dtype
        return _Linear(
            weight=conv.weight.detach().flatten(1).to(dtype), bias=conv.bias.detach().to(dtype)
        )

    def conv(self, conv: Any) -> _CausalConv:
        weight = conv.weight.detach()
        if tiles := self._tiles(conv, self._options.paired_convs):
            return self._conv(conv, kernels.pair_weight(weight), tiles=tiles, is_paired=True)
        if tiles := self._tiles(conv, self._options.triton_convs):
            return self._conv(conv, kernels.conv_weight(weight), tiles=tiles)
        return self.plain_conv(conv)

    def plain_conv(self, conv: Any, *, is_padded: bool = False) -> _CausalConv:
        """Return one that the library does, whatever the options; zeros may follow its outputs."""
        weight = conv.weight.detach()
        if is_padded:
            missing = -conv.out_channels % _OUT_ALIGNMENT
            weight = torch.cat((weight, weight.new_zeros(missing, *weight.shape[1:])))
        return self._conv(conv, weight.contiguous(memory_format=torch.channels_last_3d))

    def _conv(
        self,
        conv: Any,
        weight: torch.Tensor,
        *,
        tiles: ConvTiles | None = None,
        is_paired: bool = False,
    ) -> _CausalConv:
        return _CausalConv(
            weight=weight.to(self._dtype),
            bias=conv.bias.detach().float(),
            num_channels=conv.in_channels,
            tiles=tiles,
            is_paired=is_paired,
            has_kernels=self.has_kernels,
        )

    @staticmethod
    def _tiles(conv: Any, chosen: Mapping[int, ConvTiles]) -> ConvTiles | None:
        tiles = chosen.get(conv.out_channels)
        if tiles is None or tuple(conv.kernel_size) != (3, 3, 3):
            return None
        return tiles if conv.in_channels % sum(tiles.channels) == 0 else None


def _runs_kernels(device: torch.device) -> bool:
    return device.type == "cuda"
