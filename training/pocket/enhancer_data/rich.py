"""Rich prompts of the drawn world, in canonical words that the video and image models know."""

from __future__ import annotations

import random
from collections.abc import Set as AbstractSet
from typing import Final

from training.pocket import captions
from training.pocket.world import Scene, Thing

# Canonical wordings of motions: (finite, present participle). All occur in the captions, too.
MOTION_PHRASES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "left": (
        ("moves to the left", "moving to the left"),
        ("slides to the left", "sliding to the left"),
    ),
    "right": (
        ("moves to the right", "moving to the right"),
        ("slides to the right", "sliding to the right"),
    ),
    "up": (("moves upward", "moving upward"), ("floats up", "floating up")),
    "down": (("moves downward", "moving downward"), ("falls down", "falling down")),
    "still": (
        ("stays perfectly still", "staying perfectly still"),
        ("remains still", "remaining still"),
    ),
    "growing": (("grows larger", "growing larger"), ("grows bigger", "growing bigger")),
    "shrinking": (("gets smaller", "getting smaller"), ("becomes smaller", "becoming smaller")),
}
POSITION_PHRASES: Final[dict[str, str]] = {
    "left": "on the left side",
    "right": "on the right side",
    "top": "at the top of the frame",
    "bottom": "at the bottom of the frame",
    "center": "in the center",
}
SIZE_PHRASES: Final[dict[str, str]] = {
    "small": "small",
    "medium": "medium-sized",
    "large": "large",
}
# (first to second, the two swapped), as `RELATIONS` orders a scene's things.
RELATION_PHRASES: Final[dict[str, tuple[str, str]]] = {
    "left of": ("to the left of", "to the right of"),
    "above": ("above", "below"),
}
_BACKGROUND_FRAMES: Final = (
    "on a plain {bg} background",
    "against a {bg} background",
    "over a flat {bg} backdrop",
)
_MOVING: Final = (
    "A clean, minimalist animation shows {s} that {fin} {bg}.",
    "With calm, continuous motion, {s} {fin} {bg}.",
    "Cinematic, fluid motion: {s} {fin} {bg} from the first frame to the last.",
    "A carefully composed short clip of {s} that {fin} {bg}.",
)
_RESTING: Final = (
    "A clean, minimalist composition shows {s} {pos} {bg}.",
    "A polished flat illustration of {s} {pos} {bg}.",
    "A carefully drawn picture of {s} {pos} {bg}, calm and precise.",
    "An elegant, modern design with {s} {pos} {bg}.",
)
_PAIR: Final = (
    "A clean, minimalist composition shows {a} {rel} {b} {bg}.",
    "A polished flat illustration of {a} {rel} {b} {bg}.",
    "An elegant, modern design with {a} {rel} {b} {bg}.",
)
ANYTHING: Final = (
    "A clean, detailed scene shows {x}.",
    "A carefully composed view of {x}.",
    "An elegant, modern design with {x}.",
)
# One sentence out of each group, in this order: a rich prompt has a fixed number of sentences, so
# that a greedy answer ends by itself. They name no shape, colour, size, place or motion.
_FILLS: Final = (
    (
        "The style is simple, flat vector art.",
        "It is a minimal, abstract scene.",
        "The look is contemporary and geometric.",
        "The whole scene feels balanced.",
    ),
    (
        "The lighting is soft and even.",
        "The colours are flat, rich and saturated.",
        "The contrast is strong and pleasing.",
    ),
    (
        "There are no other objects in the frame.",
        "Nothing distracts from the subject.",
        "There is no texture and no shadow.",
    ),
    (
        "The edges are crisp and well defined.",
        "High quality, sharp focus, smooth rendering.",
        "The surface looks smooth and uniform.",
    ),
)
MIN_WORDS: Final = 30
_TOPPING: Final = "The overall mood is calm and modern."  # where the four sentences are too short


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _noun_phrase(thing: Thing, named: AbstractSet[str]) -> str:
    words = []
    if "size" in named and thing.size:
        words.append(SIZE_PHRASES[thing.size])
    if "colour" in named:
        words.append(thing.colour)
    words.append(thing.shape if "shape" in named else "shape")
    return article(" ".join(words))


def tidy(text: str) -> str:
    text = " ".join(text.split())
    return text.replace(" ,", ",").replace(" .", ".").replace(" :", ":")


def with_fills(core: str, rng: random.Random) -> str:
    core = core[0].upper() + core[1:]
    text = " ".join([core, *(rng.choice(group) for group in _FILLS)])
    return text if len(text.split()) >= MIN_WORDS else f"{text} {_TOPPING}"


def rich_prompt(
    scene: Scene, named: AbstractSet[str], rng: random.Random, *, swapped: bool = False
) -> str:
    """Words a scene richly (30 to 60 words), in canonical words, naming no more than `named`.

    Args:
        scene: What is to be seen.
        named: Attributes to name, as in `captions.Caption.named`.
        rng: Source of randomness.
        swapped: Whether to name a pair's second thing first.
    """
    bg = ""
    if "background" in named:
        bg = rng.choice(_BACKGROUND_FRAMES).format(bg=scene.background)
    if scene.relation:
        first, second = (_noun_phrase(t, named) for t in scene.things)
        if swapped:
            first, second = second, first
        relation = RELATION_PHRASES[scene.relation][int(swapped)]
        core = rng.choice(_PAIR).format(a=first, b=second, rel=relation, bg=bg)
        return with_fills(tidy(core), rng)
    subject = _noun_phrase(scene.things[0], named)
    position = POSITION_PHRASES[scene.position] if scene.position and "position" in named else ""
    if scene.motion and "motion" in named:
        finite = f"{rng.choice(MOTION_PHRASES[scene.motion])[0]} {position}"
        core = rng.choice(_MOVING).format(s=subject, fin=finite, bg=bg)
    else:
        core = rng.choice(_RESTING).format(s=subject, pos=position, bg=bg)
    return with_fills(tidy(core), rng)


def worded(
    scene: Scene, rng: random.Random, *, split: captions.Split = "train"
) -> tuple[captions.Caption, bool]:
    """A caption of a scene, and whether it names a pair's second thing first."""
    caption = captions.caption(scene, rng, split=split)
    return caption, caption.first == 1


def plain_prompt(scene: Scene, rng: random.Random) -> tuple[str, frozenset[str]]:
    """A short prompt as people type it, in canonical words with all attributes but the size."""
    named = {"colour", "shape", "background", "motion", "position", "relation"}
    if rng.random() < 0.5:
        named.add("size")
    text = _noun_phrase(scene.things[0], named)
    if scene.relation:
        relation = RELATION_PHRASES[scene.relation][0]
        text = f"{text} {relation} {_noun_phrase(scene.things[1], named)}"
    if scene.motion:
        simple = {
            "left": "moving left",
            "right": "moving right",
            "up": "moving up",
            "down": "moving down",
            "still": "staying still",
        }
        text += " " + simple.get(scene.motion, scene.motion)
    if scene.position:
        text += " " + POSITION_PHRASES[scene.position]
    if rng.random() < 0.85:
        text += f" on a {scene.background} background"
    else:
        named.discard("background")
    return text, frozenset(named)
