"""Reading, the same for every storage: obstore does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import obstore

from ourvidz.core.errors import InvalidRequest
from ourvidz.storage.faults import storage_errors_as_ours
from ourvidz.storage.keys import check_bucket, check_key
from ourvidz.storage.store import Opened, StoredObject

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import LocalStore, S3Store

_CHUNK_BYTES = 256 * 1024


def open_object(
    store: LocalStore | S3Store, bucket: str, key: str, *, start: int, end: int | None
) -> Opened:
    """Read bytes ``start`` to ``end`` (exclusive; None or beyond the object: its end).

    Raises:
        InvalidRequest: an empty range, or one that begins at or beyond the object's end.
        NotFound, StorageFailed: see ``AssetStorage``.
    """
    with storage_errors_as_ours("read", bucket, key):
        result = obstore.get(store, key, options=_range_options(start, end))
    first, last = result.range
    return Opened(
        num_bytes=result.meta["size"], start=first, end=last, chunks=_chunks(result, bucket, key)
    )


def stat_object(store: LocalStore | S3Store, bucket: str, key: str) -> StoredObject:
    """Return an object's facts."""
    with storage_errors_as_ours("find", bucket, key):
        return stored_object(bucket, obstore.head(store, key))


def list_folder(
    store: LocalStore | S3Store, bucket: str, *, prefix: str = ""
) -> Iterator[StoredObject]:
    """Return the objects in the folder ``prefix`` and below: ``a/1`` covers no ``a/10/...``."""
    folder = prefix.rstrip("/")
    check_bucket(bucket)
    if folder:
        check_key(folder)
    with storage_errors_as_ours("list", bucket):
        for batch in obstore.list(store, folder or None):
            for meta in batch:
                yield stored_object(bucket, meta)


def stored_object(bucket: str, meta: ObjectMeta) -> StoredObject:
    """Return obstore's facts as ours."""
    return StoredObject(
        bucket=bucket,
        key=meta["path"],
        num_bytes=meta["size"],
        modified_at=meta["last_modified"].timestamp(),
    )


def _range_options(start: int, end: int | None) -> GetOptions:
    if start < 0 or (end is not None and end <= start):
        raise InvalidRequest(f"Bytes {start} to {end} are no range.", param="range")
    if end is not None:
        return {"range": (start, end)}
    return {"range": {"offset": start}} if start else {}


def _chunks(result: GetResult, bucket: str, key: str) -> Iterator[bytes]:
    with storage_errors_as_ours("read", bucket, key):
        for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
            yield bytes(chunk)
