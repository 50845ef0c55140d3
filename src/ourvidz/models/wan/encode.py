"""Prompts to conditioning, as WanPipeline makes it. Knows nothing of guidance or latents.

Shapes: B batch, T text length, D the text encoder's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ourvidz.core.prompts import clean_prompt as clean_prompt


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PromptEmbeds:
    """Conditioning of a list of prompts."""

    prompt_embeds: torch.Tensor  # (B, T, D), zero from each prompt's end to T
    num_tokens: tuple[int, ...]  # used of each prompt, the end token included
    num_truncated_tokens: tuple[int, ...]  # cut off each prompt; 0 when it fitted


def encode(
    prompts: Sequence[str],
    *,
    tokenizer: Any,
    text_encoder: Any,
    max_sequence_length: int = 512,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> PromptEmbeds:
    """Encode prompts (a negative prompt is just another prompt; the empty one is legal).

    Args:
        prompts: one or more; they run as one batch.
        tokenizer: from ``load_tokenizer``.
        text_encoder: from ``load_text_encoder``, on the device that shall do the work.
        max_sequence_length: T; longer prompts are cut there, the end token kept.
        device: where the result goes; the text encoder's device by default.
        dtype: of the result; the text encoder's by default.
    """
    cleaned = [clean_prompt(prompt) for prompt in prompts]
    inputs = tokenizer(
        cleaned,
        padding="max_length",
        max_length=max_sequence_length,
        truncation=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    whole = tokenizer(cleaned, verbose=False)["input_ids"]
    mask = inputs["attention_mask"]
    embeds = _run(text_encoder, inputs["input_ids"], mask)
    embeds = embeds.to(device=device or embeds.device, dtype=dtype or embeds.dtype)
    # The transformer has no mask on text: what it must not see has to be zero.
    embeds = embeds.masked_fill(mask.to(embeds.device)[..., None] == 0, 0)
    return PromptEmbeds(
        prompt_embeds=embeds,
        num_tokens=tuple(mask.sum(dim=1).tolist()),
        num_truncated_tokens=tuple(max(len(ids) - max_sequence_length, 0) for ids in whole),
    )


@torch.no_grad()
def _run(text_encoder: Any, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    device = text_encoder.device
    return text_encoder(input_ids.to(device), mask.to(device)).last_hidden_state
