"""What stands for "no prompt" in training: nothing, or what people write into negative prompts."""

from __future__ import annotations

import random
from typing import Final

_NEGATIVE: Final = (
    "blurry",
    "low quality",
    "worst quality",
    "flicker",
    "flickering",
    "artefacts",
    "artifacts",
    "distorted",
    "deformed",
    "text",
    "watermark",
    "logo",
    "jpeg artifacts",
    "noise",
    "noisy",
    "grainy",
    "overexposed",
    "underexposed",
    "oversaturated",
    "ugly",
    "bad anatomy",
    "bad quality",
    "low resolution",
    "lowres",
    "pixelated",
    "compression artifacts",
    "static",
    "subtitles",
    "style",
    "works",
    "paintings",
    "messy",
    "cropped",
    "out of frame",
    "duplicate",
    "mutated",
    "extra limbs",
    "disfigured",
    "poorly drawn",
    "incomplete",
    "still picture",
    "signature",
    "username",
    "error",
    "out of focus",
    "bad proportions",
    "dull",
    "washed out",
    "jittery",
    "unstable motion",
    "ghosting",
    "motion blur",
    "glitch",
    "blurred details",
    "overall gray",
    "bright tones",
    "morphing",
    "warping",
    "inconsistent",
    "camera shake",
    "stuttering",
    "poor lighting",
    "bad composition",
    "amateur",
    "frame drops",
    "banding",
    "aliasing",
    "extra fingers",
    "fused fingers",
    "poorly drawn hands",
    "poorly drawn faces",
    "three legs",
    "misshapen limbs",
    "messy background",
    "many people in the background",
    "walking backwards",
)
DEFAULT_NEGATIVE_PROMPT: Final = (
    "blurry, low quality, flicker, artefacts, distorted, text, watermark"
)


def unconditional(rng: random.Random) -> str:
    """What stands for "no prompt" in training: nothing, or a sentence as in negative prompts."""
    kind = rng.random()
    if kind < 0.4:
        return ""
    if kind < 0.55:
        return DEFAULT_NEGATIVE_PROMPT
    words = rng.sample(_NEGATIVE, rng.randint(1, 14))
    text = rng.choice((", ", ", ", ", ", " ", ". ")).join(words)
    return text[0].upper() + text[1:] if rng.random() < 0.3 else text
