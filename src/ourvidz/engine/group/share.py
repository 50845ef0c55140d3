"""One rank's part of a job: the same code on the leader and on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ourvidz.engine.group.plan import ForwardPlan, ForwardWork
from ourvidz.engine.group.ranks import Ranks
from ourvidz.models.wan.fast import FastWan, Text
from ourvidz.models.wan.sequence import runs_of
from ourvidz.models.wan.stripes import Stripe


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one prediction is worked out from."""

    latents: torch.Tensor  # (B, C, F, H, W) float32, the same on all ranks
    timestep: torch.Tensor  # [] float32
    texts: Sequence[Text]
    is_batched: bool


def send_step(
    ranks: Ranks, latents: torch.Tensor, timestep: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the others what a step is worked out from; return it as they have it."""
    packed = torch.cat([latents.reshape(-1), timestep.reshape(1).to(latents)])
    ranks.broadcast(packed)
    return latents, packed[-1]


def take_step(ranks: Ranks, shape: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what ``send_step`` sends: latents of ``shape`` and a timestep."""
    num_values = int(torch.Size(shape).numel())
    packed = torch.empty(num_values + 1, device=ranks.device)
    ranks.broadcast(packed)
    return packed[:-1].view(tuple(shape)), packed[-1]


def work_of(predictor: FastWan, step: Step) -> ForwardWork:
    """Return what a prediction takes."""
    config = predictor.config
    return ForwardWork(
        num_tokens=predictor.num_tokens(step.latents),
        num_heads=config.num_attention_heads,
        width=config.num_attention_heads * config.attention_head_dim,
        ffn_width=config.ffn_dim,
        num_layers=config.num_layers,
        num_texts=len(step.texts),
        items=step.latents.shape[0],
        bytes_per_value=predictor.dtype.itemsize,
        are_texts_together=predictor.runs_together(len(step.texts), is_batched=step.is_batched),
    )


@torch.inference_mode()
def predict(ranks: Ranks, predictor: FastWan, plan: ForwardPlan, step: Step) -> list[torch.Tensor]:
    """Work out our part, exchange, and return the velocities of all texts on every rank."""
    texts = step.texts
    if plan.branches > 1:
        branch = plan.branch_of(ranks.rank)
        texts = texts[branch : branch + 1]
    parts = predictor.parts(
        step.latents,
        step.timestep,
        texts,
        is_batched=step.is_batched,
        shard=ranks.shard(plan, predictor.config.num_attention_heads),
    )
    # Tokens first, so that ranks differ in the first dimension only.
    own = torch.stack(parts).permute(2, 0, 1, 3).contiguous()
    runs = runs_of(predictor.num_tokens(step.latents), plan.shards)
    lengths = [run.stop - run.start for run in runs] * plan.branches
    found = ranks.gather(own, lengths)
    branches = [
        torch.cat(found[start : start + plan.shards]) for start in range(0, plan.size, plan.shards)
    ]
    whole = torch.cat(branches, dim=1)  # (L, texts, B, channels)
    return [predictor.velocity_of(rows.transpose(0, 1), step.latents) for rows in whole.unbind(1)]


def stripe_of(ranks: Ranks) -> Stripe:
    """Return which lines of a clip are ours."""
    return Stripe(group=None, rank=ranks.rank, size=ranks.size)
