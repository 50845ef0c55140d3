"""The words of the pocket models' world: coloured shapes that move over plain backgrounds.

A ``Scene`` says in words what is to be seen. Radii are fractions of the frame's shorter side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHAPES: Final = ("circle", "square", "triangle", "star", "diamond")
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (226, 28, 34),
    "green": (28, 168, 58),
    "blue": (38, 92, 238),
    "yellow": (250, 222, 30),
    "orange": (255, 134, 10),
    "purple": (134, 40, 184),
    "pink": (255, 134, 192),
    "cyan": (40, 214, 232),
}
BACKGROUNDS: Final[dict[str, tuple[int, int, int]]] = {
    "black": (8, 8, 8),
    "white": (247, 247, 247),
    "gray": (128, 128, 128),
    "navy": (14, 22, 84),
    "brown": (100, 64, 32),
}
# Neighbouring sizes differ in area by a factor of more than two, so that a measured area decides.
SIZES: Final[dict[str, float]] = {"small": 0.13, "medium": 0.20, "large": 0.29}
MOTIONS: Final = ("left", "right", "up", "down", "still", "growing", "shrinking")
POSITIONS: Final = ("left", "right", "top", "bottom", "center")
RELATIONS: Final = ("left of", "above")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object.

    Attributes:
        shape: One of `SHAPES`.
        colour: A key of `COLOURS`.
        size: A key of `SIZES`, or None where size means nothing (growing, shrinking, pairs).
    """

    shape: str
    colour: str
    size: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is to be seen, in the world's own words.

    Attributes:
        things: One object, or two in a single frame with a `relation`.
        background: A key of `BACKGROUNDS`.
        motion: One of `MOTIONS` for a clip, None for a single frame.
        position: One of `POSITIONS` for still clips and single frames of one object, else None.
        relation: One of `RELATIONS` (first thing to second thing), None for one object.
    """

    things: tuple[Thing, ...]
    background: str
    motion: str | None = None
    position: str | None = None
    relation: str | None = None
