"""Files are deleted by age and by total size, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ourvidz.core.errors import OurVidzError, StorageFailed
from ourvidz.jobs.model import StoredAsset
from ourvidz.jobs.store import JobStore
from ourvidz.storage.store import AssetStorage

_SECONDS_PER_DAY = 86_400.0
_BATCH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Expired:
    """What retention deleted."""

    assets: int
    num_bytes: int


def expire(
    store: JobStore, storage: AssetStorage, *, keep_days: float | None, keep_bytes: int | None
) -> Expired:
    """Delete the files beyond an age or a total, with their thumbnails and published copies.

    The storage goes first, then the mark in the store: a crash in between is mended by the next
    call, as deletion is idempotent. A file that can't be deleted does not keep the others.

    Args:
        store: Tells which files are beyond.
        storage: Where they are.
        keep_days: Longest age; None for no limit.
        keep_bytes: Largest total of all files; None for no limit.

    Raises:
        StorageFailed: one or more files could not be deleted; the first failure, after all of
            their batch were tried.
    """
    assets = num_bytes = 0
    if keep_days is None and keep_bytes is None:
        return Expired(assets=0, num_bytes=0)
    older_than_s = None if keep_days is None else keep_days * _SECONDS_PER_DAY
    while due := store.assets_to_expire(
        older_than_s=older_than_s, total_bytes=keep_bytes, limit=_BATCH
    ):
        deleted, failure = _delete(storage, due)
        store.mark_assets_deleted([asset.id for asset in deleted])
        assets += len(deleted)
        num_bytes += sum(asset.num_bytes for asset in deleted)
        if failure is not None:  # the same files would come back at once
            raise failure
    return Expired(assets=assets, num_bytes=num_bytes)


def _delete(
    storage: AssetStorage, assets: Sequence[StoredAsset]
) -> tuple[list[StoredAsset], OurVidzError | None]:
    deleted: list[StoredAsset] = []
    failure: OurVidzError | None = None
    for asset in assets:
        try:
            for key in _keys(asset):
                storage.delete(asset.bucket, key)
        except StorageFailed as error:
            failure = failure or error
        else:
            deleted.append(asset)
    return deleted, failure


def _keys(asset: StoredAsset) -> Iterator[str]:
    """Yield every key that holds the file, its thumbnail or a copy under a legacy name."""
    for name in ("published_key", "published_thumbnail_key"):
        published = asset.facts.get(name)
        if isinstance(published, str):
            yield published
    if asset.thumbnail_key is not None:
        yield asset.thumbnail_key
    yield asset.key
