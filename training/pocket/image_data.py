"""What pocket-image learns from: captioned placements, drawn by worker processes, and their banks.

Worker processes choose scenes, word and tokenise them (Python work); the device draws them and
turns them into latents. A bank keeps the newest rows on the device, so that a training step waits
for nobody.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import CLIPTokenizer

from training.pocket import captions, enhancer_data
from training.pocket.world import PAIR_SHARE, Scene, place, sample_scene

BOS: Final = "<|startoftext|>"
EOS: Final = "<|endoftext|>"
WORD_END: Final = "</w>"
TEXT_LENGTH: Final = 77  # tokens of a prompt, as in CLIP
SECOND_PAD: Final = "!"  # what SDXL's second tokenizer pads with
# The catalogue's default negative prompt of pocket-image; training itself needs no catalogue.
PRODUCT_NEGATIVE: Final = (
    "blurry, low quality, flicker, artifacts, distorted shape, text, watermark"
)
FIELDS: Final = ("shape", "colour", "background", "centre", "radius")
# Shares of captions: as people write (the rest), as pocket-enhancer writes, naming everything.
ENHANCED_SHARE: Final = 0.22
COMPLETE_SHARE: Final = 0.15


def caption_text(scene: Scene, rng: random.Random, *, split: captions.Split = "train") -> str:
    """Words a single frame's scene in one of the ways that prompts come."""
    kind = rng.random()
    if kind < ENHANCED_SHARE:
        caption, swapped = enhancer_data.worded(scene, rng, split=split)
        return enhancer_data.rich_prompt(scene, caption.named, rng, swapped=swapped)
    complete = kind < ENHANCED_SHARE + COMPLETE_SHARE
    return captions.caption(scene, rng, split=split, complete=complete).text


