"""Trains the transformer and the text encoder of pocket-video together, from scratch.

    python -m training.pocket.video --out runs/video --max-seconds 540 --total-seconds 1600
    torchrun --nproc-per-node 4 -m training.pocket.video --out runs/video --vae FOLDER

The VAE comes first and gets a share of the time, in the folder's `vae/`; `--vae` takes an exported
one instead. Called again with the same folder, it goes on
where it stopped, until `--total-seconds` of training are spent. The folder then holds
`checkpoint.pt`, `curves.jsonl`, `record.json` and `export/`, the library's pipeline layout with
average weights in half precision.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from dataclasses import asdict, dataclass, replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Final

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from training.pocket import bank, common, tokenizer, wan_vae
from training.pocket import vae as vae_training
from training.pocket.video_nets import Bucket, Model, Settings, build, export
from training.pocket.world import draw

_SAVE_EVERY_S: Final = 120.0  # so that a lost machine loses two minutes
_VAE_SHARE: Final = 0.3  # of the training time, where the VAE is trained, too


@dataclass(frozen=True, kw_only=True)
class Latents:
    """A bucket's scenes, encoded: bfloat16 [N, z, f, h, w] (normalised), tokens int16 [N, K, L]."""

    values: Tensor
    tokens: Tensor


@torch.no_grad()
def encode_bucket(
    vae: AutoencoderKLWan, scenes: bank.Scenes, bucket: Bucket, device: torch.device
) -> Latents:
    """Draws and encodes all scenes of a bucket."""
    config = common.config_of(vae)
    mean = torch.tensor(config.latents_mean, device=device).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.latents_std, device=device).view(1, -1, 1, 1, 1)
    chunk = max(1, 16_000_000 // (bucket.num_frames * bucket.height * bucket.width))
    if device.type == "cpu":
        chunk = 4
    values = []
    for at in range(0, bucket.count, chunk):
        part = slice(at, at + chunk)
        placement = scenes.placement.take(part).to(device)
        times = scenes.moment[part, None].to(device) if bucket.num_frames == 1 else None
        pixels = draw(
            placement,
            num_frames=bucket.num_frames,
            height=bucket.height,
            width=bucket.width,
            times=times,
        )
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            if device.type == "cuda":
                pixels = pixels.to(torch.bfloat16, memory_format=torch.channels_last_3d)
            z = wan_vae.encode(vae, pixels)[0].float()
        values.append(((z - mean) / std).to(torch.bfloat16))
    return Latents(values=torch.cat(values), tokens=scenes.tokens.to(device))


def sample_sigmas(count: int, shift: float, device: torch.device) -> Tensor:
    """Noise levels [count] in 0..1: evenly spread, jittered, then shifted towards noise."""
    u = (torch.arange(count, device=device) + torch.rand(count, device=device)) / count
    u = u[torch.randperm(count, device=device)]
    return shift * u / (1 + (shift - 1) * u)


def loss_of(model: nn.Module, clean: Tensor, tokens: Tensor, *, shift: float) -> Tensor:
    """Flow-matching loss of one batch: mean squared error of the velocity.

    Args:
        model: `Model`.
        clean: Normalised latents [B, z, f, h, w].
        tokens: [B, L].
        shift: Of the noise levels.
    """
    sigma = sample_sigmas(clean.shape[0], shift, clean.device)
    at = sigma.view(-1, 1, 1, 1, 1)
    noise = torch.randn_like(clean)
    predicted = model((1 - at) * clean + at * noise, sigma, tokens)
    return (predicted - (noise - clean)).square().mean()


class Trainer:
    """State of one training run in one folder."""

    def __init__(
        self,
        out: Path,
        vae_folder: Path,
        settings: Settings,
        budget: common.Budget,
        *,
        init: Path | None = None,
    ) -> None:
        self.out, self.vae_folder = out, vae_folder
        self.settings, self.budget = settings, budget
        self.processes = common.start_processes()
        out.mkdir(parents=True, exist_ok=True)
        if self.processes.is_main and not (out / "tokenizer").exists():
            if init is None:
                made = tokenizer.wrap(tokenizer.train())
            else:  # the weights only understand their own pieces
                made = PreTrainedTokenizerFast.from_pretrained(init / "tokenizer")
            made.save_pretrained(out / "tokenizer")
        common.barrier()
        self.tokens = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
        torch.manual_seed(settings.seed)
        self.vae = AutoencoderKLWan.from_pretrained(vae_folder, torch_dtype=torch.float32)
        common.moved(self.vae, self.processes.device).eval().requires_grad_(requires_grad=False)
        parts = build(settings, latent_channels=common.config_of(self.vae).z_dim)
        if init is not None:
            for part, name in zip(parts, ("transformer", "text_encoder"), strict=True):
                other = type(part).from_pretrained(init / name, torch_dtype=torch.float32)
                part.load_state_dict(other.state_dict())
        self.model = Model(*parts).to(self.processes.device).train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        decayed = [p for p in self.parameters if p.dim() > 1]
        plain = [p for p in self.parameters if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed}, {"params": plain, "weight_decay": 0.0}],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=settings.weight_decay,
            fused=self.processes.device.type == "cuda",
        )
        self.average = common.Average(self.model, settings.ema)
        self.curves = common.Curves(out / "curves.jsonl")
        self.step = 0
        self.phases: dict[str, float] = {}
        self._resume()

    def _resume(self) -> None:
        saved = common.load_checkpoint(self.out / "checkpoint.pt", self.processes.device)
        if saved is None:
            return
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.load(saved["average"])
        self.step, self.budget.spent_s = saved["step"], saved["spent_s"]

    def save(self) -> None:
        """Writes the checkpoint (rank 0)."""
        if self.processes.is_main:
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state(),
                "step": self.step,
                "spent_s": self.budget.all_s,
            }
            common.save_checkpoint(self.out / "checkpoint.pt", state)

    def export(self, name: str) -> None:
        """Writes the averaged weights in the pipeline's layout (rank 0)."""
        if not self.processes.is_main:
            return
        self.average.swap()
        export(
            self.out / name,
            transformer=self.model.transformer,
            text_encoder=self.model.text_encoder,
            tokens=self.tokens,
            vae_folder=self.vae_folder,
        )
        self.average.swap()

    def fill_bank(self, pool: Pool | None) -> list[Latents]:
        """Makes this process's own scenes and encodes them."""
        begin = self.budget.elapsed_s
        tokenizer_file = self.out / "tokenizer" / "tokenizer.json"
        made = bank.make(
            [(b.count, b.num_frames > 1) for b in self.settings.buckets],
            captions=self.settings.captions,
            seed=self.settings.seed + 100 * self.processes.rank + 7 * self.step,
            tokenizer_file=tokenizer_file,
            pool=pool,
            pair_share=self.settings.pair_share,
        )
        latents = [
            encode_bucket(self.vae, scenes, bucket, self.processes.device)
            for bucket, scenes in zip(self.settings.buckets, made, strict=True)
        ]
        self.phases["bank_s"] = self.budget.elapsed_s - begin
        return latents

    def _batch(self, latents: Latents, size: int, null: Tensor) -> tuple[Tensor, Tensor]:
        device = self.processes.device
        row = torch.randint(len(latents.values), (size,), device=device)
        which = torch.randint(latents.tokens.shape[1], (size,), device=device)
        nothing = null[torch.randint(len(null), (size,), device=device)]
        is_null = torch.rand(size, device=device) < self.settings.null_share
        tokens = torch.where(is_null[:, None], nothing, latents.tokens[row, which])
        return latents.values[row].float(), tokens.long()

    def train(self, *, compiled: bool, pool: Pool | None) -> None:
        """Trains until the budget is spent."""
        settings, device = self.settings, self.processes.device
        held = self.fill_bank(pool)
        null = bank.unconditional_tokens(
            4096,
            seed=settings.seed + self.step,
            tokenizer_file=self.out / "tokenizer" / "tokenizer.json",
        ).to(device)
        common.barrier()
        if compiled:
            # One graph a batch shape and gradient mode, shared by all blocks.
            torch._dynamo.config.recompile_limit = 64
            torch._dynamo.config.suppress_errors = True  # a block that won't compile runs as is
            for block in (*self.model.transformer.blocks, *self.model.text_encoder.encoder.block):
                block.compile()
        choose = random.Random(settings.seed + self.step)  # the same buckets on every process
        shares = [b.share for b in settings.buckets]
        early = [b.early for b in settings.buckets]
        told: Tensor | None = None
        torch.manual_seed(settings.seed + 977 * self.processes.rank + self.step)
        progress = common.told_by_main(min(self.budget.progress, 1.0), self.processes)
        losses: dict[int, list[Tensor]] = {}
        logged = (self.budget.all_s, self.step)
        saved_s = self.budget.elapsed_s
        while not common.is_over(progress):
            rate = settings.learning_rate * common.schedule(self.step, progress, warmup=200)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            likely = early if progress < settings.early_until else shares
            at = choose.choices(range(len(shares)), likely)[0]
            clean, tokens = self._batch(held[at], settings.buckets[at].batch, null)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                loss = loss_of(self.model, clean, tokens, shift=settings.time_shift)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.budget.step()
            # What rank 0 told in the step before: reading this step's would wait for it.
            before_told, told = (
                told,
                common.average_gradients_ahead(
                    self.parameters, self.processes, self.budget.progress
                ),
            )
            if told is None:
                progress = self.budget.progress
            elif before_told is not None:
                progress = float(before_told)
            nn.utils.clip_grad_norm_(self.parameters, settings.clip_gradient)
            self.optimizer.step()
            self.average.update()
            self.step += 1
            losses.setdefault(settings.buckets[at].num_frames, []).append(loss.detach())
            if self.step % 100 == 0 and self.processes.is_main:
                now = self.budget.all_s
                mean = {
                    f"loss_{f}f": float(torch.stack(v).mean()) for f, v in sorted(losses.items())
                }
                pace = (now - logged[0]) / (self.step - logged[1])
                self.curves.add(step=self.step, elapsed_s=now, step_s=pace, lr=rate, **mean)
                logged, losses = (now, self.step), {}
            if self.budget.elapsed_s > saved_s + _SAVE_EVERY_S:
                saved_s = self.budget.elapsed_s
                self.save()
                self.export("export")

    def finish(self) -> None:
        """Saves the checkpoint, the export and the record (rank 0)."""
        self.save()
        if not self.processes.is_main:
            return
        self.export("export")
        modules = [self.model.transformer, self.model.text_encoder, self.vae]
        record = {
            "settings": asdict(self.settings),
            "steps": self.step,
            "seconds": self.budget.all_s,
            "phases": self.phases,
            "environment": common.environment(),
            "processes": self.processes.world_size,
            "parameters": {
                "transformer": common.parameter_count(modules[:1]),
                "text_encoder": common.parameter_count(modules[1:2]),
                "vae": common.parameter_count(modules[2:]),
            },
        }
        (self.out / "record.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def refining_settings(settings: Settings) -> Settings:
    """For `--init`: half the rate, and clips as often as at the end of training."""
    return replace(settings, learning_rate=settings.learning_rate / 2, early_until=0.0)


def smoke_settings() -> Settings:
    """Tiny sizes, to try every line on a CPU."""
    tiny = Bucket(num_frames=5, height=32, width=32, count=8, batch=4, early=0.3, share=0.5)
    frame = Bucket(num_frames=1, height=32, width=32, count=8, batch=4, early=0.7, share=0.5)
    return Settings(
        heads=2,
        head_dim=24,
        layers=2,
        ffn_dim=64,
        text_dim=32,
        text_layers=1,
        text_heads=2,
        text_ffn_dim=64,
        buckets=(tiny, frame),
        captions=2,
    )


def trained_vae(out: Path, budget: common.Budget, *, smoke: bool, compiled: bool) -> Path | None:
    """Trains the VAE as far as the call's time goes.

    Args:
        out: Its folder.
        budget: Of the VAE.
        smoke: Tiny sizes.
        compiled: Whether to compile.

    Returns:
        The exported folder, or None if another call has to go on.
    """
    settings = vae_training.smoke_settings() if smoke else vae_training.Settings()
    trainer = vae_training.Trainer(out, settings, budget)
    if budget.max_steps is not None or budget.spent_s < budget.total_s:
        trainer.train(compiled=compiled)
        trainer.finish(batches=2 if smoke else 16)
    is_done = common.told_by_main(float(budget.is_spent), trainer.processes)
    return out / "export" if is_done else None


def main() -> None:
    """Runs one call of training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--vae", type=Path, help="exported VAE to use; trained first if absent")
    common.add_budget_options(parser, max_seconds=540)
    parser.add_argument("--init", type=Path, help="refine an export's weights")
    parser.add_argument("--workers", type=int, help="CPU processes that write captions")
    parser.add_argument("--no-compile", action="store_true", help="run the modules as they are")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to try the code")
    options = parser.parse_args()
    settings = smoke_settings() if options.smoke else Settings()
    if options.init is not None:
        settings = refining_settings(settings)
    cores = (os.cpu_count() or 1) // int(os.environ.get("WORLD_SIZE", "1"))
    workers = options.workers if options.workers is not None else max(1, min(20, cores - 2))
    pool = bank.start_workers(workers)
    call = common.budget_of(options)
    total_s = call.total_s
    vae_folder = options.vae
    if vae_folder is None:
        vae_folder = trained_vae(
            options.out / "vae",
            replace(call, total_s=total_s * _VAE_SHARE),
            smoke=options.smoke,
            compiled=not options.no_compile,
        )
        total_s *= 1 - _VAE_SHARE
    if vae_folder is None:
        return
    budget = common.Budget(
        call_s=call.call_s - call.elapsed_s, total_s=total_s, max_steps=call.max_steps
    )
    trainer = Trainer(options.out, vae_folder, settings, budget, init=options.init)
    trainer.train(compiled=not options.no_compile, pool=pool)
    trainer.finish()
    if trainer.processes.is_main:
        print(json.dumps({"steps": trainer.step, "seconds": budget.all_s}))


if __name__ == "__main__":
    main()
