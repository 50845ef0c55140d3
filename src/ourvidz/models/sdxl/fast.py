"""SDXL's UNet, run channels-last on the library's weights.

``UNet2DConditionModel`` (diffusers 0.42.1) owns the architecture and the weights; here is the same
arithmetic in fewer passes over memory: no permutations between convolutions and transformers
(channels-last rows are tokens), biases, residuals and statistics in one pass, skip connections
never concatenated, nearest upsampling folded into its convolution, queries, keys and values in
one product, the text's keys and values once a job, the time embedding's projections in one
product, and a step of each shape as one CUDA graph.

Counted for 1024 x 1024, batch 12 (six images with guidance): linears 51 TFLOP (1.0 of them around
the transformers, in half precision always), attention 9, convolutions 19 (21 with upsampled
images), together 0.105 s at 750 TFLOP/s, or 0.077 s with the blocks' linears at 1,300. What passes
over memory beside the products: 30 GB for layer norms and residuals, 30 for GEGLU, 17 for group
norms (0.018 s at 4.2 TB/s), hardly less in 8 bits, where quantising attention's output adds 8.

Fidelity: ``exact`` is the library's own algebra, rounded less often; ``high`` runs the linears of
the transformer blocks in 8 bits. Off: call the module.

Shapes: B images (with guidance, both branches), h, w latent height and width, T text length,
M rows (B * h * w at a level), C channels, D width of a transformer, N heads, K head width.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from ourvidz.core.request import Fidelity
from ourvidz.kernels.chosen import ChosenAttention
from ourvidz.kernels.geglu import geglu, geglu_quantized
from ourvidz.kernels.linear import linear_8bit
from ourvidz.kernels.norms import residual_norm
from ourvidz.kernels.quantize import Quantized, quantize_rows, quantize_weight
from ourvidz.kernels.runtime import supports_fp8
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
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

_KNOWN = frozenset(
    {
        *("UNet2DConditionModel", "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D"),
        *("UpBlock2D", "UNetMidBlock2DCrossAttn", "ResnetBlock2D", "Downsample2D", "Upsample2D"),
        *("Transformer2DModel", "BasicTransformerBlock", "Attention", "FeedForward", "GEGLU"),
        *("Timesteps", "TimestepEmbedding", "Conv2d", "Linear", "GroupNorm", "LayerNorm"),
        *("SiLU", "Dropout", "ModuleList"),
    }
)
_serials = itertools.count()


def can_run_fast(unet: Any) -> bool:
    """Whether ``FastUnet`` does what this UNet does, by what it is made of and configured to.

    False for other block types and conditioning, adapters that are not fused, hooks, custom
    attention processors, FreeU, chunked feed-forward, weights of mixed types or still on ``meta``.
    """
    if type(unet).__name__ != "UNet2DConditionModel" or not is_plain(unet, _KNOWN):
        return False
    parts = list(unet.modules())
    return _is_plain_unet(unet) and all(_can_run_part(part) for part in parts)


def _is_plain_unet(unet: Any) -> bool:
    config = unet.config
    return (
        config.addition_embed_type == "text_time"
        and config.time_embedding_type == "positional"
        and not config.center_input_sample
        and config.encoder_hid_dim_type is None
        and not config.class_embeddings_concat
        and unet.class_embedding is None
        and unet.encoder_hid_proj is None
        and unet.time_embed_act is None
        and unet.mid_block is not None
        and unet.conv_norm_out is not None
        and type(unet.conv_act) is nn.SiLU
        and not hasattr(unet, "position_net")
    )


def _can_run_part(part: Any) -> bool:
    check = _CHECKS.get(type(part).__name__)
    return check is None or bool(check(part))


def _can_run_up_block(block: Any) -> bool:
    return not any(getattr(block, name, None) for name in ("s1", "s2", "b1", "b2"))  # FreeU


def _can_run_unet_resnet(resnet: Any) -> bool:
    proj = resnet.time_emb_proj
    return proj is not None and proj.bias is not None and can_run_resnet(resnet)


def _can_run_downsample(module: Any) -> bool:
    return (
        module.use_conv
        and module.norm is None
        and (module.conv.kernel_size, module.conv.padding) == ((3, 3), (1, 1))
    )


def _can_run_time_embedding(module: Any) -> bool:
    return module.cond_proj is None and module.post_act is None and type(module.act) is nn.SiLU


def _can_run_transformer(module: Any) -> bool:
    return module.is_input_continuous and module.proj_in.bias is not None


def _can_run_block(block: Any) -> bool:
    feed_forward = block.ff.net
    return (
        block.norm_type == "layer_norm"
        and block.pos_embed is None
        and not block.only_cross_attention
        and block.attn2 is not None
        and not hasattr(block, "fuser")
        and block._chunk_size is None
        and all(norm.weight is not None and norm.bias is not None for norm in _norms(block))
        and not block.attn1.is_cross_attention
        and block.attn2.is_cross_attention
        and len(feed_forward) == 3
        and type(feed_forward[0]).__name__ == "GEGLU"
    )


def _norms(block: Any) -> tuple[Any, Any, Any]:
    return block.norm1, block.norm2, block.norm3


def _can_run_attention(module: Any) -> bool:
    nothing = ("group_norm", "spatial_norm", "norm_q", "norm_k", "norm_cross", "added_kv_proj_dim")
    biases = {linear.bias is None for linear in (module.to_q, module.to_k, module.to_v)}
    return (
        type(module.processor).__name__ == "AttnProcessor2_0"
        and all(getattr(module, name) is None for name in nothing)
        and not module.residual_connection
        and module.rescale_output_factor == 1.0
        and not module.is_causal
        and not module.fused_projections
        and module.inner_dim == module.inner_kv_dim
        and len(biases) == 1
        and (not module.is_cross_attention or biases == {True})
    )


_CHECKS: dict[str, Any] = {
    "CrossAttnUpBlock2D": _can_run_up_block,
    "UpBlock2D": _can_run_up_block,
    "ResnetBlock2D": _can_run_unet_resnet,
    "Downsample2D": _can_run_downsample,
    "Upsample2D": can_run_upsample,
    "TimestepEmbedding": _can_run_time_embedding,
    "Transformer2DModel": _can_run_transformer,
    "BasicTransformerBlock": _can_run_block,
    "Attention": _can_run_attention,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextContext:
    """One job's conditioning, constant over its steps; never changed once made."""

    key_values: torch.Tensor  # (B * T, X): keys and values of every cross-attention, side by side
    embedding: torch.Tensor  # (B, E): what is added to the time embedding
    text_length: int
    serial: int = field(default_factory=lambda: next(_serials))

    @property
    def batch_size(self) -> int:
        """B."""
        return self.embedding.shape[0]


