"""Our own forward of the Wan transformer, on the library's weights.

The same algebra as ``WanTransformerBlock`` (diffusers 0.42.1, ``transformer_wan.py``) with the
rounding at the same places, but

- queries, keys and values of self-attention come from one product;
- the norm over all heads and the rotation are one operation, in place (``norm_rope_``);
- a sublayer's output, its gate, the next norm and its modulation are one (``residual_norm``);
- the feed-forward's GELU is the product's own epilogue;
- the text's keys and values are worked out once a job (``text``);
- guidance's two branches share the first self-attention, before which they do not differ.

Eight bits (``is_8bit``, fidelity ``high``): the linears of the blocks take e4m3 rows and weights
with one scale a row, quantised where their input is made (the norms, GELU); attention is whatever
function is given. Embeddings, modulation and the last projection stay as they are.

At 480x832x81 a forward has 283 TFLOP, of which attention 198 and linears 82. What is left beside
them reads and writes about 1.5 GB a block: 11 ms of a forward at 4.2 TB/s.

Shapes: B batch, L tokens, M = B * L rows, E inner width, T text length, D text width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.linear import linear_8bit, linear_gelu
from ourvidz.kernels.norms import norm_rope_, residual_norm
from ourvidz.kernels.quantize import (
    Quantized,
    QuantizedWeight,
    gelu_quantize,
    quantize_rows,
    quantize_weight,
)

Rows = torch.Tensor | Quantized  # (M, K)
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Text:
    """A job's prompts as every block sees them."""

    keys: tuple[torch.Tensor, ...]  # a block: (B, T, heads, head size)
    values: tuple[torch.Tensor, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Modulation:
    """What a timestep does to the blocks; float32."""

    shift: torch.Tensor  # (B, E)
    scale_1: torch.Tensor  # (B, E), one plus the scale
    gate: torch.Tensor  # (B, E)
    ffn_shift: torch.Tensor
    ffn_scale_1: torch.Tensor
    ffn_gate: torch.Tensor


def can_run_fast(transformer: Any) -> bool:
    """Whether this forward knows everything that the module is made of."""
    config = transformer.config
    blocks = transformer.blocks
    return (
        type(transformer).__name__ == "WanTransformer3DModel"
        and config.qk_norm == "rms_norm_across_heads"
        and config.added_kv_proj_dim is None
        and config.image_dim is None
        and len(blocks) > 0
        and not any(getattr(block.attn1, "fused_projections", False) for block in blocks)
        and all(type(linear) is torch.nn.Linear for linear in _linears(blocks))
    )


def _linears(blocks: Any) -> list[Any]:
    found: list[Any] = []
    for block in blocks:
        for attention in (block.attn1, block.attn2):
            found += [attention.to_q, attention.to_k, attention.to_v, attention.to_out[0]]
        found += [block.ffn.net[0].proj, block.ffn.net[2]]
    return found


class FastWan:
    """A predictor (see ``predict.Predictor``). Several jobs may take turns on one."""

    def __init__(
        self, transformer: Any, *, attention: Attention | None = None, is_8bit: bool = False
    ) -> None:
        """Take a loaded transformer, whose self-attention projections become parts of one tensor.

        Args:
            transformer: from ``load_transformer``; ``can_run_fast`` holds. It stays usable, and
                its values stay as they were.
            attention: of (B, L, heads, head size) tensors; torch's own choice by default.
            is_8bit: quantise the blocks' linears; their 8-bit weights are kept beside the others.
        """
        assert can_run_fast(transformer)
        self._transformer = transformer
        self._attend = attention or _default_attention
        self._is_8bit = is_8bit
        self._blocks = [_FastBlock(block, is_8bit=is_8bit) for block in transformer.blocks]
        self._tables = torch.stack([block.scale_shift_table[0] for block in transformer.blocks])
        self._rope: dict[tuple[int, int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    @staticmethod
    def added_bytes(transformer: Any) -> int:
        """Return the bytes of the 8-bit weights that ``is_8bit`` keeps beside the others."""
        return sum(linear.weight.numel() for linear in _linears(transformer.blocks))

    @property
    def dtype(self) -> torch.dtype:
        """See ``Predictor``."""
        return self._transformer.dtype

    @torch.inference_mode()
    def text(self, prompt_embeds: torch.Tensor) -> Text:
        """See ``Predictor``."""
        embedder = self._transformer.condition_embedder.text_embedder
        text = embedder(prompt_embeds.to(self._transformer.dtype))
        pairs = [block.text_keys_values(text) for block in self._blocks]
        return Text(keys=tuple(key for key, _ in pairs), values=tuple(value for _, value in pairs))

    def velocities(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[Text],
        *,
        is_batched: bool = False,
    ) -> list[torch.Tensor]:
        """See ``Predictor``."""
        if is_batched and len(texts) > 1:
            latents = torch.cat([latents] * len(texts))
            (velocity,) = self._run(latents, timestep, [_joined(texts)])
            return list(velocity.chunk(len(texts)))
        return self._run(latents, timestep, texts)

    def _run(
        self, latents: torch.Tensor, timestep: torch.Tensor, texts: Sequence[Text]
    ) -> list[torch.Tensor]:
        transformer = self._transformer
        batch = latents.shape[0]
        latents = latents.to(transformer.dtype)
        cos, sin = self._turns(latents)
        temb, modulations = self._modulate(timestep.expand(batch))
        out_shift, out_scale_1 = self._modulate_out(temb)
        x = transformer.patch_embedding(latents).flatten(2).transpose(1, 2)
        x = x.reshape(-1, x.shape[-1]).contiguous()
        first = self._blocks[0]
        x, normed = residual_norm(
            x,
            mul=modulations[0].scale_1,
            add=modulations[0].shift,
            eps=first.eps1,
            is_quantized=self._is_8bit,
        )
        attended = first.self_attention(normed, batch, cos, sin, self._attend)
        velocities: list[torch.Tensor] = []
        for index, text in enumerate(texts):
            own = x if index == len(texts) - 1 else x.clone()  # it is written to
            hidden = self._through_blocks(
                own, attended, text, modulations, (out_shift, out_scale_1), batch, cos, sin
            )
            velocities.append(self._unpatchify(transformer.proj_out(hidden), latents))
        return velocities

    def _through_blocks(
        self,
        x: torch.Tensor,
        attended: torch.Tensor,
        text: Text,
        modulations: Sequence[_Modulation],
        out_modulation: tuple[torch.Tensor, torch.Tensor],
        batch: int,
        cos: torch.Tensor,
        sin: torch.Tensor,
    ) -> torch.Tensor:
        """Return (M, E), normalised and modulated for the last projection. Overwrites ``x``."""
        for index, block in enumerate(self._blocks):
            own = modulations[index]
            x, normed = block.after_self_attention(x, attended, own)
            crossed = block.cross_attention(
                normed, batch, text.keys[index], text.values[index], self._attend
            )
            x, normed = residual_norm(
                x,
                delta=crossed,
                mul=own.ffn_scale_1,
                add=own.ffn_shift,
                eps=block.eps3,
                is_quantized=self._is_8bit,
            )
            fed = block.feed_forward(normed)
            is_last = index + 1 == len(self._blocks)
            after = None if is_last else modulations[index + 1]
            x, normed = residual_norm(
                x,
                delta=fed,
                gate=own.ffn_gate,
                mul=out_modulation[1] if after is None else after.scale_1,
                add=out_modulation[0] if after is None else after.shift,
                eps=self._transformer.norm_out.eps if is_last else self._blocks[index + 1].eps1,
                is_quantized=self._is_8bit and not is_last,
            )
            if is_last:
                assert isinstance(normed, torch.Tensor)
                return normed
            attended = self._blocks[index + 1].self_attention(normed, batch, cos, sin, self._attend)
        raise AssertionError("a transformer has blocks")

    def _modulate(self, timestep: torch.Tensor) -> tuple[torch.Tensor, list[_Modulation]]:
        embedder = self._transformer.condition_embedder
        frequencies = embedder.timesteps_proj(timestep)
        dtype = next(iter(embedder.time_embedder.parameters())).dtype
        temb = embedder.time_embedder(frequencies.to(dtype)).to(self._transformer.dtype)
        projected = embedder.time_proj(embedder.act_fn(temb)).unflatten(1, (6, -1))
        # (blocks, 6, B, E): all blocks at once, in float32 as each block has it.
        whole = (self._tables[:, None] + projected.float()).transpose(1, 2).contiguous()
        return temb, [
            _Modulation(
                shift=shift,
                scale_1=1 + scale,
                gate=gate,
                ffn_shift=ffn_shift,
                ffn_scale_1=1 + ffn_scale,
                ffn_gate=ffn_gate,
            )
            for shift, scale, gate, ffn_shift, ffn_scale, ffn_gate in (
                block.unbind(0) for block in whole.unbind(0)
            )
        ]

    def _modulate_out(self, temb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shift, scale = (self._transformer.scale_shift_table + temb[:, None]).unbind(1)
        return shift.float().contiguous(), (1 + scale).float().contiguous()

    def _turns(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine of each token and pair, (L, head size / 2) float32."""
        shape = (latents.shape[2], latents.shape[3], latents.shape[4])
        if shape not in self._rope:
            cos, sin = self._transformer.rope(latents)  # each value twice, for both of a pair
            self._rope = {
                shape: (
                    cos[0, :, 0, 0::2].float().contiguous(),
                    sin[0, :, 0, 1::2].float().contiguous(),
                )
            }
        return self._rope[shape]

    def _unpatchify(self, patches: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        batch, _, frames, height, width = latents.shape
        p_t, p_h, p_w = self._transformer.config.patch_size
        patches = patches.view(batch, frames // p_t, height // p_h, width // p_w, p_t, p_h, p_w, -1)
        whole = patches.permute(0, 7, 1, 4, 2, 5, 3, 6).float()
        return whole.reshape(batch, -1, frames, height, width)


class _FastBlock:
    """One block's weights, arranged for the fewest operations."""

    def __init__(self, block: Any, *, is_8bit: bool) -> None:
        self._block = block
        self._is_8bit = is_8bit
        self._heads: int = block.attn1.heads
        self.eps1: float = block.norm1.eps
        self.eps3: float = block.norm3.eps
        projections = [block.attn1.to_q, block.attn1.to_k, block.attn1.to_v]
        weight = _joined_parameter(projections, "weight")
        bias = _joined_parameter(projections, "bias")
        self._qkv = _Linear(weight, bias, is_8bit=is_8bit)
        self._out, self._query, self._crossed, self._up, self._down = (
            _Linear(linear.weight, linear.bias, is_8bit=is_8bit)
            for linear in (
                block.attn1.to_out[0],
                block.attn2.to_q,
                block.attn2.to_out[0],
                block.ffn.net[0].proj,
                block.ffn.net[2],
            )
        )
        norm2 = block.norm2
        self._norm2 = None if isinstance(norm2, torch.nn.Identity) else norm2

    def text_keys_values(self, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the text's keys and values, each (B, T, heads, head size)."""
        attention = self._block.attn2
        key = attention.to_k(text)
        norm_rope_(key.view(-1, key.shape[-1]), weight=attention.norm_k.weight, eps=_eps(attention))
        value = attention.to_v(text)
        return key.unflatten(2, (self._heads, -1)), value.unflatten(2, (self._heads, -1))

    def self_attention(
        self,
        normed: Rows,
        batch: int,
        cos: torch.Tensor,
        sin: torch.Tensor,
        attend: Attention,
    ) -> torch.Tensor:
        """Return the sublayer's output, (M, E), without gate and residual."""
        attention = self._block.attn1
        qkv = self._qkv(normed)
        query, key, value = qkv.chunk(3, dim=1)
        for part, norm in ((query, attention.norm_q), (key, attention.norm_k)):
            norm_rope_(part, weight=norm.weight, eps=_eps(attention), cos=cos, sin=sin)
        heads = [part.unflatten(1, (self._heads, -1)) for part in (query, key, value)]
        query, key, value = (part.unflatten(0, (batch, -1)) for part in heads)
        return self._out(attend(query, key, value).flatten(2).flatten(0, 1))

    def after_self_attention(
        self, x: torch.Tensor, attended: torch.Tensor, own: _Modulation
    ) -> tuple[torch.Tensor, Rows]:
        """Return the residual and what cross-attention reads."""
        if self._norm2 is None:
            ones = torch.ones_like(own.gate)
            x, _ = residual_norm(
                x, delta=attended, gate=own.gate, mul=ones, add=torch.zeros_like(ones), eps=1e-6
            )
            return x, x
        weight, bias = self._norm2.weight, self._norm2.bias
        return residual_norm(
            x,
            delta=attended,
            gate=own.gate,
            mul=weight.float().expand(own.gate.shape),
            add=bias.float().expand(own.gate.shape),
            eps=self._norm2.eps,
            is_quantized=self._is_8bit,
        )

    def cross_attention(
        self,
        normed: Rows,
        batch: int,
        keys: torch.Tensor,
        values: torch.Tensor,
        attend: Attention,
    ) -> torch.Tensor:
        """Return the sublayer's output, (M, E), without residual."""
        attention = self._block.attn2
        query = self._query(normed)
        norm_rope_(query, weight=attention.norm_q.weight, eps=_eps(attention))
        query = query.unflatten(1, (self._heads, -1)).unflatten(0, (batch, -1))
        return self._crossed(attend(query, keys, values).flatten(2).flatten(0, 1))

    def feed_forward(self, normed: Rows) -> torch.Tensor:
        """Return the sublayer's output, (M, E), without gate and residual."""
        if self._is_8bit:
            return self._down(gelu_quantize(self._up(normed)))
        assert isinstance(normed, torch.Tensor)
        return self._down(linear_gelu(normed, self._up.weight, self._up.bias))


class _Linear:
    """A product with a weight in the module's precision, or in 8 bits."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, *, is_8bit: bool) -> None:
        self.weight, self.bias = weight, bias
        self._quantized: QuantizedWeight | None = quantize_weight(weight) if is_8bit else None

    def __call__(self, rows: Rows) -> torch.Tensor:
        """Return (M, N) of (M, K), in the weight's precision."""
        if self._quantized is None:
            assert isinstance(rows, torch.Tensor)
            return F.linear(rows, self.weight, self.bias)
        rows = rows if isinstance(rows, Quantized) else quantize_rows(rows)
        return linear_8bit(rows, self._quantized, self.bias, out_dtype=self.weight.dtype)


def _joined(texts: Sequence[Text]) -> Text:
    return Text(
        keys=tuple(torch.cat(each) for each in zip(*(text.keys for text in texts), strict=True)),
        values=tuple(
            torch.cat(each) for each in zip(*(text.values for text in texts), strict=True)
        ),
    )


def _joined_parameter(linears: Sequence[Any], name: str) -> torch.Tensor:
    """Return parameters of one name as one tensor, of which they become parts: no memory twice."""
    whole = torch.cat([getattr(linear, name).detach() for linear in linears])
    start = 0
    for linear in linears:
        parameter = getattr(linear, name)
        parameter.data = whole[start : start + parameter.shape[0]]
        start += parameter.shape[0]
    return whole


def _eps(attention: Any) -> float:
    return attention.norm_q.eps


def _default_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    out = F.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    )
    return out.transpose(1, 2)
