"""SDXL's UNet and image decoder at full size on one GPU: ``python -m benchmarks.sdxl_gpu``.

Random weights, made on the device. Times are medians with device events after warm-up; the first
calls (compiling kernels, choosing convolutions, capturing) are listed apart. What an option
computes is compared with float32 at 256 x 256 and with the library's half precision at full size.
An option that fails prints why and the rest goes on. Under three minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ourvidz.checkpoints.configs import SDXL_SCHEDULER, SDXL_UNET, SDXL_VAE
from ourvidz.models.schedulers import make_diffusion_scheduler
from ourvidz.models.sdxl import decode as slow_decode
from ourvidz.models.sdxl.fast import FastUnet
from ourvidz.models.sdxl.fast_vae import FastVae

_NUM_STEPS = 15
_TEXT_LENGTH = 77


@dataclass(kw_only=True)
class Row:
    """One line of the table."""

    name: str
    first_s: float | None = None  # of the first two calls
    seconds: float | None = None
    peak_gib: float | None = None
    error: str = ""
    text: str = ""  # of a line that is no time


@dataclass(kw_only=True)
class Table:
    """What was measured so far."""

    rows: list[Row] = field(default_factory=list)

    def measure(
        self, name: str, run: Callable[[], Any], *, repeats: int = 5, warm_ups: int = 2
    ) -> Any:
        """Run, time and list something; return its last result, or None where it failed."""
        row, result = Row(name=name), None
        self.rows.append(row)
        try:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            start_s = time.perf_counter()
            for _ in range(warm_ups):
                result = run()
            torch.cuda.synchronize()
            row.first_s = time.perf_counter() - start_s
            seconds = []
            for _ in range(repeats):
                result = None
                seconds.append(_time(lambda: run()))
            result = run()
            row.seconds = statistics.median(seconds)
            row.peak_gib = torch.cuda.max_memory_allocated() / 2**30
        except Exception as error:  # noqa: BLE001 - the other options are still to be measured
            traceback.print_exc()
            row.error = f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
        print(_line(row), flush=True)
        return result

    def note(self, name: str, text: str) -> None:
        """List something that is no time."""
        self.rows.append(Row(name=name, text=text))
        print(f"{name}: {text}", flush=True)


def main() -> None:
    """Measure everything, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--dtype", choices=["float16", "bfloat16"], default="float16")
    parser.add_argument("--parts", nargs="+", default=["errors", "unet", "profile", "vae", "job"])
    arguments = parser.parse_args()
    dtype = getattr(torch, arguments.dtype)
    print(torch.cuda.get_device_name(), torch.__version__, torch.backends.cudnn.version())
    table = Table()
    start_s = time.perf_counter()
    with torch.no_grad():
        unet, vae = _build_unet(), _build_vae()
        print(f"built in {time.perf_counter() - start_s:.1f} s")
        if "errors" in arguments.parts:
            unet = _errors(table, unet, dtype)
        unet = unet.to(dtype)
        _unets(table, unet, arguments)
        if "vae" in arguments.parts:
            _vaes(table, vae, arguments)
        if "job" in arguments.parts:
            _jobs(table, unet, vae, arguments)
    print(f"\n{arguments.images} images of {arguments.size}, {arguments.dtype}; seconds")
    for row in table.rows:
        print(_line(row))
    print(f"whole run: {time.perf_counter() - start_s:.0f} s")


def _build_unet() -> Any:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.utils import logging

    logging.set_verbosity_error()
    torch.manual_seed(0)
    config = {name: value for name, value in SDXL_UNET.items() if value is not None}
    with torch.device("cuda"):
        unet: Any = UNet2DConditionModel.from_config(config)
    return unet.eval()


def _build_vae() -> Any:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    torch.manual_seed(1)
    with torch.device("cuda"):
        vae: Any = AutoencoderKL.from_config(SDXL_VAE)
    return vae.eval()