class FastUnet:
    """A loaded UNet's fast path; shares the module's weights where their layout allows.

    The module's convolutions become channels-last and its fused linears views of one tensor, in
    place: its own forward goes on working with the same values. After weights changed (an adapter
    fused, the module moved), make a new one.

    Calls come from one thread at a time and go to one stream; several jobs may take turns.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        *,
        fidelity: Fidelity | str = Fidelity.EXACT,
        use_graphs: bool = True,
        benchmark_convs: bool = True,
        max_graphs: int = 4,
        cache: Path | None = None,
    ) -> None:
        """Prepare the weights.

        Args:
            unet: one that ``can_run_fast`` accepts.
            fidelity: ``exact``, or anything else for 8-bit linears (where the device has them).
            use_graphs: capture a step of each shape at its second call (CUDA only).
            benchmark_convs: let cuDNN time its kernels at the first call of a shape; without, its
                heuristics choose and the choice is the same in every process.
            max_graphs: shapes kept; the one longest unused goes first.
            cache: where the measured choice of attention is kept (see ``kernels.probe``).
        """
        assert can_run_fast(unet)
        self._module: Any = unet
        self.dtype, self.device = unet.dtype, unet.device
        self.fidelity = Fidelity(fidelity)
        is_aligned = all(channels % 16 == 0 for channels in unet.config["block_out_channels"])
        can_run_8bit = is_aligned and (self.device.type == "cpu" or supports_fp8(self.device))
        self.is_8bit = self.fidelity is not Fidelity.EXACT and can_run_8bit
        # Row-wise e4m3 products come out in bfloat16 only; attention takes them as they are.
        is_mixed = self.is_8bit and self.device.type == "cuda"
        self._product_dtype = torch.bfloat16 if is_mixed else self.dtype
        self._attention = ChosenAttention(cache=cache)
        self._benchmark_convs = benchmark_convs
        self._use_graphs = use_graphs and self.device.type == "cuda"
        self._max_graphs = max_graphs
        self._graphs: OrderedDict[tuple[int, ...], _Graph] = OrderedDict()
        self._warm: set[tuple[int, ...]] = set()
        self._pool: Any = None
        # Ordinary tensors: some become the module's own parameters.
        with torch.inference_mode(mode=False), torch.no_grad():
            self._prepare(self._module)

    def _prepare(self, unet: Any) -> None:
        dtype = self.dtype
        self._conv_in, self._conv_out = Conv(unet.conv_in, dtype), Conv(unet.conv_out, dtype)
        self._norm_out = Norm(unet.conv_norm_out, silu=True)
        layout = _Layout(
            dtype=dtype,
            is_8bit=self.is_8bit,
            product_dtype=self._product_dtype,
            attention=self._attention,
        )
        self._down = [_Stage(block, layout) for block in unet.down_blocks]
        self._mid = _Stage(unet.mid_block, layout)
        self._up = [_Stage(block, layout) for block in unet.up_blocks]
        self._text_weight, _ = _fuse(layout.text_linears)
        self._time_weight, time_bias = _fuse(layout.time_linears)
        conv_bias = torch.cat([bias.float() for bias in layout.conv_biases])
        self._time_bias = conv_bias if time_bias is None else conv_bias + time_bias.float()

    @torch.inference_mode()
    def text(
        self,
        prompt_embeds: torch.Tensor,
        pooled_prompt_embeds: torch.Tensor,
        time_ids: torch.Tensor,
    ) -> TextContext:
        """Return what every step needs of the text and sizes, computed once.

        Args:
            prompt_embeds: (B, T, text width).
            pooled_prompt_embeds: (B, pooled width).
            time_ids: (B, 6).
        """
        unet = self._module
        rows = prompt_embeds.to(device=self.device, dtype=self.dtype).flatten(0, 1)
        pooled = pooled_prompt_embeds.to(device=self.device, dtype=self.dtype)
        # As ``UNet2DConditionModel.get_aug_embed``: sines in float32, then the weights' dtype.
        time_embeds = unet.add_time_proj(time_ids.to(self.device).flatten())
        time_embeds = time_embeds.reshape(pooled.shape[0], -1)
        added = torch.cat([pooled.float(), time_embeds], dim=-1).to(self.dtype)
        return TextContext(
            key_values=F.linear(rows, self._text_weight).to(self._product_dtype),
            embedding=unet.add_embedding(added),
            text_length=prompt_embeds.shape[1],
        )

    @torch.inference_mode()
    def predict(
        self, sample: torch.Tensor, timestep: torch.Tensor | float, context: TextContext
    ) -> torch.Tensor:
        """Return the UNet's prediction for one step.

        Args:
            sample: (b, C, h, w), scaled for this timestep; b divides the context's B, and a
                smaller batch is repeated (both branches of guidance see the same latents).
            timestep: of no dimensions or one number; on the CPU or on the device.
            context: from ``text``.

        Returns:
            (B, C, h, w) of the module's dtype, the caller's own.
        """
        sample = sample.to(device=self.device, dtype=self.dtype)
        if not self._use_graphs:
            return self._run_eagerly(sample, timestep, context)
        shape = (context.batch_size, context.text_length, *sample.shape[2:])
        graph = self._graphs.get(shape)
        # cuDNN remembers what it chose for each thread apart, and can't choose while capturing.
        warm = (threading.get_ident(), *shape)
        if graph is None and warm not in self._warm:
            # Kernels are compiled and chosen here; the next call captures them.
            self._warm.add(warm)
            return self._run_eagerly(sample, timestep, context)
        if graph is None:
            graph = self._capture(sample, context)
            self._graphs[shape] = graph
            while len(self._graphs) > self._max_graphs:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(shape)
        return graph.replay(sample, timestep, context)

    def _run_eagerly(
        self, sample: torch.Tensor, timestep: torch.Tensor | float, context: TextContext
    ) -> torch.Tensor:
        at = torch.empty(1, device=self.device)
        _set_timestep(at, timestep)
        num_copies = context.batch_size // sample.shape[0]
        with benchmarked_convs(self._benchmark_convs):
            return self._forward(
                sample.repeat(num_copies, 1, 1, 1), at, context.key_values, context.embedding
            )

    def _capture(self, sample: torch.Tensor, context: TextContext) -> _Graph:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = _Graph(
            graph=torch.cuda.CUDAGraph(),
            sample=sample.new_empty((context.batch_size, *sample.shape[1:])),
            timestep=torch.zeros(1, device=self.device),
            key_values=torch.empty_like(context.key_values),
            embedding=torch.empty_like(context.embedding),
        )
        # Other threads may be copying weights meanwhile: only this one's calls are captured.
        with (
            benchmarked_convs(self._benchmark_convs),
            torch.cuda.graph(graph.graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            graph.out = self._forward(
                graph.sample, graph.timestep, graph.key_values, graph.embedding
            )
        return graph

    def _forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        key_values: torch.Tensor,
        embedding: torch.Tensor,
    ) -> torch.Tensor:
        """Return (B, C, h, w); ``timestep`` is (1,) float32 on the device."""
        shifts = self._time_shifts(timestep, embedding)
        raw = self._conv_in(sample.permute(0, 2, 3, 1).contiguous())
        features = with_bias(raw, self._conv_in.bias)
        skips = [features]
        for stage in self._down:
            for layer in stage.layers:
                features = layer([features], shifts, key_values)
                skips.append(features)
            if stage.downsample is not None:
                raw = stage.downsample(features.data)
                features = with_bias(raw, stage.downsample.bias)
                skips.append(features)
        for layer in self._mid.layers:
            features = layer([features], shifts, key_values)
        for stage in self._up:
            for layer in stage.layers:
                features = layer([features, skips.pop()], shifts, key_values)
            if stage.upsample is not None:
                height, width = skips[-1].data.shape[1:3]
                features = stage.upsample(features, (height, width))
        hidden = self._norm_out(features)
        conv = self._conv_out
        out = convolve(hidden, conv.weight, padding=conv.padding, bias=conv.bias)
        return out.permute(0, 3, 1, 2).contiguous()

    def _time_shifts(self, timestep: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return (B, X) float32: what every resnet adds before its second norm, side by side."""
        unet = self._module
        time_embedding = unet.time_embedding(unet.time_proj(timestep).to(self.dtype))
        hidden = F.silu(time_embedding + embedding)
        return F.linear(hidden, self._time_weight).float().add_(self._time_bias)


