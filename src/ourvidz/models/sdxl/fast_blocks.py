"""Channels-last building blocks that SDXL's UNet and image VAE share.

Convolutions read and write (B, H, W, C), which is how cuDNN's tensor-core kernels want them, and
carry no bias: biases join whatever passes over the tensor next. Every tensor that a group norm
will read travels with its moments (see ``kernels.groupnorm``).

Shapes: B images, H, W height and width, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from ourvidz.kernels.groupnorm import (
    Moments,
    add_with_moments,
    channel_moments,
    group_norm,
    interleave_with_moments,
    phase_weights,
)

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """An image of features and what its next group norm needs."""

    data: torch.Tensor  # (B, H, W, C), contiguous
    moments: Moments

    @property
    def rows(self) -> torch.Tensor:
        """The same as (B, H * W, C)."""
        return self.data.flatten(1, 2)


def with_bias(
    raw: torch.Tensor, bias: torch.Tensor, residual: torch.Tensor | None = None
) -> Features:
    """Add (C,) and (B, H, W, C) to a convolution's output, in place."""
    moments = add_with_moments(
        raw.flatten(1, 2),
        bias=bias,
        residual=None if residual is None else residual.flatten(1, 2),
    )
    return Features(data=raw, moments=moments)


class Conv:
    """A convolution without its bias.

    A weight of the wanted dtype is shared with the library's module, whose parameter becomes
    channels-last in place: its own path goes on working with the same values.
    """

    def __init__(self, module: nn.Conv2d, dtype: torch.dtype) -> None:
        weight = module.weight.detach()
        if weight.dtype == dtype:
            weight = weight.contiguous(memory_format=torch.channels_last)
            module.weight.data = weight
        self.weight = weight.to(dtype=dtype, memory_format=torch.channels_last)
        self.bias = _parameter(module.bias)
        self.stride, self.padding = module.stride, module.padding

    def __call__(self, data: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to (B, H', W', C'), contiguous."""
        return convolve(data, self.weight, stride=self.stride, padding=self.padding)


def convolve(
    data: torch.Tensor,
    weight: torch.Tensor,
    *,
    stride: Any = 1,
    padding: Any = 1,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Convolve (B, H, W, C) into the same layout; both permutations are views."""
    out = F.conv2d(data.permute(0, 3, 1, 2), weight, bias, stride=stride, padding=padding)
    return out.permute(0, 2, 3, 1).contiguous()


class Norm:
    """A group norm's parameters, with or without a SiLU after it."""

    def __init__(self, module: nn.GroupNorm, *, silu: bool) -> None:
        self.weight, self.bias = _parameter(module.weight), _parameter(module.bias)
        self.num_groups, self.eps, self.silu = module.num_groups, module.eps, silu

    def __call__(self, *inputs: Features, shift: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, H, W, C), of one input or of two side by side in C."""
        out = group_norm(
            [(features.rows, features.moments) for features in inputs],
            weight=self.weight,
            bias=self.bias,
            num_groups=self.num_groups,
            eps=self.eps,
            silu=self.silu,
            shift=shift,
        )
        return out.unflatten(1, inputs[0].data.shape[1:3])


class ResnetBlock:
    """``ResnetBlock2D`` of ``can_run_resnet``'s kind.

    Its inputs may be two, as a UNet's way up has them: they are normed side by side and never
    concatenated.
    """

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        self.norm1 = Norm(module.norm1, silu=True)
        self.norm2 = Norm(module.norm2, silu=True)
        self.conv1, self.conv2 = Conv(module.conv1, dtype), Conv(module.conv2, dtype)
        self.shift = self.conv1.bias[None]  # what stands between conv1 and norm2, no time embedding
        self.out_bias = self.conv2.bias
        self.shortcut: torch.Tensor | None = None
        if module.conv_shortcut is not None:
            self.shortcut = module.conv_shortcut.weight.detach().to(dtype).flatten(1)
            # The two biases meet in one sum.
            self.out_bias = self.conv2.bias.float() + module.conv_shortcut.bias.detach().float()

    def __call__(self, inputs: Sequence[Features], shift: torch.Tensor | None = None) -> Features:
        """Return the block's output.

        Args:
            inputs: one or two.
            shift: (B, C_out): the time embedding's projection and ``conv1``'s bias together.
        """
        hidden = self.conv1(self.norm1(*inputs))
        middle = Features(data=hidden, moments=channel_moments(hidden.flatten(1, 2)))
        hidden = self.norm2(middle, shift=self.shift if shift is None else shift)
        return with_bias(self.conv2(hidden), self.out_bias, self._residual(inputs))

    def _residual(self, inputs: Sequence[Features]) -> torch.Tensor:
        if self.shortcut is None:
            (only,) = inputs
            return only.data
        out, start = None, 0
        for features in inputs:
            rows = features.data.flatten(0, 2)
            weight = self.shortcut[:, start : start + rows.shape[1]].t()
            out = rows @ weight if out is None else out.addmm_(rows, weight)
            start += rows.shape[1]
        assert out is not None
        return out.unflatten(0, inputs[0].data.shape[:3])


class Upsample:
    """``Upsample2D`` with its convolution: nearest pixels doubled, then 3 x 3."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        self.conv = Conv(module.conv, dtype)
        self.phases = phase_weights(module.conv.weight.detach()).to(
            dtype=dtype, memory_format=torch.channels_last
        )

    def __call__(self, features: Features, size: tuple[int, int] | None = None) -> Features:
        """Return the image at ``size`` (height, width): doubled where it is None or just that."""
        height, width = features.data.shape[1:3]
        if size is None or size == (2 * height, 2 * width):
            data, moments = interleave_with_moments(
                convolve(features.data, self.phases), bias=self.conv.bias
            )
            return Features(data=data, moments=moments)
        wide = F.interpolate(features.data.permute(0, 3, 1, 2), size=size, mode="nearest")
        return with_bias(self.conv(wide.permute(0, 2, 3, 1)), self.conv.bias)


def can_run_resnet(module: Any) -> bool:
    """Whether ``ResnetBlock`` does what this ``ResnetBlock2D`` does."""
    return (
        # The VAE's say "group", which means a plain norm.
        module.time_embedding_norm in ("default", "group")
        and (module.time_embedding_norm == "default" or module.time_emb_proj is None)
        and not module.skip_time_act
        and module.upsample is None
        and module.downsample is None
        and module.output_scale_factor == 1.0
        and type(module.nonlinearity) is nn.SiLU
        and all(_is_same_size(conv) for conv in (module.conv1, module.conv2))
        and (module.conv_shortcut is None or module.conv_shortcut.kernel_size == (1, 1))
    )


def can_run_upsample(module: Any) -> bool:
    """Whether ``Upsample`` does what this ``Upsample2D`` does."""
    return (
        module.use_conv
        and not module.use_conv_transpose
        and module.interpolate
        and module.norm is None
        and module.name == "conv"
        and _is_same_size(module.conv)
    )


def is_plain(module: nn.Module, known: frozenset[str]) -> bool:
    """Whether a module is built of known classes only, without adapters, hooks or dropout.

    Adapters (LoRA layers among them) replace or subclass a layer, so that its class's name is
    none of ``known``; offloading and caching extensions hook into ``forward``.
    """
    parts = list(module.modules())
    parameters = list(module.parameters())
    return (
        all(_is_known(type(part), known) for part in parts)
        and not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
        and not any("forward" in vars(part) for part in parts)
        and not any(part.training and part.p for part in parts if isinstance(part, nn.Dropout))
        and all(_is_known_conv(part) for part in parts if isinstance(part, nn.Conv2d))
        and all(part.affine for part in parts if isinstance(part, nn.GroupNorm))
        and len({(parameter.device, parameter.dtype) for parameter in parameters}) == 1
        and not parameters[0].is_meta
        and parameters[0].dtype.is_floating_point
        and parameters[0].element_size() >= 2
    )


@contextmanager
def benchmarked_convs(enabled: bool) -> Generator[None, None, None]:
    """Let cuDNN time its kernels for each new shape; other users of it get their setting back."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = enabled or before
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _is_known(kind: type, known: frozenset[str]) -> bool:
    return kind.__name__ in known and kind.__module__.split(".")[0] in ("torch", "diffusers")


def _is_known_conv(conv: nn.Conv2d) -> bool:
    return (
        conv.bias is not None
        and conv.groups == 1
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


def _is_same_size(conv: nn.Conv2d) -> bool:
    return (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))


def _parameter(parameter: torch.Tensor | None) -> torch.Tensor:
    assert parameter is not None
    return parameter.detach()
