"""Trains pocket-image: Stable Diffusion XL's architecture in small, from nothing, on drawn frames.

    python -m training.pocket.image --out runs/image --max-seconds 480
    torchrun --nproc-per-node 2 -m training.pocket.image --out runs/image --max-seconds 300

First the VAE (a third of the time), then UNet and both text encoders together on its latents.
Called again with the same folder, it goes on where it stopped, until `--total-seconds` of training
are spent. The folder then holds `checkpoint.pt`, `curves.jsonl`, `record.json`, `sheet.png` (truth
above result) and `export/`: what `StableDiffusionXLPipeline.from_pretrained` loads, in float16,
average weights. Writing these takes some seconds beyond `--max-seconds`. `--max-seconds 0` exports
the untrained models; `--tiny` tries the code on a CPU. `--vae FOLDER` takes the VAE of an exported
checkpoint (its latents are standardised already), and all of the time goes to the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from training.pocket import common, image_data
from training.pocket.image_data import SECOND_PAD, Bank, Feed, Recipe
from training.pocket.image_nets import (
    SCALING_FACTOR,
    Models,
    encode_pixels,
    export,
    load_pipeline,
    standardise,
)
from training.pocket.image_noise import denoising_loss, noise_levels, noised, vae_loss
from training.pocket.image_settings import TINY, Settings, for_cpu, for_refinement
from training.pocket.image_sheets import save_sheet
from training.pocket.world import Placement, draw, place, sample_scene

CALL_OVER: Final = 2.0  # what `common.Budget.progress` says once the call's time is spent


def _channels_last(pixels: Tensor) -> Tensor:
    if pixels.device.type == "cuda":
        return pixels.contiguous(memory_format=torch.channels_last)
    return pixels


class Trainer:
    """State of one training run in one folder."""

    def __init__(
        self,
        out: Path,
        settings: Settings,
        budget: common.Budget,
        *,
        compiled: bool,
        vae: Path | None = None,
        init: Path | None = None,
    ) -> None:
        self.out, self.settings, self.budget = out, settings, budget
        self.processes = common.start_processes()
        self.device = self.processes.device
        out.mkdir(parents=True, exist_ok=True)
        self.models = Models(settings, self._tokenizers(init), self.device)
        if init is not None:
            self._adopt(init)
        self.vae_parameters = list(self.models.vae.parameters())
        self.parameters = [*self.models.unet.parameters(), *self.models.text.parameters()]
        on_gpu = self.device.type == "cuda"
        self.vae_optimizer = torch.optim.AdamW(
            self.vae_parameters,
            lr=settings.vae_rate,
            betas=(0.9, 0.98),
            weight_decay=1e-4,
            fused=on_gpu,
        )
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.rate, betas=(0.9, 0.98), weight_decay=1e-3, fused=on_gpu
        )
        self.vae_average = common.Average(self.models.vae, settings.vae_ema)
        self.drawn = nn.ModuleList((self.models.unet, self.models.text))
        self.average = common.Average(self.drawn, settings.ema)
        self.curves = common.Curves(out / "curves.jsonl")
        self.vae_done = False
        self.vae_steps = self.steps = 0
        self._resume()
        vae = vae or init
        if vae is not None and not self.vae_done:
            self._adopt_vae(vae)
        self.compiled = compiled
        self.sizes = ((settings.size, settings.size), *settings.other_sizes)
        seed = settings.seed * 10**6 + 10**5 * self.processes.rank
        seed += self.vae_steps + self.steps  # another part of the stream after a resume
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.recipe = Recipe(
            tokenizer=out / "tokenizer",
            rows=settings.chunk_rows,
            pair_share=settings.pair_share,
            captions=settings.captions,
        )
        self.seed = seed

    def _tokenizers(self, init: Path | None) -> tuple[CLIPTokenizer, CLIPTokenizer]:
        folder = self.out / "tokenizer"
        if self.processes.is_main and not (folder / "tokenizer.json").exists():
            if init is not None:  # the weights only understand their own pieces
                made = CLIPTokenizer.from_pretrained(init / "tokenizer")
            else:
                made = image_data.make_tokenizers(
                    vocabulary=self.settings.vocabulary, texts=self.settings.vocabulary_texts
                )[0]
            made.save_pretrained(folder)
        common.barrier()
        one = CLIPTokenizer.from_pretrained(folder)
        return one, CLIPTokenizer.from_pretrained(folder, pad_token=SECOND_PAD)

    def _resume(self) -> None:
        saved = common.load_checkpoint(self.out / "checkpoint.pt", self.device)
        if saved is None:
            return
        self.models.vae.load_state_dict(saved["vae"])
        self.drawn.load_state_dict(saved["drawn"])
        self.vae_optimizer.load_state_dict(saved["vae_optimizer"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.vae_average.load(saved["vae_average"])
        self.average.load(saved["average"])
        self.vae_done, self.vae_steps = saved["vae_done"], saved["vae_steps"]
        share = saved.get("vae_share", self.settings.vae_share)  # none where the VAE was given
        self.settings = replace(self.settings, vae_share=share)
        self.steps, self.budget.spent_s = saved["steps"], saved["spent_s"]

    def _adopt(self, checkpoint: Path) -> None:
        """Takes an exported checkpoint's UNet and text encoders."""
        unet: Any = UNet2DConditionModel.from_pretrained(
            checkpoint / "unet", torch_dtype=torch.float32
        )
        self.models.unet.load_state_dict(unet.state_dict())
        kinds = (CLIPTextModel, CLIPTextModelWithProjection)
        for encoder, kind, name in zip(
            self.models.text, kinds, ("text_encoder", "text_encoder_2"), strict=True
        ):
            other: Any = kind.from_pretrained(checkpoint / name, dtype=torch.float32)
            encoder.load_state_dict(other.state_dict())

    def _adopt_vae(self, checkpoint: Path) -> None:
        """Takes an exported checkpoint's VAE as finished, and its share of the time."""
        vae: Any = AutoencoderKL.from_pretrained(checkpoint / "vae", torch_dtype=torch.float32)
        self.models.vae.load_state_dict(vae.state_dict())
        self.settings = replace(self.settings, vae_share=0.0)
        self.vae_done = True

    def save(self) -> None:
        """Writes the checkpoint (rank 0)."""
        if not self.processes.is_main:
            return
        state = {
            "vae": self.models.vae.state_dict(),
            "drawn": self.drawn.state_dict(),
            "vae_optimizer": self.vae_optimizer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "vae_average": self.vae_average.state(),
            "average": self.average.state(),
            "vae_done": self.vae_done,
            "vae_share": self.settings.vae_share,
            "vae_steps": self.vae_steps,
            "steps": self.steps,
            "spent_s": self.budget.all_s,
        }
        common.save_checkpoint(self.out / "checkpoint.pt", state)

    def _size(self, step: int) -> tuple[int, int]:
        """The step's picture size, the same in every process."""
        rng = random.Random(self.settings.seed * 10**7 + step)
        is_other = rng.random() < self.settings.other_share
        return rng.choice(self.sizes[1:]) if is_other else self.sizes[0]

    def _autocast(self) -> torch.autocast:
        on_gpu = self.device.type == "cuda"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on_gpu)

    def _pixels(self, placed: Placement, size: tuple[int, int]) -> Tensor:
        pixels = draw(placed, num_frames=1, height=size[0], width=size[1])[:, :, 0]
        return _channels_last(pixels)

    def _take(self, scenes: Bank, rows: dict[str, np.ndarray]) -> None:
        scenes.add(**{name: torch.from_numpy(v).to(self.device) for name, v in rows.items()})

    @staticmethod
    def _placement(rows: dict[str, Tensor]) -> Placement:
        fields = {name: rows[name] for name in image_data.FIELDS}
        return Placement(
            **{n: v.float() if v.is_floating_point() else v for n, v in fields.items()}
        )

    def train(self) -> None:
        """Trains until the budget is spent."""
        if common.is_over(self._told(self.budget.progress)):
            return
        workers = (
            0 if self.settings.size < 64 else image_data.worker_count(self.processes.world_size)
        )
        feed = Feed(image_data.make_rows, self.recipe, seed=self.seed + 1, workers=workers)
        scenes = Bank(self.settings.bank_rows)
        self._take(scenes, image_data.make_rows(self.recipe, self.seed))  # workers need a while
        try:
            if not self.vae_done:
                self._train_vae(feed, scenes)
            if self.vae_done:
                self._train_unet(feed, scenes)
        finally:
            feed.close()

    def _train_vae(self, feed: Feed[Recipe, dict[str, np.ndarray]], scenes: Bank) -> None:
        settings, models = self.settings, self.models
        fast = torch.compile(vae_loss, dynamic=False) if self.compiled else vae_loss
        progress = self._told(self._vae_progress())
        squared = loss = torch.zeros(())
        while not common.is_over(progress):
            size = self._size(self.vae_steps)
            rows = scenes.sample(settings.vae_batch, self.generator)
            pixels = self._pixels(self._placement(rows), size)
            shape = (2, settings.vae_batch, 4, size[0] // 8, size[1] // 8)
            noise = torch.randn(shape, generator=self.generator, device=self.device)
            measure = fast if size == self.sizes[0] else vae_loss
            with self._autocast():
                loss, squared = measure(models.vae, pixels, noise, settings)
            rate = settings.vae_rate * common.schedule(self.vae_steps, progress)
            progress = self._update(
                loss, self.vae_parameters, self.vae_optimizer, rate, self._vae_progress
            )
            self.vae_average.update()
            self.vae_steps += 1
            chunk = feed.take(wait=False) if self.vae_steps % 20 == 0 else None
            if chunk is not None:
                self._take(scenes, chunk)
            self._log("vae", self.vae_steps, loss, mse=squared)
        # All processes were told the same number, so all of them agree on this.
        if progress < CALL_OVER:
            self._finish_vae(scenes)

    def _told(self, progress: float) -> float:
        """Rank 0's progress: each process's own clock would make rates and ends differ."""
        return common.told_by_main(progress, self.processes)

    def _vae_progress(self) -> float:
        """Share of the VAE's time that is spent, 0..1; `CALL_OVER` once the call is over."""
        progress = self.budget.progress
        return progress if progress >= CALL_OVER else min(progress / self.settings.vae_share, 1.0)

    def _update(
        self,
        loss: Tensor,
        parameters: list[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        rate: float,
        progress: Callable[[], float],
    ) -> float:
        """One optimiser step; returns rank 0's progress."""
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.budget.step()
        told = common.average_gradients(parameters, self.processes, progress())
        nn.utils.clip_grad_norm_(parameters, self.settings.clip_gradient)
        optimizer.step()
        return told

    def _log(self, stage: str, step: int, loss: Tensor, **values: Tensor) -> None:
        if step % 50 == 0 and self.processes.is_main:
            numbers = {name: float(value) for name, value in values.items()}
            elapsed = self.budget.all_s
            self.curves.add(
                stage=stage, step=step, elapsed_s=elapsed, loss=float(loss.detach()), **numbers
            )
        if step % 2000 == 0:
            self.save()

    @torch.no_grad()
    def _finish_vae(self, scenes: Bank) -> None:
        """Takes the average weights, standardises the latents and freezes the VAE."""
        self.vae_average.swap()
        total = torch.zeros(2, 4, dtype=torch.float64, device=self.device)
        batches = 8
        for _ in range(batches):
            rows = scenes.sample(self.settings.vae_batch, self.generator)
            mean, _ = self._encode(self._placement(rows), self.sizes[0])
            flat = mean.double().transpose(0, 1).flatten(1)
            total += torch.stack((flat.mean(1), flat.square().mean(1))) / batches
        total = common.sum_over_processes(total) / self.processes.world_size
        mean, std = total[0], (total[1] - total[0].square()).clamp_min(1e-8).sqrt()
        standardise(self.models.vae, mean.float(), std.float())
        self.vae_done = True
        self.save()

    def _encode(self, placed: Placement, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        with self._autocast():
            return encode_pixels(self.models.vae, self._pixels(placed, size))

    @torch.no_grad()
    def _add_latents(self, bank: Bank, rows: dict[str, Tensor], size: tuple[int, int]) -> None:
        """Draws and encodes rows, in slices that fit any device, into a bank."""
        placed, parts = self._placement(rows), []
        for at in range(0, rows["tokens"].shape[0], 1024):
            mean, log_variance = self._encode(placed.take(slice(at, at + 1024)), size)
            noise = torch.randn(mean.shape, generator=self.generator, device=self.device)
            parts.append(mean + noise * (0.5 * log_variance).exp())
        latents = (torch.cat(parts) * SCALING_FACTOR).half()
        bank.add(latents=latents.contiguous(), tokens=rows["tokens"])

    def _fill(
        self,
        banks: dict[tuple[int, int], Bank],
        feed: Feed[Recipe, dict[str, np.ndarray]],
        scenes: Bank,
    ) -> None:
        """First latents of every size: of scenes drawn so far, and of chunks until they do."""
        for _ in range(self.settings.first_chunks):
            if scenes.size >= self.settings.first_chunks * self.settings.chunk_rows:
                break
            chunk = feed.take(wait=True)
            if chunk is not None:
                self._take(scenes, chunk)
        held = scenes.newest()
        for number, (size, bank) in enumerate(banks.items()):
            rows = held
            if number > 0:
                count = min(scenes.size, self.settings.other_rows)
                rows = scenes.sample(count, self.generator)
            self._add_latents(bank, rows, size)

    def _refresh(
        self, banks: dict[tuple[int, int], Bank], feed: Feed[Recipe, dict[str, np.ndarray]]
    ) -> None:
        # Without worker processes a chunk is waited for, and so comes more rarely.
        chunk = feed.take(wait=feed.is_local and self.steps % 400 == 0)
        if chunk is None:
            return
        rows = {name: torch.from_numpy(v).to(self.device) for name, v in chunk.items()}
        others = self.sizes[1:]
        size = others[feed.made // 4 % len(others)] if feed.made % 4 == 0 else self.sizes[0]
        self._add_latents(banks[size], rows, size)

    def _train_unet(self, feed: Feed[Recipe, dict[str, np.ndarray]], scenes: Bank) -> None:
        settings, models = self.settings, self.models
        banks = {
            size: Bank(settings.bank_rows if i == 0 else settings.bank_rows // 8)
            for i, size in enumerate(self.sizes)
        }
        self._fill(banks, feed, scenes)
        levels = noise_levels().to(self.device)
        negatives = torch.from_numpy(
            image_data.unconditional_tokens(self.recipe.tokenizer, count=4096, seed=self.seed)
        ).to(self.device)
        fast = torch.compile(models.unet, dynamic=False) if self.compiled else models.unet
        progress = self._told(self._unet_progress())
        while not common.is_over(progress):
            size = self._size(10**6 + self.steps)
            rows = banks[size].sample(settings.batch, self.generator)
            mixed = noised(rows["latents"].float(), levels, settings, self.generator)
            mixed = replace(mixed, sample=_channels_last(mixed.sample))
            tokens, zeroed = self._conditioning(self._one_caption(rows["tokens"]), negatives)
            unet = fast if size == self.sizes[0] else models.unet
            with self._autocast():
                loss = denoising_loss(models, unet, mixed, tokens, zeroed, size)
            rate = settings.rate * common.schedule(self.steps, progress, warmup=300)
            progress = self._update(
                loss, self.parameters, self.optimizer, rate, self._unet_progress
            )
            self.average.update()
            self.steps += 1
            if self.steps % 40 == 0:
                self._refresh(banks, feed)
            self._log("unet", self.steps, loss, rate=torch.tensor(rate))

    def _unet_progress(self) -> float:
        share = self.settings.vae_share
        return max(self.budget.progress - share, 0.0) / (1 - share)

    def _one_caption(self, tokens: Tensor) -> Tensor:
        """One of each row's captions: [B, 77] of [B, K, 77]."""
        size, count = tokens.shape[:2]
        which = torch.randint(count, (size,), generator=self.generator, device=self.device)
        return tokens[torch.arange(size, device=self.device), which]

    def _conditioning(self, tokens: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Replaces some captions by unconditional ones: int64 [B, 77], and bool [B], all zeros."""
        rows = tokens.shape[0]
        chance = torch.rand(rows, generator=self.generator, device=self.device)
        pick = torch.randint(
            negatives.shape[0], (rows,), generator=self.generator, device=self.device
        )
        zero, negative = self.settings.zero_share, self.settings.negative_share
        replaced = (chance >= zero) & (chance < zero + negative)
        chosen = torch.where(replaced[:, None], negatives[pick], tokens)
        return chosen.long(), chance < zero

    @torch.no_grad()
    def reconstruction_psnr(self) -> float:
        """The VAE's quality on held-out scenes at the native size, in dB."""
        rng = random.Random(3)
        scenes = [sample_scene(rng, video=False, held_out=True) for _ in range(64)]
        placed = place(scenes, rng).to(self.device)
        pixels = self._pixels(placed, self.sizes[0])
        latents = encode_pixels(self.models.vae, pixels)[0]
        out = self.models.vae.decode(latents, return_dict=False)[0].clamp(-1, 1)
        return 10 * math.log10(4 / float((out - pixels).square().mean().clamp_min(1e-12)))

    def finish(self, *, pictures: int) -> dict[str, float]:
        """Saves the checkpoint, the export, a sheet of pictures and the record (rank 0)."""
        self.save()
        if not self.processes.is_main:
            return {}
        if not self.vae_done:
            self.vae_average.swap()
        self.average.swap()
        export(self.models, self.out / "export")
        result = {"psnr_db": self.reconstruction_psnr()}
        self.average.swap()
        if not self.vae_done:
            self.vae_average.swap()
        save_sheet(load_pipeline(self.out / "export", self.device), self.out, count=pictures)
        self.curves.add(stage="end", step=self.steps, elapsed_s=self.budget.all_s, **result)
        modules = {"vae": self.models.vae, "unet": self.models.unet, "text": self.models.text}
        record = {
            "settings": asdict(self.settings),
            "vae_steps": self.vae_steps,
            "unet_steps": self.steps,
            "seconds": self.budget.all_s,
            "processes": self.processes.world_size,
            "environment": common.environment(),
            "parameters": {n: common.parameter_count([m]) for n, m in modules.items()},
            **result,
        }
        (self.out / "record.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        return result


def main() -> None:
    """Runs one call of training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    common.add_budget_options(parser, max_seconds=480)
    parser.add_argument("--vae", type=Path, help="an exported checkpoint whose VAE to use")
    parser.add_argument("--init", type=Path, help="refine an exported checkpoint's weights")
    parser.add_argument("--cpu", action="store_true", help="small banks, to refine on a CPU")
    parser.add_argument("--pair-share", type=float, help="of pictures, 0..1")
    parser.add_argument("--batch", type=int, help="rows of a step of each process")
    parser.add_argument("--no-compile", action="store_true", help="run the modules as they are")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try the code")
    options = parser.parse_args()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch._dynamo.config.suppress_errors = True  # a graph that won't compile runs as it is
    budget = common.budget_of(options)
    compiled = not (options.no_compile or options.tiny) and torch.cuda.is_available()
    settings = TINY if options.tiny else Settings()
    settings = for_refinement(settings) if options.init else settings
    settings = for_cpu(settings) if options.cpu else settings
    settings = replace(
        settings,
        batch=options.batch or settings.batch,
        pair_share=options.pair_share or settings.pair_share,
    )
    trainer = Trainer(
        options.out, settings, budget, compiled=compiled, vae=options.vae, init=options.init
    )
    trainer.train()
    result = trainer.finish(pictures=8 if options.tiny else 48)
    if trainer.processes.is_main:
        steps = {"vae_steps": trainer.vae_steps, "unet_steps": trainer.steps}
        print(json.dumps({**steps, **result}))


if __name__ == "__main__":
    main()
