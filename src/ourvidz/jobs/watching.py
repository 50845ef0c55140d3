"""Seeing that somebody wrote to the store, between two proper looks."""

from __future__ import annotations

from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.store import JobStore

# Between two glances: unnoticed by people, and 50 reads of a page in shared memory a second.
GLANCE_S = 0.02


class ChangeWatch:
    """Tells whether the store has changed since the last time it was asked.

    It is a hint: where the store can't tell (``JobStore.version``), or can't be reached, nothing
    changes, and one waits as long as one would without. Not for several threads.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._seen = self._version()

    @property
    def can_tell(self) -> bool:
        """Whether asking again before the time is over is of any use."""
        return self._seen is not None

    def has_changed(self) -> bool:
        """Whether anyone has written since the last call, or since this watch was made."""
        before, self._seen = self._seen, self._version()
        return self._seen is not None and self._seen != before

    def _version(self) -> int | None:
        try:
            return self._store.version()
        except OurVidzError:
            return None
