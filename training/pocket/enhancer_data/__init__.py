"""What pocket-enhancer learns from: chats that turn a short prompt into a rich one.

Three kinds of exchanges: prompts of the drawn world (answered in canonical words, so that the video
and image models understand them), prompts about anything else (kept word for word inside a rich
frame) and requests for forgeries (refused). System texts are random, so that an answer never
depends on one wording of the instruction. No torch is needed here beyond what the world imports.
"""

from __future__ import annotations

from training.pocket.enhancer_data.chat import (
    CHAT_TEMPLATE,
    DEFAULT_SYSTEM,
    END_OF_TEXT,
    IM_END,
    IM_START,
    Exchange,
)
from training.pocket.enhancer_data.exchanges import sample_exchange, system_text
from training.pocket.enhancer_data.judging import faults, is_refusal
from training.pocket.enhancer_data.rich import (
    MIN_WORDS,
    MOTION_PHRASES,
    POSITION_PHRASES,
    RELATION_PHRASES,
    SIZE_PHRASES,
    rich_prompt,
    worded,
)
from training.pocket.enhancer_data.tokens import (
    Recipe,
    byte_alphabet,
    chat_text,
    make_rows,
    make_tokenizer,
    train_merges,
)
from training.pocket.enhancer_data.vocabulary import KIND_SHARES, REFUSALS_EN, REFUSALS_ZH

__all__ = [
    "CHAT_TEMPLATE",
    "DEFAULT_SYSTEM",
    "END_OF_TEXT",
    "IM_END",
    "IM_START",
    "KIND_SHARES",
    "MIN_WORDS",
    "MOTION_PHRASES",
    "POSITION_PHRASES",
    "REFUSALS_EN",
    "REFUSALS_ZH",
    "RELATION_PHRASES",
    "SIZE_PHRASES",
    "Exchange",
    "Recipe",
    "byte_alphabet",
    "chat_text",
    "faults",
    "is_refusal",
    "make_rows",
    "make_tokenizer",
    "rich_prompt",
    "sample_exchange",
    "system_text",
    "train_merges",
    "worded",
]
