"""A small picture of a job's first frame, before its files are finished."""

from __future__ import annotations

import io

from PIL import Image

from ourvidz.core.event import FramesReady, PreviewReady
from ourvidz.media.frames import require_rgb
from ourvidz.media.thumbnail import QUALITY, thumbnail_size


def preview_of(event: FramesReady) -> PreviewReady:
    """Return the first of the decoded frames as a WEBP, longest edge 256 px at most."""
    rgb = require_rgb(event.frames[0])
    width, height = thumbnail_size(rgb.shape[1], rgb.shape[0])
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="WEBP", quality=QUALITY)
    return PreviewReady(item=event.item, webp=buffer.getvalue(), width=width, height=height)
