"""Cancellation as a value that is passed down and asked, never an exception from outside."""

from __future__ import annotations

import threading

from ourvidz.core.errors import Cancelled


class CancelToken:
    """Set once by whoever cancels; asked between shards, steps, tokens and frames."""

    def __init__(self, parent: CancelToken | None = None) -> None:
        """Make a token that is set by itself, or with ``parent``; setting it leaves that alone."""
        self._event = threading.Event()
        self._parent = parent

    def cancel(self) -> None:
        """Ask the job to stop. Idempotent, callable from any thread or a signal handler."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether ``cancel`` was called, here or on a parent."""
        return self._event.is_set() or (self._parent is not None and self._parent.is_cancelled)

    def raise_if_cancelled(self) -> None:
        """Raise ``Cancelled`` once ``cancel`` was called, here or on a parent."""
        if self.is_cancelled:
            raise Cancelled()
