"""Loading against the disk: ``python -m benchmarks.load_gpu --models DIR``.

Loads all components of a random full-size Wan checkpoint side by side, cold and out of the page
cache, in turns with plain reads of the same files (buffered and past the page cache) and with the
library's way (safetensors' ``load_file``, one component after another). The bar: 0.8 of the faster
plain read, cold. Then one component leaves for host memory and comes back.

Included in a load: reading headers, building the modules, all bytes on the device in the precision
that jobs use. Not included: imports, and the process's first pinned buffers (the warm-up has them).
Takes about 15 s a round and GB/s of disk, and 15 s to write the checkpoint the first time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil
import torch

from ourvidz.bench.limits import drop_from_page_cache, read_rate
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.checkpoints.synth import write_synth
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine import wan
from ourvidz.engine.device import release_unused, select_device, synchronize
from ourvidz.engine.residency import ComponentSpec, Residency
from ourvidz.models.reading import CHUNK_BYTES, NUM_THREADS
from ourvidz.models.wan import load as wan_load

MODEL = "wan2.1-t2v-1.3b"
_COMPONENTS = {
    "text_encoder": (Phase.LOAD_TEXT_ENCODER, wan_load.load_text_encoder),
    "transformer": (Phase.LOAD_TRANSFORMER, wan_load.load_transformer),
    "vae": (Phase.LOAD_VAE, wan_load.load_vae),
}


def main() -> None:
    """Measure, print a table, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="where the checkpoint is put")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", choices=["full", "tiny"], default="full")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--skip-library", action="store_true")
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    folder = arguments.models / MODEL
    if not folder.exists():
        write_synth(family="wan", size=arguments.size, out=folder, seed=42)
    bench = _Bench(folder, select_device(arguments.device))
    wan.import_libraries()
    bench.load()  # the first one makes the pinned buffers
    ways: dict[str, Callable[[], float]] = {
        "read": lambda: bench.read(is_direct=False),
        "read_direct": lambda: bench.read(is_direct=True),
        "ourvidz": bench.load,
    }
    if not arguments.skip_library:
        ways["library"] = bench.load_by_library
    rates: dict[str, list[float]] = {}
    for _ in range(arguments.repeats):
        for name, run in ways.items():
            is_cold = drop_from_page_cache(bench.files)
            rates.setdefault(f"cold.{name}", []).append(run())
            print(
                f"cold.{name}: {rates[f'cold.{name}'][-1] / 1e9:.2f} GB/s, {is_cold=}", flush=True
            )
    bench.read_warm()  # brings everything in
    ways["read"] = bench.read_warm
    del ways["read_direct"]
    for _ in range(arguments.repeats):
        for name, run in ways.items():
            rates.setdefault(f"warm.{name}", []).append(run())
            print(f"warm.{name}: {rates[f'warm.{name}'][-1] / 1e9:.2f} GB/s", flush=True)
    rates |= bench.host_round_trip()
    results = _results(rates, notes=bench.notes())
    if arguments.record:
        record = new_record("load", results, now=datetime.now(UTC))
        arguments.record.unlink(missing_ok=True)
        write_record(arguments.record, record)
    for result in results:
        print(f"{result.case:24} {result.system:12} {result.metric:20} {result.value:12.3f}")
    print(json.dumps({name: [round(rate) for rate in those] for name, those in rates.items()}))


def _results(rates: dict[str, list[float]], *, notes: str) -> list[BenchmarkResult]:
    results = [
        BenchmarkResult(
            case=f"load.{name.partition('.')[0]}",
            system=name.partition(".")[2],
            fidelity="exact",
            metric="bytes_per_s",
            value=statistics.median(those),
            unit="B/s",
            n=len(those),
            low=min(those),
            high=max(those),
            notes=notes,
        )
        for name, those in rates.items()
        if any(those)
    ]
    fastest = max(statistics.median(rates[name]) for name in ("cold.read", "cold.read_direct"))
    shares = [rate / fastest for rate in rates["cold.ourvidz"]]
    results.append(
        BenchmarkResult(
            case="load",
            system="ourvidz",
            fidelity="exact",
            metric="share_of_bandwidth",
            value=statistics.median(shares),
            unit="1",
            n=len(shares),
            low=min(shares),
            high=max(shares),
            notes=f"of the faster plain read, cold; {notes}",
        )
    )
    return results