@dataclass(kw_only=True, slots=True, eq=False)
class _Graph:
    """A captured step of one shape and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    sample: torch.Tensor
    timestep: torch.Tensor
    key_values: torch.Tensor
    embedding: torch.Tensor
    out: torch.Tensor | None = None
    serial: int = -1  # of the context in place

    def replay(
        self, sample: torch.Tensor, timestep: torch.Tensor | float, context: TextContext
    ) -> torch.Tensor:
        """Put the inputs in place, run, and copy the output (another replay overwrites it)."""
        assert self.out is not None
        self.sample.unflatten(0, (-1, sample.shape[0])).copy_(sample)
        _set_timestep(self.timestep, timestep)
        if self.serial != context.serial:
            self.key_values.copy_(context.key_values)
            self.embedding.copy_(context.embedding)
            self.serial = context.serial
        self.graph.replay()
        return self.out.clone()


def _set_timestep(at: torch.Tensor, timestep: torch.Tensor | float) -> None:
    """Write it without waiting for the device."""
    if isinstance(timestep, torch.Tensor) and timestep.device.type != "cpu":
        at.copy_(timestep.reshape(1))
    else:
        at.fill_(float(timestep))


@dataclass(kw_only=True, slots=True, eq=False)
class _Layout:
    """What stages collect while they are built: linears that run as one, in order."""

    dtype: torch.dtype
    is_8bit: bool
    product_dtype: torch.dtype  # of what the transformer blocks' linears give
    attention: ChosenAttention
    text_linears: list[nn.Linear] = field(default_factory=list)
    num_text_columns: int = 0
    time_linears: list[nn.Linear] = field(default_factory=list)
    conv_biases: list[torch.Tensor] = field(default_factory=list)
    num_shifts: int = 0

    def add_text(self, linears: Sequence[nn.Linear]) -> list[slice]:
        """Return the columns where these linears' outputs will be."""
        columns: list[slice] = []
        for linear in linears:
            stop = self.num_text_columns + linear.out_features
            columns.append(slice(self.num_text_columns, stop))
            self.num_text_columns = stop
        self.text_linears.extend(linears)
        return columns

    def add_time(self, linear: nn.Linear, conv_bias: torch.Tensor) -> slice:
        """Return the columns where a resnet's shift will be."""
        columns = slice(self.num_shifts, self.num_shifts + linear.out_features)
        self.num_shifts = columns.stop
        self.time_linears.append(linear)
        self.conv_biases.append(conv_bias)
        return columns


