"""Trains the video VAE of pocket-video on clips drawn on the fly.

    python -m training.pocket.vae --out runs/vae --max-seconds 540
    torchrun --nproc-per-node 4 -m training.pocket.vae --out runs/vae --max-seconds 300

Called again with the same folder, it goes on where it stopped, until `--total-seconds` of training
are spent. The folder then holds `checkpoint.pt`, `curves.jsonl`, `export/` (the library's layout,
average weights, half precision, measured latent statistics) and `reconstructions.png`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, WanResidualBlock
from PIL import Image
from torch import Tensor, nn

from training.pocket import common, wan_vae
from training.pocket.world import Placement, draw, place, sample_scene


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of training batch: pixels and clips per device."""

    num_frames: int
    height: int
    width: int
    batch: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the result depends on.

    Attributes:
        stages: (share of training time at which it begins, batch shape): single frames come
            first, because colours and edges are learned from them at a tenth of the cost; whole
            clips last, at the size that is shown.
        object_weight: Extra weight of pixels that differ from the frame's corner. Objects cover
            a tenth of a frame; without it their colours came out wrong after 2,800 steps.
        square_weight: Of the squared error: it is what a wrong colour costs most in.
        kl_weight: Per latent value, against a mean absolute error per pixel value. Small, as in
            latent diffusion models at large, only to keep latents bounded and smooth.
        latent_noise: Standard deviation of noise on latents while decoding, in units of theirs:
            the decoder will meet latents that a sampler made.
    """

    base_dim: int = 24
    z_dim: int = 8
    dim_mult: tuple[int, ...] = (1, 2, 3, 3)
    stages: tuple[tuple[float, Shape], ...] = (
        (0.0, Shape(num_frames=1, height=160, width=96, batch=48)),
        (0.3, Shape(num_frames=33, height=160, width=96, batch=6)),
    )
    learning_rate: float = 2e-3
    object_weight: float = 3.0
    square_weight: float = 2.0
    kl_weight: float = 1e-4
    latent_noise: float = 0.03
    edge_weight: float = 0.3
    first_frame_weight: float = 0.3
    clip_gradient: float = 1.0
    ema: float = 0.998
    scenes: int = 60_000
    seed: int = 7


def build(settings: Settings) -> AutoencoderKLWan:
    """The untrained module, of the library's class."""
    flat = [0.0] * settings.z_dim
    vae = AutoencoderKLWan(
        base_dim=settings.base_dim,
        z_dim=settings.z_dim,
        dim_mult=list(settings.dim_mult),
        num_res_blocks=1,
        latents_mean=flat,
        latents_std=[1.0] * settings.z_dim,
    )
    for module in vae.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            _initialise(module)
        if isinstance(module, WanResidualBlock):
            module.conv2.weight.data *= 0.1  # residual branches begin small
    return vae


