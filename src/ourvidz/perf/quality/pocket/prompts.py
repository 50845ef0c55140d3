"""Plain sentences of the pocket models' world, read strictly.

"a small red circle moving left on a black background" becomes a scene. A sentence with any word
that is not understood becomes nothing, rather than a guess of what it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ourvidz.perf.quality.pocket.world import BACKGROUNDS, COLOURS, SHAPES, SIZES, Scene, Thing

_MOTIONS = {
    "moving left": "left",
    "moving to the left": "left",
    "moving right": "right",
    "moving to the right": "right",
    "moving up": "up",
    "moving down": "down",
    "growing": "growing",
    "shrinking": "shrinking",
    "standing still": "still",
}
_POSITIONS = {
    "on the left": "left",
    "on the right": "right",
    "at the top": "top",
    "at the bottom": "bottom",
    "in the center": "center",
    "in the centre": "center",
    "in the middle": "center",
}
_RELATIONS = {"to the left of": "left of", "left of": "left of", "above": "above"}
_SPELT = {"grey": "gray"}


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_ONE = re.compile(
    rf"an? (?:(?P<size>{_any(SIZES)}) )?(?P<colour>{_any(COLOURS)}) (?P<shape>{_any(SHAPES)})"
    rf"(?: (?P<motion>{_any(_MOTIONS)}))?(?: (?P<position>{_any(_POSITIONS)}))?"
    rf"(?: on an? (?P<background>{_any(BACKGROUNDS)}) background)?"
)
_TWO = re.compile(
    rf"an? (?P<colour>{_any(COLOURS)}) (?P<shape>{_any(SHAPES)}) (?P<relation>{_any(_RELATIONS)}) "
    rf"an? (?P<other_colour>{_any(COLOURS)}) (?P<other_shape>{_any(SHAPES)})"
    rf"(?: on an? (?P<background>{_any(BACKGROUNDS)}) background)?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a sentence asks for."""

    scene: Scene  # what it leaves open is filled in
    named: frozenset[str]  # attributes that it names; only these are judged


def read_prompt(prompt: str, *, is_video: bool) -> Asked | None:
    """Return what a plain sentence asks for; None where a word of it is not understood.

    No image can show a movement: of images it is not judged, the rest is. Two things are asked of
    images alone. A position needs "standing still" in a video, and a size nothing that grows or
    shrinks: else the sentence is not judged.
    """
    text = " ".join(prompt.lower().replace(",", " ").rstrip(" .!").split())
    words = [_SPELT.get(word, word) for word in text.split()]
    text = " ".join(words)
    if one := _ONE.fullmatch(text):
        return _one(one.groupdict(), is_video=is_video)
    if (two := _TWO.fullmatch(text)) and not is_video:
        return _two(two.groupdict())
    return None


def _one(found: dict[str, str | None], *, is_video: bool) -> Asked | None:
    motion = _MOTIONS.get(found["motion"] or "")
    position = _POSITIONS.get(found["position"] or "")
    if is_video and position is not None and motion != "still":
        return None
    if found["size"] is not None and motion in ("growing", "shrinking"):
        return None
    named = {name for name in ("colour", "shape", "size", "background") if found[name]}
    if motion is not None and is_video:
        named.add("motion")
    if position is not None:
        named.add("position")
    thing = Thing(shape=found["shape"] or "", colour=found["colour"] or "", size=found["size"])
    scene = Scene(
        things=(thing,),
        background=found["background"] or next(iter(BACKGROUNDS)),
        motion=(motion or "still") if is_video else None,
        position=position,
    )
    return Asked(scene=scene, named=frozenset(named))


def _two(found: dict[str, str | None]) -> Asked | None:
    if found["colour"] == found["other_colour"]:  # nothing would tell them apart
        return None
    things = (
        Thing(shape=found["shape"] or "", colour=found["colour"] or ""),
        Thing(shape=found["other_shape"] or "", colour=found["other_colour"] or ""),
    )
    named = {"colour", "shape", "relation"}
    if found["background"]:
        named.add("background")
    scene = Scene(
        things=things,
        background=found["background"] or next(iter(BACKGROUNDS)),
        relation=_RELATIONS[found["relation"] or ""],
    )
    return Asked(scene=scene, named=frozenset(named))
