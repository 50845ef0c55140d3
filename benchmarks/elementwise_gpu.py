"""Norms, 8-bit rows and attention's operands on a GPU: ``python -m benchmarks.elementwise_gpu``.

Every launch that is worth measuring is built and compared with its reference, side by side in a
few processes of their own, which fill Triton's cache on disk; then those that agree are timed, one
after the other. About a minute. Failures are printed where they happen, and a table last.

Times are medians of replayed CUDA graphs, so that they have no launches in them. Where the inputs
of a call are smaller than 200 MB, the calls of a graph go over as many copies of them as have that
size, so that nothing is left over in the L2 cache; in a model some of it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ourvidz.kernels import (
    _geglu_triton,
    _groupnorm_triton,
    _norms_triton,
    _quantize_triton,
    attention,
    geglu,
    groupnorm,
    norms,
    quantize,
)
from ourvidz.kernels._norms_triton import NormLaunch
from ourvidz.kernels.int8 import Int8Pairs, Int8Rows
from ourvidz.kernels.quantize import Quantized, dequantize

_RUNS = 10  # in a graph
_REPLAYS = 7
_COLD_BYTES = 200e6
_WAN = (32760, 1536)
_HEADS = 12
_WORKER_TIMEOUT_S = 100
_EPS = 1e-6
_CANCELLED = 1e-6  # of all values

Arguments = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operation at one size, and the launches to be compared; the first is the default."""

    name: str
    num_bytes: int  # that must be moved
    draw: Callable[[], Arguments]
    launches: dict[str, Callable[[Arguments], Any]]
    check: Callable[[Arguments, Any], str]  # what is wrong with a result; empty if nothing
    # Of the code that this replaced, on an H200; of SDXL's, the mean over its shapes in a forward.
    before_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table."""

    case: str
    launch: str
    ms: float
    gb_s: float
    share: float  # of the bandwidth
    is_default: bool
    before_ms: float | None


def main() -> None:
    """Check in processes of their own, then time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where to write the rows as JSON")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--budget-s", type=float, default=85.0)
    parser.add_argument("--bandwidth", type=float, default=4.2, help="TB/s that count as 100 %%")
    parser.add_argument("--check", help=argparse.SUPPRESS)  # I/N: each N-th launch from I on
    arguments = parser.parse_args()
    chosen = [
        (case, launch)
        for case in cases()
        if arguments.only in case.name
        for launch in case.launches
    ]
    if arguments.check:
        first, step = map(int, arguments.check.split("/"))
        check_some(chosen[first::step])
        return
    start_s = time.perf_counter()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    good = check_all(min(arguments.workers, len(chosen)), arguments.only)
    print(f"checked at {time.perf_counter() - start_s:.0f} s", flush=True)
    rows: list[Row] = []
    for case in dict.fromkeys(case.name for case, _ in chosen):
        mine = [(each, launch) for each, launch in chosen if each.name == case]
        left = [launch for each, launch in mine if (each.name, launch) in good]
        if time.perf_counter() - start_s > arguments.budget_s:
            print(f"{case}: left out, the budget is spent", flush=True)
            continue
        rows += time_case(mine[0][0], left, arguments.bandwidth)
    print_table(rows)
    print(f"{time.perf_counter() - start_s:.0f} s in all")
    if arguments.out:
        arguments.out.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))


# -- correctness --------------------------------------------------------------------------------


