"""One Wan VAE decode over several ranks, beside one rank's in the same run.

``torchrun --nproc-per-node N -m benchmarks.decode_ranks [--models DIR]``: full-size weights (random
ones where there is no checkpoint), bfloat16 on GPUs with NCCL. For each number of ranks and of
latent frames a step it prints the seconds from the latents on every rank to the last frame on rank
0's host, the ratio to one rank, what was exchanged, and how far the pictures are from one rank's.

Without a GPU it runs on gloo, to see that it works: ``--base-dim 8 --height 64 --width 64``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.cuda.nccl import version as nccl_version

from benchmarks.decode_gpu import MEAN, STD
from ourvidz.models.wan.load import load_vae
from ourvidz.models.wan.stream import StreamingDecoder, options_for
from ourvidz.models.wan.stripes import Stripe, decode_together

_VAE = Path("wan2.1-t2v-1.3b") / "vae"


@dataclass(frozen=True, kw_only=True)
class CountedStripe(Stripe):
    """A stripe that notes what it sends and, by events, how long it waits for it."""

    bytes_sent: list[int] = field(default_factory=list)
    events: list[tuple[Any, Any]] = field(default_factory=list)

    def swap(
        self, *, sends: Mapping[int, torch.Tensor], receives: Mapping[int, torch.Tensor]
    ) -> None:
        """Do as the stripe does, and note it."""
        if not (sends or receives):
            return
        self.bytes_sent.append(sum(tensor.nbytes for tensor in sends.values()))
        if not torch.cuda.is_available():
            super().swap(sends=sends, receives=receives)
            return
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        super().swap(sends=sends, receives=receives)
        end.record()
        self.events.append((begin, end))


def main() -> None:
    """Measure, print a table on rank 0, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, help="folder of a full-size checkpoint")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=832)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of ranks; 1, 2, 4, ...")
    parser.add_argument(
        "--frames-per-step", type=int, nargs="+", default=[0, 1], help="0: by the number of ranks"
    )
    parser.add_argument("--base-dim", type=int, default=96, help="of random weights")
    arguments = parser.parse_args()
    os.environ.setdefault("NCCL_NVLS_ENABLE", "0")  # no NVLink multicast
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo", timeout=timedelta(minutes=3))
    try:
        Bench(arguments, torch.device("cuda" if has_gpu else "cpu")).run()
    finally:
        dist.destroy_process_group()


