"""Attention at Wan's size on a GPU, side by side: ``python -m benchmarks.attention_gpu``.

First each is checked against float32 at small, uneven sizes, then timed in turns at 32,760 tokens.
About a minute on one H200. What fails says so and the rest goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from ourvidz.kernels import attention_hopper as hopper
from ourvidz.kernels.attention import attend_quantized, attention, quantize_operands

SMALL = ((1, 64, 128, 2, 128), (2, 200, 333, 3, 128), (1, 1000, 700, 2, 64), (1, 130, 128, 1, 128))
Run = Callable[[], torch.Tensor]


def main() -> None:
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=32760)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    for shape in SMALL:
        for size in (1.0, 3.0, 30.0):  # the largest: exponentials of scores overflow
            _check(shape, size)
    rows = _time(arguments.tokens, arguments.repeats)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows), encoding="utf-8")


def _runs(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> dict[str, Run]:
    runs: dict[str, Run] = {"default": partial(attention, q, k, v)}
    runs["cudnn"] = partial(attention, q, k, v, backend="cudnn")
    for products in ("int8_bf16", "int8_fp8"):
        operands = quantize_operands(q, k, v, products=products, key_scale="block")
        runs[f"{products} triton"] = partial(attend_quantized, operands)
        for config in hopper.CONFIGS_INT8 if products == "int8_bf16" else ():
            runs[f"{products} {config.name}"] = partial(
                hopper.attend_quantized, operands, config=config
            )
        runs[f"{products} preparing"] = partial(_prepare, q, k, v, products)
    for config in hopper.CONFIGS_EXACT:
        runs[f"exact {config.name}"] = partial(hopper.attend_exact, q, k, v, config=config)
    return runs


def _prepare(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, products: str) -> torch.Tensor:
    return quantize_operands(q, k, v, products=products, key_scale="block").q


def _tensors(shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    items, len_q, len_k, heads, dim = shape
    longest = max(len_q, len_k)
    whole = torch.randn(items, longest, 3, heads, dim, device="cuda", dtype=torch.bfloat16)
    q, k, v = whole.unbind(2)
    return q[:, :len_q].contiguous(), k[:, :len_k].contiguous(), v[:, :len_k].contiguous()


def _check(shape: tuple[int, ...], size: float) -> None:
    q, k, v = _tensors(shape)
    q = q * size
    k = k + size  # a mean
    query, key, value = (x.transpose(1, 2).double() for x in (q, k, v))
    exact = F.scaled_dot_product_attention(query, key, value)
    exact = exact.transpose(1, 2).float()
    for name, run in _runs(q, k, v).items():
        if "preparing" in name:
            continue
        try:
            error = ((run().float() - exact).norm() / exact.norm()).item()
            torch.cuda.synchronize()
            bound = (0.06 if "int8" in name else 0.01) * (1 if size == 1 else 40)
            print(
                f"{shape} x{size:g} {name:34} {error:.5f} {'' if error < bound else 'WRONG'}",
                flush=True,
            )
        except Exception as error:  # noqa: BLE001 - reported, and the rest goes on
            print(
                f"{shape} x{size:g} {name:34} {type(error).__name__}: {str(error)[:300]}",
                flush=True,
            )


def _time(tokens: int, repeats: int) -> list[dict[str, float | str]]:
    whole = torch.randn(1, tokens, 3, 12, 128, device="cuda", dtype=torch.bfloat16)
    q, k, v = whole.unbind(2)  # as one projection leaves them
    runs = _runs(q, k, v)
    exact = attention(q, k, v).float()
    seconds: dict[str, list[float]] = {}
    for name, run in list(runs.items()):
        try:
            out = run().float()
            if "preparing" not in name:
                error = ((out - exact).norm() / exact.norm()).item()
                print(f"{name:34} differs by {error:.5f}", flush=True)
        except Exception as error:  # noqa: BLE001
            print(f"{name:34} {type(error).__name__}: {str(error)[:200]}", flush=True)
            del runs[name]
    for _ in range(repeats):
        for name, run in runs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            run()
            end.record()
            end.synchronize()
            seconds.setdefault(name, []).append(start.elapsed_time(end) / 2)
    rows: list[dict[str, float | str]] = []
    for name, times in sorted(seconds.items(), key=lambda item: statistics.median(item[1])):
        median = statistics.median(times)
        rate = 4 * 12 * 128 * tokens * tokens / median / 1e9
        rows.append({"name": name, "ms": median, "best_ms": min(times), "tflops": rate})
        print(f"{name:34} {median:8.3f} ms  best {min(times):8.3f}  {rate:6.0f} TFLOP/s")
    return rows


if __name__ == "__main__":
    main()