def check_all(num_workers: int, only: str) -> set[tuple[str, str]]:
    """Return which launches of which cases agree with their references; prints the others."""
    command = [sys.executable, "-m", "benchmarks.elementwise_gpu", "--only", only]
    workers = [
        subprocess.Popen(
            [*command, "--check", f"{number}/{num_workers}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(num_workers)
    ]
    good: set[tuple[str, str]] = set()
    for worker in workers:
        try:
            out, error = worker.communicate(timeout=_WORKER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            out, error = worker.communicate()
        for line in out.splitlines():
            if not line.startswith("{"):
                continue
            found = json.loads(line)
            if found["problem"]:
                print(f"FAILED {found['case']}, {found['launch']}: {found['problem']}", flush=True)
            else:
                good.add((found["case"], found["launch"]))
        if worker.returncode:
            print(f"FAILED a worker ended with {worker.returncode}: {error[-600:]}", flush=True)
    return good


def check_some(chosen: list[tuple[Case, str]]) -> None:
    """Print what is wrong with each launch, one JSON object a line."""
    for case, launch in chosen:
        try:
            torch.manual_seed(0)
            drawn = case.draw()
            copy = {
                name: value.clone() if isinstance(value, torch.Tensor) else value
                for name, value in drawn.items()
            }
            found = case.launches[launch](drawn)
            torch.cuda.synchronize()
            problem = case.check(copy, found)
        except Exception as error:  # noqa: BLE001 (it is printed)
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"
        line = {"case": case.name, "launch": launch, "problem": problem}
        print(json.dumps(line), flush=True)
        torch.cuda.empty_cache()


def far(found: torch.Tensor, expected: torch.Tensor, *, bits: int = 7) -> str:
    """Return how 16-bit values differ: by more than a last place, or more often than rounding.

    A part that falls on the other side of a rounding shows where the parts' sum nearly cancels: of
    50 million values a few dozen are small for that reason.
    """
    difference = (found.float() - expected.float()).abs()
    limit = expected.float().abs() * 2.0**-bits + 2.0**-bits / 8
    count = int((difference > limit).sum())
    moved = float((difference > 0).float().mean())
    is_wrong = count > _CANCELLED * found.numel() or moved > 0.02
    return f"{count} far, {moved:.1e} moved" if is_wrong else ""


def steps(found: torch.Tensor, expected: torch.Tensor) -> str:
    """Return how 8-bit integers differ."""
    step = int((found.int() - expected.int()).abs().max())
    moved = float((found != expected).float().mean())
    return f"{step} steps, {moved:.1e} moved" if step > 2 or moved > 0.02 else ""


def close(found: torch.Tensor, expected: torch.Tensor, limit: float) -> str:
    """Return how float32 values differ."""
    worst = float(((found - expected).abs() / expected.abs().clamp_min(1e-30)).max())
    return f"relative {worst:.1e}" if worst > limit else ""


def e4m3(found: Quantized, expected: Quantized) -> str:
    """Return how 8-bit rows differ: a value between two steps may fall on either."""
    values = dequantize(expected)
    difference = (dequantize(found) - values).abs()
    step = values.abs() / 8 + expected.scale / 512
    count = int((difference > 1.01 * step).sum())
    moved = float((difference > step / 4).float().mean())
    problem = f"{count} far, {moved:.1e} moved" if count or moved > 0.01 else ""
    return problem or close(found.scale, expected.scale, 1e-3)


# -- cases --------------------------------------------------------------------------------------


def cases() -> list[Case]:
    """Return everything that is measured."""
    return [
        *wan_norms(),
        *wan_attention(),
        *(case for shape in ((12288, 1280), (49152, 640)) for case in sdxl_rows(*shape)),
        *(case for shape in ((12288, 5120), (49152, 2560)) for case in sdxl_geglu(*shape)),
        *(
            case
            for shape in ((12, 16384, 320), (12, 4096, 640), (12, 1024, 1280))
            for case in sdxl_group_norms(*shape)
        ),
    ]


def normal(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Gaussian numbers on the GPU."""
    return torch.randn(*shape, device="cuda", dtype=torch.float32).to(dtype)


def name_of(launch: NormLaunch) -> str:
    """A launch in a few letters."""
    limit = f" {launch.maxnreg} registers" if launch.maxnreg else ""
    return f"w{launch.num_warps} r{launch.rows} v{launch.vector}{limit}"


def norm_launches(*launches: tuple[int, int, int, int | None]) -> Iterator[NormLaunch]:
    """Warps, rows, vector and registers as launches."""
    for num_warps, rows, vector, maxnreg in launches:
        yield NormLaunch(num_warps=num_warps, rows=rows, vector=vector, maxnreg=maxnreg)


def draw_norm(
    rows: int,
    width: int,
    *,
    items: int = 1,
    has_gate: bool = True,
    dtype: torch.dtype = torch.bfloat16,
) -> Arguments:
    """Return what the norms take."""
    drawn: Arguments = {"x": normal(rows, width, dtype=dtype)}
    drawn["delta"] = normal(rows, width, dtype=dtype)
    names = ("gate", "mul", "add") if has_gate else ("mul", "add")
    for name in names:
        drawn[name] = normal(1, width, dtype=torch.float32).repeat(items, 1)
    return {"gate": None} | drawn


def check_norm(kind: str, drawn: Arguments, found: tuple[torch.Tensor, Any]) -> str:
    """Compare a norm with its reference, on drawn arguments that nothing has overwritten."""
    reference = getattr(norms, f"{kind}_reference")
    is_quantized = isinstance(found[1], Quantized)
    more = {"is_quantized": True} if is_quantized else {}
    total, expected = reference(**drawn, eps=_EPS, **more)
    mine = found[1]
    problem = far(found[0], total, bits=9 if total.dtype == torch.float16 else 7)
    if problem:
        return f"sum: {problem}"
    if isinstance(mine, Quantized):
        return e4m3(mine, expected)
    if isinstance(mine, Int8Rows):
        return steps(mine.data, expected.data) or close(mine.scale, expected.scale, 0.01)
    if isinstance(mine, Int8Pairs):
        num_pairs = mine.scale.shape[1]
        data = [
            each.data.unflatten(0, (-1, 2, 64)).transpose(0, 1).flatten(1, 2)[:, :num_pairs]
            for each in (mine, expected)
        ]
        return steps(*data) or close(mine.scale, expected.scale, 0.01)
    return far(mine, expected)


def norm_case(
    name: str,
    kind: str,
    draw: Callable[[], Arguments],
    num_bytes: int,
    launches: Iterator[NormLaunch],
    before_ms: float | None,
    **more: bool,
) -> Case:
    """One norm with its launches."""
    run = getattr(_norms_triton, kind)

    def launched(launch: NormLaunch) -> Callable[[Arguments], Any]:
        return lambda drawn: run(**drawn, eps=_EPS, launch=launch, **more)

    return Case(
        name=name,
        num_bytes=num_bytes,
        draw=draw,
        launches={name_of(launch): launched(launch) for launch in launches},
        check=partial(check_norm, kind),
        before_ms=before_ms,
    )


def wan_norms() -> Iterator[Case]:
    """Wan's norms at 480 x 832 x 81 frames; pairs are of both branches."""
    rows, width = _WAN
    size = rows * width
    one = partial(draw_norm, rows, width)
    two = partial(draw_norm, 2 * rows, width, items=2)
    yield norm_case(
        "wan norm, 16 bits", "residual_norm", one, 8 * size,
        norm_launches((1, 1, 8, None), (1, 2, 8, None), (2, 1, 8, None), (4, 1, 8, None)), 0.101,
    )  # fmt: skip
    yield norm_case(
        "wan norm, int8 rows", "residual_norm_int8", one, 7 * size,
        norm_launches(
            (1, 2, 16, None), (1, 1, 8, None), (1, 1, 16, None), (1, 2, 8, None),
            (2, 1, 16, None), (4, 1, 16, None), (1, 2, 16, 128),
        ), 0.143,
    )  # fmt: skip
    pairs = (
        (1, 2, 16, None), (1, 2, 8, None), (2, 2, 8, None), (2, 2, 16, None), (4, 2, 16, None),
        (1, 2, 8, 128), (1, 2, 16, 128),
    )  # fmt: skip
    for is_shared in (True, False):
        yield norm_case(
            f"wan norm, int8 pairs{', shared' if is_shared else ''}", "residual_norm_pairs", two,
            14 * size, norm_launches(*pairs[: None if is_shared else 2]), 2 * 0.182,
            is_shared=is_shared,
        )  # fmt: skip

    def draw_rope() -> Arguments:
        angles = torch.randn(rows, width // _HEADS // 2, device="cuda")
        drawn = {"x": normal(rows, 3 * width)[:, :width], "weight": normal(width)}
        return drawn | {"cos": angles.cos(), "sin": angles.sin()}

    def run_rope(launch: NormLaunch, drawn: Arguments) -> torch.Tensor:
        _norms_triton.norm_rope(**drawn, eps=_EPS, launch=launch)
        return drawn["x"]

    yield Case(
        name="wan norm and rope",
        num_bytes=4 * size,
        draw=draw_rope,
        launches={
            name_of(launch): partial(run_rope, launch)
            for launch in norm_launches((1, 1, 8, None), (2, 1, 8, None), (4, 1, 8, None))
        },
        check=lambda drawn, found: far(found, norms.norm_rope_reference(**drawn, eps=_EPS)),
        before_ms=0.060,
    )


def draw_heads() -> Arguments:
    """Queries and keys as parts of one projection, channels of several sizes, keys with a mean."""
    rows, width = _WAN
    size = torch.linspace(-2, 2, 3 * width, device="cuda").exp2()
    whole = (normal(rows, 3 * width, dtype=torch.float32) * size + size).bfloat16()
    q, k, v = (part.unflatten(1, (_HEADS, -1))[None] for part in whole.chunk(3, 1))
    return {"q": q, "k": k, "v": v}


def draw_tokens() -> Arguments:
    """What queries and keys are quantised with besides."""
    drawn = draw_heads()
    q_factor, k_factor, mean = attention._balance(drawn["q"], drawn["k"])
    longest = torch.zeros(_HEADS, dtype=torch.int32, device="cuda")
    return drawn | {"q_factor": q_factor, "k_factor": k_factor, "mean": mean, "longest": longest}


def run_tokens(
    is_keys: bool, launch: tuple[int, int], drawn: Arguments
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Quantise keys with one scale for 128 of them, or queries."""
    more: Arguments = {"launch": launch}
    if is_keys:
        more |= {"mean": drawn["mean"], "longest": drawn["longest"], "is_per_block": True}
    x, factor = (drawn["k"], drawn["k_factor"]) if is_keys else (drawn["q"], drawn["q_factor"])
    return *attention._quantize_tokens(x, factor, torch.int8, **more), drawn["longest"]


def check_tokens(
    is_keys: bool, drawn: Arguments, found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> str:
    """Compare with the same roundings in plain PyTorch."""
    x, factor = (drawn["k"], drawn["k_factor"]) if is_keys else (drawn["q"], drawn["q_factor"])
    rotation = attention._rotation(x.shape[3], x.device).float()
    rotated = ((x.float() * factor.unsqueeze(1)) @ rotation).transpose(1, 2)
    if is_keys:
        rotated = rotated - (drawn["mean"] @ rotation).unsqueeze(2)
    expected, scale = attention._round_rows(rotated, True, attention.KEY_BLOCK if is_keys else 1)
    data, found_scale, longest = found
    length = x.shape[1]
    problem = steps(data[:, :, :length], expected.to(torch.int8))
    if data[:, :, length:].any():
        return "not 0 beyond the last token"
    if not is_keys:
        return problem or close(found_scale[:, :, :length], scale[..., 0], 1e-4)
    per_token = found_scale.repeat_interleave(attention.KEY_BLOCK, 2)
    squares = data.float().square().sum(3) * per_token * per_token
    return (
        problem
        or close(per_token[:, :, :length], scale[..., 0], 1e-4)
        or close(longest.view(torch.float32), squares.amax(2).flatten(), 1e-6)
    )


def check_balance(drawn: Arguments, found: tuple[torch.Tensor, ...]) -> str:
    """Compare with plain PyTorch; a ratio between two powers of two may fall on either."""
    expected = attention._balance(drawn["q"], drawn["k"])
    same = found[1] == expected[1]
    if float(same.float().mean()) < 0.99 or found[3].any():
        return f"{int((~same).sum())} factors differ"
    if not torch.equal(found[0] * found[1], torch.ones_like(found[0])):
        return "factors do not cancel"
    worst = float((found[2] / found[1] - expected[2] / expected[1]).abs().max())
    return f"mean differs by {worst:.1e}" if worst > 1e-3 else ""


def check_operands(drawn: Arguments, found: attention.AttentionOperands) -> str:
    """Queries times keys, of a few, are what they were, but for a mean."""
    rows = slice(0, 256)
    k_scale = found.k_scale[0, :, :2].repeat_interleave(attention.KEY_BLOCK, 1)
    q8 = found.q[0, :, rows].float() * found.q_scale[0, :, rows, None]
    k8 = found.k[0, :, rows].float() * k_scale[..., None]
    scores = q8 @ k8.transpose(1, 2)
    q, k = (drawn[name][0, rows].transpose(0, 1).float() for name in ("q", "k"))
    expected = q @ k.transpose(1, 2) * (1.4426950408889634 / 128**0.5)
    scores, expected = (each - each.mean(2, keepdim=True) for each in (scores, expected))
    error = float((scores - expected).norm() / expected.norm())
    return f"scores differ by {error:.1e}" if error > 0.05 else ""


def wan_attention() -> Iterator[Case]:
    """What 8-bit attention makes of queries and keys first."""
    size = _WAN[0] * _WAN[1]
    for is_keys, launches in (
        (False, ((32, 4), (16, 1), (8, 1), (32, 2), (64, 4), (128, 8))),
        (True, ((128, 8), (128, 16), (128, 4))),
    ):
        yield Case(
            name=f"wan {'keys' if is_keys else 'queries'} as int8",
            num_bytes=3 * size,
            draw=draw_tokens,
            launches={
                f"{tokens} tokens w{warps}": partial(run_tokens, is_keys, (tokens, warps))
                for tokens, warps in launches
            },
            check=partial(check_tokens, is_keys),
            before_ms=0.128,
        )
    yield Case(
        name="wan attention's balance",
        num_bytes=2 * 2 * 1024 * _WAN[1],
        draw=draw_heads,
        launches={
            "one kernel": lambda drawn: attention._balance_and_zero(drawn["q"], drawn["k"]),
            "torch": lambda drawn: (
                *attention._balance(drawn["q"], drawn["k"]),
                torch.zeros(_HEADS, device="cuda"),
            ),
        },
        check=check_balance,
        before_ms=0.1,
    )
    yield Case(
        name="wan operands, all of it",
        num_bytes=6 * size,
        draw=draw_heads,
        launches={
            "": lambda drawn: attention.quantize_operands(
                **drawn, products="int8_bf16", key_scale="block"
            )
        },
        check=check_operands,
        before_ms=0.376,
    )


def sdxl_rows(rows: int, width: int) -> Iterator[Case]:
    """SDXL's norms that end in e4m3, and rows of attention's results."""
    size = rows * width
    draw = partial(draw_norm, rows, width, has_gate=False, dtype=torch.float16)
    yield norm_case(
        f"sdxl norm, e4m3, {rows} x {width}", "residual_norm", draw, 7 * size,
        norm_launches(
            (1, 1, 8, None), (1, 1, 16, None), (1, 2, 8, None), (2, 1, 8, None), (4, 1, 8, None)
        ), 0.0505, is_quantized=True,
    )  # fmt: skip
    yield Case(
        name=f"sdxl e4m3 rows, {rows} x {width}",
        num_bytes=3 * size,
        draw=lambda: {"x": normal(rows, width, dtype=torch.float16)},
        launches={
            f"w{warps}": partial(run_rows, _quantize_triton.quantize_rows, warps, is_gelu=False)
            for warps in (1, 2, 4)
        },
        check=lambda drawn, found: e4m3(found, quantize.quantize_rows_reference(drawn["x"])),
        before_ms=0.0214,
    )


def run_rows(run: Callable[..., Any], num_warps: int, drawn: Arguments, **more: bool) -> Any:
    """Call with a number of warps."""
    return run(drawn["x"], num_warps=num_warps, **more)


def sdxl_geglu(rows: int, width: int) -> Iterator[Case]:
    """GEGLU that ends in e4m3."""
    yield Case(
        name=f"sdxl geglu, e4m3, {rows} x {width}",
        num_bytes=5 * rows * width,
        draw=lambda: {"x": normal(rows, 2 * width, dtype=torch.float16)},
        launches={
            f"w{warps}": partial(run_rows, _geglu_triton.geglu_quantized, warps)
            for warps in (4, 2, 8, 1)
        },
        check=lambda drawn, found: e4m3(found, geglu.geglu_quantized_reference(drawn["x"])),
        before_ms=0.145,
    )


def sdxl_group_norms(items: int, rows: int, channels: int) -> Iterator[Case]:
    """The sum with a residual and its moments, and the norm itself."""
    size = items * rows * channels
    shape = f"{items} x {rows} x {channels}"
    per_chunk = groupnorm.choose_rows_per_chunk(rows)

    def draw_sum() -> Arguments:
        x, residual = (normal(items, rows, channels, dtype=torch.float16) for _ in range(2))
        return {"x": x, "residual": residual, "bias": normal(channels, dtype=torch.float16)}

    def run_sum(num_warps: int, drawn: Arguments) -> tuple[torch.Tensor, groupnorm.Moments]:
        moments = _groupnorm_triton.add_with_moments(
            **drawn, rows_per_chunk=per_chunk, num_warps=num_warps
        )
        return drawn["x"], moments

    def check_sum(drawn: Arguments, found: tuple[torch.Tensor, groupnorm.Moments]) -> str:
        expected = groupnorm.add_with_moments_reference(**drawn, rows_per_chunk=per_chunk)
        worst = max(
            float((found[1].mean - expected.mean).abs().max()),
            float((found[1].m2 / expected.m2 - 1).abs().max()),
        )
        moments = f"moments differ by {worst:.1e}" if worst > 1e-2 else ""
        return far(found[0], drawn["x"], bits=9) or moments

    yield Case(
        name=f"sdxl sum and moments, {shape}",
        num_bytes=6 * size,
        draw=draw_sum,
        launches={f"w{warps}": partial(run_sum, warps) for warps in (4, 8, 2)},
        check=check_sum,
    )

    def draw_affine() -> Arguments:
        drawn = {"x": normal(items, rows, channels, dtype=torch.float16)}
        drawn["out"] = torch.empty_like(drawn["x"])
        affine = (normal(items, channels, dtype=torch.float32) for _ in range(2))
        return drawn | dict(zip(("scale", "offset"), affine, strict=True))

    def run_affine(launch: tuple[int, int], drawn: Arguments) -> torch.Tensor:
        _groupnorm_triton.apply_affine(**drawn, silu=True, tile_rows=launch[0], num_warps=launch[1])
        return drawn["out"]

    def check_affine(drawn: Arguments, found: torch.Tensor) -> str:
        value = drawn["x"].float() * drawn["scale"][:, None] + drawn["offset"][:, None]
        return far(found, torch.nn.functional.silu(value).half(), bits=9)

    yield Case(
        name=f"sdxl norm and silu, {shape}",
        num_bytes=4 * size,
        draw=draw_affine,
        launches={
            f"{tile} rows w{warps}": partial(run_affine, (tile, warps))
            for tile, warps in ((32, 4), (64, 4), (32, 2), (128, 8))
        },
        check=check_affine,
    )


# -- speed --------------------------------------------------------------------------------------


def time_case(case: Case, launches: list[str], bandwidth: float) -> list[Row]:
    """Time launches that agree with the reference."""
    rows: list[Row] = []
    if not launches:
        return rows
    count = min(_RUNS, max(1, round(_COLD_BYTES / case.num_bytes)))
    copies = [case.draw() for _ in range(count)]
    for launch in launches:
        try:
            ms = milliseconds(case.launches[launch], copies)
        except Exception as error:  # noqa: BLE001 (the rest is still worth measuring)
            print(f"FAILED {case.name}, {launch}: {str(error)[:300]}", flush=True)
            continue
        gb_s = case.num_bytes / ms / 1e6
        rows.append(
            Row(
                case=case.name,
                launch=launch,
                ms=ms,
                gb_s=gb_s,
                share=gb_s / 1e3 / bandwidth,
                is_default=launch == next(iter(case.launches)),
                before_ms=case.before_ms,
            )
        )
    del copies
    torch.cuda.empty_cache()
    return rows


def milliseconds(run: Callable[[Arguments], object], copies: list[Arguments]) -> float:
    """Return the median milliseconds of one call."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):  # a capture wants its warm-up on another stream
        for drawn in copies[:2]:
            run(drawn)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for number in range(_RUNS):
            run(copies[number % len(copies)])
    found: list[float] = []
    for _ in range(_REPLAYS + 1):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        graph.replay()
        last.record()
        torch.cuda.synchronize()
        found.append(first.elapsed_time(last) / _RUNS)
    return statistics.median(found[1:])


def print_table(rows: list[Row]) -> None:
    """Print every time, and of each case the default and the best."""
    print(f"\n{'':40}{'launch':24}{'ms':>8}{'GB/s':>7}{'floor':>7}{'before':>8}")
    for row in rows:
        before = f"{row.before_ms:8.3f}" if row.before_ms else ""
        print(
            f"{row.case:40}{row.launch:24}{row.ms:8.4f}{row.gb_s:7.0f}{100 * row.share:6.0f}%"
            f"{before:8}"
            f"{'  default' if row.is_default else ''}"
        )
    print(f"\n{'':40}{'default':>8}{'best':>8}{'before':>8}  launch")
    for case in dict.fromkeys(row.case for row in rows):
        mine = [row for row in rows if row.case == case]
        best = min(mine, key=lambda row: row.ms)
        chosen = next((f"{row.ms:8.4f}" for row in mine if row.is_default), f"{'-':>8}")
        before = f"{best.before_ms:8.3f}" if best.before_ms else f"{'':8}"
        print(f"{case:40}{chosen}{best.ms:8.4f}{before}  {best.launch}")


if __name__ == "__main__":
    main()