def _inputs(batch_size: int, size: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator("cuda").manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device="cuda").to(dtype)

    return {
        "sample": noise(batch_size, 4, size // 8, size // 8),
        "text": noise(batch_size, _TEXT_LENGTH, 2048),
        "pooled": noise(batch_size, 1280),
        "time_ids": torch.tensor([[size, size, 0, 0, size, size]] * batch_size, device="cuda").to(
            dtype
        ),
    }


def _library(unet: Any, inputs: dict[str, torch.Tensor], timestep: torch.Tensor) -> torch.Tensor:
    return unet(
        inputs["sample"],
        timestep,
        encoder_hidden_states=inputs["text"],
        added_cond_kwargs={"text_embeds": inputs["pooled"], "time_ids": inputs["time_ids"]},
        return_dict=False,
    )[0]


def _context(model: FastUnet, inputs: dict[str, torch.Tensor]) -> Any:
    return model.text(inputs["text"], inputs["pooled"], inputs["time_ids"])


def _errors(table: Table, unet: Any, dtype: torch.dtype) -> Any:
    """Compare with float32 at 256 x 256; returns the UNet in half precision."""
    timestep = torch.tensor(501.0, device="cuda")
    conv_tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    truth = _library(unet, _inputs(2, 256, torch.float32), timestep)
    torch.backends.cudnn.allow_tf32 = conv_tf32
    unet = unet.to(dtype)
    inputs = _inputs(2, 256, dtype)

    def compare(name: str, predict: Callable[[], torch.Tensor]) -> None:
        try:
            table.note(f"error at 256: {name}", f"{_error(predict(), truth):.5f}")
        except Exception as error:  # noqa: BLE001 - the other options are still to be compared
            traceback.print_exc()
            table.note(f"error at 256: {name}", f"{type(error).__name__}: {error}"[:120])

    compare("library", lambda: _library(unet, inputs, timestep))
    # Ours turns a module's convolutions to channels-last, and the library is timed as it is.
    ours = copy.deepcopy(unet)
    for name, options in _options().items():

        def predict(options: dict[str, Any] = options) -> torch.Tensor:
            model = FastUnet(ours, use_graphs=False, **options)
            return model.predict(inputs["sample"], timestep, _context(model, inputs))

        compare(name, predict)
    return unet


def _options() -> dict[str, dict[str, Any]]:
    return {
        "exact": {},
        "exact, convs by heuristics": {"benchmark_convs": False},
        "high": {"fidelity": "high"},
    }


def _unets(table: Table, unet: Any, arguments: argparse.Namespace) -> None:
    timestep = torch.tensor(501.0, device="cuda")
    inputs = _inputs(2 * arguments.images, arguments.size, unet.dtype)
    pair = {name: value[:2] for name, value in inputs.items()}
    expected = None
    if "unet" in arguments.parts:
        # Before ours, which turns the module's convolutions to channels-last.
        expected = table.measure("unet: library eager", lambda: _library(unet, inputs, timestep))
        table.measure("unet, batch 2: library eager", lambda: _library(unet, pair, timestep))
    for name, options in _options().items():
        if "unet" not in arguments.parts:
            break
        with _freed():
            model = FastUnet(unet, **options)
            context = _context(model, inputs)
            found = table.measure(
                f"unet: {name}",
                lambda model=model, context=context: model.predict(
                    inputs["sample"], timestep, context
                ),
            )
            if found is not None and expected is not None:
                whole = f"{_error(found, expected):.5f} of the library's"
                table.note("  differs by", whole)
            if name in ("exact", "high"):
                context = _context(model, pair)
                few = table.measure(
                    f"unet, batch 2: {name}",
                    lambda model=model, context=context: model.predict(
                        pair["sample"], timestep, context
                    ),
                )
                if found is not None and few is not None:
                    change = _error(few, found[:2])
                    table.note("  batch 2 of batch 12 differs by", f"{change:.5f}")
            if "profile" in arguments.parts and name in ("exact", "high") and found is not None:
                context = _context(model, inputs)
                _profile(
                    f"unet: {name}",
                    lambda model=model, context=context: model.predict(
                        inputs["sample"], timestep, context
                    ),
                )
            del model, context, found
    if "unet" in arguments.parts:
        with _freed():
            model = FastUnet(unet, use_graphs=False)
            context = _context(model, inputs)
            table.measure(
                "unet: exact without graph",
                lambda: model.predict(inputs["sample"], timestep, context),
            )
            table.measure("text: keys and values of a job", lambda: _context(model, inputs))


def _vaes(table: Table, vae: Any, arguments: argparse.Namespace) -> None:
    generator = torch.Generator("cuda").manual_seed(2)
    side = arguments.size // 8
    latents = torch.randn(arguments.images, 4, side, side, generator=generator, device="cuda")
    latents = latents * vae.config.scaling_factor * 2
    truth = vae.decode(latents[:1] / vae.config.scaling_factor).sample

    def library(dtype: torch.dtype) -> Callable[[], list[torch.Tensor]]:
        half = _build_vae().to(dtype)
        return lambda: list(slow_decode.decode(vae=half, latents=latents))

    for name, dtype in (
        ("library float16 upcast", torch.float16),
        ("library bfloat16", torch.bfloat16),
    ):
        run = library(dtype)
        table.measure(f"vae: {name}", run, repeats=2, warm_ups=1)
    half = _build_vae().to(torch.bfloat16)
    scaled = (latents[:1] / vae.config.scaling_factor).bfloat16()
    table.note("  library bfloat16, PSNR", f"{_psnr(half.decode(scaled).sample, truth):.1f} dB")
    del half
    for name, options in {
        "ours": {},
        "ours, convs by heuristics": {"benchmark_convs": False},
    }.items():
        with _freed():
            model = FastVae(vae, **options)
            table.measure(
                f"vae: {name}", lambda model=model: list(model.decode(latents)), repeats=3
            )
            if name == "ours":
                quality = _psnr(model.decode_sample(latents[:1]), truth)
                table.note("  ours, PSNR", f"{quality:.1f} dB")
                table.measure(
                    "vae: ours, 2 at once",
                    lambda model=model: list(model.decode(latents, images_at_once=2)),
                    repeats=3,
                )
                if "profile" in arguments.parts:
                    _profile("vae: ours", lambda model=model: model.decode_uint8(latents[:1]))


def _jobs(table: Table, unet: Any, vae: Any, arguments: argparse.Namespace) -> None:
    """Noise to pixels on the host, both networks resident and warm; no text encoders, no PNG."""
    inputs = _inputs(2 * arguments.images, arguments.size, unet.dtype)
    decoder = FastVae(vae)
    for fidelity in ("exact", "high"):
        with _freed():
            model = FastUnet(unet, fidelity=fidelity)

            def run(model: FastUnet = model) -> Any:
                return _job(model, decoder, inputs, arguments.images)

            table.measure(f"job of {_NUM_STEPS} steps: {fidelity}", run, repeats=3, warm_ups=1)


def _job(model: FastUnet, decoder: FastVae, inputs: dict[str, torch.Tensor], num: int) -> Any:
    scheduler = make_diffusion_scheduler(
        "euler", num_inference_steps=_NUM_STEPS, config=SDXL_SCHEDULER
    )
    context = _context(model, inputs)
    latents = inputs["sample"][:num].float() * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(latents, timestep)
        uncond, cond = model.predict(scaled, timestep, context).float().chunk(2)
        guided = uncond + 6.0 * (cond - uncond)
        latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
    return list(decoder.decode(latents))


def _profile(name: str, run: Callable[[], Any], *, num_rows: int = 16) -> None:
    """Print the kernels that take the time of one run."""
    try:
        run()
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profiler:
            run()
            torch.cuda.synchronize()
        events = sorted(
            profiler.key_averages(), key=lambda event: event.device_time_total, reverse=True
        )
        total_us = sum(event.device_time_total for event in events)
        print(
            f"\n{name}: {total_us / 1e3:.1f} ms in {sum(event.count for event in events)} kernels"
        )
        for event in events[:num_rows]:
            share = event.device_time_total / total_us
            print(
                f"  {event.device_time_total / 1e3:8.2f} ms {share:5.1%} {event.count:5d}"
                f"  {event.key[:110]}"
            )
        print(flush=True)
    except Exception:  # noqa: BLE001 - a profiler that fails must not cost the measurements
        traceback.print_exc()


@contextlib.contextmanager
def _freed() -> Any:
    yield
    gc.collect()
    torch.cuda.empty_cache()


def _time(run: Callable[[], Any]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    found, expected = found.float(), expected.float()
    return ((found - expected).norm() / expected.norm()).item()


def _psnr(found: torch.Tensor, expected: torch.Tensor) -> float:
    """In dB of the expected image's own range (random weights do not reach -1 and 1)."""
    peak = expected.float().max() - expected.float().min()
    mse = (found.float() - expected.float()).square().mean()
    return (10 * torch.log10(peak.square() / mse)).item()


def _line(row: Row) -> str:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    if row.text:
        return f"{row.name:44} {row.text}"
    first, median = number(row.first_s, ".2f"), number(row.seconds, ".4f")
    peak = number(row.peak_gib, ".1f")
    return f"{row.name:44} first {first:>7} median {median:>8} peak {peak:>5} GiB {row.error}"


if __name__ == "__main__":
    main()
