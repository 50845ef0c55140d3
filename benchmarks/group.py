"""One video over several GPUs, beside one GPU and the library: ``python -m benchmarks.group -h``.

Each group size is a process of its own that keeps its models resident; sizes run one after another,
or side by side where they need no more GPUs together than there are (``--side-by-side``: a host
shares its cores, so timings then say a little less than alone). Frames of one seed are compared
with those of one GPU. ``--workers N`` runs N single workers at once, each on a GPU of its own, and
compares their throughput with one alone. ``--library`` runs diffusers' own context parallelism
(Ulysses, compiled, cuDNN attention), one forward at a time. Weights may be random
(``ourvidz models synth``). Random frames are noise, which makes large files: saving takes longer
than for a real clip.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import run_job
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.event import FramesReady
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.run import Worker

PROMPT = "a red sailing boat crosses a bay at sunset, take {take}"
COMPARED_SEED, COMPARED_STEPS = 7, 4
Told = dict[str, Any]


def main() -> None:
    """Measure, print a table, write the record."""
    arguments = _parser().parse_args()
    if arguments.child:
        _child(arguments)
        return
    results: list[BenchmarkResult] = []
    with tempfile.TemporaryDirectory() as folder:
        told = _groups(arguments, Path(folder))
        results += _group_results(told, arguments)
        results += _frame_results(told, arguments, Path(folder))
        if arguments.workers > 1:
            results += _worker_results(arguments, told, Path(folder))
    if arguments.library:
        results += _library_results(arguments)
    arguments.record.unlink(missing_ok=True)
    write_record(arguments.record, new_record("group", results, now=datetime.now(UTC)))
    for each in results:
        print(
            f"{each.case:16} {each.system:10} {each.fidelity:8} {each.metric:22}"
            f" {each.value:9.4g} {each.unit:6} n = {each.n}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="where checkpoints are")
    parser.add_argument("--profile", default="full", choices=["full", "pocket"])
    parser.add_argument("--job-type", default="video_fast")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--fidelities", nargs="+", default=["exact", "high"])
    parser.add_argument("--steps", type=int, help="of each job; default: the job type's")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--side-by-side", action="store_true")
    parser.add_argument("--library", action="store_true")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--no-frames", action="store_true", help=argparse.SUPPRESS)
    return parser


def _groups(arguments: argparse.Namespace, folder: Path) -> dict[int, Told]:
    """Run every size; return what its process told."""
    rounds = _rounds(arguments.sizes)
    if not arguments.side_by_side:
        rounds = [[size] for size in sorted(arguments.sizes, reverse=True)]
    told: dict[int, Told] = {}
    for together in rounds:
        first = 0
        running: dict[int, subprocess.Popen[bytes]] = {}
        for size in together:
            running[size] = _start(arguments, folder / f"size{size}", size, first=first)
            first += size
        for size, process in running.items():
            if process.wait() != 0:
                raise SystemExit(f"size {size} ended with {process.returncode}")
            told[size] = json.loads((folder / f"size{size}" / "told.json").read_text())
    return told


def _start(
    arguments: argparse.Namespace, out: Path, size: int, *, first: int, extra: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // max(1, *arguments.sizes, arguments.workers)) * size
    own = cores[(first * share // size) % len(cores) :][:share]
    return subprocess.Popen(
        [
            *("taskset", "-c", ",".join(map(str, own))),
            *(sys.executable, "-m", "benchmarks.group", "--child", str(out)),
            *("--models", str(arguments.models), "--profile", arguments.profile),
            *("--job-type", arguments.job_type, "--device", arguments.device),
            *("--sizes", str(size), "--repeats", str(arguments.repeats)),
            *("--fidelities", *arguments.fidelities, "--record", str(out / "unused.json")),
            *(("--steps", str(arguments.steps)) if arguments.steps else ()),
            *extra,
        ],
        env={
            **os.environ,
            "CUDA_VISIBLE_DEVICES": _gpus(first, size),
        },
    )


def _child(arguments: argparse.Namespace) -> None:
    """Run one size's jobs and write what was seen."""
    out: Path = arguments.child
    out.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        profile=arguments.profile,
        models_dir=arguments.models,
        device=arguments.device,
        group_size=arguments.sizes[0],
        data_dir=out / "data",
    )
    worker = assemble_worker(
        settings=settings, catalogue=catalogue_of(settings), clock=SystemClock()
    )
    told: Told = {}
    for fidelity in arguments.fidelities:
        run_job(worker, _request(settings, arguments, fidelity, 0, steps=2), out=out, stem="warm")
        runs = []
        for take in range(1, arguments.repeats + 1):
            request = _request(settings, arguments, fidelity, take)
            run = run_job(worker, request, out=out, stem=f"{fidelity}{take}")
            (out / f"{fidelity}{take}.mp4").unlink(missing_ok=True)
            phases = {
                name: round(seconds, 3)
                for name, seconds in run.summary["timing"]["phases_s"].items()
                if seconds > 0.01
            }
            print(f"{arguments.sizes[0]} {fidelity} {run.wall_s:.2f} s {phases}", flush=True)
            runs.append({"wall_s": run.wall_s, "timing": run.summary["timing"]})
        told[fidelity] = {"runs": runs}
        if not arguments.no_frames:
            request = _request(settings, arguments, fidelity, COMPARED_SEED, steps=COMPARED_STEPS)
            np.save(out / f"{fidelity}.npy", _frames(worker, request))
            told[fidelity]["exchange_share"] = _exchange_share(worker, request)
    told["group"] = dict(worker.engine.group_facts())
    (out / "told.json").write_text(json.dumps(told))
    worker.engine.close()


