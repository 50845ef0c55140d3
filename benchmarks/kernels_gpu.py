"""Checks every kernel against its reference on a GPU and times its variants at Wan's sizes.

    python -m benchmarks.kernels_gpu [--seconds 170] [--out FILE]

Takes under three minutes from bare (most of it compiling). A variant that does not compile or
run is printed with its reason and passed over. The last line is one JSON object with all rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F

from ourvidz.kernels.attention import (
    CONFIGS,
    EXACT_BACKENDS,
    KEY_SCALES,
    PRODUCTS,
    AttentionConfig,
    AttentionOperands,
    attend_quantized,
    attention,
    attention_8bit,
    attention_8bit_reference,
    default_config,
    quantize_operands,
)
from ourvidz.kernels.linear import (
    linear_8bit,
    linear_8bit_reference,
    linear_gelu,
)
from ourvidz.kernels.probe import machine_key, time_on_gpu
from ourvidz.kernels.quantize import (
    dequantize,
    gelu_quantize,
    gelu_quantize_reference,
    quantize_rows,
    quantize_rows_reference,
    quantize_weight,
)

NUM_TOKENS = 32_760  # 480x832x81: 21 x 30 x 52
NUM_TEXT = 512
NUM_HEADS = 12
HEAD_DIM = 128
WIDTH = 1536
FFN_WIDTH = 8960
OUTLIERS = (3, 40, 77, 100)
SCHEDULES = ("plain", "delayed")  # how the names of configs end
SAMPLE = 256  # queries that the error is taken over at full size

Errors = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One measurement."""

    name: str
    error: float | None = None  # relative L2
    ms: float | None = None
    rate: str = ""
    failure: str = ""


@dataclass(kw_only=True, slots=True)
class Report:
    """Rows so far, printed as they come."""

    deadline_s: float
    rows: list[Row] = field(default_factory=list)

    def add(
        self,
        name: str,
        run: Callable[[], object] | None,
        *,
        error: Errors | None = None,
        tflop: float = 0.0,
        gb: float = 0.0,
    ) -> None:
        """Measure one variant; whatever it raises becomes its row."""
        if time.monotonic() > self.deadline_s:
            self._keep(Row(name=name, failure="skipped: out of time"))
            return
        try:
            found = None if error is None else error()
            seconds = None if run is None else time_on_gpu(lambda: (run(), None)[1])
        except Exception as problem:  # noqa: BLE001 - whatever a compiler or driver refuses with
            text = f"{type(problem).__name__}: {problem}".splitlines()
            self._keep(Row(name=name, failure=" ".join(text)[-300:]))
            return
        if seconds is None:
            self._keep(Row(name=name, error=found))
            return
        rate = f"{tflop / seconds:.0f} TFLOP/s" if tflop else ""
        rate = f"{gb / seconds:.0f} GB/s" if gb else rate
        self._keep(Row(name=name, error=found, ms=seconds * 1e3, rate=rate))

    def check(self, name: str, error: Errors) -> None:
        """Note an error without a time."""
        self.add(name, None, error=error)

    def _keep(self, row: Row) -> None:
        self.rows.append(row)
        print(text_of(row), flush=True)


def text_of(row: Row) -> str:
    """One line of the table."""
    error = "" if row.error is None else f"{100 * row.error:8.3f} %"
    ms = "" if row.ms is None else f"{row.ms:9.3f} ms"
    return f"{row.name:58} {error:>10} {ms:>12}  {row.rate}{row.failure}"


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative L2."""
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


def draw(*shape: int, seed: int) -> torch.Tensor:
    """Gaussian bfloat16 on the GPU."""
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(*shape, generator=generator, device="cuda").bfloat16()


def draw_attention(
    len_q: int, len_k: int, heads: int, head_dim: int, *, has_outliers: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values; with outliers, ten times louder channels and a mean in the keys."""
    q = draw(1, len_q, heads, head_dim, seed=1)
    k = draw(1, len_k, heads, head_dim, seed=2)
    v = draw(1, len_k, heads, head_dim, seed=3)
    if has_outliers:
        channels = [channel % head_dim for channel in OUTLIERS]
        k[..., channels] *= 10
        q[..., [channel + 1 for channel in channels[:2]]] *= 10
        k += 3 * draw(head_dim, seed=4)
    return q, k, v


