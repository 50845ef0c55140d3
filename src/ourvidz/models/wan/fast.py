"""Our own forward of the Wan transformer, on the library's weights.

The same algebra as ``WanTransformerBlock`` (diffusers 0.42.1, ``transformer_wan.py``) with the
rounding at the same places, but

- queries, keys and values of self-attention come from one product;
- the norm over all heads and the rotation are one operation, in place (``norm_rope_``);
- a sublayer's output, its gate, the next norm and its modulation are one (``residual_norm``);
- the feed-forward's GELU is the product's own epilogue;
- the text's keys and values are worked out once a job (``text``), and the rows that it is padded
  with, which are all equal, are one;
- guidance's two branches share the first self-attention, before which they do not differ.

Eight bits (``is_8bit``, fidelity ``high``): queries, keys and values, the text's queries and the
feed-forward's first linear take rows and weights of 8-bit integers, turned (``int8.rotate``), one
scale a row, made in the norm before. Guidance's branches then go through the blocks together, as
``int8.Int8Pairs``, so that guidance does not multiply the rounding; they take twice the memory for
activations. The other linears stay in 16 bits: making rows for them is a pass of its own that takes
what is gained (all but 0.02 ms of a linear of 1,536 inputs, 0.10 of 1.12 ms of the feed-forward's
second), and the second's rounding hurts most. Attention is whatever function is given. Embeddings,
modulation and the last projection stay as they are.

At 480x832x81 a forward has 283 TFLOP, of which attention 198 and linears 82. What is left beside
them reads and writes about 1.5 GB a block: 11 ms of a forward at 4.2 TB/s.

Shapes: B batch, L tokens, M = B * L rows, E inner width, T text length, D text width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels.int8 import (
    ALIGNMENT,
    ROTATED,
    Int8Pairs,
    Int8Rows,
    int8_linear,
    int8_linear_pairs,
    int8_weight,
)
from ourvidz.kernels.linear import linear_gelu
from ourvidz.kernels.norms import (
    norm_rope_,
    residual_norm,
    residual_norm_int8,
    residual_norm_pairs,
)
from ourvidz.kernels.spread import collect_rows, norm_rope_spread, spread_rows
from ourvidz.kernels.text_attention import kept_rows, text_attention
from ourvidz.models.wan.sequence import HeadExchange, TokenShard

Rows = torch.Tensor | Int8Rows | Int8Pairs  # of M rows and K channels
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Text:
    """A job's prompts as every block sees them."""

    keys: tuple[torch.Tensor, ...]  # a block: (B, T, heads, head size)
    values: tuple[torch.Tensor, ...]
    # (B, T) float32, added to scores where T is less than what texts are padded to, one row
    # standing for all that are equal: see ``kernels.text_attention``.
    bias: torch.Tensor | None = None


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


