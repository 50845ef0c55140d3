"""Qwen 2.5-7B decoding on a GPU, random weights: ``python -m benchmarks.qwen_gpu``.

Builds the full-size model on the device, checks the kernels against float32 references there,
measures each product's bandwidth against a copy's, tries other launches, and times 256 tokens of
ours beside the library's own forward. What fails prints its error; the rest goes on. Under 2.5
minutes on one H200, most of it compiling kernels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import torch

from ourvidz.checkpoints.configs import QWEN_7B
from ourvidz.kernels import gemv
from ourvidz.kernels.gemv import GemvConfig, LayerConfigs, Weight
from ourvidz.models.qwen.fast import FastQwen
from ourvidz.models.qwen.generate import generate

NUM_PROMPT_TOKENS = 256
NUM_NEW_TOKENS = 256
NUM_LIBRARY_TOKENS = 32
POSITION = 300  # of the token that the single kernels are tried on
DEVICE = torch.device("cuda")
# (rows, warps, chunks): what else a product may be launched as.
NATIVE_LAUNCHES = [(2, 2, 1), (2, 2, 2), (4, 2, 1), (1, 2, 2), (4, 1, 2), (2, 4, 1), (2, 1, 4)]
QUANTIZED_LAUNCHES = [
    (2, 1, 1), (2, 1, 2), (4, 1, 1), (4, 1, 2), (2, 2, 2), (2, 1, 4), (1, 2, 2), (8, 1, 1),
]  # fmt: skip
# The products that read most come first: the time may run out.
PRODUCTS = ("gate_up", "down", "head", "out", "qkv")


class Bench:
    """The model, what was measured so far, and how much time is left."""

    def __init__(self, seconds: float) -> None:
        self.end_s = time.perf_counter() + seconds
        self.numbers: dict[str, float] = {}
        self.model = build_model()
        self.ids = torch.randint(0, 150_000, (1, NUM_PROMPT_TOKENS), device=DEVICE)
        self.fasts: dict[str, FastQwen] = {}
        self.tokens: dict[str, list[int]] = {}
        self.copy_bytes_per_s = 0.0

    def keep(self, name: str, value: float, unit: str = "") -> None:
        self.numbers[name] = value
        print(f"{name:58} {value:12.4g} {unit}", flush=True)

    def attempt(self, name: str, part: Callable[[], None]) -> None:
        print(f"\n== {name} ({self.end_s - time.perf_counter():.0f} s left)", flush=True)
        try:
            part()
            torch.cuda.synchronize()
        except Exception:  # noqa: BLE001 (one failing part must not cost the others)
            traceback.print_exc()

    def fast(self, weights: str) -> FastQwen:
        if weights not in self.fasts:
            start_s = time.perf_counter()
            self.fasts[weights] = FastQwen(self.model, weights=weights)  # type: ignore[arg-type]
            torch.cuda.synchronize()
            self.keep(f"{weights}.build", time.perf_counter() - start_s, "s")
        return self.fasts[weights]


def main() -> None:
    """Measure everything and print it; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=85, help="stop trying launches then")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    bench = Bench(arguments.seconds)
    bench.attempt("copy ceiling", lambda: measure_copy(bench))
    for weights in ("native", "e4m3"):
        bench.attempt(f"kernels, {weights}", lambda name=weights: check_kernels(bench, name))
    bench.attempt("attention", lambda: check_attention(bench))
    bench.attempt("logits", lambda: check_logits(bench))
    bench.attempt("library", lambda: time_library(bench))
    for weights in ("native", "e4m3"):
        bench.attempt(f"ours, {weights}", lambda name=weights: time_ours(bench, name))
        bench.attempt(f"kernels of a token, {weights}", lambda name=weights: profile(bench, name))
    tuned: dict[str, LayerConfigs] = {}
    for weights in ("e4m3", "native"):
        bench.attempt(f"launches, {weights}", lambda name=weights: try_launches(bench, name, tuned))
    for weights in ("e4m3", "native"):
        bench.attempt(
            f"variants, {weights}", lambda name=weights: time_variants(bench, name, tuned)
        )
    print(json.dumps(bench.numbers))
    if arguments.json:
        arguments.json.write_text(json.dumps(bench.numbers, indent=1), encoding="utf-8")


