"""Text for clients: without what is this machine's own business."""

from __future__ import annotations

import re

# An absolute path of two or more parts that begins a word, or one on a drive. URLs and fractions
# ("GiB/s") have something before the slash.
_PATH = re.compile(
    r"(?<![\w:/.~\])])/(?:[^\s/'\"`:;,()]+/)+[^\s/'\"`:;,()]*|\b[A-Za-z]:\\[^\s'\"]+"
)


def without_paths(text: str) -> str:
    """Return ``text`` with absolute paths of this machine left out."""
    return _PATH.sub("(path)", text)