def linears_8bit(transformer: Any) -> list[Any]:
    """Return the library's linears that run in 8 bits where this is allowed."""
    found: list[Any] = []
    for block in transformer.blocks:
        found += [block.attn1.to_q, block.attn1.to_k, block.attn1.to_v]
        if not isinstance(block.norm2, torch.nn.Identity):  # else no norm makes its rows
            found.append(block.attn2.to_q)
        found.append(block.ffn.net[0].proj)
    return [
        linear
        for linear in found
        if linear.in_features % ROTATED == 0 and linear.out_features % ALIGNMENT == 0
    ]


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
            is_8bit: run what ``linears_8bit`` lists in 8 bits; these weights are kept beside the
                others.
        """
        assert can_run_fast(transformer)
        self._transformer = transformer
        self._attend = attention or _default_attention
        self._is_8bit = is_8bit
        chosen = linears_8bit(transformer) if is_8bit else ()
        self._blocks = [_FastBlock(block, chosen=chosen) for block in transformer.blocks]
        self._tables = torch.stack([block.scale_shift_table[0] for block in transformer.blocks])
        self._rope: dict[tuple[int, int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        # Told each block's index and output (M, E), once a text, of texts that run together for the
        # first alone; the output is overwritten later.
        self.observer: Callable[[int, torch.Tensor], None] | None = None

    @staticmethod
    def added_bytes(transformer: Any) -> int:
        """Return the bytes of the 8-bit weights that ``is_8bit`` keeps beside the others."""
        return sum(linear.weight.numel() for linear in linears_8bit(transformer))

    @property
    def dtype(self) -> torch.dtype:
        """See ``Predictor``."""
        return self._transformer.dtype

    @torch.inference_mode()
    def text(self, prompt_embeds: torch.Tensor) -> Text:
        """See ``Predictor``."""
        embedder = self._transformer.condition_embedder.text_embedder
        kept = kept_rows(prompt_embeds)
        rows = prompt_embeds if kept is None else prompt_embeds[:, : kept.num_rows]
        text = embedder(rows.to(self._transformer.dtype))
        pairs = [block.text_keys_values(text) for block in self._blocks]
        return Text(
            keys=tuple(key for key, _ in pairs),
            values=tuple(value for _, value in pairs),
            bias=None if kept is None else kept.bias,
        )

    def velocities(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[Text],
        *,
        is_batched: bool = False,
    ) -> list[torch.Tensor]:
        """See ``Predictor``."""
        parts = self.parts(latents, timestep, texts, is_batched=is_batched)
        return [self.velocity_of(part, latents) for part in parts]

    def runs_together(self, num_texts: int, *, is_batched: bool = False) -> bool:
        """Whether so many texts go through the blocks as one batch, on the same devices."""
        return num_texts > 1 and (is_batched or (self._is_8bit and num_texts == 2))

    def parts(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[Text],
        *,
        is_batched: bool = False,
        shard: TokenShard | None = None,
    ) -> list[torch.Tensor]:
        """Return the last projection's rows, (B, l, channels of a patch) a text.

        Args:
            latents: (B, C, F, H, W) float32, whole.
            timestep: as for ``velocities``.
            texts: as for ``velocities``.
            is_batched: as for ``velocities``.
            shard: which tokens are ours; all ranks of its group call this at once. None: all.
        """
        if self.runs_together(len(texts), is_batched=is_batched):
            (part,) = self._run(latents, timestep, [_joined(texts)], len(texts), shard)
            return list(part.chunk(len(texts)))
        return self._run(latents, timestep, texts, 1, shard)

    def velocity_of(self, part: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Return (B, C, F, H, W) float32 of all tokens' rows, (B, L, channels of a patch)."""
        return self._unpatchify(part.flatten(0, 1), latents)

    def num_tokens(self, latents: torch.Tensor) -> int:
        """Return how many tokens a clip of these latents, (B, C, F, H, W), has."""
        p_t, p_h, p_w = self._transformer.config.patch_size
        frames, height, width = latents.shape[2:]
        return (frames // p_t) * (height // p_h) * (width // p_w)

    @property
    def config(self) -> Any:
        """The transformer's."""
        return self._transformer.config

    def _run(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[Text],
        copies: int,
        shard: TokenShard | None,
    ) -> list[torch.Tensor]:
        """Return rows a text; each text is of ``copies`` times the items that are given."""
        transformer = self._transformer
        items = latents.shape[0]
        batch = items * copies
        latents = latents.to(transformer.dtype)
        cos, sin = self._turns(latents)
        temb, modulations = self._modulate(timestep.expand(batch))
        out_shift, out_scale_1 = self._modulate_out(temb)
        x = transformer.patch_embedding(latents).flatten(2).transpose(1, 2)
        exchange = None
        if shard is not None:
            rows, exchange = shard.rows(x.shape[1]), shard.exchange(x.shape[1])
            x, cos, sin = x[:, rows], cos[rows], sin[rows]
        x = x.reshape(-1, x.shape[-1]).contiguous()
        first, own = self._blocks[0], modulations[0]
        x, normed = first.qkv.after_norm(
            x, mul=own.scale_1[:items], add=own.shift[:items], eps=first.eps1
        )
        attended = first.self_attention(normed, items, cos, sin, self._attend, exchange)
        if copies > 1:
            x, attended = (each.repeat(copies, 1) for each in (x, attended))
        parts: list[torch.Tensor] = []
        for index, text in enumerate(texts):
            own = x if index == len(texts) - 1 else x.clone()  # it is written to
            hidden = self._through_blocks(
                own,
                attended,
                text,
                modulations,
                (out_shift, out_scale_1),
                batch,
                copies,
                cos,
                sin,
                exchange,
            )
            parts.append(transformer.proj_out(hidden).unflatten(0, (batch, -1)))
        return parts

    def _through_blocks(
        self,
        x: torch.Tensor,
        attended: torch.Tensor,
        text: Text,
        modulations: Sequence[_Modulation],
        out_modulation: tuple[torch.Tensor, torch.Tensor],
        batch: int,
        copies: int,
        cos: torch.Tensor,
        sin: torch.Tensor,
        exchange: HeadExchange | None,
    ) -> torch.Tensor:
        """Return (M, E), normalised and modulated for the last projection. Overwrites ``x``."""
        is_paired = copies == 2
        for index, block in enumerate(self._blocks):
            own = modulations[index]
            x, normed = block.after_self_attention(x, attended, own, is_paired=is_paired)
            crossed = block.cross_attention(
                normed, batch, text.keys[index], text.values[index], text.bias, self._attend
            )
            x, normed = block.up.after_norm(
                x,
                delta=crossed,
                mul=own.ffn_scale_1,
                add=own.ffn_shift,
                eps=block.eps3,
                is_paired=is_paired,
            )
            fed = block.feed_forward(normed)
            if index + 1 < len(self._blocks):
                after, modulation = self._blocks[index + 1], modulations[index + 1]
                x, normed = after.qkv.after_norm(
                    x,
                    delta=fed,
                    gate=own.ffn_gate,
                    mul=modulation.scale_1,
                    add=modulation.shift,
                    eps=after.eps1,
                    is_paired=is_paired,
                )
                self._tell(index, x, copies)
                attended = after.self_attention(normed, batch, cos, sin, self._attend, exchange)
                continue
            shift, scale_1 = out_modulation
            x, normed = residual_norm(
                x,
                delta=fed,
                gate=own.ffn_gate,
                mul=scale_1,
                add=shift,
                eps=self._transformer.norm_out.eps,
            )
            self._tell(index, x, copies)
            assert isinstance(normed, torch.Tensor)
            return normed
        raise AssertionError("a transformer has blocks")

    def _tell(self, index: int, x: torch.Tensor, copies: int) -> None:
        if self.observer is not None:
            self.observer(index, x[: len(x) // copies])

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
        frames, height, width = latents.shape[2:]
        p_t, p_h, p_w = self._transformer.config.patch_size
        patches = patches.unflatten(0, (-1, frames // p_t, height // p_h, width // p_w))
        patches = patches.unflatten(4, (p_t, p_h, p_w, -1))
        whole = patches.permute(0, 7, 1, 4, 2, 5, 3, 6).float()
        return whole.reshape(len(patches), -1, frames, height, width)


class _FastBlock:
    """One block's weights, arranged for the fewest operations."""

    def __init__(self, block: Any, *, chosen: Collection[Any]) -> None:
        """Take the library's block and which of its linears run in 8 bits."""
        self._block = block
        self._heads: int = block.attn1.heads
        self.eps1: float = block.norm1.eps
        self.eps3: float = block.norm3.eps
        projections = [block.attn1.to_q, block.attn1.to_k, block.attn1.to_v]
        weight = _joined_parameter(projections, "weight")
        bias = _joined_parameter(projections, "bias")
        self.qkv = _Linear(weight, bias, is_8bit=projections[0] in chosen)
        self._out, self._query, self._crossed, self.up, self._down = (
            _Linear(linear.weight, linear.bias, is_8bit=linear in chosen)
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
        exchange: HeadExchange | None,
    ) -> torch.Tensor:
        """Return the sublayer's output, (M, E), without gate and residual."""
        attention = self._block.attn1
        query, key, value = self.qkv(normed).chunk(3, dim=1)
        if exchange is not None:
            attended = self._exchanged(exchange, (query, key, value), batch, cos, sin, attend)
            return self._out(attended)
        for part, norm in ((query, attention.norm_q), (key, attention.norm_k)):
            norm_rope_(part, weight=norm.weight, eps=_eps(attention), cos=cos, sin=sin)
        heads = [part.unflatten(1, (self._heads, -1)) for part in (query, key, value)]
        query, key, value = (part.unflatten(0, (batch, -1)) for part in heads)
        return self._out(attend(query, key, value).flatten(2).flatten(0, 1))

    def _exchanged(
        self,
        exchange: HeadExchange,
        rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        batch: int,
        cos: torch.Tensor,
        sin: torch.Tensor,
        attend: Attention,
    ) -> torch.Tensor:
        """Return attention's result for our rows of queries, keys and values, (M, E) each."""
        attention = self._block.attn1
        layout = exchange.layout(items=batch, num_heads=self._heads)
        query, key = (
            norm_rope_spread(
                part, weight=norm.weight, eps=_eps(attention), cos=cos, sin=sin, spread=layout
            )
            for part, norm in zip(rows, (attention.norm_q, attention.norm_k), strict=False)
        )
        value = spread_rows(rows[2], spread=layout)
        head_size = rows[0].shape[1] // self._heads
        return collect_rows(exchange.attend(query, key, value, head_size=head_size, attend=attend))

    def after_self_attention(
        self, x: torch.Tensor, attended: torch.Tensor, own: _Modulation, *, is_paired: bool
    ) -> tuple[torch.Tensor, Rows]:
        """Return the residual and what cross-attention reads."""
        if self._norm2 is None:
            ones = torch.ones_like(own.gate)
            x, _ = residual_norm(
                x, delta=attended, gate=own.gate, mul=ones, add=torch.zeros_like(ones), eps=1e-6
            )
            return x, x
        weight, bias = self._norm2.weight, self._norm2.bias
        return self._query.after_norm(
            x,
            delta=attended,
            gate=own.gate,
            mul=weight.float().expand(own.gate.shape),
            add=bias.float().expand(own.gate.shape),
            eps=self._norm2.eps,
            is_paired=is_paired,
        )

    def cross_attention(
        self,
        normed: Rows,
        batch: int,
        keys: torch.Tensor,
        values: torch.Tensor,
        bias: torch.Tensor | None,
        attend: Attention,
    ) -> torch.Tensor:
        """Return the sublayer's output, (M, E), without residual."""
        attention = self._block.attn2
        query = self._query(normed)
        norm_rope_(query, weight=attention.norm_q.weight, eps=_eps(attention))
        query = query.unflatten(1, (self._heads, -1)).unflatten(0, (batch, -1))
        if bias is None:
            read = attend(query, keys, values)
        else:
            read = text_attention(query, keys, values, bias)
        return self._crossed(read.flatten(2).flatten(0, 1))

    def feed_forward(self, normed: Rows) -> torch.Tensor:
        """Return the sublayer's output, (M, E), without gate and residual."""
        return self._down(self.up(normed, is_gelu=True))


class _Linear:
    """A product with a weight in the module's precision, or in 8 bits."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, *, is_8bit: bool) -> None:
        self._weight, self._bias = weight, bias
        self._rounded = int8_weight(weight, is_rotated=True) if is_8bit else None

    def after_norm(
        self, x: torch.Tensor, *, is_paired: bool = False, **arguments: Any
    ) -> tuple[torch.Tensor, Rows]:
        """Return what ``residual_norm`` returns, the normalised sum as this linear takes it.

        Args:
            x: (M, K).
            is_paired: its halves are branches, whose difference is what counts.
            arguments: of ``residual_norm``.
        """
        if self._rounded is None:
            x, normed = residual_norm(x, **arguments)
            assert isinstance(normed, torch.Tensor)
            return x, normed
        if is_paired:  # of one timestep, so that the halves are modulated alike
            return residual_norm_pairs(x, is_shared=True, **arguments)
        return residual_norm_int8(x, **arguments)

    def __call__(self, rows: Rows, *, is_gelu: bool = False) -> torch.Tensor:
        """Return (M, N) of (M, K), in the weight's precision, ending in GELU's tanh form or not."""
        if self._rounded is not None:
            assert not isinstance(rows, torch.Tensor)
            out = {"out_dtype": self._weight.dtype, "is_gelu": is_gelu}
            if isinstance(rows, Int8Pairs):
                return int8_linear_pairs(rows, self._rounded, self._bias, **out)
            return int8_linear(rows, self._rounded, self._bias, **out)
        assert isinstance(rows, torch.Tensor)
        run = linear_gelu if is_gelu else F.linear
        return run(rows, self._weight, self._bias)


def _joined(texts: Sequence[Text]) -> Text:
    length = max(text.keys[0].shape[1] for text in texts)
    has_bias = any(text.bias is not None for text in texts)
    texts = [_lengthened(text, length, has_bias=has_bias) for text in texts]
    return Text(
        keys=tuple(torch.cat(each) for each in zip(*(text.keys for text in texts), strict=True)),
        values=tuple(
            torch.cat(each) for each in zip(*(text.values for text in texts), strict=True)
        ),
        bias=torch.cat([text.bias for text in texts if text.bias is not None])
        if has_bias
        else None,
    )


def _lengthened(text: Text, length: int, *, has_bias: bool) -> Text:
    """Return the text with hidden rows up to ``length``."""
    missing = length - text.keys[0].shape[1]
    if not has_bias or (missing == 0 and text.bias is not None):
        return text
    keys, values = (
        tuple(F.pad(each, (0, 0, 0, 0, 0, missing)) for each in whole)
        for whole in (text.keys, text.values)
    )
    bias = text.bias
    if bias is None:
        bias = torch.zeros(keys[0].shape[0], length - missing, device=keys[0].device)
    return Text(keys=keys, values=values, bias=F.pad(bias, (0, missing), value=-math.inf))


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
