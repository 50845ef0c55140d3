"""Wan's VAE decode on a GPU: ``python -m benchmarks.decode_gpu``, under three minutes.

Full-size random weights (speed, memory and rounding are real, the pictures are noise). Prints the
convolutions one by one, then the library and our streaming decoder with its options on the same
latents, where the best one spends its time, and 720p. What fails says so and the rest goes on.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import statistics
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from ourvidz.kernels import vae as kernels
from ourvidz.kernels.vae import ConvTiles
from ourvidz.models.wan.decode import decode
from ourvidz.models.wan.stream import StreamingDecoder, StreamOptions

MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508)
MEAN += (0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921)
STD = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743)
STD += (3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160)

# (channels, frames of one step, lines, columns) of the 3x3x3 convolutions at 480x832.
SHAPES = ((384, 4, 60, 104), (384, 2, 120, 208), (192, 4, 240, 416), (96, 4, 480, 832))

TILES: dict[int, tuple[ConvTiles, ...]] = {
    96: (
        ConvTiles(rows=256, outs=(128, 0), channels=(32, 0), num_stages=6),
        ConvTiles(rows=256, outs=(64, 32), channels=(32, 0), num_stages=6),
        ConvTiles(rows=256, outs=(128, 0), channels=(64, 32), num_stages=3),
        ConvTiles(rows=128, outs=(128, 0), channels=(32, 0), num_warps=4, num_stages=6),
        ConvTiles(rows=128, outs=(128, 0), channels=(32, 0), num_stages=4, has_descriptors=False),
    ),
    192: (
        ConvTiles(rows=128, outs=(128, 64), channels=(64, 0), num_stages=4),
        ConvTiles(rows=256, outs=(128, 64), channels=(64, 0), num_warps=16, num_stages=3),
        ConvTiles(rows=256, outs=(64, 0), channels=(64, 0), num_stages=4),
        ConvTiles(rows=128, outs=(256, 0), channels=(64, 0), num_stages=3),
    ),
    384: (
        ConvTiles(rows=256, outs=(128, 0), channels=(64, 0), num_stages=4),
        ConvTiles(rows=128, outs=(128, 0), channels=(64, 0), num_stages=4),
        ConvTiles(rows=128, outs=(128, 64), channels=(64, 0), num_stages=4),
    ),
}

PAIRED_TILES: dict[int, tuple[ConvTiles, ...]] = {
    96: (
        ConvTiles(rows=128, outs=(128, 0), channels=(32, 0), num_stages=6),
        ConvTiles(rows=128, outs=(64, 32), channels=(32, 0), num_stages=6),
        ConvTiles(rows=64, outs=(128, 0), channels=(32, 0), num_warps=4, num_stages=4),
        ConvTiles(rows=128, outs=(128, 0), channels=(32, 0), num_stages=3, has_descriptors=False),
    ),
    192: (
        ConvTiles(rows=128, outs=(128, 64), channels=(32, 0), num_stages=4),
        ConvTiles(rows=128, outs=(128, 64), channels=(64, 0), num_stages=2),
        ConvTiles(rows=128, outs=(64, 0), channels=(64, 0), num_stages=4),
        ConvTiles(rows=256, outs=(64, 0), channels=(32, 0), num_stages=4),
    ),
    384: (
        ConvTiles(rows=128, outs=(128, 0), channels=(64, 0), num_stages=3),
        ConvTiles(rows=128, outs=(128, 0), channels=(32, 0), num_stages=6),
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timed:
    """One way of decoding one clip."""

    name: str
    first_s: float
    seconds: float
    peak_gib: float  # beyond weights and what the comparison holds
    samples: torch.Tensor | None


def main() -> None:
    """Print everything; see the arguments for what may be left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget-s", type=float, default=170.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--no-convs", action="store_true", help="no table of convolutions")
    parser.add_argument("--no-options", action="store_true", help="only the default and the best")
    parser.add_argument("--no-large", action="store_true", help="no 720p")
    parser.add_argument("--profile", action="store_true", help="kernels of the best option")
    arguments = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False
    bench = Bench(arguments)
    bench.run()


