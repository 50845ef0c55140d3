"""Token by token generation as a generator, with the library's key-value cache.

Shapes: T text length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ourvidz.models.events import TokenEvent
from ourvidz.models.imports import library_imports
from ourvidz.models.qwen.config import Sampling


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What a finished run returned."""

    token_ids: tuple[int, ...]  # the new ones, the end token left out
    finish_reason: Literal["eos", "length"]  # length: cut at max_new_tokens


def eos_token_ids(model: Any) -> tuple[int, ...]:
    """Return the ids at which the model's own ``generation_config`` stops."""
    found = model.generation_config.eos_token_id
    if found is None:
        return ()
    return (found,) if isinstance(found, int) else tuple(found)


def generate(
    *,
    model: Any,
    input_ids: torch.Tensor,
    max_new_tokens: int,
    eos_token_ids: Sequence[int],
    sampling: Sampling | None = None,
    seed: int = 0,
) -> Generator[TokenEvent, None, Generation]:
    """Generate, yielding each token (the end token too) and returning the whole at the end.

    Equal to the library's ``model.generate`` with the same settings: greedy always, sampled on
    the CPU after ``torch.manual_seed(seed)``. The draw is made on the CPU on every device.

    Args:
        model: from ``load_model``.
        input_ids: (1, T) from ``encode``, on the model's device.
        max_new_tokens: 1 or more.
        eos_token_ids: any of these ends the run; may be empty.
        sampling: ``None`` takes the likeliest token (greedy).
        seed: 0 .. 2**63 - 1; without effect when greedy.
    """
    with library_imports:
        from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    processors = logits_processors(sampling) if sampling is not None else []
    generator = torch.Generator("cpu").manual_seed(seed)
    new: list[int] = []
    unread = input_ids  # what the cache has not seen yet
    while True:
        token = _next_token(model, unread, input_ids, cache, processors, generator)
        token_id = int(token)
        is_eos = token_id in eos_token_ids
        is_last = is_eos or len(new) + 1 == max_new_tokens
        new.append(token_id)
        yield TokenEvent(token_id=token_id, num_new_tokens=len(new), is_last=is_last)
        if is_last:
            return Generation(
                token_ids=tuple(new[:-1] if is_eos else new),
                finish_reason="eos" if is_eos else "length",
            )
        unread = token.to(input_ids.device)
        input_ids = torch.cat([input_ids, unread], dim=1)


# The decorator, never ``with`` around a yield: that would leak the mode into the caller.
@torch.inference_mode()
def _next_token(
    model: Any,
    unread: torch.Tensor,
    input_ids: torch.Tensor,
    cache: Any,
    processors: Sequence[Any],
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the next id, (1, 1); the cache grows by ``unread``."""
    outputs = model(input_ids=unread, past_key_values=cache, use_cache=True, logits_to_keep=1)
    scores_1V = outputs.logits[:, -1].float()
    if not processors:
        return scores_1V.argmax(dim=-1, keepdim=True)
    for processor in processors:
        scores_1V = processor(input_ids, scores_1V)
    return torch.multinomial(scores_1V.softmax(dim=-1).cpu(), 1, generator=generator)


def logits_processors(sampling: Sampling) -> list[Any]:
    """Return the library's logits processors in the library's order.

    transformers 5.23, ``generation/utils.py``, ``_get_logits_processor``. Multiplying by a
    temperature or penalty of 1 changes nothing; the two cuts can't be written as no-ops.
    """
    with library_imports:
        from transformers.generation.logits_process import (
            RepetitionPenaltyLogitsProcessor,
            TemperatureLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
        )

    processors: list[Any] = [
        RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
        TemperatureLogitsWarper(sampling.temperature),
    ]
    if sampling.top_k > 0:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    return processors
