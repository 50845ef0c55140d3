"""Plain-English captions of scenes: many wordings of one meaning.

Captions are put together from small parts (a noun phrase, a motion, a background), each worded in
many ways, in whole-sentence templates. A caption may leave attributes out; which ones it names is
part of the result, so that evaluation measures only what was asked for. Of every list of templates
a stable tenth is kept for evaluation and never used in training. No torch in here.
"""

from __future__ import annotations

from training.pocket.captions.grammar import TEMPLATES, Caption, Split, caption, templates_of
from training.pocket.captions.negative import DEFAULT_NEGATIVE_PROMPT, unconditional
from training.pocket.captions.words import (
    BACKGROUND_WORDS,
    COLOUR_WORDS,
    MOTION_WORDS,
    POSITION_WORDS,
    RELATION_WORDS,
    SHAPE_WORDS,
    SIZE_WORDS,
)

__all__ = [
    "BACKGROUND_WORDS",
    "COLOUR_WORDS",
    "DEFAULT_NEGATIVE_PROMPT",
    "MOTION_WORDS",
    "POSITION_WORDS",
    "RELATION_WORDS",
    "SHAPE_WORDS",
    "SIZE_WORDS",
    "TEMPLATES",
    "Caption",
    "Split",
    "caption",
    "templates_of",
    "unconditional",
]
