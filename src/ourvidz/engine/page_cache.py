"""How much of the files is in the page cache: whether loading them is cold or warm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ourvidz.core.phase import LoadState
from ourvidz.models.reading import WARM_SHARE, cached_share


def load_state_of(files: Sequence[Path]) -> LoadState:
    """Return ``warm`` when at least nine tenths of the files' bytes are in the page cache.

    Where the system can't tell, the answer is ``cold``.
    """
    sizes = {path: path.stat().st_size for path in files}
    cached_bytes = sum(size * (cached_share(path) or 0.0) for path, size in sizes.items() if size)
    total_bytes = sum(sizes.values())
    is_warm = total_bytes > 0 and cached_bytes >= WARM_SHARE * total_bytes
    return LoadState.WARM if is_warm else LoadState.COLD
