"""Prompts in people's own words, written blind to the captions that the models learn from.

`own_words.json` holds what different people would type for videos, pictures of one object and
pictures of two, each with what it asks for. They judge finished models; nothing learns from them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from training.pocket.world import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    Thing,
)

FILE: Final = Path(__file__).with_name("own_words.json")
KINDS: Final = ("video", "image", "pair")
STYLES: Final = ("plain", "loose")
_SCENE_FIELDS: Final = ("background", "motion", "position", "relation")
_THING_FIELDS: Final = ("shape", "colour", "size")
_KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "kind": KINDS,
    "style": STYLES,
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "background": tuple(BACKGROUNDS),
    "motion": MOTIONS,
    "position": POSITIONS,
    "relation": RELATIONS,
}
_ALLOWED: Final[dict[str, frozenset[str]]] = {  # what a prompt of a kind may say
    "video": frozenset({"colour", "shape", "size", "background", "motion", "position"}),
    "image": frozenset({"colour", "shape", "size", "background", "position"}),
    "pair": frozenset({"colour", "shape", "background", "relation"}),
}


@dataclass(frozen=True, kw_only=True)
class OwnWords:
    """One prompt and what it asks for.

    Attributes:
        prompt: The words.
        kind: One of `KINDS`.
        style: "plain" if shapes and colours are called as in the world, "loose" for synonyms.
        scene: What is to be seen. What the prompt does not say but drawing needs is filled in.
        named: What the prompt says; only this is judged. Of "colour", "shape", "size",
            "background", "motion", "position" and "relation".
    """

    prompt: str
    kind: str
    style: str
    scene: Scene
    named: frozenset[str]


def _word(entry: Mapping[str, Any], field: str, prompt: str) -> str | None:
    """A field's value, checked; None where the prompt does not say it."""
    value = entry.get(field)
    if value is not None and value not in _KNOWN[field]:
        msg = f"unknown {field} {value!r} for the prompt {prompt!r}"
        raise ValueError(msg)
    return value


def _things(
    entries: Sequence[Mapping[str, Any]], prompt: str
) -> tuple[tuple[Thing, ...], frozenset[str]]:
    """The objects, gaps filled in, and which of their attributes the prompt says of all of them."""
    words = [{f: _word(e, f, prompt) for f in _THING_FIELDS} for e in entries]
    named = frozenset(f for f in _THING_FIELDS if words and all(w[f] is not None for w in words))
    taken = {w["colour"] for w in words}
    free = (c for c in COLOURS if c not in taken)
    things = tuple(
        Thing(shape=w["shape"] or SHAPES[0], colour=w["colour"] or next(free), size=w["size"])
        for w in words
    )
    return things, named


def _fault(kind: str, scene: Scene, named: frozenset[str]) -> str | None:
    """What makes this no scene of the drawn world, if anything does."""
    if len(scene.things) != (2 if kind == "pair" else 1):
        return f"{len(scene.things)} things"
    if extra := named - _ALLOWED[kind]:
        return f"no {', '.join(sorted(extra))} in a {kind}"
    if kind == "pair":
        if scene.things[0].colour == scene.things[1].colour:
            return "two things of one colour"
        return None if "relation" in named else "no relation"
    if "position" in named and kind == "video" and scene.motion != "still":
        return "a position of what moves"
    if "size" in named and scene.motion in ("growing", "shrinking"):
        return "a size of what changes it"
    return None


def parse(entry: Mapping[str, Any]) -> OwnWords:
    """Checks one entry of the file and fills in what its prompt leaves open.

    Raises:
        ValueError: It has no prompt, or asks for what the drawn world does not have. The message
            names the prompt.
    """
    prompt = entry.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        msg = f"no prompt in {dict(entry)!r}"
        raise ValueError(msg)
    kind, style = _word(entry, "kind", prompt), _word(entry, "style", prompt)
    if kind is None or style is None:
        msg = f"no kind or style for the prompt {prompt!r}"
        raise ValueError(msg)
    words = {f: _word(entry, f, prompt) for f in _SCENE_FIELDS}
    things, named = _things(entry.get("things") or (), prompt)
    named |= {f for f, word in words.items() if word is not None}
    motion = words["motion"]
    scene = Scene(
        things=things,
        background=words["background"] or next(iter(BACKGROUNDS)),
        motion=motion or ("still" if kind == "video" else None),
        position=words["position"],
        relation=words["relation"],
    )
    if fault := _fault(kind, scene, named):
        msg = f"{fault}: the prompt {prompt!r}"
        raise ValueError(msg)
    return OwnWords(prompt=prompt, kind=kind, style=style, scene=scene, named=named)


@functools.cache
def _all() -> tuple[OwnWords, ...]:
    content = cast("dict[str, Any]", json.loads(FILE.read_text(encoding="utf-8")))
    return tuple(parse(entry) for entry in content["prompts"])


def load(kind: str | None = None) -> list[OwnWords]:
    """Reads the prompts, in the file's order.

    Args:
        kind: One of `KINDS`; None for all.

    Raises:
        ValueError: An entry or `kind` has an unknown value.
    """
    if kind is not None and kind not in KINDS:
        msg = f"unknown kind {kind!r}, not one of {', '.join(KINDS)}"
        raise ValueError(msg)
    return [words for words in _all() if kind in (None, words.kind)]