class _Stage:
    """A block of the UNet: its layers, and a change of size after them."""

    def __init__(self, block: Any, layout: _Layout) -> None:
        # The middle's last resnet has none after it, a plain block's have none at all.
        attentions: list[Any] = list(getattr(block, "attentions", None) or [])
        attentions += [None] * (len(block.resnets) - len(attentions))
        self.layers = [
            _Layer(resnet, attention, layout)
            for resnet, attention in zip(block.resnets, attentions, strict=True)
        ]
        downsamplers = getattr(block, "downsamplers", None)
        upsamplers = getattr(block, "upsamplers", None)
        self.downsample = Conv(downsamplers[0].conv, layout.dtype) if downsamplers else None
        self.upsample = Upsample(upsamplers[0], layout.dtype) if upsamplers else None


class _Layer:
    """A resnet and, where there is one, the transformer after it."""

    def __init__(self, resnet: Any, transformer: Any, layout: _Layout) -> None:
        self.resnet = ResnetBlock(resnet, layout.dtype)
        self.shift = layout.add_time(resnet.time_emb_proj, self.resnet.conv1.bias)
        self.transformer = None if transformer is None else _Transformer(transformer, layout)

    def __call__(
        self, inputs: Sequence[Features], shifts: torch.Tensor, key_values: torch.Tensor
    ) -> Features:
        features = self.resnet(inputs, shifts[:, self.shift])
        return features if self.transformer is None else self.transformer(features, key_values)