def _request(
    settings: Settings,
    arguments: argparse.Namespace,
    fidelity: str,
    take: int,
    steps: int | None = None,
) -> GenerationRequest:
    steps = steps or arguments.steps
    return resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt=PROMPT.format(take=take),
        seed=take,
        job_type=arguments.job_type,
        values={"fidelity": fidelity, **({"num_inference_steps": steps} if steps else {})},
        unconfirmed=True,
    )


def _frames(worker: Worker, request: GenerationRequest) -> np.ndarray:
    events = worker.engine.generate(
        request, recorder=SpanRecorder(SystemClock()), cancel=CancelToken()
    )
    return np.concatenate([each.frames for each in events if isinstance(each, FramesReady)])


def _exchange_share(worker: Worker, request: GenerationRequest) -> float | None:
    """Return the share of this GPU's time in kernels that move data between ranks."""
    import torch

    if worker.engine.device.type != "cuda":
        return None
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        _frames(worker, request)
    times = {each.key: each.self_device_time_total for each in profile.key_averages()}
    moving = sum(time for key, time in times.items() if "nccl" in key.lower())
    return moving / sum(times.values())


def _group_results(
    told: Mapping[int, Told], arguments: argparse.Namespace
) -> list[BenchmarkResult]:
    results: list[BenchmarkResult] = []
    for fidelity in arguments.fidelities:
        alone_s = None
        if 1 in told:
            alone_s = statistics.median(run["wall_s"] for run in told[1][fidelity]["runs"])
        for size in sorted(told):
            found = told[size][fidelity]
            walls_s = [run["wall_s"] for run in found["runs"]]
            case = f"{arguments.job_type}@{size}"

            def figure(
                metric: str,
                values: Sequence[float],
                unit: str,
                *,
                at: str = case,
                f: str = fidelity,
            ) -> BenchmarkResult:
                return _figure(at, "ourvidz", f, metric, values, unit)

            results.append(figure("seconds", walls_s, "s"))
            for phase in ("encode", "denoise", "decode", "save", "probe"):
                values = [run["timing"]["phases_s"].get(phase, 0.0) for run in found["runs"]]
                results.append(figure(f"phase.{phase}", values, "s"))
            if alone_s is not None and size > 1:
                results.append(figure("speedup", [alone_s / wall_s for wall_s in walls_s], "x"))
            if found.get("exchange_share") is not None:
                results.append(figure("exchange_share", [found["exchange_share"]], "share"))
    return results