def exact_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Float32 attention of some queries against all keys."""
    out = []
    for head in range(q.shape[2]):
        scores = q[:, :, head].float() @ k[:, :, head].float().transpose(1, 2)
        weights = torch.softmax(scores / q.shape[3] ** 0.5, -1)
        out.append(weights @ v[:, :, head].float())
    return torch.stack(out, 2)


def check_small(report: Report) -> None:
    """Every product and scale against its reference, with tails in both lengths."""
    for head_dim in (64, 128):
        q, k, v = draw_attention(300, 1100, 2, head_dim, has_outliers=True)
        for products in PRODUCTS:
            for key_scale in KEY_SCALES:
                expected = attention_8bit_reference(q, k, v, products=products, key_scale=key_scale)
                for is_delayed in (False, True):
                    if is_delayed and products == "int8_bf16":
                        continue
                    config = AttentionConfig(
                        block_n=64, num_stages=3, is_delayed=is_delayed
                    )  # one of the two schedules

                    def error(
                        config: AttentionConfig = config,
                        products: str = products,
                        key_scale: str = key_scale,
                        expected: torch.Tensor = expected,
                        inputs: tuple[torch.Tensor, ...] = (q, k, v),
                    ) -> float:
                        found = attention_8bit(
                            *inputs, products=products, key_scale=key_scale, config=config
                        )
                        return relative_error(found, expected)

                    name = f"small D={head_dim} {products} {key_scale} {config.name}"
                    report.check(f"{name} to reference", error)


def measure_rows(report: Report) -> None:
    """Quantising rows, alone and after GELU."""
    for width in (WIDTH, FFN_WIDTH):
        x = draw(NUM_TOKENS, width, seed=width)
        gb = 3 * x.numel() / 1e9
        for run, reference in (
            (quantize_rows, quantize_rows_reference),
            (gelu_quantize, gelu_quantize_reference),
        ):

            def error(
                run: Callable = run, reference: Callable = reference, x: torch.Tensor = x
            ) -> float:
                rows = x[:4096]
                return relative_error(dequantize(run(rows)), dequantize(reference(rows)))

            report.add(
                f"{run.__name__} {NUM_TOKENS}x{width} (to reference)",
                lambda run=run, x=x: run(x),
                error=error,
                gb=gb,
            )


def measure_linears(report: Report) -> None:
    """8-bit linears beside bfloat16, and GELU in the product's epilogue beside two calls."""
    for num_inputs, num_outputs in ((WIDTH, 3 * WIDTH), (WIDTH, FFN_WIDTH), (FFN_WIDTH, WIDTH)):
        x = draw(NUM_TOKENS, num_inputs, seed=5)
        weight = draw(num_outputs, num_inputs, seed=6) / num_inputs**0.5
        bias = draw(num_outputs, seed=7)
        rows, columns = quantize_rows(x), quantize_weight(weight)
        expected = F.linear(x[:SAMPLE].float(), weight.float(), bias.float())
        tflop = 2 * NUM_TOKENS * num_inputs * num_outputs / 1e12
        name = f"linear {num_inputs}->{num_outputs}"

        def error(run: Callable[[], torch.Tensor], expected: torch.Tensor = expected) -> Errors:
            return lambda: relative_error(run()[:SAMPLE], expected)

        def run_bf16(x=x, weight=weight, bias=bias) -> torch.Tensor:  # noqa: ANN001
            return F.linear(x, weight, bias)

        report.add(f"{name} bf16", run_bf16, error=error(run_bf16), tflop=tflop)
        for is_fast in (True, False):

            def run_8bit(
                rows=rows,  # noqa: ANN001
                columns=columns,  # noqa: ANN001
                bias: torch.Tensor = bias,
                is_fast: bool = is_fast,
            ) -> torch.Tensor:
                return linear_8bit(rows, columns, bias, use_fast_accum=is_fast)

            sums = "fast sums" if is_fast else "float32 sums"
            report.add(f"{name} 8 bits, {sums}", run_8bit, error=error(run_8bit), tflop=tflop)
            report.check(
                f"{name} 8 bits, {sums} (to reference)",
                lambda run=run_8bit, rows=rows, columns=columns, bias=bias: relative_error(
                    run(), linear_8bit_reference(rows, columns, bias)
                ),
            )
        if num_outputs == FFN_WIDTH:
            gelu_expected = F.gelu(expected, approximate="tanh")

            def run_gelu(x=x, weight=weight, bias=bias) -> torch.Tensor:  # noqa: ANN001
                return linear_gelu(x, weight, bias)

            def run_apart(x=x, weight=weight, bias=bias) -> torch.Tensor:  # noqa: ANN001
                return F.gelu(F.linear(x, weight, bias), approximate="tanh")

            for what, run in (("in one call", run_gelu), ("in two calls", run_apart)):
                report.add(
                    f"{name} bf16 + GELU {what}",
                    run,
                    error=error(run, gelu_expected),
                    tflop=tflop,
                )


