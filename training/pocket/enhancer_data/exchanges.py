"""Draws chats: prompts of the world, of anything else, and requests for forgeries."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from training.pocket import captions
from training.pocket.enhancer_data.anything import anything, forgery, genuine
from training.pocket.enhancer_data.chat import Exchange
from training.pocket.enhancer_data.rich import plain_prompt, rich_prompt, worded
from training.pocket.enhancer_data.vocabulary import COMMON, KIND_SHARES, SYSTEM_PARTS, USER_FRAMES
from training.pocket.world import sample_scene


def _world(rng: random.Random, split: captions.Split, *, held_out: bool) -> Exchange:
    scene = sample_scene(rng, video=rng.random() < 0.5, held_out=held_out)
    if rng.random() < 0.15:
        user, named = plain_prompt(scene, rng)
        swapped = False
    else:
        caption, swapped = worded(scene, rng, split=split)
        user, named = caption.text, caption.named
    answer = rich_prompt(scene, named, rng, swapped=swapped)
    return Exchange(system=None, user=user, answer=answer, kind="world", scene=scene, named=named)


def system_text(rng: random.Random) -> str | None:
    """A random instruction: none, one sentence, many, or many with words at random."""
    kind = rng.random()
    if kind < 0.08:
        return None
    count = 1 if kind < 0.25 else rng.randint(2, 7)
    parts: list[str] = rng.sample(SYSTEM_PARTS, count)
    if rng.random() < 0.25:
        words = [rng.choice(COMMON) for _ in range(rng.randint(4, 30))]
        parts.insert(rng.randint(0, count), " ".join(words).capitalize() + ".")
    if rng.random() < 0.12:  # an example is no part of what the user asks for
        scene = sample_scene(rng, video=rng.random() < 0.5)
        parts.append(f"Example: {plain_prompt(scene, rng)[0]}.")
    return rng.choice((" ", " ", " ", "\n", "\n- ")).join(parts)


def sample_exchange(
    rng: random.Random,
    *,
    kind: str | None = None,
    split: captions.Split = "train",
    held_out: bool = False,
) -> Exchange:
    """Draws a chat.

    Args:
        rng: Source of randomness.
        kind: A key of `KIND_SHARES`; drawn by these shares if None.
        split: Which caption templates world prompts use.
        held_out: Whether world prompts show combinations kept for evaluation.
    """
    if kind is None:
        kind = rng.choices(tuple(KIND_SHARES), tuple(KIND_SHARES.values()))[0]
    makers: dict[str, Callable[[], Exchange]] = {
        "world": lambda: _world(rng, split, held_out=held_out),
        "anything": lambda: anything(rng),
        "forgery": lambda: forgery(rng),
        "genuine": lambda: genuine(rng),
    }
    made = makers[kind]()
    user = made.user
    if rng.random() < 0.15:
        user = rng.choice(USER_FRAMES).format(p=user)
    return replace(made, system=system_text(rng), user=user)
