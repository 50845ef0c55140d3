"""Bytes of stored files: ranges, names, types."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from ourvidz.storage.store import AssetStorage

_TYPES: Mapping[str, str] = {
    "mp4": "video/mp4",
    "png": "image/png",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "json": "application/json",
}
_UNKNOWN_TYPE = "application/octet-stream"
_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")

# A picture that a browser opens as a page of its own runs nothing and loads nothing.
_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'none'; sandbox"


def media_type_of(key: str) -> str:
    """Return the media type that a key's ending says."""
    return _TYPES.get(key.rpartition(".")[2].lower(), _UNKNOWN_TYPE)


def disposition(name: str, *, is_shown: bool) -> str:
    """Return a Content-Disposition that no name can break out of (RFC 6266)."""
    kind = "inline" if is_shown else "attachment"
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def byte_range(header: str | None, num_bytes: int) -> tuple[int, int] | None:
    """Return (start, end exclusive) of a Range header; None where all is to be sent.

    Several ranges, and forms that are not bytes, are answered with all: the standard allows it.

    Raises:
        ValueError: the range lies outside the file.
    """
    match = _RANGE.match(header.replace(" ", "")) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), num_bytes)
        if length == 0:
            raise ValueError(header)
        return num_bytes - length, num_bytes
    start = int(first)
    end = min(int(last) + 1, num_bytes) if last else num_bytes
    if last and int(last) < start:
        return None  # not a range at all
    if start >= num_bytes:
        raise ValueError(header)
    return start, end


def stream_object(
    request: Request,
    storage: AssetStorage,
    bucket: str,
    key: str,
    *,
    media_type: str | None = None,
    name: str | None = None,
    max_age_s: int = 3600,
) -> Response:
    """Return an object, or the range of it that the request asks for.

    Keys are never written twice, so an object's key is what makes its ETag.

    Args:
        media_type: by the key's ending, if left out.
        name: makes a browser save it, under this name; left out, it is shown.

    Raises:
        NotFound, StorageFailed: as the storage says.
    """
    media_type = media_type or media_type_of(key)
    found = storage.stat(bucket, key)
    etag = f'"{hashlib.sha256(f"{bucket}/{key}/{found.num_bytes}".encode()).hexdigest()[:32]}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={max_age_s}, immutable",
        "Content-Disposition": disposition(
            name or key.rpartition("/")[2],
            is_shown=name is None and media_type != _UNKNOWN_TYPE,
        ),
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range")
    if request.headers.get("if-range", etag) != etag:
        wanted = None
    try:
        span = byte_range(wanted, found.num_bytes)
    except ValueError:
        headers["Content-Range"] = f"bytes */{found.num_bytes}"
        return Response(status_code=416, headers=headers)
    start, end = span or (0, found.num_bytes)
    headers["Content-Length"] = str(end - start)
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.num_bytes}"
    status = 206 if span else 200
    if request.method == "HEAD" or start == end:
        return Response(status_code=status, headers=headers, media_type=media_type)
    opened = storage.open(bucket, key, start=start, end=end)
    return StreamingResponse(opened.chunks, status, headers=headers, media_type=media_type)
