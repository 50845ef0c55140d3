"""Measures what pocket-image makes, as `evaluate` does for pocket-video.

    python -m training.pocket.evaluate_image --model src/ourvidz/weights/pocket-image \\
        --out runs/images --cases sdxl_image_fast=500,sdxl_image_high=500,six_seeds=60,steps=100

`six_seeds` makes six pictures of each prompt from six seeds and measures whether all are right and
how much the two most alike of them differ, in pixels and in where the object is and how large.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from ourvidz.perf.quality.pocket import detector
from ourvidz.perf.quality.pocket.detector import Pixels
from training.pocket import common, judging, runner, sampling, sweeps
from training.pocket.bank import start_workers
from training.pocket.captions import DEFAULT_NEGATIVE_PROMPT
from training.pocket.judging import Judged, Prompt, Task
from training.pocket.sampling import PRECISIONS, Precision
from training.pocket.sweeps import Item

SYSTEM = "pocket-image"
SIX: Final = 6
SIX_SEEDS: Final = "six_seeds"
_SCHEDULERS: Final[dict[str, Any]] = {
    "euler": EulerDiscreteScheduler,
    "dpm": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
}


@dataclass(frozen=True, kw_only=True)
class ImageCase:
    """One way to sample; precision as in `sampling.Case`, float8 rounds the UNet's weights."""

    height: int = 128
    width: int = 128
    scheduler: str = "euler"
    steps: int = 15
    guidance: float = 6.0
    negative_prompt: str = DEFAULT_NEGATIVE_PROMPT
    precision: Precision = "float32"

    @property
    def notes(self) -> str:
        """The settings in words."""
        return (
            f"{self.width}x{self.height}, {self.scheduler}, {self.steps} steps, "
            f"guidance {self.guidance:g}, {self.precision}"
        )


_FAST: Final = ImageCase()
CASES: Final[dict[str, ImageCase]] = {
    "sdxl_image_fast": _FAST,
    "sdxl_image_high": ImageCase(steps=25, guidance=7.5),
    "sdxl_empty_negative": ImageCase(negative_prompt=""),
    SIX_SEEDS: _FAST,
}
FAMILIES: Final[dict[str, dict[str, ImageCase]]] = {
    "steps": {f"{n} steps": replace(_FAST, steps=n) for n in sweeps.STEPS},
    "scheduler": {
        f"{name} {n} steps": replace(_FAST, scheduler=name, steps=n)
        for name in _SCHEDULERS
        for n in sweeps.SCHEDULER_STEPS
    },
    "guidance": {f"guidance {g:g}": replace(_FAST, guidance=g) for g in sweeps.GUIDANCES},
    "precision": {name: replace(_FAST, precision=name) for name in PRECISIONS},
    "size": {
        f"{w}x{h}": replace(_FAST, width=w, height=h)
        for w, h in ((64, 64), (96, 96), (112, 112), (128, 128), (160, 160), (160, 96), (96, 160))
    },
}


class Maker:
    """The pipeline in the precision that each case asks for, loaded once a change."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self._pipeline: Any = None
        self._precision: Precision = "float32"

    def at(self, precision: Precision) -> Any:
        """The pipeline in one precision; its VAE stays in float32, as the engine keeps it."""
        if self._pipeline is None or precision != self._precision:
            pipeline: Any = StableDiffusionXLPipeline.from_pretrained(
                self.folder, dtype=sampling.dtype_of(precision), add_watermarker=False
            )
            pipeline.vae.to(torch.float32)
            if precision == "float8":
                sampling.round_to_float8(pipeline.unet)
            self._pipeline, self._precision = pipeline.to(self.device), precision
        return self._pipeline

    def fits(self, text: str) -> bool:
        """Whether both text encoders read a text to its end."""
        pipeline = self.at(self._precision)
        pair = (pipeline.tokenizer, pipeline.tokenizer_2)
        return all(len(t(text, verbose=False).input_ids) <= t.model_max_length for t in pair)

    def prompts(self, item: Item[ImageCase], *, seed: int) -> list[Prompt]:
        """The prompts of an item."""
        if item.own:
            found = judging.own_prompts(item.count, video=False)
            return [prompt for prompt in found if self.fits(prompt.text)]
        return judging.held_out_prompts(item.count, video=False, seed=seed, fits=self.fits)

    @torch.inference_mode()
    def make(self, case: ImageCase, prompts: Sequence[str], seeds: Sequence[int]) -> Pixels:
        """Makes pictures: uint8 [B, 1, H, W, 3]; what the library's pipeline does, in batches.

        Latents, guidance and scheduler stay in float32 whatever the networks' precision.
        """
        pipeline = self.at(case.precision)
        unet, vae = pipeline.unet, pipeline.vae
        inputs = _conditions(pipeline, case, list(prompts), self.device)
        scheduler = _SCHEDULERS[case.scheduler].from_config(pipeline.scheduler.config)
        scheduler.set_timesteps(case.steps, device=self.device)
        shape = (common.config_of(vae).latent_channels, case.height // 8, case.width // 8)
        latents = sampling.noise(shape, seeds, self.device) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            twice = scheduler.scale_model_input(torch.cat([latents] * 2), t).to(unet.dtype)
            both = unet(twice, t, return_dict=False, **inputs)[0].float()
            unguided, guided = both.chunk(2)
            if case.guidance > 1:
                guided = unguided + case.guidance * (guided - unguided)
            latents = scheduler.step(guided, t, latents, return_dict=False)[0]
        pixels = vae.decode(_unscaled(vae, latents), return_dict=False)[0]
        pixels = (pixels / 2 + 0.5).clamp(0, 1).nan_to_num() * 255
        return pixels.round().byte().permute(0, 2, 3, 1)[:, None].cpu().numpy()


def _conditions(
    pipeline: Any, case: ImageCase, prompts: list[str], device: torch.device
) -> dict[str, Any]:
    """What the UNet takes besides latents, unguided half first."""
    negative = [case.negative_prompt] * len(prompts) if case.negative_prompt else None
    cond, uncond, pooled, unpooled = pipeline.encode_prompt(
        prompts, device=device, do_classifier_free_guidance=True, negative_prompt=negative
    )
    ids = [[case.height, case.width, 0, 0, case.height, case.width]] * (2 * len(prompts))
    return {
        "encoder_hidden_states": torch.cat([uncond, cond]),
        "added_cond_kwargs": {
            "text_embeds": torch.cat([unpooled, pooled]),
            "time_ids": torch.tensor(ids, device=device, dtype=cond.dtype),
        },
    }


def _unscaled(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents of the data's scale."""
    mean, std = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is None or std is None:
        return latents / vae.config.scaling_factor
    mean, std = (torch.tensor(v).view(1, -1, 1, 1).to(latents) for v in (mean, std))
    return latents * std / vae.config.scaling_factor + mean