class Bench:
    """The run of one rank: the VAE that all have, and the latents."""

    def __init__(self, arguments: argparse.Namespace, device: torch.device) -> None:
        self.arguments = arguments
        self.device = device
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        powers = [2**power for power in range(self.world.bit_length())]
        self.sizes: list[int] = sorted(arguments.sizes or {*powers, self.world})
        self.vae = self._vae()
        self.latents = self._latents()
        self.expected: torch.Tensor | None = None  # what one rank makes of the latents

    def run(self) -> None:
        """Measure every number of ranks at every number of latent frames a step."""
        groups = {size: dist.new_group(list(range(size))) for size in self.sizes}
        rows: list[dict[str, Any]] = []
        self._say(f"{self._environment()}\n{HEADER}")
        for num_frames in self.arguments.frames_per_step:
            for size, group in groups.items():
                dist.barrier()
                if self.rank < size:
                    decoder = self._decoder(num_frames, size)
                    stripe = Stripe(group=group, rank=self.rank, size=size)
                    row = self._measure(decoder, stripe)
                    row["frames_per_step"] = decoder.options.frames_per_step
                    rows.append(row)
                    ones = [row["seconds"] for row in rows if row["ranks"] == 1]
                    row["speedup"] = min(ones) / row["seconds"] if ones else 0.0
                    self._say(LINE.format(**row))
        self._say(json.dumps(rows))

    def _measure(self, decoder: StreamingDecoder, stripe: Stripe) -> dict[str, Any]:
        """Return one row: medians of wall seconds, then one run that is looked into."""
        found = self._decode(decoder, stripe)  # algorithms are chosen, connections are made
        if stripe.rank == 0 and self.expected is None:
            assert stripe.size == 1, "measure one rank first, to compare with"
            assert found is not None
            assert found.float().std() > 10, "a picture, not a constant"
            self.expected = found
        self._decode(decoder, stripe)
        before = self._allocated()
        seconds = [self._seconds(decoder, stripe) for _ in range(self.arguments.repeats)]
        peak = self._allocated(peak=True) - before
        counted = CountedStripe(group=stripe.group, rank=stripe.rank, size=stripe.size)
        self._decode(decoder, counted)
        difference = self._difference(found)
        return {
            "ranks": stripe.size,
            "seconds": statistics.median(seconds),
            "best_s": min(seconds),
            "host_s": self._host_seconds(decoder, stripe),
            "swaps": len(counted.bytes_sent),
            "sent_mb": sum(counted.bytes_sent) / 1e6,
            "swap_ms": sum(begin.elapsed_time(end) for begin, end in counted.events),
            "peak_gib": peak / 2**30,
            "max_difference": difference[0],
            "psnr_db": difference[1],
        }

    def _allocated(self, *, peak: bool = False) -> int:
        """Return bytes of the device that are taken, or were at most since the last call."""
        if self.device.type != "cuda":
            return 0
        if peak:
            return torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def _seconds(self, decoder: StreamingDecoder, stripe: Stripe) -> float:
        self._synchronize(stripe)
        start_s = time.perf_counter()
        self._decode(decoder, stripe)
        return time.perf_counter() - start_s

    def _host_seconds(self, decoder: StreamingDecoder, stripe: Stripe) -> float:
        """Return what the launching alone takes, without the frames' way to the host."""
        self._synchronize(stripe)
        start_s = time.perf_counter()
        for _ in decoder.decode_stripe(self.latents, stripe=stripe):
            pass
        seconds = time.perf_counter() - start_s
        self._synchronize(stripe)
        return seconds

    def _decode(self, decoder: StreamingDecoder, stripe: Stripe) -> torch.Tensor | None:
        """Return all frames on rank 0; on all ranks the work is done then."""
        chunks = list(decode_together(decoder, self.latents, stripe=stripe))
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return torch.cat(chunks) if chunks else None

    def _synchronize(self, stripe: Stripe) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        dist.barrier(group=stripe.group)
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _difference(self, found: torch.Tensor | None) -> tuple[int, float]:
        """Return the largest difference from one rank's pixels, of 255, and PSNR in dB."""
        if found is None or self.expected is None:
            return 0, 0.0
        top, square = 0, 0.0
        for mine, theirs in zip(found.split(8), self.expected.split(8), strict=True):
            difference = (mine.int() - theirs.int()).abs()
            top = max(top, int(difference.max()))
            square += float(difference.square().sum())
        mse = max(square / found.numel(), 1e-9)
        return top, float(10 * torch.log10(torch.tensor(255**2 / mse)))

    def _decoder(self, frames_per_step: int, num_stripes: int) -> StreamingDecoder:
        options = options_for(self.device, num_stripes=num_stripes)
        if frames_per_step:
            options = dataclasses.replace(options_for(self.device), frames_per_step=frames_per_step)
        dtype = torch.bfloat16 if self.device.type == "cuda" else None
        return StreamingDecoder(self.vae, dtype=dtype, options=options)

    def _vae(self) -> Any:
        models = self.arguments.models
        if models is not None and (models / _VAE).exists():
            return load_vae(models / _VAE, device=str(self.device), dtype=torch.float32)
        from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

        torch.manual_seed(0)
        vae: Any = AutoencoderKLWan(
            base_dim=self.arguments.base_dim, latents_mean=list(MEAN), latents_std=list(STD)
        )
        vae.eval().requires_grad_(False)
        vae.encoder = None
        # Pictures that use their range, so that an error shows; on the CPU, alike on all ranks.
        small = torch.randn(1, vae.config.z_dim, 1, 8, 8) * max(STD) / 2
        with torch.inference_mode():
            deviation = vae.decode(small, return_dict=False)[0].std()
        vae.decoder.conv_out.weight.mul_(0.4 / float(deviation))
        return vae.to(self.device)

    def _latents(self) -> torch.Tensor:
        arguments = self.arguments
        lines, columns = arguments.height // 8, arguments.width // 8
        shape = (1, self.vae.config.z_dim, (arguments.frames - 1) // 4 + 1, lines, columns)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def _environment(self) -> str:
        arguments = self.arguments
        clip = f"{arguments.frames} frames of {arguments.height}x{arguments.width}"
        if self.device.type != "cuda":
            return f"{clip}, {self.world} ranks on CPUs, torch {torch.__version__}"
        nccl = ".".join(map(str, nccl_version()))
        name = torch.cuda.get_device_name()
        return f"{clip}, {self.world} x {name}, torch {torch.__version__}, NCCL {nccl}"

    def _say(self, text: str) -> None:
        if self.rank == 0:
            print(text, flush=True)


HEADER = (
    "ranks frames/step median_s   best_s  ratio launching_s swaps  sent_MB  swaps_ms peak_GiB "
    "largest_difference PSNR_dB"
)
LINE = (
    "{ranks:5} {frames_per_step:11} {seconds:8.4f} {best_s:8.4f} {speedup:6.2f} {host_s:11.4f} "
    "{swaps:5} {sent_mb:8.1f} {swap_ms:9.2f} {peak_gib:8.2f} {max_difference:18} {psnr_db:7.1f}"
)


if __name__ == "__main__":
    main()
