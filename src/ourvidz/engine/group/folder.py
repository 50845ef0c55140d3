"""The folder through which a group's ranks find each other; one of a killed leader goes later."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_PREFIX = "ourvidz-group-"
_LOCK = "leader"  # locked while its leader lives


class MeetingFolder:
    """A new folder of ours, until ``remove`` or until this process ends."""

    def __init__(self, root: Path | None = None) -> None:
        """Make it, and remove those whose leaders were killed.

        Args:
            root: where; None: where temporary files go.
        """
        root = root or Path(tempfile.gettempdir())
        _sweep(root)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        # Locked before it has its name: another leader's sweep must not be faster.
        unnamed = self.path / "new"
        self._lock: BinaryIO = unnamed.open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Remove it. Idempotent; raises nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _sweep(root: Path) -> None:
    for path in root.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), path.open("rb") as lock:  # locked, another user's, or gone
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent, ignore_errors=True)
