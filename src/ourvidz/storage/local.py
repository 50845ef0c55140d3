"""Files in a folder of this machine.

Reading is obstore's. Writing is ours: obstore's local store does not flush to the device, and a
job is only finished once a power cut can't take its file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from obstore.store import LocalStore

from ourvidz.core.errors import IllegalState, InvalidRequest, NotFound
from ourvidz.core.files import sweep_partials
from ourvidz.storage.faults import no_room, storage_errors_as_ours, unreadable_source
from ourvidz.storage.files import NO_LINKS, flush_folder, place_new
from ourvidz.storage.keys import check_bucket, check_key
from ourvidz.storage.reading import list_folder, open_object, stat_object
from ourvidz.storage.store import Opened, StoredObject
from ourvidz.storage.urls import UrlSigner

_STAGING = ".staging"
_STAGING_MAX_AGE_S = 86_400.0  # no copy of one file takes a day
_RESERVE_BYTES = 16 * 2**20  # left free, because the job database lives on the same disk
_USED_FOR_S = 60.0
_COPY_BYTES = 2**20
_LINK_TRIES = 100


class LocalStorage:
    """``AssetStorage`` under one folder: ``{root}/{bucket}/{key}``.

    Several processes and threads may use the same folder at once.
    """

    def __init__(
        self,
        root: Path,
        *,
        signer: UrlSigner,
        reserve_bytes: int = _RESERVE_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the folder and clear what killed writers left half done a day ago.

        Args:
            root: The folder of all buckets.
            signer: Makes the URLs.
            reserve_bytes: What must stay free on the disk after a write.
            monotonic: Seconds that never go back, for the age of ``used_bytes``.

        Raises:
            StorageFailed: the folder can't be made or read.
        """
        self._root = root.absolute()
        self._staging = self._root / _STAGING
        self._signer = signer
        self._reserve_bytes = reserve_bytes
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._used: tuple[float, int] | None = None
        with storage_errors_as_ours("make", "its folder"):
            self._staging.mkdir(parents=True, exist_ok=True)
            sweep_partials(self._staging, older_than_s=_STAGING_MAX_AGE_S, now=datetime.now(UTC))

    def put_file(self, bucket: str, key: str, path: Path, *, media_type: str) -> StoredObject:
        """Copy a file in under a new key; it is on the device when this returns."""
        del media_type  # the job database keeps it; a folder has nowhere to
        final = self._path(bucket, key)
        if final.exists():
            raise _exists(bucket, key)
        with _source(path) as (descriptor, num_bytes), storage_errors_as_ours("keep", bucket, key):
            self._check_room(num_bytes, bucket, key)
            with self._staged() as staged:
                _copy_durably(descriptor, staged)
                self._into_folder(final, lambda: place_new(staged, final))
        return self.stat(bucket, key)

    def copy(self, bucket: str, key: str, to_key: str) -> StoredObject:
        """Give a file another name, replacing it; takes no room where the disk knows hard links."""
        source, final = self._path(bucket, key), self._path(bucket, to_key)
        if source == final:
            return self.stat(bucket, key)
        with storage_errors_as_ours("copy", bucket, key), self._staged() as staged:
            try:
                os.link(source, staged)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                with source.open("rb") as file:
                    self._check_room(os.fstat(file.fileno()).st_size, bucket, key)
                    _copy_durably(file.fileno(), staged)
            self._into_folder(final, lambda: os.replace(staged, final))
        return self.stat(bucket, to_key)

    def open(self, bucket: str, key: str, *, start: int = 0, end: int | None = None) -> Opened:
        """Read an object, or bytes ``start`` to ``end`` (exclusive) of it.

        Raises:
            InvalidRequest: an empty range, or one that begins at or beyond the object's end.
        """
        return open_object(self._reader(bucket, key), bucket, key, start=start, end=end)

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Return an object's facts."""
        return stat_object(self._reader(bucket, key), bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        """Delete, and the folders that it leaves empty. Idempotent."""
        path = self._path(bucket, key)
        with storage_errors_as_ours("delete", bucket, key):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                flush_folder(path.parent)
            self._prune(path.parent, self._root / bucket)

    def list_objects(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """Return the objects in the folder ``prefix`` and below; all of the bucket if empty."""
        check_bucket(bucket)
        if (self._root / bucket).is_dir():
            yield from list_folder(LocalStore(self._root / bucket), bucket, prefix=prefix)

    def buckets(self) -> tuple[str, ...]:
        """Return the buckets that exist, by name."""
        with storage_errors_as_ours("list", "its buckets"):
            return tuple(sorted(path.name for path in self._root.iterdir() if _is_bucket(path)))

    def signed_url(self, bucket: str, key: str, *, expires_s: int, name: str | None = None) -> str:
        """Return ``/files/...`` on this server, valid for ``expires_s`` seconds."""
        return self._signer.sign(bucket, key, expires_s=expires_s, name=name)

    def used_bytes(self) -> int | None:
        """Return bytes stored, at most a minute old. A file with two names counts once."""
        with self._lock:
            now = self._monotonic()
            if self._used is None or now - self._used[0] >= _USED_FOR_S:
                with storage_errors_as_ours("measure", "its folder"):
                    self._used = (now, _measure(self._root))
            return self._used[1]

    def _path(self, bucket: str, key: str) -> Path:
        return self._root / check_bucket(bucket) / check_key(key)

    def _reader(self, bucket: str, key: str) -> LocalStore:
        check_bucket(bucket)
        check_key(key)
        folder = self._root / bucket
        if not folder.is_dir():
            raise NotFound(f"The storage holds no {bucket}/{key}.")
        return LocalStore(folder)

    def _check_room(self, num_bytes: int, bucket: str, key: str) -> None:
        if shutil.disk_usage(self._root).free < num_bytes + self._reserve_bytes:
            raise no_room("keep", f"{bucket}/{key}")

    @contextlib.contextmanager
    def _staged(self) -> Iterator[Path]:
        """Yield a name outside of every bucket, so that no listing ever shows half a file."""
        staged = self._staging / f".put.partial-{secrets.token_hex(8)}"
        try:
            yield staged
        finally:
            # Also after a rename: one between two names of the same file removes neither.
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)

    def _into_folder(self, final: Path, place: Callable[[], None]) -> None:
        """Make the folder, place the file and flush every folder down to it."""
        for tries_left in reversed(range(_LINK_TRIES)):
            try:
                _make_folder(final.parent)
                place()
                break
            except FileNotFoundError:  # a deletion next door found the folder empty
                if not tries_left:
                    raise
        folder = final.parent
        while folder != self._root:
            flush_folder(folder)
            folder = folder.parent
        flush_folder(self._root)

    def _prune(self, folder: Path, top: Path) -> None:
        while folder != top:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return  # not empty
            folder = folder.parent


@contextlib.contextmanager
def _source(path: Path) -> Iterator[tuple[int, int]]:
    """Yield descriptor and size of the file to be stored."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise unreadable_source(error) from error
    try:
        yield descriptor, os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _exists(bucket: str, key: str) -> IllegalState:
    return IllegalState(f"The storage holds {bucket}/{key} already; it is never written again.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if folder.is_file():
            raise NotADirectoryError(errno.ENOTDIR, "a file is in the way") from None
        # It was there, and is gone by now.
        raise FileNotFoundError(errno.ENOENT, "removed meanwhile") from None


def _copy_durably(descriptor: int, to: Path) -> None:
    with os.fdopen(os.dup(descriptor), "rb") as source, to.open("xb") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)
        target.flush()
        os.fsync(target.fileno())


def _is_bucket(path: Path) -> bool:
    try:
        check_bucket(path.name)
    except InvalidRequest:
        return False
    return path.is_dir()


def _measure(root: Path) -> int:
    total = 0
    counted: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root):
        if Path(folder) == root:
            subfolders[:] = [name for name in subfolders if name != _STAGING]
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                facts = os.lstat(os.path.join(folder, name))
                if facts.st_nlink > 1:
                    if (facts.st_dev, facts.st_ino) in counted:
                        continue
                    counted.add((facts.st_dev, facts.st_ino))
                total += facts.st_size
    return total
