"""SDXL's image decoder, run channels-last on the library's weights, in bfloat16.

``AutoencoderKL`` (diffusers 0.42.1) owns the architecture and the weights. Its activations exceed
float16 (65,504), which is why the library runs it in float32; bfloat16 has float32's range, and
where its eight bits would show, at the latents and at the pixels, this stays in float32: on the
shipped decoder 54 dB of the float32 image, the library in bfloat16 49.

Counted for one 1024 x 1024 image: 10.3 TFLOP in the library's order, 8.7 with nearest upsampling
folded into its convolutions: 0.012 s at 750 TFLOP/s, and about 9 GB of memory traffic beside the
products (0.002 s at 4.2 TB/s). The middle's attention (16,384 pixels, one head of 512, wider than
fused attention kernels go) runs as two products around a float32 softmax, in chunks of queries.
Peak working memory of one image: about 2.5 GB.

Fidelity: ``exact`` (bfloat16's rounding of the library's own algebra). Off: ``decode.decode``.

Shapes: B images, C latent channels, h, w latent height and width, H, W the image's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from ourvidz.kernels.groupnorm import channel_moments
from ourvidz.models.frames import to_host, to_uint8
from ourvidz.models.sdxl.fast_blocks import (
    Conv,
    Features,
    Norm,
    ResnetBlock,
    Upsample,
    benchmarked_convs,
    can_run_resnet,
    can_run_upsample,
    convolve,
    is_plain,
    with_bias,
)

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

_KNOWN = frozenset(
    {
        *("Decoder", "UNetMidBlock2D", "UpDecoderBlock2D", "ResnetBlock2D", "Upsample2D"),
        *("Attention", "Conv2d", "Linear", "GroupNorm", "SiLU", "Dropout", "ModuleList"),
    }
)
_MAX_SCORES = 64 * 2**20  # of one chunk of queries: 256 MB in float32


def can_run_fast(vae: Any) -> bool:
    """Whether ``FastVae`` decodes as this VAE does, by what it is made of and configured to."""
    if type(vae).__name__ != "AutoencoderKL" or not is_plain(vae.decoder, _KNOWN):
        return False
    parts = list(vae.decoder.modules())
    return (
        vae.config.shift_factor is None
        and not (vae.use_tiling or vae.use_slicing)
        and vae.decoder.mid_block is not None
        and type(vae.decoder.conv_norm_out) is nn.GroupNorm
        and type(vae.decoder.conv_act) is nn.SiLU
        and all(_can_run_part(part) for part in parts)
    )


def _can_run_part(part: Any) -> bool:
    name = type(part).__name__
    if name == "ResnetBlock2D":
        return part.time_emb_proj is None and can_run_resnet(part)
    if name == "Upsample2D":
        return can_run_upsample(part)
    if name == "Attention":
        return _can_run_attention(part)
    return True


def _can_run_attention(module: Any) -> bool:
    nothing = ("spatial_norm", "norm_q", "norm_k", "norm_cross", "added_kv_proj_dim")
    return (
        type(module.processor).__name__ == "AttnProcessor2_0"
        and module.group_norm is not None
        and all(getattr(module, name) is None for name in nothing)
        and all(linear.bias is not None for linear in (module.to_q, module.to_k, module.to_v))
        and module.residual_connection
        and module.rescale_output_factor == 1.0
        and not module.is_causal
        and not module.fused_projections
    )


class FastVae:
    """A loaded image VAE's decoder; keeps its own weights (100 MB) where the dtype differs.

    Nothing of the module is run or changed, except that convolutions of the wanted dtype become
    channels-last. One call at a time.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        *,
        dtype: torch.dtype | None = None,
        benchmark_convs: bool = True,
    ) -> None:
        """Prepare the weights.

        Args:
            vae: one that ``can_run_fast`` accepts, in any dtype.
            dtype: of the arithmetic; None: bfloat16 on a GPU, float32 elsewhere.
            benchmark_convs: let cuDNN time its kernels at the first call of a shape.
        """
        assert can_run_fast(vae)
        self.device = vae.device
        is_gpu = self.device.type == "cuda"
        self.dtype = dtype or (torch.bfloat16 if is_gpu else torch.float32)
        self._benchmark_convs = benchmark_convs
        self._config: Any = vae.config
        # Ordinary tensors: some become the module's own parameters.
        with torch.inference_mode(mode=False), torch.no_grad():
            self._prepare(vae)

    def _prepare(self, vae: Any) -> None:
        decoder, dtype = vae.decoder, self.dtype
        self._post_quant = None
        if vae.post_quant_conv is not None:
            self._post_quant = _Float32Conv(vae.post_quant_conv)
        self._conv_in = _Float32Conv(decoder.conv_in)
        first, *rest = decoder.mid_block.resnets
        self._first = ResnetBlock(first, dtype)
        self._middle = [
            (None if module is None else _Attention(module, dtype), ResnetBlock(resnet, dtype))
            for module, resnet in zip(decoder.mid_block.attentions, rest, strict=True)
        ]
        self._blocks = [
            (
                [ResnetBlock(resnet, dtype) for resnet in block.resnets],
                Upsample(block.upsamplers[0], dtype) if block.upsamplers else None,
            )
            for block in decoder.up_blocks
        ]
        self._norm_out = Norm(decoder.conv_norm_out, silu=True)
        self._conv_out = Conv(decoder.conv_out, dtype)

    def decode(
        self, latents: torch.Tensor, *, images_at_once: int = 1
    ) -> Generator[torch.Tensor, None, None]:
        """Yield the images of a batch in order, as ``decode.decode`` does.

        On a GPU the next images are made while the caller works on these, and pixels leave
        through pinned memory.

        Args:
            latents: (B, C, h, w) as ``denoise`` returns them.
            images_at_once: more take memory and, at 1024 x 1024, hardly less time.

        Yields:
            (H, W, 3) uint8 RGB on the CPU.
        """
        chunks = (self.decode_uint8(part) for part in latents.split(images_at_once))
        for images in to_host(chunks):
            yield from images.unbind(0)

    @torch.inference_mode()
    def decode_uint8(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (B, H, W, 3) uint8 on the device; waits for nothing."""
        return to_uint8(self._decode(latents))

    @torch.inference_mode()
    def decode_sample(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (B, 3, H, W) float32, -1 to 1 where not out of range: ``vae.decode``'s sample."""
        return self._decode(latents).permute(0, 3, 1, 2)

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (B, H, W, 3) float32."""
        with benchmarked_convs(self._benchmark_convs):
            hidden = self._unscaled(latents.to(device=self.device, dtype=torch.float32))
            hidden = hidden.permute(0, 2, 3, 1).contiguous()
            if self._post_quant is not None:
                hidden = self._post_quant(hidden)
            features = self._middle_features(self._conv_in(hidden).to(self.dtype))
            for resnets, upsample in self._blocks:
                for resnet in resnets:
                    features = resnet([features])
                if upsample is not None:
                    features = upsample(features)
            hidden = self._norm_out(features)
            del features
            # The bias joins in float32: bfloat16 steps are up to 1 / 256 here.
            return self._conv_out(hidden).float().add_(self._conv_out.bias.float())

    def _middle_features(self, hidden: torch.Tensor) -> Features:
        moments = channel_moments(hidden.flatten(1, 2))
        features = self._first([Features(data=hidden, moments=moments)])
        for attend, resnet in self._middle:
            features = features if attend is None else attend(features)
            features = resnet([features])
        return features

    def _unscaled(self, latents: torch.Tensor) -> torch.Tensor:
        config = self._config
        mean, std = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
        if mean is None or std is None:
            return latents / config.scaling_factor
        mean, std = (torch.tensor(values).view(1, -1, 1, 1).to(latents) for values in (mean, std))
        return latents * std / config.scaling_factor + mean


class _Float32Conv:
    """A convolution that stays in float32, with its bias; its weight is a copy where it was not."""

    def __init__(self, module: nn.Conv2d) -> None:
        assert module.bias is not None
        self.weight = module.weight.detach().float().contiguous(memory_format=torch.channels_last)
        self.bias = module.bias.detach().float()
        self.padding = module.padding

    def __call__(self, data: torch.Tensor) -> torch.Tensor:
        return convolve(data, self.weight, padding=self.padding, bias=self.bias)


class _Attention:
    """``Attention`` of the VAE's middle: self-attention over the pixels, with its residual."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        self.norm = Norm(module.group_norm, silu=False)
        self.num_heads = module.heads
        # The softmax's scale is folded into the queries, before rounding.
        scale = (module.inner_dim // module.heads) ** -0.5
        linears, scales = (module.to_q, module.to_k, module.to_v), (scale, 1.0, 1.0)
        parts = list(zip(linears, scales, strict=True))
        self.weight = torch.cat([part.weight.float() * by for part, by in parts]).to(dtype)
        self.bias = torch.cat([part.bias.float() * by for part, by in parts]).to(dtype)
        self.out_weight = module.to_out[0].weight.detach().to(dtype)
        self.out_bias = module.to_out[0].bias.detach()

    def __call__(self, features: Features) -> Features:
        size = features.data.shape
        rows = self.norm(features).flatten(1, 2)
        qkv = F.linear(rows, self.weight, self.bias).unflatten(-1, (3, self.num_heads, -1))
        out = attend_wide(*qkv.unbind(2))
        out = F.linear(out.flatten(2), self.out_weight)
        return with_bias(out.view(size), self.out_bias, features.data)


def attend_wide(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    max_scores: int = _MAX_SCORES,
) -> torch.Tensor:
    """Return softmax(q k^T) v for heads too wide for fused kernels.

    Scores and softmax are in float32, probabilities in the values' dtype; a chunk of queries at a
    time.

    Args:
        query: (B, L, N, K), already scaled.
        key: (B, L, N, K).
        value: (B, L, N, K).
        max_scores: the most numbers in a chunk's scores.

    Returns:
        (B, L, N, K).
    """
    num_rows = max(max_scores // key.shape[1], 1)
    out = torch.empty_like(query)
    for image in range(query.shape[0]):
        for head in range(query.shape[2]):
            keys, values = key[image, :, head].t(), value[image, :, head]
            for start in range(0, query.shape[1], num_rows):
                part = query[image, start : start + num_rows, head]
                weights = _product_in_float32(part, keys).softmax(dim=-1).to(value.dtype)
                out[image, start : start + num_rows, head] = weights @ values
    return out


def _product_in_float32(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.is_cuda and a.dtype != torch.float32:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()
