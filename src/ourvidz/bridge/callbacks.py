"""Old callbacks from the outbox: files go under their old paths first, then the site is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ourvidz.bridge.bodies import (
    Body,
    Completed,
    PublishedAsset,
    completed_body,
    error_text,
    failed_body,
    processing_body,
)
from ourvidz.bridge.mapping import WAN_TASK, callback_url
from ourvidz.bridge.refusals import TIMEOUT_S, Site
from ourvidz.catalog.config import Settings
from ourvidz.core.errors import NotFound
from ourvidz.core.job import JobState
from ourvidz.jobs.model import Job, OutboxItem, StoredAsset
from ourvidz.jobs.store import JobStore
from ourvidz.net.client import GuardedClient, PostResult
from ourvidz.storage.store import AssetStorage
from ourvidz.upkeep.outbox import Post, Poster

# The state in which a message is still news. A job goes on while its messages wait for a site
# that is down: "processing" must not overtake "completed", nor a failure the retry after it.
_STATES = {
    "claimed": JobState.RUNNING,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}
_SUFFIXES = {"video/mp4": "mp4", "image/png": "png"}
_CANCELLED = "The job was cancelled."
_UNKNOWN_WORKER = "ourvidz"

_log = logging.getLogger(__name__)


class LegacyRenderer:
    """Renders outbox items of kind ``legacy``. Harmless when repeated.

    Args:
        store: where the other names of published files are kept.
        storage: where the jobs' files are.
        key: bearer key of the site's callback function.
    """

    def __init__(self, store: JobStore, storage: AssetStorage, *, key: str | None) -> None:
        self._store = store
        self._storage = storage
        self._key = key

    def __call__(
        self, item: OutboxItem, job: Job, assets: tuple[StoredAsset, ...]
    ) -> Sequence[Post]:
        """Return the one request that tells ``item.event``; none where it is no news any more.

        Raises:
            NotFound: the files were deleted in the meantime.
            StorageFailed, DiskFull: the files can't be put under their old paths now.
        """
        if job.state is not _STATES.get(item.event):
            _log.info("%s is %s: %r is not told any more", job.id, job.state.value, item.event)
            return ()
        facts = _facts_of(job, item.url)
        body = self._body(item.event, job, assets, facts)
        site = Site(url=item.url, key=self._key)
        content = json.dumps(body, ensure_ascii=False).encode()
        return (Post(url=site.url, content=content, headers=site.headers),)

    def _body(
        self, event: str, job: Job, assets: tuple[StoredAsset, ...], facts: Mapping[str, Any]
    ) -> Body:
        style, raw_id = facts["style"], facts["job_id"]
        worker_id = job.worker_id or _UNKNOWN_WORKER
        if event == "claimed":
            return processing_body(style, raw_id=raw_id, worker_id=worker_id)
        if event != "succeeded":
            message = _CANCELLED if event == "cancelled" else error_text(job.error)
            return failed_body(style, raw_id=raw_id, worker_id=worker_id, message=message)
        return completed_body(
            style,
            Completed(
                raw_id=raw_id,
                worker_id=worker_id,
                request=job.request,
                duration_s=_duration_s(job),
                wan_task=facts.get("wan_task", WAN_TASK),
                enhanced_prompt=(job.enhancement or {}).get("enhanced_prompt"),
                files=publish(self._store, self._storage, job, assets, facts),
            ),
        )


class SitePoster:
    """Posts to the old site as the operator named it, and to every other address with care.

    The site may be on a private address (a Supabase of one's own) and has 30 s to answer; a URL
    that a client gave goes to ``others``, which checks it.
    """

    def __init__(self, settings: Settings, others: Poster) -> None:
        self._url = callback_url(settings) if settings.bridge.site_url else None
        self._site = GuardedClient(allow_private=True)
        self._others = others

    def post(
        self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> PostResult:
        """Send one request and return its status, whatever it is.

        Raises:
            UrlRefused, FetchFailed: see ``GuardedClient``.
        """
        if url == self._url:
            return self._site.post(
                url, content=content, headers=headers, timeout_s=max(timeout_s, TIMEOUT_S)
            )
        return self._others.post(url, content=content, headers=headers, timeout_s=timeout_s)


def legacy_renderer(settings: Settings, store: JobStore, storage: AssetStorage) -> LegacyRenderer:
    """Return the renderer that the settings describe."""
    key = settings.bridge.callback_key
    return LegacyRenderer(store, storage, key=None if key is None else key.get_secret_value())


def publish(
    store: JobStore,
    storage: AssetStorage,
    job: Job,
    assets: Sequence[StoredAsset],
    facts: Mapping[str, Any],
) -> tuple[PublishedAsset, ...]:
    """Copy a job's files, and thumbnails beside them, to their old paths. Idempotent.

    Raises:
        NotFound: there is nothing (any more) to publish.
        StorageFailed, DiskFull: see ``AssetStorage.copy``.
    """
    if not assets:
        raise NotFound(f"The files of {job.id} are gone.")
    published = tuple(_publish_one(storage, job, asset, facts) for asset in assets)
    for each in published:
        store.note_published(each.asset.id, key=each.path, thumbnail_key=each.thumbnail_path)
    return published


def old_path(job: Job, asset: StoredAsset, facts: Mapping[str, Any]) -> str:
    """Return where the old site looks for a file, relative to the bucket.

    The video model's: ``{user_id}/{video_id or image_id}.{mp4|png}``. SDXL's:
    ``{user_id}/{file name}``, the name being ``{image_id}_{index}.png``.
    """
    stem = facts.get("file_id") or job.id
    if job.request.family != "wan" or asset.index > 0:
        stem = f"{stem}_{asset.index}"
    suffix = _SUFFIXES.get(asset.media_type) or asset.key.rpartition(".")[2]
    return f"{facts['user_id']}/{stem}.{suffix}"


def _publish_one(
    storage: AssetStorage, job: Job, asset: StoredAsset, facts: Mapping[str, Any]
) -> PublishedAsset:
    path = old_path(job, asset, facts)
    storage.copy(asset.bucket, asset.key, path)
    thumbnail_path = None
    if asset.thumbnail_key is not None:
        thumbnail_path = f"{path.rpartition('.')[0]}.thumb.webp"
        storage.copy(asset.bucket, asset.thumbnail_key, thumbnail_path)
    _log.info("%s: file %d published as %s/%s", job.id, asset.index, asset.bucket, path)
    return PublishedAsset(asset=asset, path=path, thumbnail_path=thumbnail_path)


def _facts_of(job: Job, url: str) -> Mapping[str, Any]:
    """Return what the bridge kept for the callback to ``url``."""
    for callback in job.callbacks:
        if callback.kind == "legacy" and callback.url == url:
            return callback.facts
    raise NotFound(f"{job.id} has no legacy callback to this address.")


def _duration_s(job: Job) -> float:
    if job.started_at is None or job.finished_at is None:
        return 0.0
    return job.finished_at - job.started_at