class _Transformer:
    """``Transformer2DModel`` over continuous input: tokens are the image's rows, as they lie."""

    def __init__(self, module: Any, layout: _Layout) -> None:
        self.norm = Norm(module.norm, silu=False)
        # A linear, or a 1 x 1 convolution, which is one.
        self.in_weight = module.proj_in.weight.detach().flatten(1)
        self.in_bias = module.proj_in.bias.detach()
        self.out_weight = module.proj_out.weight.detach().flatten(1)
        self.out_bias = module.proj_out.bias.detach()
        self.blocks = [_Block(block, layout) for block in module.transformer_blocks]

    def __call__(self, features: Features, key_values: torch.Tensor) -> Features:
        size = features.data.shape
        hidden = F.linear(self.norm(features).flatten(0, 2), self.in_weight, self.in_bias)
        update = None
        for block in self.blocks:
            hidden, update = block(hidden, update, size[0], key_values)
        if update is not None:
            hidden = hidden.add_(update)
        out = F.linear(hidden, self.out_weight)
        return with_bias(out.view(*size[:3], -1), self.out_bias, features.data)


class _Block:
    """``BasicTransformerBlock``; the last residual sum is left to whatever reads it next."""

    def __init__(self, module: Any, layout: _Layout) -> None:
        own, cross = module.attn1, module.attn2
        self.num_heads, self.attention = own.heads, layout.attention
        self.is_8bit = layout.is_8bit
        self.norms = [_LayerNorm(norm, is_quantized=self.is_8bit) for norm in _norms(module)]
        self.to_qkv = _linear([own.to_q, own.to_k, own.to_v], layout)
        self.to_out = _linear([own.to_out[0]], layout)
        self.to_q = _linear([cross.to_q], layout)
        self.keys, self.values = layout.add_text([cross.to_k, cross.to_v])
        self.cross_out = _linear([cross.to_out[0]], layout)
        self.ff_in = _linear([module.ff.net[0].proj], layout)
        self.ff_out = _linear([module.ff.net[2]], layout)

    def __call__(
        self,
        hidden: torch.Tensor,
        update: torch.Tensor | None,
        batch_size: int,
        key_values: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (M, D) and what is still to be added to it to the same pair.

        Args:
            hidden: overwritten.
            update: (M, D), or None for nothing.
            batch_size: B.
            key_values: (B * T, X).
        """
        hidden, normed = self.norms[0](hidden, update)
        qkv = self._split(self.to_qkv(normed), batch_size, 3)
        update = self.to_out(self._attend(*qkv))
        hidden, normed = self.norms[1](hidden, update)
        (query,) = self._split(self.to_q(normed), batch_size, 1)
        (key,) = self._split(key_values[:, self.keys], batch_size, 1)
        (value,) = self._split(key_values[:, self.values], batch_size, 1)
        update = self.cross_out(self._attend(query, key, value))
        hidden, normed = self.norms[2](hidden, update)
        gated = self.ff_in(normed)
        return hidden, self.ff_out(geglu_quantized(gated) if self.is_8bit else geglu(gated))

    def _split(
        self, rows: torch.Tensor, batch_size: int, num_parts: int
    ) -> tuple[torch.Tensor, ...]:
        """Return views (B, L, N, K) of (B * L, parts * N * K)."""
        whole = rows.unflatten(0, (batch_size, -1)).unflatten(-1, (num_parts, self.num_heads, -1))
        return whole.unbind(2)

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor | Quantized:
        """Return (M, D), or its 8-bit rows."""
        out = self.attention(query, key, value).reshape(-1, self.num_heads * query.shape[-1])
        return quantize_rows(out) if self.is_8bit else out


class _LayerNorm:
    """A layer norm that first adds what is still to be added, and may end in 8 bits."""

    def __init__(self, module: nn.LayerNorm, *, is_quantized: bool) -> None:
        self.weight = module.weight.detach().float()[None]
        self.bias = module.bias.detach().float()[None]
        self.eps, self.is_quantized = module.eps, is_quantized

    def __call__(
        self, x: torch.Tensor, delta: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | Quantized]:
        """Return the sum (in ``x``'s place) and its norm."""
        return residual_norm(
            x,
            mul=self.weight,
            add=self.bias,
            eps=self.eps,
            delta=delta,
            is_quantized=self.is_quantized,
        )


class _Linear:
    """A linear of the module's dtype."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: torch.Tensor | Quantized) -> torch.Tensor:
        assert isinstance(x, torch.Tensor)
        return F.linear(x, self.weight, self.bias)


class _Linear8bit:
    """A linear of 8-bit rows by 8-bit rows."""

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, out_dtype: torch.dtype
    ) -> None:
        self.weight, self.out_dtype = quantize_weight(weight), out_dtype
        self.bias = None if bias is None else bias.to(out_dtype)

    def __call__(self, x: torch.Tensor | Quantized) -> torch.Tensor:
        assert isinstance(x, Quantized)
        return linear_8bit(x, self.weight, self.bias, out_dtype=self.out_dtype)


def _linear(linears: Sequence[nn.Linear], layout: _Layout) -> _Linear | _Linear8bit:
    if layout.is_8bit:
        weight = torch.cat([linear.weight.detach() for linear in linears])
        return _Linear8bit(weight, _fused_bias(linears), layout.product_dtype)
    return _Linear(*_fuse(linears))


def _fuse(linears: Sequence[nn.Linear]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return one weight and bias for linears of one input; theirs become views of the weight."""
    if len(linears) == 1:
        return linears[0].weight.detach(), _fused_bias(linears)
    weight = torch.cat([linear.weight.detach() for linear in linears])
    start = 0
    for linear in linears:
        linear.weight.data = weight[start : start + linear.out_features]
        start += linear.out_features
    return weight, _fused_bias(linears)


def _fused_bias(linears: Sequence[nn.Linear]) -> torch.Tensor | None:
    biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
    return torch.cat(biases) if biases else None