class Bench:
    """The run: one VAE, its latents, and what was measured so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.start_s = time.perf_counter()
        self.triton_convs: dict[int, ConvTiles] = {}
        self.paired_convs: dict[int, ConvTiles] = {}

    def run(self) -> None:
        """Run every part that fits the budget."""
        print_environment()
        if self.arguments.no_convs:
            self._take_defaults()
        else:
            self._part("convolutions", self._convs)
        self.vae = build_vae()
        self.latents = draw_latents(self.vae, self.arguments.frames, 480, 832)
        self.reference: torch.Tensor | None = None
        self._part("library", self._library)
        best = self._part("ours", self._options) or StreamOptions()
        self._part("stages of the best", lambda: self._stages(best))
        if not self.arguments.no_large:
            self._part("720p", lambda: self._large(best))
        if self.arguments.profile:
            self._part("kernels of the best", lambda: self._profile(best))
        print(f"\n{self._elapsed():.0f} s in all")

    def _take_defaults(self) -> None:
        for width in TILES:
            plain = kernels.default_tiles(width, width)
            paired = kernels.default_tiles(width, width, is_paired=True)
            assert plain is not None, width
            assert paired is not None, width
            self.triton_convs[width] = plain
            self.paired_convs[width] = paired

    def _elapsed(self) -> float:
        return time.perf_counter() - self.start_s

    def _part(self, name: str, run: Callable[[], Any]) -> Any:
        print(f"\n== {name} (at {self._elapsed():.0f} s)", flush=True)
        return guarded(name, run)

    def _has_time(self, name: str) -> bool:
        if self._elapsed() < self.arguments.budget_s:
            return True
        print(f"{name}: left out, the budget is spent")
        return False

    # -- convolutions ---------------------------------------------------------------------------

    def _convs(self) -> None:
        print(f"{'':50} {'ms':>9} {'TFLOP/s':>9} {'error':>9}")
        for channels, frames, lines, columns in SHAPES:
            guarded("shape", partial(self._conv, channels, frames, lines, columns))
        guarded("last convolution", conv_out_times)
        guarded("upsampling", upsample_times)

    def _conv(self, channels: int, frames: int, lines: int, columns: int) -> None:
        window = torch.zeros(
            frames + 2, lines + 1, columns + 1, channels, device="cuda", dtype=torch.bfloat16
        )
        window[:, :lines, :columns].normal_()
        compact = window[:, :lines, :columns].contiguous()
        weight = torch.randn(channels, channels, 3, 3, 3, device="cuda") * (27 * channels) ** -0.5
        weight = weight.bfloat16()
        flop = 2 * 27 * channels**2 * frames * lines * columns
        taps = weight.contiguous(memory_format=torch.channels_last_3d)
        # One frame in full precision is enough to see a wrong kernel.
        exact = F.conv3d(planes(compact[:3]).float(), weight.float(), padding=(0, 1, 1))
        exact = exact.permute(0, 2, 3, 4, 1)[0]
        title = f"{channels} channels, {frames} x {lines} x {columns}: "
        times = {}

        def report(name: str, run: Callable[[], torch.Tensor]) -> float:
            found = run()[:1].float()
            error = float((found - exact).norm() / exact.norm())
            ms = milliseconds(run)
            print(f"{title + name:50} {ms:9.3f} {flop / ms / 1e9:9.0f} {error:9.1e}", flush=True)
            return ms

        def library() -> torch.Tensor:
            found = F.conv3d(planes(compact), taps, padding=(0, 1, 1))
            return found.permute(0, 2, 3, 4, 1)[0]

        for is_on in (False, True):
            with autotuning(is_on):
                name = "cuDNN 3D" + (", autotuned" if is_on else "")
                times[name] = report(name, library)
        wide = torch.cat([compact[i : i + frames] for i in range(3)], dim=-1)
        flat = torch.cat(weight.unbind(2), dim=1).contiguous(memory_format=torch.channels_last)

        def in_2d() -> torch.Tensor:
            return F.conv2d(wide.permute(0, 3, 1, 2), flat, padding=1).permute(0, 2, 3, 1)

        with autotuning(True):
            guarded("2D", lambda: report("cuDNN 2D over 3x the channels, autotuned", in_2d))
        rows = kernels.conv_weight(weight)
        found: dict[ConvTiles, float] = {}
        for tiles in TILES[channels]:
            if not self._has_time(f"{tiles}"):
                break
            convolve = partial(kernels.causal_conv, window, rows, tiles=tiles)
            ms = guarded(f"{tiles}", partial(report, tiles_name(tiles), convolve))
            if ms is not None:
                found[tiles] = ms
        if found:
            best = min(found, key=lambda tiles: found[tiles])
            if found[best] < min(times.values()):
                self.triton_convs[channels] = best
            else:
                self.triton_convs.pop(channels, None)
        times |= {tiles_name(tiles): ms for tiles, ms in found.items()}
        self._paired(channels, compact, weight, report, min(times.values()))

    def _paired(
        self,
        channels: int,
        frames: torch.Tensor,
        weight: torch.Tensor,
        report: Callable[[str, Callable[[], torch.Tensor]], float],
        plain_ms: float,
    ) -> None:
        even, odd = frames[::2].float(), frames[1::2].float()
        parts = (even[:-1] - even[1:], odd[:-1] + even[1:], even[1:] - odd[:-1], odd[:-1] - odd[1:])
        planes = F.pad(torch.stack(parts).bfloat16(), (0, 0, 0, 1, 0, 1))
        rows = kernels.pair_weight(weight)
        found: dict[ConvTiles, float] = {}
        for tiles in PAIRED_TILES[channels]:
            if not self._has_time(f"{tiles}"):
                break
            convolve = partial(
                kernels.paired_conv, planes, rows, num_frames=len(frames) - 2, tiles=tiles
            )
            name = f"pairs {tiles_name(tiles)}"
            ms = guarded(name, partial(report, name, convolve))
            if ms is not None:
                found[tiles] = ms
        if found:
            best = min(found, key=lambda tiles: found[tiles])
            if found[best] < plain_ms:
                self.paired_convs[channels] = best
            else:
                self.paired_convs.pop(channels, None)

    # -- whole decodes --------------------------------------------------------------------------

    def _library(self) -> None:
        print(HEADER)
        self.reference = self._library_decode(torch.float32).samples
        self._library_decode(torch.bfloat16)
        half = copy.deepcopy(self.vae).to(torch.bfloat16)
        self._time("models.wan.decode, bf16", lambda: list(decode(vae=half, latents=self.latents)))

    def _library_decode(self, dtype: torch.dtype) -> Timed:
        vae = self.vae if dtype == torch.float32 else copy.deepcopy(self.vae).to(dtype)
        z = data_scale(self.latents).to(dtype)

        @torch.inference_mode()
        def run() -> list[torch.Tensor]:
            return [vae.decode(z, return_dict=False)[0][0].permute(1, 2, 3, 0)]

        return self._time(f"library, {dtype}", run, repeats=1 if dtype == torch.float32 else 3)

    def _options(self) -> StreamOptions:
        print(HEADER)
        kernels_of = {"default": StreamOptions()}
        if self.triton_convs:
            kernels_of["Triton where faster"] = StreamOptions(triton_convs=self.triton_convs)
        for widths in ((96,), (96, 192), (96, 192, 384)):
            pairs = {width: t for width, t in self.paired_convs.items() if width in widths}
            if len(pairs) == len(widths):
                kernels_of[f"pairs at {widths}"] = StreamOptions(
                    triton_convs=self.triton_convs, paired_convs=pairs
                )
        best = self._fastest(kernels_of) or StreamOptions()
        if self.arguments.no_options:
            return best
        print("with the fastest of these:")
        changed = {
            "as it is": {},
            "2 latent frames a step": {"frames_per_step": 2},
            "4 latent frames a step": {"frames_per_step": 4},
            "2 spare steps": {"spare_steps": 2},
            "head of 1": {"head_frames": 1},
            "head of 10": {"head_frames": 10},
            "upsampling not folded": {"is_upsampling_folded": False},
            "no autotuning": {"has_autotuning": False},
        }
        ways = {name: dataclasses.replace(best, **change) for name, change in changed.items()}
        ways["default, no Triton at all"] = StreamOptions(has_kernels=False)
        return self._fastest(ways) or best

    def _fastest(self, tried: dict[str, StreamOptions]) -> StreamOptions | None:
        seconds: dict[str, float] = {}
        for name, options in tried.items():
            if self._has_time(name):
                timed = guarded(name, partial(self._ours, name, options))
                if timed is not None:
                    seconds[name] = timed.seconds
        return tried[min(seconds, key=lambda name: seconds[name])] if seconds else None

    def _ours(self, name: str, options: StreamOptions) -> Timed:
        decoder = StreamingDecoder(self.vae, dtype=torch.bfloat16, options=options)
        timed = self._time(
            f"ours, {name}",
            lambda: list(decoder.decode(self.latents)),
            samples=lambda: list(decoder.decode_samples(self.latents)),
        )
        return timed

    def _time(
        self,
        name: str,
        run: Callable[[], Sequence[torch.Tensor]],
        *,
        samples: Callable[[], Sequence[torch.Tensor]] | None = None,
        repeats: int | None = None,
    ) -> Timed:
        """Print one line: seconds by events from the call to the last frame on its place."""
        free()
        start_s = time.perf_counter()
        kept = run()
        torch.cuda.synchronize()
        first_s = time.perf_counter() - start_s
        found = torch.cat(list(samples() if samples else kept))
        del kept
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        ms = [once_ms(run) for _ in range(repeats or self.arguments.repeats)]
        timed = Timed(
            name=name,
            first_s=first_s,
            seconds=statistics.median(ms) / 1000,
            peak_gib=(torch.cuda.max_memory_allocated() - before) / 2**30,
            samples=found,
        )
        print(
            f"{name:44} {timed.first_s:8.2f} {timed.seconds:8.3f} {min(ms) / 1000:8.3f} "
            f"{timed.peak_gib:8.2f} {compare(found, self.reference)}",
            flush=True,
        )
        return timed

    # -- where the time goes --------------------------------------------------------------------

    def _stages(self, options: StreamOptions) -> None:
        print(options)
        decoder = StreamingDecoder(self.vae, dtype=torch.bfloat16, options=options)
        list(decoder.decode(self.latents))
        events: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        names = {"_start": lambda a: "conv_in", "_finish": lambda a: "norm, conv_out, pixels"}
        names["_run_stage"] = lambda a: f"stage {a[1]}"
        for method, name in names.items():
            wrap(decoder, method, name, events)
        whole_ms = once_ms(lambda: list(decoder.decode(self.latents)))
        torch.cuda.synchronize()
        total = 0.0
        for name, pairs in events.items():
            ms = sum(begin.elapsed_time(end) for begin, end in pairs)
            total += ms
            print(f"{name:30} {ms:9.1f} ms in {len(pairs)} calls")
        print(f"{'the rest':30} {whole_ms - total:9.1f} ms of {whole_ms:.1f}")
        host_s = time.perf_counter()
        chunks = [None for _ in decoder.decode_samples(self.latents)]
        host_s = time.perf_counter() - host_s
        torch.cuda.synchronize()
        print(f"launching alone: {host_s:.3f} s of host time for {len(chunks)} chunks")

    def _large(self, best: StreamOptions) -> None:
        latents = draw_latents(self.vae, self.arguments.frames, 720, 1280)
        options = dataclasses.replace(best, frames_per_step=1, spare_steps=1)
        decoder = StreamingDecoder(self.vae, dtype=torch.bfloat16, options=options)
        counted = decoder.memory_bytes(height=720, width=1280) / 2**30
        free()
        before = torch.cuda.memory_allocated() / 2**30
        first_ms = once_ms(lambda: list(decoder.decode(latents)))
        torch.cuda.reset_peak_memory_stats()
        ms = once_ms(lambda: list(decoder.decode(latents)))
        peak = torch.cuda.max_memory_allocated() / 2**30
        print(
            f"720x1280: {ms / 1000:.3f} s (first {first_ms / 1000:.3f}), {peak - before:.2f} GiB "
            f"beyond the weights ({counted:.2f} counted without cuDNN's workspaces)"
        )

    def _profile(self, best: StreamOptions) -> None:
        decoder = StreamingDecoder(self.vae, dtype=torch.bfloat16, options=best)
        latents = self.latents[:, :, :9]
        list(decoder.decode(latents))
        activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities) as profile:
            list(decoder.decode(latents))
            torch.cuda.synchronize()
        table = profile.key_averages().table(
            sort_by="self_device_time_total", row_limit=20, max_name_column_width=90
        )
        print(table)


HEADER = (
    f"{'':44} {'first s':>8} {'median s':>8} {'best s':>8} {'peak GiB':>8} against float32 library"
)


def build_vae() -> Any:
    """Return the full-size VAE in float32, its pictures scaled to use their range."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    torch.manual_seed(0)
    with torch.device("cuda"):
        vae: Any = AutoencoderKLWan(latents_mean=list(MEAN), latents_std=list(STD)).eval()
    vae.requires_grad_(False)
    vae.encoder = None
    small = data_scale(draw_latents(vae, 1, 64, 64))
    with torch.inference_mode():
        deviation = vae.decode(small, return_dict=False)[0].std()
    vae.decoder.conv_out.weight.mul_(0.4 / float(deviation))
    return vae