def _frame_results(
    told: Mapping[int, Told], arguments: argparse.Namespace, folder: Path
) -> list[BenchmarkResult]:
    """Compare frames of a few steps with one GPU's."""
    results: list[BenchmarkResult] = []
    for fidelity in arguments.fidelities if 1 in told else ():
        expected = np.load(folder / "size1" / f"{fidelity}.npy").astype(np.float32)
        for size in sorted(told):
            if size == 1:
                continue
            found = np.load(folder / f"size{size}" / f"{fidelity}.npy").astype(np.float32)
            error = float(np.square(found - expected).mean())
            psnr_db = 10 * np.log10(255**2 / error) if error else 999.0
            case = f"{arguments.job_type}@{size}"
            results.append(_figure(case, "ourvidz", fidelity, "psnr_to_one_gpu", [psnr_db], "dB"))
    return results


def _worker_results(
    arguments: argparse.Namespace, told: Mapping[int, Told], folder: Path
) -> list[BenchmarkResult]:
    """Run single workers at once; compare their throughput with one alone."""
    fidelity = arguments.fidelities[0]
    only = ("--fidelities", fidelity, "--no-frames", "--repeats", "1")
    running = [
        _start(arguments, folder / f"worker{rank}", 1, first=rank, extra=only)
        for rank in range(arguments.workers)
    ]
    walls_s: list[float] = []
    for rank, process in enumerate(running):
        if process.wait() != 0:
            raise SystemExit(f"worker {rank} ended with {process.returncode}")
        told_there = json.loads((folder / f"worker{rank}" / "told.json").read_text())
        runs = [run["wall_s"] for run in told_there[fidelity]["runs"]]
        walls_s.append(statistics.median(runs))
    alone_s = statistics.median(run["wall_s"] for run in told[1][fidelity]["runs"])
    ratio = sum(alone_s / wall_s for wall_s in walls_s)
    case = f"{arguments.job_type}x{arguments.workers}"
    return [
        _figure(case, "ourvidz", fidelity, "throughput", [ratio], "x"),
        _figure(case, "ourvidz", fidelity, "seconds", walls_s, "s"),
    ]


def _library_results(arguments: argparse.Namespace) -> list[BenchmarkResult]:
    """Time the library's forward on each number of GPUs, side by side where they fit."""
    told: dict[int, list[float]] = {}
    for together in _rounds(arguments.sizes):
        first, running = 0, {}
        for size in together:
            running[size] = _start_library(arguments, size, first=first)
            first += size
        for size, process in running.items():
            out, error = process.communicate()
            if process.returncode == 0:
                told[size] = json.loads(out.strip().splitlines()[-1])
            else:
                print(f"the library on {size} GPUs: {error[-800:]}", flush=True)
    results: list[BenchmarkResult] = []
    for size, times_s in sorted(told.items()):
        case = f"wan_forward@{size}"
        results.append(_figure(case, "diffusers", "library", "seconds", times_s, "s"))
        if size > 1 and 1 in told:
            speedups = [statistics.median(told[1]) / each for each in times_s]
            results.append(_figure(case, "diffusers", "library", "speedup", speedups, "x"))
    return results


def _start_library(
    arguments: argparse.Namespace, size: int, *, first: int
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(size), "-m", "benchmarks.group_library"),
            *("--models", str(arguments.models)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": _gpus(first, size)},
    )


def _rounds(sizes: Sequence[int]) -> list[list[int]]:
    """Return which sizes run side by side: the largest alone, others as they fit beside it."""
    total, rest = max(sizes), sorted(sizes, reverse=True)
    rounds: list[list[int]] = []
    while rest:
        together: list[int] = []
        for size in tuple(rest):
            if sum(together) + size <= total:
                together.append(size)
                rest.remove(size)
        rounds.append(together)
    return rounds


def _gpus(first: int, size: int) -> str:
    return ",".join(str(first + rank) for rank in range(size))


def _figure(
    case: str, system: str, fidelity: str, metric: str, values: Sequence[float], unit: str
) -> BenchmarkResult:
    return BenchmarkResult(
        case=case,
        system=system,
        fidelity=fidelity,
        metric=metric,
        value=round(statistics.median(values), 5),
        unit=unit,
        n=len(values),
        low=round(min(values), 5),
        high=round(max(values), 5),
        notes="resident, after a warm-up; prompt in, MP4 on disk; low and high are min and max",
    )


if __name__ == "__main__":
    started_s = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started_s:.0f} s", flush=True)