@torch.no_grad()
def _initialise(conv: nn.Conv2d | nn.Conv3d) -> None:
    """Unit gain for single frames; clips begin as frames that do not see each other."""
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    if conv.weight.dim() != 5 or conv.kernel_size[0] != 3:
        return
    if conv.kernel_size[1] == 1:  # between frame rates: begin as repetition or selection
        outs, ins = conv.weight.shape[:2]
        conv.weight.mul_(0.1)
        conv.weight[:, :, -1, 0, 0] += torch.eye(ins).repeat(outs // ins, 1)
        return
    conv.weight[:, :, :-1] = 0
    conv.weight.mul_(math.sqrt(3))


def _edges(error: Tensor) -> Tensor:
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    return down + across


def loss_of(
    vae: AutoencoderKLWan, pixels: Tensor, settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of one batch of clips [B, 3, F, H, W] in -1..1.

    Returns:
        The loss, and for the curves the mean squared error (of clamped pixels) and the KL term.
    """
    mean, log_variance = wan_vae.encode(vae, pixels)
    mean, log_variance = mean.float(), log_variance.float()
    noise = torch.randn_like(mean) * (0.5 * log_variance).exp()
    spread = mean.detach().std()
    latents = mean + noise + settings.latent_noise * spread * torch.randn_like(mean)
    out = wan_vae.decode(vae, latents).float()
    error = out - pixels.float()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    corner = pixels[..., :1, :1].float()
    differs = (pixels.float() - corner).abs().sum(1, keepdim=True) > 0.1
    weight = 1 + settings.object_weight * differs
    each = weight * (error.abs() + settings.square_weight * error.square())
    loss = each.mean() + settings.edge_weight * _edges(error)
    loss = loss + settings.first_frame_weight * each[:, :, :1].mean()
    squared = (out.clamp(-1, 1) - pixels.float()).square().mean()
    return loss + settings.kl_weight * kl, squared.detach(), kl.detach()


def scene_bank(count: int, seed: int, *, held_out: bool = False) -> Placement:
    """Placements of moving clips, still clips and single frames (two objects among them)."""
    rng = random.Random(seed)
    scenes = [sample_scene(rng, video=rng.random() < 0.8, held_out=held_out) for _ in range(count)]
    return place(scenes, rng)


def draw_batch(bank: Placement, shape: Shape, generator: torch.Generator) -> Tensor:
    """Draws one batch of clips at random pace: [B, 3, F, H, W] in -1..1."""
    device = bank.centre.device
    count = bank.shape.shape[0]
    index = torch.randint(count, (shape.batch,), generator=generator, device=device)
    # Short clips show a part of the way, at up to four times the pace of whole ones.
    span = (shape.num_frames - 1) / 32
    pace = 1 + 3 * torch.rand(shape.batch, 1, generator=generator, device=device)
    span = (span * pace).clamp(max=1.0)
    start = torch.rand(shape.batch, 1, generator=generator, device=device) * (1 - span)
    steps = torch.linspace(0, 1, shape.num_frames, device=device)
    return draw(
        bank.take(index),
        num_frames=shape.num_frames,
        height=shape.height,
        width=shape.width,
        times=start + span * steps,
    )


def psnr(squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of pixels in -1..1."""
    return float(10 * np.log10(4 / max(squared_error, 1e-12)))


@torch.no_grad()
def latent_statistics(
    vae: AutoencoderKLWan, bank: Placement, *, batches: int, shape: Shape
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel, single frames weighted a quarter."""
    generator = torch.Generator(bank.centre.device).manual_seed(1)
    one = Shape(num_frames=1, height=shape.height, width=shape.width, batch=shape.batch * 4)
    moments = []
    for kind in (shape, shape, shape, one):
        rows = []
        for _ in range(batches):
            pixels = draw_batch(bank, kind, generator)
            z = wan_vae.encode(vae, pixels)[0].float().transpose(0, 1).flatten(1)
            rows.append(torch.stack((z.mean(1), z.square().mean(1))))
        moments.append(torch.stack(rows).mean(0))
    mean, square = torch.stack(moments).mean(0).double()
    return mean.tolist(), (square - mean.square()).sqrt().tolist()


@torch.no_grad()
def evaluate(
    vae: AutoencoderKLWan, *, batches: int, shape: Shape, device: torch.device
) -> dict[str, float]:
    """Reconstruction quality on held-out scenes: PSNR in dB of clips and of single frames."""
    bank = scene_bank(batches * shape.batch * 4, 99, held_out=True).to(device)
    generator = torch.Generator(device).manual_seed(2)
    one = Shape(num_frames=1, height=shape.height, width=shape.width, batch=shape.batch * 4)
    result = {}
    for name, kind in (("clip", shape), ("frame", one)):
        errors = []
        for _ in range(batches):
            pixels = draw_batch(bank, kind, generator)
            out = wan_vae.decode(vae, wan_vae.encode(vae, pixels)[0]).clamp(-1, 1)
            errors.append(float((out.float() - pixels).square().mean()))
        result[f"psnr_{name}_db"] = psnr(float(np.mean(errors)))
    return result


@torch.no_grad()
def reconstruction_sheet(
    vae: AutoencoderKLWan, path: Path, *, shape: Shape, device: torch.device
) -> None:
    """Saves truth above reconstruction for a few held-out clips, five frames of each."""
    bank = scene_bank(64, 123, held_out=True).to(device)
    kind = Shape(num_frames=shape.num_frames, height=shape.height, width=shape.width, batch=8)
    pixels = draw_batch(bank, kind, torch.Generator(device).manual_seed(3))
    out = wan_vae.decode(vae, wan_vae.encode(vae, pixels)[0]).clamp(-1, 1).float()
    shown = torch.linspace(0, shape.num_frames - 1, 5).long().tolist()
    pairs = torch.cat((pixels[:, :, shown], out[:, :, shown]), dim=3)  # [8, 3, 5, 2H, W]
    image = pairs.permute(0, 3, 2, 4, 1).reshape(8, 2 * shape.height, 5 * shape.width, 3)
    rows = torch.cat((image[:4].flatten(0, 1), image[4:].flatten(0, 1)), dim=1)
    Image.fromarray(((rows + 1) * 127.5).round().byte().cpu().numpy()).save(path)


def export(vae: AutoencoderKLWan, folder: Path, *, mean: list[float], std: list[float]) -> None:
    """Writes the library's layout in half precision, with the latents' statistics."""
    half = common.twin(vae)
    half.register_to_config(latents_mean=mean, latents_std=std)
    common.moved(half, torch.float16).save_pretrained(folder)


class Trainer:
    """State of one training run in one folder."""

    def __init__(self, out: Path, settings: Settings, budget: common.Budget) -> None:
        self.out, self.settings, self.budget = out, settings, budget
        self.processes = common.start_processes()
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(settings.seed)
        self.vae = common.moved(build(settings), self.processes.device)
        if self.processes.device.type == "cuda":
            for parameter in self.vae.parameters():
                if parameter.dim() == 5:
                    parameter.data = parameter.data.to(memory_format=torch.channels_last_3d)
                elif parameter.dim() == 4:
                    parameter.data = parameter.data.to(memory_format=torch.channels_last)
        self.parameters = list(self.vae.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.average = common.Average(self.vae, settings.ema)
        self.curves = common.Curves(out / "curves.jsonl")
        self.step = 0
        self._resume()

    def _resume(self) -> None:
        saved = common.load_checkpoint(self.out / "checkpoint.pt", self.processes.device)
        if saved is None:
            return
        self.vae.load_state_dict(saved["vae"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.load(saved["average"])
        self.step, self.budget.spent_s = saved["step"], saved["spent_s"]

    def save(self) -> None:
        """Writes the checkpoint (rank 0)."""
        if self.processes.is_main:
            state = {
                "vae": self.vae.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state(),
                "step": self.step,
                "spent_s": self.budget.all_s,
            }
            common.save_checkpoint(self.out / "checkpoint.pt", state)

    def _shape(self, progress: float) -> Shape:
        return [shape for begin, shape in self.settings.stages if progress >= begin][-1]

    def train(self, *, compiled: bool) -> None:
        """Trains until the budget is spent."""
        settings, device = self.settings, self.processes.device
        seed = settings.seed + 1000 * self.processes.rank + self.step
        bank = scene_bank(settings.scenes, seed).to(device)
        generator = torch.Generator(device).manual_seed(seed)
        torch.manual_seed(seed)
        measure: Callable[..., tuple[Tensor, Tensor, Tensor]] = loss_of
        if compiled:
            measure = torch.compile(loss_of, dynamic=False)
        eager = loss_of  # single frames: compiling costs more than it saves on so short a stage
        progress = common.told_by_main(min(self.budget.progress, 1.0), self.processes)
        logged = (0.0, 0)
        while not common.is_over(progress):
            rate = schedule_rate(settings, self.step, progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            shape = self._shape(progress)
            pixels = draw_batch(bank, shape, generator)
            if device.type == "cuda":
                pixels = pixels.to(torch.bfloat16, memory_format=torch.channels_last_3d)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                chosen = eager if shape.num_frames == 1 else measure
                loss, squared, kl = chosen(self.vae, pixels, settings)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.budget.step()
            progress = common.average_gradients(
                self.parameters, self.processes, self.budget.progress
            )
            torch.nn.utils.clip_grad_norm_(self.parameters, settings.clip_gradient)
            self.optimizer.step()
            self.average.update()
            self.step += 1
            if self.step % 50 == 0 and self.processes.is_main:
                now = self.budget.all_s
                pace = (now - logged[0]) / max(self.step - logged[1], 1)
                logged = (now, self.step)
                self.curves.add(
                    step=self.step,
                    elapsed_s=now,
                    loss=float(loss.detach()),
                    psnr_db=psnr(float(squared)),
                    kl=float(kl),
                    frames=shape.num_frames,
                    step_s=pace,
                )

    def finish(self, *, batches: int) -> dict[str, float]:
        """Saves the checkpoint, the export, a sheet and the measured quality (rank 0)."""
        self.save()
        if not self.processes.is_main:
            return {}
        device = self.processes.device
        self.average.swap()
        shape = self.settings.stages[-1][1]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            bank = scene_bank(4096, self.settings.seed + 5).to(device)
            mean, std = latent_statistics(self.vae, bank, batches=batches, shape=shape)
        export(common.moved(self.vae, device), self.out / "export", mean=mean, std=std)
        # Quality is measured as the product runs it: float32 arithmetic on half-precision weights.
        shown = AutoencoderKLWan.from_pretrained(self.out / "export")
        shown = common.moved(shown, device).eval()
        result = evaluate(shown, batches=batches, shape=shape, device=device)
        reconstruction_sheet(shown, self.out / "reconstructions.png", shape=shape, device=device)
        self.average.swap()
        self.curves.add(step=self.step, elapsed_s=self.budget.all_s, **result)
        record = {
            "settings": asdict(self.settings),
            "steps": self.step,
            "seconds": self.budget.all_s,
            "processes": self.processes.world_size,
            "environment": common.environment(),
            "parameters": common.parameter_count([self.vae]),
            "latents_mean": mean,
            "latents_std": std,
            **result,
        }
        (self.out / "record.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        return result


def smoke_settings() -> Settings:
    """Tiny sizes, to try every line on a CPU."""
    tiny = Shape(num_frames=5, height=32, width=32, batch=2)
    return Settings(base_dim=8, dim_mult=(1, 1, 2, 2), stages=((0.0, tiny),), scenes=64)


def schedule_rate(settings: Settings, step: int, progress: float) -> float:
    """Learning rate at a step and a share of training time."""
    return settings.learning_rate * common.schedule(step, progress)


def main() -> None:
    """Runs one call of training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    common.add_budget_options(parser, max_seconds=540)
    parser.add_argument("--no-compile", action="store_true", help="run the modules as they are")
    parser.add_argument(
        "--last-stage", action="store_true", help="whole clips only, to fill the compiler's cache"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to try the code")
    options = parser.parse_args()
    settings = smoke_settings() if options.smoke else Settings()
    if options.last_stage:
        settings = replace(settings, stages=((0.0, settings.stages[-1][1]),))
    budget = common.budget_of(options)
    trainer = Trainer(options.out, settings, budget)
    trainer.train(compiled=not options.no_compile)
    result = trainer.finish(batches=2 if options.smoke else 16)
    if trainer.processes.is_main:
        print(json.dumps({"steps": trainer.step, **result}))


if __name__ == "__main__":
    main()
