"""Says what an answer lost, changed or made up."""

from __future__ import annotations

import re
from typing import Final

from training.pocket.enhancer_data.chat import Exchange
from training.pocket.enhancer_data.rich import MOTION_PHRASES, POSITION_PHRASES, RELATION_PHRASES
from training.pocket.enhancer_data.vocabulary import REFUSALS_EN, REFUSALS_ZH
from training.pocket.world import BACKGROUNDS, COLOURS, MOTIONS, POSITIONS, RELATIONS, SHAPES, SIZES


def is_refusal(answer: str) -> bool:
    """Whether an answer is one of the refusals that were taught."""
    return answer.strip() in (*REFUSALS_EN, *REFUSALS_ZH)


# Words of the world that an answer may hold only if the prompt does. "flat" etc. are no such words.
_ATTRIBUTE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "background": tuple(BACKGROUNDS),
    "size": tuple(SIZES),
    "position": tuple(POSITION_PHRASES[p] for p in POSITIONS),
    "motion": tuple(p for m in MOTIONS for p, _ in MOTION_PHRASES[m]),
    "relation": tuple(p for r in RELATIONS for p in RELATION_PHRASES[r]),
}


def _wanted(exchange: Exchange) -> dict[str, set[str]]:
    scene, named = exchange.scene, exchange.named
    if scene is None:
        raise ValueError("only prompts of the world can be judged")
    wanted: dict[str, set[str]] = {name: set() for name in _ATTRIBUTE_WORDS}
    if "colour" in named:
        wanted["colour"] = {t.colour for t in scene.things}
    if "shape" in named:
        wanted["shape"] = {t.shape for t in scene.things}
    if "background" in named:
        wanted["background"] = {scene.background}
    if "size" in named and scene.things[0].size:
        wanted["size"] = {scene.things[0].size}
    if "position" in named and scene.position:
        wanted["position"] = {POSITION_PHRASES[scene.position]}
    return wanted


def faults(exchange: Exchange, answer: str) -> list[str]:
    """Attributes of a world prompt that an answer lost, changed or made up; empty if none.

    Pairs are also held to the right thing on the right side, one motion to one wording.
    """
    wanted, text = _wanted(exchange), answer.lower()
    scene, named = exchange.scene, exchange.named
    found = {
        name: {w for w in words if re.search(rf"\b{re.escape(w)}(-sized)?\b", text)}
        for name, words in _ATTRIBUTE_WORDS.items()
    }
    plain = ("colour", "shape", "background", "size", "position")
    bad = [name for name in plain if found[name] != wanted[name]]
    motion = scene.motion if scene and "motion" in named else None
    allowed = {p for p, _ in MOTION_PHRASES[motion]} if motion else set()
    if bool(found["motion"]) != bool(motion) or not found["motion"] <= allowed:
        bad.append("motion")
    if scene and scene.relation:
        first, second = (f"{t.colour} {t.shape}" for t in scene.things)
        straight, turned = RELATION_PHRASES[scene.relation]
        right = rf"{first} {straight} (a|an) {second}|{second} {turned} (a|an) {first}"
        if not re.search(right, text):
            bad.append("relation")
    return bad