def build_model() -> Any:
    """Return the library's model at full size, bfloat16, made of noise on the device."""
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    settings = {name: value for name, value in QWEN_7B.items() if name != "model_type"}
    config = Qwen2Config(**settings)
    config.dtype = torch.bfloat16
    with torch.device("meta"):
        model: Any = Qwen2ForCausalLM(config)
    model = model.to(torch.bfloat16).to_empty(device=DEVICE).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1.0)
        else:
            parameter.normal_(std=0.02)
    rotary = model.model.rotary_emb
    inv_freq, _ = rotary.compute_default_rope_parameters(config)
    rotary.inv_freq = inv_freq.to(DEVICE)
    rotary.original_inv_freq = inv_freq.to(DEVICE)
    model.generation_config = GenerationConfig()
    return model


def measure_copy(bench: Bench) -> None:
    """Copy and read 2 GB; both count every byte that moves."""
    source = torch.randn(1 << 30, device=DEVICE, dtype=torch.bfloat16)
    target = torch.empty_like(source)
    seconds = time_graph(lambda: target.copy_(source), repeats=10)
    bench.copy_bytes_per_s = 2 * source.nbytes / seconds
    bench.keep("copy", bench.copy_bytes_per_s / 1e12, "TB/s")
    seconds = time_graph(lambda: torch.amax(source), repeats=10)
    bench.keep("read (amax)", source.nbytes / seconds / 1e12, "TB/s")


def time_graph(work: Callable[[], Any], *, repeats: int = 20) -> float:
    """Return the seconds of ``work`` in a replayed graph, median of three."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    graph.replay()
    times: list[float] = []
    for _ in range(3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1000 / repeats)
    return statistics.median(times)


class Products:
    """Each product of every layer, so that no weight is still in the cache when it comes again."""

    def __init__(self, fast: FastQwen) -> None:
        self.network = fast._network
        layer = self.network.layers[0]
        self.x = noise(layer.mlp_norm.shape[0])
        self.wide = noise(parts(layer.up)[0].shape[0])
        self.residual = noise(self.x.shape[0])
        self.cache = noise(2, self.network.num_kv_heads, 1024, self.network.head_size)
        self.position = torch.tensor([POSITION], device=DEVICE)
        positions = torch.arange(1024, device=DEVICE)[None]
        cos, sin = self.network.rotary(self.x, positions)
        self.cos, self.sin = cos[0].contiguous(), sin[0].contiguous()

    def run(self, product: str, layer: Any, config: GemvConfig | None, x: Any = None) -> Any:
        network = self.network
        x = self.x if x is None else x
        norm = {"norm": layer.attention_norm, "eps": network.eps}
        if product == "out":
            return gemv.linear(x, layer.out, residual=self.residual, config=config)
        if product == "down":
            return gemv.linear(self.wide, layer.down, residual=self.residual, config=config)
        if product == "gate_up":
            return gemv.gate_up(x, layer.gate, layer.up, **norm, config=config)
        if product == "head":
            return gemv.linear(x, network.head, **norm, config=config)
        return gemv.qkv_rope_(
            x,
            layer.qkv,
            **norm,
            cos=self.cos,
            sin=self.sin,
            position=self.position,
            cache=self.cache,
            config=config,
        )

    def reference(self, product: str, layer: Any) -> Any:
        """The same in float32 on the same bfloat16 or 8-bit values."""
        x, network = self.x.float(), self.network
        norm = {"norm": layer.attention_norm.float(), "eps": network.eps}
        residual = self.residual.float()
        if product == "out":
            return gemv.linear_reference(x, exact(layer.out), residual=residual)
        if product == "down":
            return gemv.linear_reference(self.wide.float(), exact(layer.down), residual=residual)
        if product == "gate_up":
            return gemv.gate_up_reference(x, exact(layer.gate), exact(layer.up), **norm)
        if product == "head":
            return gemv.linear_reference(x, exact(network.head), **norm)
        qkv = {
            field.name: exact(getattr(layer.qkv, field.name))
            for field in dataclasses.fields(layer.qkv)
        }
        cache = self.cache.float()
        query = gemv.qkv_rope_reference_(
            x,
            gemv.Qkv(**qkv),
            **norm,
            cos=self.cos.float(),
            sin=self.sin.float(),
            position=self.position,
            cache=cache,
        )
        return torch.cat([query, self.written(cache)])

    def written(self, cache: torch.Tensor | None = None) -> torch.Tensor:
        """Return what a launch wrote into the cache: keys, then values."""
        return (self.cache if cache is None else cache)[:, :, POSITION].flatten()

    def num_bytes(self, product: str) -> int:
        """Bytes of weights that one launch reads."""
        layer = self.network.layers[0]
        weights: dict[str, Sequence[Weight]] = {
            "out": (layer.out,),
            "down": (layer.down,),
            "gate_up": (layer.gate, layer.up),
            "head": (self.network.head,),
            "qkv": (layer.qkv.query, layer.qkv.key, layer.qkv.value),
        }
        return sum(parts(weight)[0].nbytes for weight in weights[product])

    def seconds(self, product: str, config: GemvConfig | None) -> float:
        """Return the seconds of one launch among many, the gaps between them included."""
        layers = self.network.layers[: 6 if product == "head" else None]

        def work() -> None:
            for layer in layers:
                self.run(product, layer, config)

        return time_graph(work) / len(layers)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device=DEVICE).to(torch.bfloat16)


def parts(weight: Weight) -> tuple[torch.Tensor, ...]:
    return (weight,) if isinstance(weight, torch.Tensor) else (weight.data, weight.scale)


def exact(weight: Any) -> Any:
    return weight.float() if isinstance(weight, torch.Tensor) else weight


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def check_kernels(bench: Bench, weights: str) -> None:
    """Errors (bfloat16 output: about 0.002) and bandwidths of the default launches."""
    products = Products(bench.fast(weights))
    default = gemv.NATIVE_CONFIGS if weights == "native" else gemv.QUANTIZED_CONFIGS
    for product in PRODUCTS:
        config = getattr(default, product)

        def part(product: str = product, config: GemvConfig = config) -> None:
            layer = products.network.layers[-1]
            found = products.run(product, layer, config)
            if product == "qkv":
                found = torch.cat([found, products.written()])
            error = relative_error(found, products.reference(product, layer))
            bench.keep(f"{weights}.{product}.error", error)
            seconds = products.seconds(product, config)
            rate = products.num_bytes(product) / seconds
            bench.keep(f"{weights}.{product}.us", seconds * 1e6, "us")
            bench.keep(f"{weights}.{product}.share_of_copy", rate / bench.copy_bytes_per_s)

        bench.attempt(f"{weights} {product}", part)


def check_attention(bench: Bench) -> None:
    """Errors and seconds of one token's attention over 300 to 2000 positions."""
    cache = noise(28, 2, 4, 2048, 128)
    arrived = torch.zeros(28, dtype=torch.int32, device=DEVICE)
    query = noise(3584)
    for length, splits in ((1, 8), (300, 8), (512, 8), (512, 16), (2000, 16)):
        position = torch.tensor([length - 1], device=DEVICE)
        arguments = {"position": position, "arrived": arrived, "num_splits": splits}
        expected = gemv.attend_reference(query.float(), cache[3].float(), position=position)
        errors = [
            relative_error(gemv.attend(query, cache[3], **arguments), expected) for _ in range(20)
        ]
        bench.keep(f"attend.{length}.splits{splits}.error (worst of 20)", max(errors))

        def work(arguments: dict[str, Any] = arguments) -> None:
            for layer_cache in cache:
                gemv.attend(query, layer_cache, **arguments)

        bench.keep(f"attend.{length}.splits{splits}.us", time_graph(work) / 28 * 1e6, "us")