def _differences(frames: Sequence[Pixels]) -> dict[str, float]:
    """How much the two most alike of several pictures differ, in pixels and in their objects.

    The mean absolute difference of pixels is of 255; the object's is the larger of the distance of
    the centres and twice the difference of the radii, as a share of the shorter side.
    """
    pixels = [
        float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())
        for a, b in itertools.combinations(frames, 2)
    ]
    numbers = {"smallest_pixel_difference": min(pixels)}
    things = [detector.look(f[0])[1] for f in frames]
    if all(things):
        numbers["smallest_object_difference"] = min(
            max(
                float(np.hypot(a[0].x - b[0].x, a[0].y - b[0].y)),
                2 * abs(a[0].radius - b[0].radius),
            )
            for a, b in itertools.combinations(things, 2)
        )
    return numbers


def six_seeds(
    maker: Maker,
    item: Item[ImageCase],
    *,
    out: Path,
    seed: int,
    batch: int,
    pool: Pool | None = None,
) -> None:
    """Makes six pictures of each prompt, seeds in a row, and judges each group of six."""
    prompts = maker.prompts(item, seed=seed)
    rows = [(p, SIX * i + k + seed) for i, p in enumerate(prompts) for k in range(SIX)]

    def make(texts: Sequence[str], seeds: Sequence[int]) -> Pixels:
        return maker.make(item.case, texts, seeds)

    frames = sampling.in_batches(make, [p.text for p, _ in rows], [s for _, s in rows], batch)
    (out / item.label).mkdir(parents=True, exist_ok=True)
    tasks = [
        Task(prompt=p, frames=f, path=out / item.label / f"{i // SIX:04d}-{i % SIX}.png")
        for i, ((p, _), f) in enumerate(zip(rows, frames, strict=True))
    ]
    each = map(judging.judge_task, tasks) if pool is None else pool.map(judging.judge_task, tasks)
    verdicts = list(each)
    groups = [frames[SIX * i : SIX * (i + 1)] for i in range(len(prompts))]
    apart = map(_differences, groups) if pool is None else pool.map(_differences, groups)
    lines: list[Judged] = []
    for i, (prompt, alike) in enumerate(zip(prompts, apart, strict=True)):
        found = verdicts[SIX * i : SIX * (i + 1)]
        lines.append(
            Judged(
                case=item.label,
                system=SYSTEM,
                prompt=prompt.text,
                seed=SIX * i + seed,
                verdict={name: all(v[name] for v in found) for name in found[0]},
                numbers=alike,
                aside={"different": alike["smallest_pixel_difference"] > 1.0},
                prefix="six",
                notes=f"{item.case.notes}, six seeds a prompt, held-out prompts",
                file=tasks[SIX * i].path.relative_to(out).as_posix(),
            )
        )
    judging.append(out / judging.VERDICTS_FILE, lines)
    print(judging.table(judging.results_of(lines)), flush=True)


def main() -> None:
    """Runs the cases that were asked for."""
    known = (*CASES, *FAMILIES)
    parser = runner.arguments(
        "Measure what pocket-image shows.", cases="sdxl_image_fast,six_seeds=20", known=known
    )
    options = parser.parse_args()
    items = sweeps.items_of(
        options.cases,
        cases=CASES,
        families=FAMILIES,
        count=options.count,
        own=options.prompts == "own",
    )
    if options.steps:
        items = [replace(i, case=replace(i.case, steps=options.steps)) for i in items]
    pool = start_workers(options.workers)
    maker = Maker(options.model, runner.device())
    running = runner.Runner(
        options.out,
        system=SYSTEM,
        make=maker.make,
        prompts=lambda item: maker.prompts(item, seed=options.seed),
        pool=pool,
        batch=options.batch,
        seed=options.seed,
        budget_s=options.budget_seconds,
    )
    mine = sweeps.every_nth(items, options.only)
    for item in mine:
        if item.label != SIX_SEEDS:
            running.step(item)
        elif not running.is_late(item.label):
            six_seeds(
                maker, item, out=options.out, seed=options.seed, batch=options.batch, pool=pool
            )
    running.drain()
    runner.end(options.out, suite="pocket-image", record=options.record, draw=not options.no_sheets)


if __name__ == "__main__":
    main()
