"""What asset storage can do. A bucket is named after the job type; keys are the server's own.

An attempt writes under ``attempt_prefix``; a key that exists is never written again. So a worker
that lost its lease can leave an orphan, which the sweeper removes, and never touch what another
attempt published.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """One object."""

    bucket: str
    key: str
    num_bytes: int
    modified_at: float  # Unix seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """An object being read: ``start`` to ``end`` (exclusive) of ``num_bytes``."""

    num_bytes: int
    start: int
    end: int
    chunks: Iterator[bytes]


class AssetStorage(Protocol):
    """Objects by bucket and key.

    Raises, from every method:
        StorageFailed: the storage refused or can't be reached, after its own retries.
        NotFound: no such object (where one is read).
        DiskFull: no room.
        InvalidRequest: a bucket or key that the server did not make (``..``, absolute, empty).
    """

    def put_file(self, bucket: str, key: str, path: Path, *, media_type: str) -> StoredObject:
        """Upload a file under a new key; multipart where large, visible only when whole.

        Raises:
            IllegalState: the key exists already.
        """
        ...

    def copy(self, bucket: str, key: str, to_key: str) -> StoredObject:
        """Copy within a bucket, replacing ``to_key``: how a published file gets another name."""
        ...

    def open(self, bucket: str, key: str, *, start: int = 0, end: int | None = None) -> Opened:
        """Read an object, or bytes ``start`` to ``end`` (exclusive) of it."""
        ...

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Return an object's facts."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Delete. Idempotent."""
        ...

    def list_objects(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """Return the objects of a bucket."""
        ...

    def buckets(self) -> tuple[str, ...]:
        """Return the buckets that exist."""
        ...

    def signed_url(self, bucket: str, key: str, *, expires_s: int, name: str | None = None) -> str:
        """Return a URL that reads one object until it expires.

        Local storage gives a path on this server (``/files/...``); object stores give their own
        absolute URL. ``name`` is what a browser saves it as.
        """
        ...

    def used_bytes(self) -> int | None:
        """Return bytes stored, where that is cheap to know."""
        ...


def attempt_prefix(job_id: str, token: int) -> str:
    """Return the folder that belongs to one attempt alone."""
    return f"{job_id}/{token}"
