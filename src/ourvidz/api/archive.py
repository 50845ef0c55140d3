"""Many files as one ZIP, made while it is sent: no file is held in memory or written to disk.

The address names the jobs itself, signed, so that the server keeps nothing of it.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
import zlib
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from ourvidz.api.deps import AppDeps
from ourvidz.core.errors import Forbidden, NotFound
from ourvidz.jobs.model import StoredAsset
from ourvidz.storage.open import open_signer
from ourvidz.storage.store import AssetStorage
from ourvidz.storage.urls import UrlSigner

ARCHIVE_PATH = "/files/archive"
MAX_TOKEN_CHARS = 16_000

_PURPOSE = "archive-v1"
_PREFIX = "job_"
_MAX_TEXT_BYTES = 64_000  # of a token that is ours: 500 ids
_SHORT_ID_CHARS = 6
_RAW_DEFLATE = -15
_MOST_LOOKS = 16  # at files at a time: an object store takes milliseconds for each


# The address


def archive_path(deps: AppDeps, job_ids: Iterable[str], *, expires_s: int) -> str:
    """Return a path with query that reads the files of these jobs until it expires."""
    token = _token(job_ids)
    signed = _signer(deps).sign_text(_PURPOSE, token, expires_s=expires_s)
    return f"{ARCHIVE_PATH}?{urlencode({'jobs': token, **signed})}"


def jobs_of_archive(deps: AppDeps, *, token: str, expires: str, signature: str) -> list[str]:
    """Return whose files an address is to read.

    Raises:
        Forbidden: altered, expired or not made here.
    """
    _signer(deps).verify_text(_PURPOSE, token, expires=expires, signature=signature)
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        text = zlib.decompressobj(_RAW_DEFLATE).decompress(packed, _MAX_TEXT_BYTES)
    except (binascii.Error, ValueError, zlib.error):
        raise Forbidden("The link's signature does not match.") from None
    return [_PREFIX + part for part in text.decode("ascii").split("\n")]


def _token(job_ids: Iterable[str]) -> str:
    text = "\n".join(sorted(job_id.removeprefix(_PREFIX) for job_id in job_ids))
    packer = zlib.compressobj(level=9, wbits=_RAW_DEFLATE)
    packed = packer.compress(text.encode("ascii")) + packer.flush()
    return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def _signer(deps: AppDeps) -> UrlSigner:
    # An object store signs its files itself; this address is the server's own in any case.
    return deps.signer or open_signer(deps.settings)


# The bytes


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken. It can't seek, so nothing is written twice."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """See ``io.IOBase``."""
        return True

    def write(self, data: bytes, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See ``io.RawIOBase``."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def zip_chunks(
    storage: AssetStorage, assets: Sequence[StoredAsset]
) -> Generator[bytes, None, None]:
    """Return a ZIP of files, piece by piece. They are stored as they are: videos don't shrink.

    A file that was deleted in the meantime is left out: the ZIP is whole, and shorter than
    ``zip_bytes`` said.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for asset, name in zip(assets, names_of(assets), strict=True):
            try:
                opened = storage.open(asset.bucket, asset.key)
            except NotFound:
                continue
            at = datetime.fromtimestamp(asset.created_at, UTC)
            entry = zipfile.ZipInfo(name, date_time=at.timetuple()[:6])
            entry.external_attr = 0o644 << 16
            entry.file_size = opened.num_bytes  # so that a large one gets large fields
            with archive.open(entry, "w") as file:
                for chunk in opened.chunks:
                    file.write(chunk)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


def present(storage: AssetStorage, assets: Sequence[StoredAsset]) -> list[StoredAsset]:
    """Return those whose files are there, with the bytes that these have."""

    def look(asset: StoredAsset) -> StoredAsset | None:
        try:
            return replace(asset, num_bytes=storage.stat(asset.bucket, asset.key).num_bytes)
        except NotFound:
            return None

    with ThreadPoolExecutor(max_workers=_MOST_LOOKS) as looks:
        return [asset for asset in looks.map(look, assets) if asset is not None]


def zip_bytes(assets: Sequence[StoredAsset]) -> int:
    """Return how long the ZIP of ``zip_chunks`` is: what is stored as it is has a known length.

    A local header, the file, what follows one that was streamed, an entry of the directory; and
    the directory's end. Fields of what is larger than 2 GiB, or lies behind that, are longer.
    """
    offset = directory = 0
    for asset, name in zip(assets, names_of(assets), strict=True):
        num_chars, size = len(name.encode()), asset.num_bytes
        is_large = size * 1.05 > zipfile.ZIP64_LIMIT
        longer = 16 * (size > zipfile.ZIP64_LIMIT) + 8 * (offset > zipfile.ZIP64_LIMIT)
        directory += 46 + num_chars + (4 + longer if longer else 0)
        offset += 30 + num_chars + size + (20 + 24 if is_large else 16)
    is_large = max(offset, directory) > zipfile.ZIP64_LIMIT
    return offset + directory + 22 + (56 + 20 if is_large else 0)


def names_of(assets: Iterable[StoredAsset]) -> list[str]:
    """Return names that tell files apart: job type, seed and the end of the job's id."""
    names: dict[str, None] = {}
    for asset in assets:
        parts = (asset.bucket, asset.facts.get("seed"), asset.job_id[-_SHORT_ID_CHARS:])
        stem = "-".join(str(part) for part in parts if part is not None)
        suffix = asset.key.rpartition(".")[2]
        name, count = f"{stem}.{suffix}", 1
        while name in names:
            count += 1
            name = f"{stem}-{count}.{suffix}"
        names[name] = None
    return list(names)