@torch.inference_mode()
def check_logits(bench: Bench) -> None:
    """Whole logits of 24 tokens, one step a token, beside the library's forward."""
    ids = bench.ids[:, :24]
    expected = bench.model(ids).logits[0]
    for weights in ("native", "e4m3"):
        found = bench.fast(weights).logits(ids)
        bench.keep(f"{weights}.logits.error", relative_error(found, expected))
        agree = (found.argmax(dim=-1) == expected.argmax(dim=-1)).float().mean()
        bench.keep(f"{weights}.logits.same_token", float(agree))


def drive(generator: Generator[Any, None, Any]) -> tuple[float, float, list[int]]:
    """Return seconds to the first token, to the last, and the tokens."""
    torch.cuda.synchronize()
    start_s = time.perf_counter()
    first_s = 0.0
    tokens: list[int] = []
    for event in generator:
        tokens.append(event.token_id)
        first_s = first_s or time.perf_counter() - start_s
    return first_s, time.perf_counter() - start_s, tokens


def time_library(bench: Bench) -> None:
    def run(num_tokens: int) -> tuple[float, float, list[int]]:
        return drive(
            generate(
                model=bench.model,
                input_ids=bench.ids,
                max_new_tokens=num_tokens,
                eos_token_ids=(),
            )
        )

    run(4)
    first_s, total_s, _ = run(NUM_LIBRARY_TOKENS)
    bench.keep("library.first_token", first_s * 1000, "ms")
    rate = (NUM_LIBRARY_TOKENS - 1) / (total_s - first_s)
    bench.keep("library.decode", rate, "tokens/s")