def make_tokenizers(
    *, vocabulary: int, texts: int = 20_000, seed: int = 13
) -> tuple[CLIPTokenizer, CLIPTokenizer]:
    """Learns CLIP's kind of byte-level BPE vocabulary; two tokenizers that differ in padding.

    Args:
        vocabulary: Tokens in all: 256 bytes, 256 bytes that end a word, merges, start and end.
        texts: Captions to learn from.
        seed: Of the captions.
    """
    rng = random.Random(seed)
    corpus = [caption_text(sample_scene(rng, video=False), rng) for _ in range(texts)]
    corpus += [unconditional_text(rng) for _ in range(texts // 5)]
    # A prompt meant for a video is still a prompt.
    for _ in range(texts // 10):
        corpus.append(captions.caption(sample_scene(rng, video=True), rng).text)
    like = CLIPTokenizer().backend_tokenizer
    merges = enhancer_data.train_merges(
        corpus, like=like, count=vocabulary - 2 * 256 - 2, suffix=WORD_END
    )
    alphabet = enhancer_data.byte_alphabet()
    names = [*alphabet, *(a + WORD_END for a in alphabet), *(a + b for a, b in merges), BOS, EOS]
    vocab = {name: i for i, name in enumerate(names)}

    pairs: Any = merges  # the library takes pairs, too; it says text only

    def build(pad: str) -> CLIPTokenizer:
        return CLIPTokenizer(
            vocab=vocab,
            merges=pairs,
            unk_token=EOS,
            bos_token=BOS,
            eos_token=EOS,
            pad_token=pad,
            model_max_length=TEXT_LENGTH,
        )

    return build(EOS), build(SECOND_PAD)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A chunk of training rows, as a worker process needs to know it.

    Attributes:
        tokenizer: Folder of the first tokenizer.
        rows: Scenes in a chunk.
        pair_share: Share of scenes with two objects, 0..1.
        captions: Of each scene.
    """

    tokenizer: Path
    rows: int
    pair_share: float = PAIR_SHARE
    captions: int = 1


_TOKENIZERS: dict[Path, Tokenizer] = {}  # one a worker process; loading takes longer than a chunk


def token_rows(folder: Path, texts: list[str]) -> np.ndarray:
    """Token ids int16 [N, 77] of texts, cut to fit, padded with the end token."""
    if folder not in _TOKENIZERS:
        loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
        loaded.enable_truncation(TEXT_LENGTH)
        loaded.enable_padding(length=TEXT_LENGTH, pad_id=loaded.token_to_id(EOS), pad_token=EOS)
        _TOKENIZERS[folder] = loaded
    return np.array([e.ids for e in _TOKENIZERS[folder].encode_batch(texts)], np.int16)


def make_rows(recipe: Recipe, seed: int) -> dict[str, np.ndarray]:
    """Draws scenes and captions of the training split.

    Returns:
        `Placement`'s fields (float16 where they are float32 there) and tokens int16
        [rows, captions, 77].
    """
    rng = random.Random(seed)
    scenes = [
        sample_scene(rng, video=False, pair_share=recipe.pair_share) for _ in range(recipe.rows)
    ]
    placed = place(scenes, rng)
    rows = {name: getattr(placed, name).numpy() for name in FIELDS}
    rows = {n: v.astype(np.float16) if v.dtype == np.float32 else v for n, v in rows.items()}
    texts = [caption_text(scene, rng) for scene in scenes for _ in range(recipe.captions)]
    tokens = token_rows(recipe.tokenizer, texts)
    return rows | {"tokens": tokens.reshape(recipe.rows, recipe.captions, TEXT_LENGTH)}


def unconditional_text(rng: random.Random) -> str:
    """What stands for "no prompt": nothing, or a negative prompt, the product's own among them."""
    return PRODUCT_NEGATIVE if rng.random() < 0.12 else captions.unconditional(rng)


def unconditional_tokens(folder: Path, *, count: int, seed: int) -> np.ndarray:
    """Tokens int16 [count, 77] of what stands for "no prompt"."""
    rng = random.Random(seed)
    return token_rows(folder, [unconditional_text(rng) for _ in range(count)])


def load_as_float32(config: Path) -> None:
    """Has a text model of float16 weights load in float32, as the image library's own do."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values["dtype"] = "float32"
    config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


RecipeT = TypeVar("RecipeT")
RowsT = TypeVar("RowsT")


class Feed(Generic[RecipeT, RowsT]):
    """Chunks of rows, made ahead by worker processes (or on demand where there are none).

    Attributes:
        made: Chunks handed out so far.
    """

    def __init__(
        self,
        make: Callable[[RecipeT, int], RowsT],
        recipe: RecipeT,
        *,
        seed: int,
        workers: int,
        ahead: int = 24,
    ) -> None:
        self._make, self._recipe, self._seed, self._ahead = make, recipe, seed, ahead
        self._waiting: deque[Future[RowsT]] = deque()
        self.made = 0
        self._asked = 0
        self._pool: ProcessPoolExecutor | None = None
        if workers > 0:
            # Forking a process that holds threads and a device is not safe.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, context, initializer=_one_thread)
            self._order()

    @property
    def is_local(self) -> bool:
        """Whether chunks are made by this process, where they are waited for."""
        return self._pool is None

    def _order(self) -> None:
        while self._pool is not None and len(self._waiting) < self._ahead:
            self._waiting.append(
                self._pool.submit(self._make, self._recipe, self._seed + self._asked)
            )
            self._asked += 1

    def take(self, *, wait: bool) -> RowsT | None:
        """Returns the next chunk; None if it is not ready and `wait` is false.

        Without worker processes a chunk is made only where it is waited for.
        """
        if self._pool is None:
            if not wait:
                return None
            self.made += 1
            return self._make(self._recipe, self._seed + self.made)
        if not wait and not self._waiting[0].done():
            return None
        rows = self._waiting.popleft().result()
        self._order()
        self.made += 1
        return rows

    def close(self) -> None:
        """Stops the worker processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)


class Bank:
    """The newest rows of equal shape, on one device.

    Attributes:
        size: Rows held.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._columns: dict[str, Tensor] = {}
        self._next = 0
        self.size = 0

    def add(self, **columns: Tensor) -> None:
        """Adds rows [N, ...] of every column, in place of the oldest ones."""
        count = next(iter(columns.values())).shape[0]
        if not self._columns:
            for name, column in columns.items():
                self._columns[name] = column.new_zeros((self._capacity, *column.shape[1:]))
        device = next(iter(self._columns.values())).device
        at = (torch.arange(count, device=device) + self._next) % self._capacity
        for name, column in columns.items():
            self._columns[name][at] = column
        self._next = (self._next + count) % self._capacity
        self.size = min(self.size + count, self._capacity)

    def newest(self) -> dict[str, Tensor]:
        """All rows held: each column [size, ...]."""
        return {name: column[: self.size] for name, column in self._columns.items()}

    def sample(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws rows with replacement: each column [count, ...]."""
        device = next(iter(self._columns.values())).device
        index = torch.randint(self.size, (count,), generator=generator, device=device)
        return {name: column[index] for name, column in self._columns.items()}


def worker_count(world_size: int, *, limit: int = 4) -> int:
    """Worker processes for one training process: half of its share of the cores, none for few."""
    cores = multiprocessing.cpu_count() // (2 * world_size)
    return 0 if cores < 2 else min(cores, limit)
