"""Checks the kernels of linears against their references on a GPU and times them at Wan's sizes.

    python -m benchmarks.kernels_gpu [--seconds 60] [--out FILE]

Attention is in ``benchmarks.attention_gpu``. A variant that does not compile or
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


def main() -> int:
    """Run everything and print the table; 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="stop measuring after")
    parser.add_argument("--out", type=Path, help="write the rows as JSON here, too")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing to measure", file=sys.stderr)
        return 2
    device = torch.device("cuda")
    machine = machine_key(device)
    print(json.dumps(machine), flush=True)
    report = Report(deadline_s=time.monotonic() + arguments.seconds)
    with torch.inference_mode():
        for part in (measure_rows, measure_linears):
            try:
                part(report)
            except Exception as problem:  # noqa: BLE001 - the other parts are worth having
                print(f"{part.__name__} ended: {type(problem).__name__}: {problem}", flush=True)
            torch.cuda.empty_cache()
    content = json.dumps({"machine": machine, "rows": [asdict(row) for row in report.rows]})
    if arguments.out:
        arguments.out.write_text(content, encoding="utf-8")
    print(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
