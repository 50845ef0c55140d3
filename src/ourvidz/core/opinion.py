"""What people say of outputs: stars, defects, and which of two they like better."""

from __future__ import annotations

from enum import StrEnum

MIN_STARS, MAX_STARS = 1, 5


class Defect(StrEnum):
    """What is wrong with an output."""

    ANATOMY = "anatomy"  # hands, faces, limbs
    FLICKER = "flicker"  # brightness or things that come and go
    ARTEFACT = "artefact"  # blocks, seams, noise, smears
    TEXT = "text"  # letters that are none
    PROMPT_MISSED = "prompt_missed"  # it shows something else than was asked for


class Choice(StrEnum):
    """A blind vote: of two outputs without their names."""

    A = "a"
    B = "b"
    TIE = "tie"
