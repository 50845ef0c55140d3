"""What the enhancer made of a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Enhancement:
    """What the enhancer did. Both prompts are kept, whatever came of it."""

    original_prompt: str
    enhanced_prompt: str | None  # None when the answer was not usable
    answer: str  # the model's answer, as it came
    verdict: str  # usable, refused, empty, runaway, off_language or unavailable
    model: str
    num_tokens_in: int  # of the enhancer's tokenizer
    num_tokens_out: int  # of the enhancer's tokenizer
    num_tokens_prompt: int  # of the target model's tokenizer, as used
    num_tokens_truncated: int  # of the target model's tokenizer, cut off

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: getattr(self, name) for name in type(self).__dataclass_fields__}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` wrote; other names are left out."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})