def measure_attention(report: Report) -> None:
    """Exact backends, the preparation, and every product, scale and config of ours."""
    tflop = 4 * NUM_HEADS * NUM_TOKENS**2 * HEAD_DIM / 1e12
    sample = slice(0, NUM_TOKENS, NUM_TOKENS // SAMPLE)
    plain = draw_attention(NUM_TOKENS, NUM_TOKENS, NUM_HEADS, HEAD_DIM, has_outliers=False)
    loud = draw_attention(NUM_TOKENS, NUM_TOKENS, NUM_HEADS, HEAD_DIM, has_outliers=True)
    expected, expected_loud = (exact_rows(q[:, sample], k, v) for q, k, v in (plain, loud))

    for backend in EXACT_BACKENDS:

        def run(backend: str = backend) -> torch.Tensor:
            return attention(*plain, backend=backend)

        report.add(
            f"attention {backend}",
            run,
            error=lambda run=run: relative_error(run()[:, sample], expected),
            tflop=tflop,
        )

    for products, key_scale, configs in (
        ("int8_fp8", "block", CONFIGS),
        ("int8_fp8", "token", CONFIGS),
        ("fp8_fp8", "block", CONFIGS[:1] + CONFIGS[6:7]),
        ("int8_bf16", "block", (CONFIGS[1], CONFIGS[2])),
    ):
        name = f"{products} {key_scale}"
        report.add(
            f"{name}: preparing",
            lambda p=products, s=key_scale: quantize_operands(*plain, products=p, key_scale=s),
        )
        operands = quantize_operands(*plain, products=products, key_scale=key_scale)
        operands_loud = quantize_operands(*loud, products=products, key_scale=key_scale)
        report.check(
            f"{name}: with outliers",
            lambda operands=operands_loud: relative_error(
                attend_quantized(operands)[:, sample], expected_loud
            ),
        )
        for config in configs:

            def attend(
                operands: AttentionOperands = operands, config: AttentionConfig = config
            ) -> torch.Tensor:
                return attend_quantized(operands, config=config)

            report.add(
                f"{name} {config.name}",
                attend,
                error=lambda run=attend: relative_error(run()[:, sample], expected),
                tflop=tflop,
            )

    q, k, v = draw_attention(NUM_TOKENS, NUM_TEXT, NUM_HEADS, HEAD_DIM, has_outliers=False)
    cross_tflop = 4 * NUM_HEADS * NUM_TOKENS * NUM_TEXT * HEAD_DIM / 1e12
    for backend in EXACT_BACKENDS:
        report.add(
            f"cross-attention {NUM_TEXT} {backend}",
            lambda backend=backend: attention(q, k, v, backend=backend),
            tflop=cross_tflop,
        )


def main() -> int:
    """Run everything and print the table; 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=170.0, help="stop measuring after")
    parser.add_argument("--out", type=Path, help="write the rows as JSON here, too")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing to measure", file=sys.stderr)
        return 2
    device = torch.device("cuda")
    machine = machine_key(device)
    print(json.dumps(machine), f"default config {default_config(device).name}", flush=True)
    report = Report(deadline_s=time.monotonic() + arguments.seconds)
    with torch.inference_mode():
        for part in (measure_rows, measure_linears, measure_attention, check_small):
            try:
                part(report)
            except Exception as problem:  # noqa: BLE001 - the other parts are worth having
                print(f"{part.__name__} ended: {type(problem).__name__}: {problem}", flush=True)
            torch.cuda.empty_cache()
    print("\nfastest first")
    timed = [row for row in report.rows if row.ms is not None and row.name.endswith(SCHEDULES)]
    for row in sorted(timed, key=lambda row: row.ms or 0.0)[:10]:
        print(text_of(row))
    content = json.dumps({"machine": machine, "rows": [asdict(row) for row in report.rows]})
    if arguments.out:
        arguments.out.write_text(content, encoding="utf-8")
    print(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
