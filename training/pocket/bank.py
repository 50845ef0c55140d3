"""Many scenes with their captions as tokens, made by several worker processes on the CPU."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.pocket.captions import caption, unconditional
from training.pocket.tokenizer import EOS, MAX_SEQUENCE_LENGTH, PAD
from training.pocket.world import PAIR_SHARE, Placement, place, sample_scene

MOVING_FRAME_SHARE = 0.12  # of single frames: a moment of a clip, with the clip's caption


_PIECES = 24  # of each bank; fixed, so that the number of processes does not change the result


def start_workers(count: int) -> Pool | None:
    """Starts worker processes, or none for a count of 1.

    They are forked, so this must come before the first use of a GPU; starting them afresh would
    cost each the import of the libraries.
    """
    if count <= 1:
        return None
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    fork = multiprocessing.get_context("fork")
    return fork.Pool(count, initializer=torch.set_num_threads, initargs=(1,))


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Scenes ready to be drawn, each with several captions.

    Attributes:
        placement: N scenes.
        tokens: int16 [N, K, L], K captions each, padded with 0.
        moment: float32 [N], the time to draw for single frames, 0..1.
    """

    placement: Placement
    tokens: Tensor
    moment: Tensor


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """Token ids int16 [N, L], padded with 0 and cut as the pipeline does."""
    tokenizer.enable_truncation(MAX_SEQUENCE_LENGTH)
    tokenizer.enable_padding(length=MAX_SEQUENCE_LENGTH, pad_id=0, pad_token=PAD)
    if tokenizer.token_to_id(EOS) != 1:
        raise ValueError(f"this tokenizer has no {EOS} at id 1")
    return np.asarray([e.ids for e in tokenizer.encode_batch(list(texts))], dtype=np.int16)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A piece of a bank, as a worker process needs to know it."""

    count: int
    seed: int
    video: bool
    captions: int
    pair_share: float
    tokenizer_file: str


def _part(job: _Job) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    rng = random.Random(job.seed)
    scenes, moments, texts = [], [], []
    for _ in range(job.count):
        moving = job.video or rng.random() < MOVING_FRAME_SHARE
        scene = sample_scene(rng, video=moving, pair_share=job.pair_share)
        scenes.append(scene)
        moments.append(rng.random() if moving else 0.0)
        texts += [caption(scene, rng).text for _ in range(job.captions)]
    placement = place(scenes, rng)
    tokens = encode_texts(Tokenizer.from_file(job.tokenizer_file), texts)
    numbers = [getattr(placement, f.name).numpy() for f in fields(placement)]
    shape = (job.count, job.captions, -1)
    return numbers, tokens.reshape(shape), np.asarray(moments, dtype=np.float32)


def make(
    wanted: Sequence[tuple[int, bool]],
    *,
    captions: int,
    seed: int,
    tokenizer_file: Path,
    pool: Pool | None,
    pair_share: float = PAIR_SHARE,
) -> Iterator[Scenes]:
    """Makes several banks of training scenes, one after the other.

    Args:
        wanted: Scenes and kind of each bank: (count, whether they are clips).
        captions: Captions of each scene.
        seed: Source of randomness.
        tokenizer_file: A `tokenizer.json`.
        pool: Processes that do the work; None works in this one.
        pair_share: Share of unmoving single frames that show two objects, 0..1.

    Yields:
        The banks, in order, as soon as each is ready.
    """
    jobs: list[_Job] = []
    parts_of: list[int] = []
    for b, (count, video) in enumerate(wanted):
        sizes = [count // _PIECES + (i < count % _PIECES) for i in range(_PIECES)]
        sizes = [size for size in sizes if size]
        parts_of.append(len(sizes))
        for i, size in enumerate(sizes):
            jobs.append(
                _Job(
                    count=size,
                    seed=(seed * 64 + b) * 1009 + i,
                    video=video,
                    captions=captions,
                    pair_share=pair_share,
                    tokenizer_file=str(tokenizer_file),
                )
            )
    parts = map(_part, jobs) if pool is None else pool.imap(_part, jobs)
    for count in parts_of:
        yield _join([next(parts) for _ in range(count)])


def _join(parts: list[tuple[list[np.ndarray], np.ndarray, np.ndarray]]) -> Scenes:
    numbers = zip(*(p[0] for p in parts), strict=True)
    columns = [torch.from_numpy(np.concatenate(c)) for c in numbers]
    names = [f.name for f in fields(Placement)]
    return Scenes(
        placement=Placement(**dict(zip(names, columns, strict=True))),
        tokens=torch.from_numpy(np.concatenate([p[1] for p in parts])),
        moment=torch.from_numpy(np.concatenate([p[2] for p in parts])),
    )


def unconditional_tokens(count: int, *, seed: int, tokenizer_file: Path) -> Tensor:
    """Tokens of texts that stand for "no prompt": int16 [N, L]."""
    rng = random.Random(seed)
    texts = [unconditional(rng) for _ in range(count)]
    return torch.from_numpy(encode_texts(Tokenizer.from_file(str(tokenizer_file)), texts))