class _Bench:
    """One checkpoint on one device; every measurement returns bytes of files a second."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder = folder
        self._device = device
        self.files = sorted(folder.rglob("*.safetensors"))
        self._num_bytes = sum(file.stat().st_size for file in self.files)
        self._rss_bytes = 0

    def notes(self) -> str:
        """Return what the figures include."""
        return (
            f"{self._num_bytes / 1e9:.2f} GB, three components side by side, {NUM_THREADS} threads"
            f" a component, {CHUNK_BYTES // 2**20} MiB pieces; modules built and on the device;"
            f" no imports; host memory of the process at most {self._rss_bytes / 1e9:.2f} GB"
        )

    def load(self) -> float:
        """Load everything into a fresh residency."""
        residency = Residency(device=self._device, dtype="auto")
        start_s = time.perf_counter()
        try:
            self._request_all(residency, tuple(_COMPONENTS))
            duration_s = time.perf_counter() - start_s
            self._rss_bytes = max(self._rss_bytes, psutil.Process().memory_info().rss)
        finally:
            residency.close()
        return self._num_bytes / duration_s

    def load_by_library(self) -> float:
        """Put all tensors on the device as safetensors does it: mapped files, one after another."""
        from safetensors.torch import load_file

        start_s = time.perf_counter()
        kept = [load_file(file, device=str(self._device)) for file in self.files]
        synchronize(self._device)
        duration_s = time.perf_counter() - start_s
        kept.clear()
        release_unused(self._device)
        return self._num_bytes / duration_s

    def read(self, *, is_direct: bool) -> float:
        """Read the files and do nothing with them; 0 where they can't be read so."""
        limit = read_rate(self._folder, max_bytes=self._num_bytes, samples=1, is_direct=is_direct)
        return getattr(limit, "rate", 0.0)

    def read_warm(self) -> float:
        """Read the files, which the page cache has, into memory that is used again and again."""
        pieces = [
            (file, begin)
            for file in self.files
            for begin in range(0, file.stat().st_size, CHUNK_BYTES)
        ]
        start_s = time.perf_counter()
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            list(pool.map(_read_share, [pieces[n::NUM_THREADS] for n in range(NUM_THREADS)]))
        return self._num_bytes / (time.perf_counter() - start_s)

    def host_round_trip(self) -> dict[str, list[float]]:
        """Move all components into host memory and bring them back."""
        from ourvidz.models.loading import HostCopy

        num_bytes, to_s, from_s = 0, 0.0, 0.0
        for name, (_, load) in _COMPONENTS.items():
            module = load(self._folder / name, device=self._device, dtype=torch.bfloat16)
            start_s = time.perf_counter()
            kept = HostCopy(module, is_pinned=self._device.type == "cuda")
            to_s += time.perf_counter() - start_s
            del module
            release_unused(self._device)
            start_s = time.perf_counter()
            back = kept.to_device(self._device)
            synchronize(self._device)
            from_s += time.perf_counter() - start_s
            num_bytes += kept.num_bytes
            print(f"{name}: {kept.num_bytes / 1e9:.2f} GB on the host, {kept.is_pinned=}")
            del back, kept
            release_unused(self._device)
        return {"host.to": [num_bytes / to_s], "host.from": [num_bytes / from_s]}

    def _request_all(self, residency: Residency, names: Sequence[str]) -> None:
        recorder = SpanRecorder(SystemClock())
        futures = [
            residency.request(
                ComponentSpec(
                    model_id=MODEL,
                    family="wan",
                    name=name,
                    folder=self._folder / name,
                    phase=_COMPONENTS[name][0],
                    load=_COMPONENTS[name][1],
                ),
                recorder,
                CancelToken(),
            )
            for name in names
        ]
        for future in futures:
            future.result()
        for span in recorder.spans():
            num_bytes = int(span.facts["bytes"])
            print(
                f"  {span.facts['component']:14} {span.duration_s:7.3f} s"
                f" {num_bytes / span.duration_s / 1e9:7.2f} GB/s {span.facts['state']}"
            )


def _read_share(pieces: Sequence[tuple[Path, int]]) -> None:
    memory = memoryview(bytearray(CHUNK_BYTES))
    for file, begin in pieces:
        with file.open("rb", buffering=0) as opened:
            opened.seek(begin)
            opened.readinto(memory)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
