"""Chats as text and tokens: the template, the tokenizer and training rows."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from training.pocket.enhancer_data.chat import (
    CHAT_TEMPLATE,
    DEFAULT_SYSTEM,
    END_OF_TEXT,
    IM_END,
    IM_START,
)
from training.pocket.enhancer_data.exchanges import sample_exchange, system_text
from training.pocket.enhancer_data.vocabulary import COMMON, NOUNS, REFUSALS_ZH, SYSTEM_PARTS


def chat_text(system: str | None, user: str, answer: str | None = None) -> str:
    """The text that `CHAT_TEMPLATE` makes, up to where the assistant speaks or has spoken."""
    text = f"{IM_START}system\n{DEFAULT_SYSTEM if system is None else system}{IM_END}\n"
    text += f"{IM_START}user\n{user}{IM_END}\n{IM_START}assistant\n"
    return text if answer is None else f"{text}{answer}{IM_END}\n"


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins for bytes, in the order of OpenAI's byte-level BPE."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    codes = list(printable)
    stand_in = 256
    for byte in range(256):
        if byte not in printable:
            printable.append(byte)
            codes.append(stand_in)
            stand_in += 1
    return [chr(code) for code in codes]


def train_merges(
    texts: Iterable[str],
    *,
    like: Tokenizer,
    count: int,
    suffix: str = "",
) -> list[tuple[str, str]]:
    """Learns BPE merges, best first.

    Args:
        texts: The corpus.
        like: A tokenizer whose normalizer and pre-tokenizer to use.
        count: Merges wanted; fewer come back if the corpus holds no more.
        suffix: What marks a word's last symbol ("</w>" in CLIP's).
    """
    model = models.BPE(end_of_word_suffix=suffix) if suffix else models.BPE()
    learner = Tokenizer(model)
    if like.normalizer is not None:
        learner.normalizer = like.normalizer
    learner.pre_tokenizer = like.pre_tokenizer
    options: dict[str, Any] = {"end_of_word_suffix": suffix} if suffix else {}
    trainer = trainers.BpeTrainer(
        vocab_size=len(pre_tokenizers.ByteLevel.alphabet()) * (2 if suffix else 1) + count,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        **options,
    )
    learner.train_from_iterator(texts, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [(a, b) for a, b in merges[:count]]


def make_tokenizer(*, vocabulary: int, exchanges: int = 12_000, seed: int = 11) -> Qwen2Tokenizer:
    """Learns a byte-level BPE vocabulary from drawn chats.

    Args:
        vocabulary: Tokens in all, the three special ones included.
        exchanges: Chats to learn from.
        seed: Of the chats.
    """
    rng = random.Random(seed)
    texts: list[str] = [*SYSTEM_PARTS, " ".join(COMMON), " ".join(NOUNS), *REFUSALS_ZH * 50]
    for _ in range(exchanges):
        chat = sample_exchange(rng)
        texts += [chat.user, chat.answer]
    texts += [system_text(rng) or "" for _ in range(exchanges // 20)]
    specials = (END_OF_TEXT, IM_START, IM_END)
    like = Qwen2Tokenizer().backend_tokenizer
    merges = train_merges(texts, like=like, count=vocabulary - 256 - len(specials))
    names = [*byte_alphabet(), *(a + b for a, b in merges), *specials]
    pairs: Any = merges  # the library takes pairs, too; it says text only
    tokenizer = Qwen2Tokenizer(
        vocab={name: i for i, name in enumerate(names)},
        merges=pairs,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        additional_special_tokens=[IM_START, IM_END],
        model_max_length=2048,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A chunk of training rows, as a worker process needs to know it.

    Attributes:
        tokenizer: Folder of the tokenizer.
        rows: Chats N in a chunk.
        lengths: Row lengths in tokens, ascending: each chat goes into the shortest that holds it,
            longer ones are dropped.
    """

    tokenizer: Path
    rows: int
    lengths: tuple[int, ...]


_TOKENIZERS: dict[Path, Tokenizer] = {}  # one a worker process; loading takes longer than a chunk


def _backend(folder: Path) -> Tokenizer:
    if folder not in _TOKENIZERS:
        _TOKENIZERS[folder] = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return _TOKENIZERS[folder]


def _pad(rows: Sequence[tuple[list[int], int]], length: int) -> dict[str, np.ndarray]:
    tokens = np.zeros((len(rows), length), np.int16)
    spans = np.zeros((len(rows), 2), np.int16)
    for i, (ids, begin) in enumerate(rows):
        tokens[i, : len(ids)] = ids
        spans[i] = begin, len(ids)
    return {"tokens": tokens, "spans": spans}


def make_rows(recipe: Recipe, seed: int) -> dict[int, dict[str, np.ndarray]]:
    """Draws and tokenises chats.

    Returns:
        For each row length L: tokens int16 [n, L] and spans int16 [n, 2], where the answer begins
        and ends (its <|im_end|> included).
    """
    rng, backend = random.Random(seed), _backend(recipe.tokenizer)
    chats = [sample_exchange(rng) for _ in range(recipe.rows)]
    heads = backend.encode_batch([chat_text(c.system, c.user) for c in chats])
    tails = backend.encode_batch([c.answer + IM_END for c in chats])
    rows: dict[int, list[tuple[list[int], int]]] = {length: [] for length in recipe.lengths}
    for head, tail in zip(heads, tails, strict=True):
        ids = [*head.ids, *tail.ids]
        fitting = [length for length in recipe.lengths if length >= len(ids)]
        if fitting:
            rows[fitting[0]].append((ids, len(head.ids)))
    return {length: _pad(found, length) for length, found in rows.items()}
