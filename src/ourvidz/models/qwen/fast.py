"""Qwen 2 decoding at the speed of memory: a fixed cache, fused kernels, one CUDA graph a token.

The library's forward launches about 900 kernels a token and grows its cache by copies; on an H200
it is bound by launches at 15 to 26 tokens/s. Here a token is 144 launches in one graph (see
``ourvidz.kernels.gemv`` for the floors), and the host reads each token while the next one is
already being made.

Shapes: T positions, D width, V vocabulary, H query heads, G key-value heads, S a head's size.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F

from ourvidz.kernels import gemv
from ourvidz.kernels.gemv import LayerConfigs, Qkv, Weight
from ourvidz.kernels.runtime import can_run_triton, supports_fp8
from ourvidz.models.events import TokenEvent
from ourvidz.models.qwen.config import Sampling
from ourvidz.models.qwen.generate import Generation, logits_processors

# A cache holds at least this many positions: 57 MB at 7B in bfloat16.
_MIN_CAPACITY = 1024
# Positions of the cache a program of the attention: 1024 make 16 programs a head, 448 at 7B.
_POSITIONS_A_SPLIT = 64
_MAX_SPLITS = 16
# Caches kept between generations; more than that run at once at their own cost.
_MAX_IDLE_SLOTS = 2


def can_run_fast(model: Any) -> bool:
    """Whether ``FastQwen`` knows everything that this module does.

    It does not know sliding windows, scaled rotary embeddings, replaced or wrapped layers
    (adapters, quantizers), half precision other than bfloat16, and CUDA without Triton.
    """
    config = getattr(model, "config", None)
    if type(model).__name__ != "Qwen2ForCausalLM" or config is None:
        return False
    return (
        _is_plain_config(config)
        and all(type(layer) is torch.nn.Linear for layer in _linears(model))
        and _is_plain_memory(list(model.parameters()))
    )


def _is_plain_config(config: Any) -> bool:
    rope = getattr(config, "rope_parameters", None) or {}
    size = config.hidden_size // config.num_attention_heads
    return (
        config.hidden_act == "silu"
        and all(kind == "full_attention" for kind in config.layer_types)
        and rope.get("rope_type") == "default"
        and getattr(config, "head_dim", None) in (None, size)
        and size in (16, 32, 64, 128, 256)
    )


def _is_plain_memory(parameters: Sequence[torch.Tensor]) -> bool:
    places = {(parameter.device, parameter.dtype) for parameter in parameters}
    if len(places) != 1:
        return False
    device, dtype = places.pop()
    return dtype in (torch.float32, torch.bfloat16) and (
        device.type == "cpu" or (device.type == "cuda" and can_run_triton(*parameters[:1]))
    )


def _linears(model: Any) -> list[Any]:
    found = [model.lm_head]
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        found += [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        found += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    attention_norm: torch.Tensor  # (D,)
    qkv: Qkv
    out: Weight
    mlp_norm: torch.Tensor  # (D,)
    gate: Weight
    up: Weight
    down: Weight


@dataclass(frozen=True, kw_only=True, slots=True)
class _Network:
    """The weights, shared with the library's module or quantized."""

    embedding: torch.Tensor  # (V, D)
    layers: tuple[_Layer, ...]
    norm: torch.Tensor  # (D,)
    head: Weight  # (V, D)
    eps: float
    num_kv_heads: int
    head_size: int
    rotary: Any  # the library's module: positions to cosines and sines


def _read_network(model: Any, *, is_quantized: bool) -> _Network:
    def weight(linear: Any) -> Weight:
        return gemv.quantize_weight(linear.weight.data) if is_quantized else linear.weight.data

    layers: list[_Layer] = []
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        qkv = Qkv(
            query=weight(attention.q_proj),
            key=weight(attention.k_proj),
            value=weight(attention.v_proj),
            query_bias=attention.q_proj.bias.data,
            key_bias=attention.k_proj.bias.data,
            value_bias=attention.v_proj.bias.data,
        )
        layers.append(
            _Layer(
                attention_norm=layer.input_layernorm.weight.data,
                qkv=qkv,
                out=weight(attention.o_proj),
                mlp_norm=layer.post_attention_layernorm.weight.data,
                gate=weight(mlp.gate_proj),
                up=weight(mlp.up_proj),
                down=weight(mlp.down_proj),
            )
        )
    config = model.config
    return _Network(
        embedding=model.model.embed_tokens.weight.data,
        layers=tuple(layers),
        norm=model.model.norm.weight.data,
        head=weight(model.lm_head),
        eps=config.rms_norm_eps,
        num_kv_heads=config.num_key_value_heads,
        head_size=config.hidden_size // config.num_attention_heads,
        rotary=model.model.rotary_emb,
    )