def draw_latents(vae: Any, num_frames: int, height: int, width: int) -> torch.Tensor:
    """Return normalised latents (1, C, F, h, w) of the given frames."""
    shape = (1, vae.config.z_dim, (num_frames - 1) // 4 + 1, height // 8, width // 8)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).cuda()


def data_scale(latents: torch.Tensor) -> torch.Tensor:
    """Return what the library's ``decode`` takes."""
    mean, std = (torch.tensor(v, device="cuda").view(1, -1, 1, 1, 1) for v in (MEAN, STD))
    return latents / (1.0 / std) + mean


def compare(found: torch.Tensor, reference: torch.Tensor | None) -> str:
    """Return PSNR over the range of 2, largest error and relative L2 error."""
    if reference is None:
        return ""
    if found.dtype == torch.uint8:
        found = found.cuda().float() / 127.5 - 1
    num = top = square = total = 0.0
    for mine, theirs in zip(found.split(8), reference.split(8), strict=True):
        error = mine.float() - theirs.float()
        square += float(error.square().sum(dtype=torch.float64))
        total += float(theirs.float().square().sum(dtype=torch.float64))
        top = max(top, float(error.abs().max()))
        num += error.numel()
    if square == 0:
        return "the same"
    psnr = 10 * torch.log10(torch.tensor(4 * num / square))
    return f"{float(psnr):.1f} dB, max {top:.4f}, relative {(square / total) ** 0.5:.1e}"


def conv_out_times() -> None:
    """Time the last convolution, 96 channels to 3, with its outputs padded and not."""
    window = torch.randn(6, 480, 832, 96, device="cuda", dtype=torch.bfloat16)
    for outs in (3, 8, 16, 32):
        weight = torch.randn(outs, 96, 3, 3, 3, device="cuda", dtype=torch.bfloat16)
        weight = weight.contiguous(memory_format=torch.channels_last_3d)
        with autotuning(True):
            ms = milliseconds(
                lambda: F.conv3d(planes(window), weight, padding=(0, 1, 1))  # noqa: B023
            )
        print(f"{f'last convolution, {outs} outputs, 4 frames':50} {ms:9.3f}", flush=True)


def upsample_times() -> None:
    """Time doubling 4 frames of 240x416, 192 channels, with the convolution behind it."""
    x = torch.randn(4, 240, 416, 192, device="cuda", dtype=torch.bfloat16).permute(0, 3, 1, 2)
    weight = torch.randn(96, 192, 3, 3, device="cuda", dtype=torch.bfloat16)
    folded = kernels.upsample_weight(weight).contiguous(memory_format=torch.channels_last)
    weight = weight.contiguous(memory_format=torch.channels_last)
    ways = {
        "doubled": lambda: F.conv2d(
            F.interpolate(x, scale_factor=2.0, mode="nearest-exact"), weight, padding=1
        ),
        "folded (phases not joined)": lambda: F.conv2d(x, folded, padding=1),
    }
    for name, run in ways.items():
        with autotuning(True):
            print(f"{'upsampling 192 to 96, ' + name:50} {milliseconds(run):9.3f}", flush=True)


def planes(frames: torch.Tensor) -> torch.Tensor:
    """Return (n, H, W, C) as (1, C, n, H, W), the same memory."""
    return frames[None].permute(0, 4, 1, 2, 3)


def tiles_name(tiles: ConvTiles) -> str:
    """Return a short name for a table."""
    outs, channels = ("+".join(str(n) for n in pair if n) for pair in (tiles.outs, tiles.channels))
    kind = "" if tiles.has_descriptors else " pointers"
    return f"{tiles.rows}x{outs}x{channels} w{tiles.num_warps} s{tiles.num_stages}{kind}"


def milliseconds(run: Callable[[], Any], *, repeats: int = 5) -> float:
    """Return the median of some calls, by events, after two to warm up."""
    with torch.inference_mode():
        for _ in range(2):
            run()
        return statistics.median(once_ms(run) for _ in range(repeats))


def once_ms(run: Callable[[], Any]) -> float:
    """Return one call's milliseconds by events, and wait for it."""
    torch.cuda.synchronize()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def wrap(
    decoder: StreamingDecoder,
    method: str,
    name: Callable[[tuple[Any, ...]], str],
    events: dict[str, list[tuple[Any, Any]]],
) -> None:
    """Record events around a method of this one decoder."""
    inner = getattr(decoder, method)

    def timed(*given: Any) -> Any:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        result = inner(*given)
        end.record()
        events[name(given)].append((begin, end))
        return result

    setattr(decoder, method, timed)


@contextmanager
def autotuning(is_on: bool) -> Iterator[None]:
    """Let cuDNN measure its algorithms, or not."""
    was_on = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = is_on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = was_on


def guarded(name: str, run: Callable[[], Any]) -> Any:
    """Return what ``run`` returns; print why it failed and return None."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 -- one way that fails must not end the others
        last = traceback.extract_tb(error.__traceback__)[-1]
        print(f"{name}: failed: {type(error).__name__}: {str(error)[:300]} ({last.name})")
        free()
        return None


def free() -> None:
    """Give cached memory back, so that peaks are of one way alone."""
    gc.collect()
    torch.cuda.empty_cache()


def print_environment() -> None:
    """Print what the figures depend on."""
    properties = torch.cuda.get_device_properties(0)
    print(
        f"{properties.name}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, "
        f"{properties.total_memory / 2**30:.0f} GiB"
    )


if __name__ == "__main__":
    main()