def time_ours(bench: Bench, name: str, fast: FastQwen | None = None) -> None:
    """Wall clock of whole generations, the host included; median of two."""
    fast = fast or bench.fast(name)

    def run() -> tuple[float, float, list[int]]:
        return drive(
            fast.generate(input_ids=bench.ids, max_new_tokens=NUM_NEW_TOKENS, eos_token_ids=())
        )

    _, cold_s, cold_tokens = run()
    bench.keep(f"{name}.first_generation", cold_s, "s (compiling and capturing included)")
    runs = [run() for _ in range(2)]
    first_s = statistics.median(first for first, _, _ in runs)
    total_s = statistics.median(total for _, total, _ in runs)
    bench.keep(f"{name}.first_token", first_s * 1000, "ms")
    bench.keep(f"{name}.end_to_end", NUM_NEW_TOKENS / total_s, "tokens/s, prompt included")
    bench.keep(f"{name}.decode", (NUM_NEW_TOKENS - 1) / (total_s - first_s), "tokens/s")
    same = all(tokens == cold_tokens for _, _, tokens in runs)
    bench.keep(f"{name}.runs_agree", float(same))
    bench.tokens[name] = cold_tokens
    default_tokens = bench.tokens.get(name.split(".")[0], cold_tokens)
    pairs = zip(cold_tokens, default_tokens, strict=True)
    num_same = next((at for at, (a, b) in enumerate(pairs) if a != b), NUM_NEW_TOKENS)
    # All of them where only the launch differs; sums of another order meet near ties of noise.
    bench.keep(f"{name}.tokens_as_default", num_same)
    fast.drop_idle()


def profile(bench: Bench, weights: str) -> None:
    """Print where a token's time goes, kernel by kernel."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    generator = bench.fast(weights).generate(
        input_ids=bench.ids, max_new_tokens=NUM_NEW_TOKENS, eos_token_ids=()
    )
    for _ in range(8):
        next(generator)
    torch.cuda.synchronize()
    with profiler(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(8):
            next(generator)
        torch.cuda.synchronize()
    generator.close()
    print(found.key_averages().table(sort_by="cuda_time_total", row_limit=10)[:3500])


def try_launches(bench: Bench, weights: str, tuned: dict[str, LayerConfigs]) -> None:
    """Time each product under other launches; remember the fastest of each."""
    is_native = weights == "native"
    default = gemv.NATIVE_CONFIGS if is_native else gemv.QUANTIZED_CONFIGS
    products = Products(bench.fast(weights))
    best: dict[str, GemvConfig] = {}
    for product in PRODUCTS:
        best[product] = getattr(default, product)
        least_s = products.seconds(product, best[product])
        for rows, num_warps, chunks in NATIVE_LAUNCHES if is_native else QUANTIZED_LAUNCHES:
            if time.perf_counter() > bench.end_s:
                print("out of time", flush=True)
                break
            config = GemvConfig(rows=rows, num_warps=num_warps, chunks=chunks)
            if config == getattr(default, product):
                continue
            try:
                seconds = products.seconds(product, config)
            except Exception as error:  # noqa: BLE001 (one launch that does not fit)
                print(product, config, type(error).__name__, error, flush=True)
                continue
            print(f"{product:8} {rows} {num_warps} {chunks} {seconds * 1e6:9.2f} us", flush=True)
            if seconds < least_s:
                least_s, best[product] = seconds, config
        rate = products.num_bytes(product) / least_s
        bench.keep(f"{weights}.{product}.best_us", least_s * 1e6, f"us {best[product]}")
        bench.keep(f"{weights}.{product}.best_share_of_copy", rate / bench.copy_bytes_per_s)
    tuned[weights] = LayerConfigs(**best)
    print(tuned[weights])


def time_variants(bench: Bench, weights: str, tuned: dict[str, LayerConfigs]) -> None:
    """Whole generations with the fastest launches, with and without dependent launch."""
    default = gemv.NATIVE_CONFIGS if weights == "native" else gemv.QUANTIZED_CONFIGS
    best = tuned.get(weights, default)
    variants = [("default.pdl", default, True)]
    if best != default:
        variants += [("tuned", best, False), ("tuned.pdl", best, True)]
    for name, configs, is_dependent in variants:
        changed = {
            field.name: dataclasses.replace(getattr(configs, field.name), pdl=is_dependent)
            for field in dataclasses.fields(configs)
        }
        fast = bench.fast(weights).relaunched(LayerConfigs(**changed), attention_pdl=is_dependent)
        bench.attempt(
            f"{weights} {name}",
            lambda fast=fast, name=name: time_ours(bench, f"{weights}.{name}", fast),
        )


if __name__ == "__main__":
    main()