class FastQwen:
    """Generates with the weights of the library's model, many times faster on a GPU.

    Any number of generations may take turns. Each has a cache and a graph of its own (a slot);
    two slots are kept for the next ones, further ones are made when needed (0.2 s on a GPU) and
    dropped when done. Closing a generator gives its slot back.

    In the model's own precision the weights are the module's tensors: make a new object after
    the module moved. Quantized, only the embedding, norms and biases are shared, so that the
    module may be dropped: 8.2 GB remain of 15.2 at 7B.
    """

    def __init__(
        self,
        model: Any,
        *,
        weights: Literal["native", "e4m3"] = "native",
        configs: LayerConfigs | None = None,
        attention_pdl: bool = False,
    ) -> None:
        """Read the weights, and quantize them where asked.

        Args:
            model: the library's ``Qwen2ForCausalLM``, for which ``can_run_fast`` holds.
            weights: ``native`` as they are (fidelity exact); ``e4m3`` in 8 bits with a scale a
                row (fidelity high), which a GPU must have hardware for.
            configs: how to launch the products; None: the defaults.
            attention_pdl: programmatic dependent launch of the attention.

        Raises:
            ValueError: the model or the device can't do this.
        """
        if not can_run_fast(model):
            raise ValueError(f"{type(model).__name__} is not a plain Qwen 2 on one device.")
        self._device: torch.device = model.lm_head.weight.device
        is_quantized = weights == "e4m3"
        if is_quantized and self._device.type == "cuda" and not supports_fp8(self._device):
            raise ValueError("This GPU has no e4m3.")
        with torch.inference_mode():
            self._network = _read_network(model, is_quantized=is_quantized)
        default = gemv.QUANTIZED_CONFIGS if is_quantized else gemv.NATIVE_CONFIGS
        self._decoder = _Decoder(
            network=self._network,
            configs=configs or default,
            attention_pdl=attention_pdl,
        )
        self._lock = threading.Lock()
        self._idle: list[_Slot] = []

    @property
    def num_bytes(self) -> int:
        """Bytes of weights that this object holds beside the module's own."""
        parts = [weight for layer in self._network.layers for weight in _weights_of(layer)]
        quantized = [
            weight
            for weight in (*parts, self._network.head)
            if not isinstance(weight, torch.Tensor)
        ]
        return sum(weight.data.nbytes + weight.scale.nbytes for weight in quantized)

    def warm_up(self, num_positions: int = 1) -> None:
        """Compile the kernels and capture a graph, so that no generation has to.

        Args:
            num_positions: prompt and new tokens together that will be asked for at least.
        """
        slot = self._acquire(num_positions)
        slot.prefill(torch.zeros(1, 1, dtype=torch.int64, device=self._device))
        slot.step()
        slot.step()
        self._release(slot)

    def relaunched(self, configs: LayerConfigs, *, attention_pdl: bool = False) -> FastQwen:
        """Return another one on the same weights, whose kernels are launched otherwise."""
        other = copy.copy(self)
        other._decoder = replace(self._decoder, configs=configs, attention_pdl=attention_pdl)
        other._lock, other._idle = threading.Lock(), []
        return other

    def drop_idle(self) -> None:
        """Free the caches and graphs that no generation uses."""
        with self._lock:
            slots, self._idle = self._idle, []
        for slot in slots:
            slot.finish()

    @torch.inference_mode()
    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return the logits after ``input_ids`` (1, T) by one step a token, (T, V).

        Slow; for tests and error reports.
        """
        slot = self._acquire(input_ids.shape[1])
        rows = [slot.prefill(input_ids[:, :1]).clone()]
        for token in input_ids[0, 1:]:
            slot.set_token(token.view(1))
            slot.step()
            rows.append(slot.logits.clone())
        self._release(slot)
        return torch.stack(rows)

    def generate(
        self,
        *,
        input_ids: torch.Tensor,
        max_new_tokens: int,
        eos_token_ids: Sequence[int],
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> Generator[TokenEvent, None, Generation]:
        """Generate as ``models.qwen.generate.generate`` does, same arguments, same tokens.

        In float32 equal to it; in bfloat16 up to near ties, because sums are rounded less often.
        The prompt is read in plain operations; greedy tokens never wait for the host.
        """
        chooser = _Greedy() if sampling is None else _Sampled(sampling, seed, input_ids)
        slot: _Slot | None = self._acquire(input_ids.shape[1] + max_new_tokens)
        try:
            slot.prefill(input_ids)
            unread = chooser.choose(slot)
            num_new = 1
            new: list[int] = []
            while True:
                following = None
                if chooser.is_ahead and 1 < num_new < max_new_tokens:
                    slot.step()  # runs while the host reads the token before
                    following = chooser.choose(slot)
                token_id = unread.read()
                is_eos = token_id in eos_token_ids
                is_last = is_eos or num_new == max_new_tokens
                new.append(token_id)
                yield TokenEvent(token_id=token_id, num_new_tokens=num_new, is_last=is_last)
                if is_last:
                    return Generation(
                        token_ids=tuple(new[:-1] if is_eos else new),
                        finish_reason="eos" if is_eos else "length",
                    )
                if following is None:
                    slot.step()
                    following = chooser.choose(slot)
                unread = following
                num_new += 1
        except Exception:
            slot = None  # who knows what its graph and its counters hold
            raise
        finally:
            if slot is not None:
                self._release(slot)

    def _acquire(self, num_positions: int) -> _Slot:
        """Return a free slot of enough positions; the smallest, or a new one."""
        with self._lock:
            fitting = [slot for slot in self._idle if slot.capacity >= num_positions]
            if fitting:
                slot = min(fitting, key=lambda slot: slot.capacity)
                self._idle.remove(slot)
                slot.wait_for_last_user()
                return slot
        capacity = max(_MIN_CAPACITY, 1 << (num_positions - 1).bit_length())
        return _Slot(self._decoder, capacity=capacity, device=self._device)

    def _release(self, slot: _Slot) -> None:
        slot.mark_last_use()
        dropped: _Slot | None = None
        with self._lock:
            self._idle.append(slot)
            if len(self._idle) > _MAX_IDLE_SLOTS:  # the large ones serve every prompt
                dropped = min(self._idle, key=lambda slot: slot.capacity)
                self._idle.remove(dropped)
        if dropped is not None:
            dropped.finish()


def _weights_of(layer: _Layer) -> tuple[Weight, ...]:
    qkv = layer.qkv
    return qkv.query, qkv.key, qkv.value, layer.out, layer.gate, layer.up, layer.down


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decoder:
    """The network's arithmetic. Holds no state of a generation."""

    network: _Network
    configs: LayerConfigs
    attention_pdl: bool

    def read_prompt(
        self, input_ids: torch.Tensor, cache: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        """Write a prompt, (1, T), into the cache; return the logits after it, (V,)."""
        network = self.network
        size, num_tokens = network.head_size, input_ids.shape[1]
        cos, sin = cos[:num_tokens], sin[:num_tokens]
        x = F.embedding(input_ids[0], network.embedding)
        for layer, layer_cache in zip(network.layers, cache, strict=True):
            normed = gemv.rms_norm(x, layer.attention_norm, eps=network.eps)
            heads = [
                (gemv.matmul(normed, weight) + bias).view(num_tokens, -1, size).transpose(0, 1)
                for weight, bias in _projections(layer.qkv)
            ]
            query, key = (gemv.rotate(part, cos, sin) for part in heads[:2])
            layer_cache[0, :, :num_tokens] = key
            layer_cache[1, :, :num_tokens] = heads[2]
            group = query.shape[0] // network.num_kv_heads
            mixed = F.scaled_dot_product_attention(
                query[None], _each(key, group)[None], _each(heads[2], group)[None], is_causal=True
            )[0]
            x = x + gemv.matmul(mixed.transpose(0, 1).flatten(1), layer.out)
            normed = gemv.rms_norm(x, layer.mlp_norm, eps=network.eps)
            gated = F.silu(gemv.matmul(normed, layer.gate)) * gemv.matmul(normed, layer.up)
            x = x + gemv.matmul(gated, layer.down)
        return self.read_head(x[-1])

    def read_token(
        self,
        token: torch.Tensor,
        *,
        position: torch.Tensor,
        cache: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        arrived: torch.Tensor,
        num_splits: int,
    ) -> torch.Tensor:
        """Write one token, (1,), into the cache; return the logits after it, (V,)."""
        network, configs = self.network, self.configs
        x = network.embedding.index_select(0, token)[0]
        for layer, layer_cache in zip(network.layers, cache, strict=True):
            query = gemv.qkv_rope_(
                x,
                layer.qkv,
                norm=layer.attention_norm,
                eps=network.eps,
                cos=cos,
                sin=sin,
                position=position,
                cache=layer_cache,
                config=configs.qkv,
            )
            mixed = gemv.attend(
                query,
                layer_cache,
                position=position,
                arrived=arrived,
                num_splits=num_splits,
                pdl=self.attention_pdl,
            )
            x = gemv.linear(mixed, layer.out, residual=x, config=configs.out)
            gated = gemv.gate_up(
                x,
                layer.gate,
                layer.up,
                norm=layer.mlp_norm,
                eps=network.eps,
                config=configs.gate_up,
            )
            x = gemv.linear(gated, layer.down, residual=x, config=configs.down)
        return self.read_head(x)

    def read_head(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of a hidden state (D,), (V,)."""
        network = self.network
        return gemv.linear(
            x, network.head, norm=network.norm, eps=network.eps, config=self.configs.head
        )


def _each(heads: torch.Tensor, num_times: int) -> torch.Tensor:
    """Repeat every head, (G, T, S), for the query heads that share it."""
    return heads[:, None].expand(-1, num_times, -1, -1).flatten(0, 1)


def _projections(qkv: Qkv) -> tuple[tuple[Weight, torch.Tensor], ...]:
    return (
        (qkv.query, qkv.query_bias),
        (qkv.key, qkv.key_bias),
        (qkv.value, qkv.value_bias),
    )


class _Slot:
    """One generation's state on the device, at addresses that its graph has recorded."""

    @torch.inference_mode()
    def __init__(self, decoder: _Decoder, *, capacity: int, device: torch.device) -> None:
        network = decoder.network
        dtype = network.embedding.dtype
        num_kv_heads, size = network.num_kv_heads, network.head_size
        num_layers = len(network.layers)
        self.capacity = capacity
        self._decoder = decoder
        self._device = device
        self._cache = torch.empty(
            num_layers, 2, num_kv_heads, capacity, size, dtype=dtype, device=device
        )
        positions = torch.arange(capacity, device=device)[None]
        cos, sin = network.rotary(network.embedding[:1], positions)
        self._cos, self._sin = cos[0].contiguous(), sin[0].contiguous()  # (T, S)
        num_heads = network.embedding.shape[1] // size
        self._arrived = torch.zeros(num_heads, dtype=torch.int32, device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)
        self.token = torch.zeros(1, dtype=torch.int64, device=device)
        self.logits = torch.empty(0, device=device)  # (V,), after the last step
        self._num_splits = max(1, min(_MAX_SPLITS, capacity // _POSITIONS_A_SPLIT))
        self._graph: torch.cuda.CUDAGraph | None = None
        self._last_use: torch.cuda.Event | None = None
        self._host_tokens = [
            torch.zeros(1, dtype=torch.int64, pin_memory=device.type == "cuda") for _ in range(2)
        ]
        self._num_read = 0

    @torch.inference_mode()
    def prefill(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Start anew with a prompt (1, T); return the logits after it, (V,)."""
        with self._on_device():
            self.logits = self._decoder.read_prompt(input_ids, self._cache, self._cos, self._sin)
            self._position.fill_(input_ids.shape[1])
            self.token.copy_(self.logits.argmax(dim=0, keepdim=True))
        return self.logits

    @torch.inference_mode()
    def step(self) -> None:
        """Read ``token``; leave the logits after it, and in ``token`` the likeliest next one."""
        with self._on_device():
            if self._graph is not None:
                self._graph.replay()
                self.logits = self._graph_logits
                return
            self._step()
            if self._device.type == "cuda":  # the kernels are compiled by now: record
                self._capture()

    def _step(self) -> None:
        self.logits = self._decoder.read_token(
            self.token,
            position=self._position,
            cache=self._cache,
            cos=self._cos,
            sin=self._sin,
            arrived=self._arrived,
            num_splits=self._num_splits,
        )
        torch.argmax(self.logits, dim=0, keepdim=True, out=self.token)
        self._position.add_(1)

    def _capture(self) -> None:
        eager_logits = self.logits
        graph = torch.cuda.CUDAGraph()
        # Other threads may load weights meanwhile: their allocations must not end the capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._step()
        self._graph, self._graph_logits = graph, self.logits
        self.logits = eager_logits  # capturing ran nothing

    @torch.inference_mode()
    def set_token(self, token: torch.Tensor) -> None:
        """Have the next step read ``token``, (1,), instead of the likeliest."""
        self.token.copy_(token, non_blocking=True)

    @torch.inference_mode()
    def copy_token(self) -> _Unread:
        """Start copying ``token`` to the host. Two such copies may be unread at once."""
        host_token = self._host_tokens[self._num_read % 2]
        self._num_read += 1
        host_token.copy_(self.token, non_blocking=True)
        if self._device.type != "cuda":
            return _Unread(host_token=host_token, copied=None)
        with self._on_device():
            copied = torch.cuda.Event()
            copied.record()
        return _Unread(host_token=host_token, copied=copied)

    def mark_last_use(self) -> None:
        """Remember the work issued so far: the next user may issue on another stream."""
        if self._device.type == "cuda":
            with self._on_device():
                self._last_use = torch.cuda.Event()
                self._last_use.record()

    def wait_for_last_user(self) -> None:
        """Order what is issued from now on behind the last user's work."""
        if self._last_use is not None:
            with self._on_device():
                torch.cuda.current_stream().wait_event(self._last_use)

    def finish(self) -> None:
        """Wait for the last user's work: a graph must not be freed while it runs."""
        if self._last_use is not None:
            self._last_use.synchronize()

    def _on_device(self) -> AbstractContextManager[Any]:
        """Triton launches on the current device, whatever device its tensors are on."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unread:
    """A token on its way to the host."""

    host_token: torch.Tensor
    copied: torch.cuda.Event | None

    def read(self) -> int:
        """Wait for it."""
        if self.copied is not None:
            self.copied.synchronize()
        return int(self.host_token)


class _Greedy:
    is_ahead = True  # the device goes on without the host

    def choose(self, slot: _Slot) -> _Unread:
        return slot.copy_token()


class _Sampled:
    """Draws as ``models.qwen.generate`` does: processed on the device, drawn on the CPU."""

    is_ahead = False

    def __init__(self, sampling: Sampling, seed: int, input_ids: torch.Tensor) -> None:
        self._processors = logits_processors(sampling)
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._input_ids = input_ids  # with everything drawn so far

    @torch.inference_mode()
    def choose(self, slot: _Slot) -> _Unread:
        scores_1V = slot.logits[None].float()
        for processor in self._processors:
            scores_1V = processor(self._input_ids, scores_1V)
        token = torch.multinomial(scores_1V.softmax(dim=-1).cpu(), 1, generator=self._generator)
        slot.set_token(token[0])
        self._input_ids = torch.cat([self._input_ids, token.to(self._input_ids.device)], dim=1)
        return _Unread(host_token=token, copied=None)
