"""The studio's built files: one page for all of its addresses, and what the page loads.

File names under ``assets`` carry a hash of their content, so that browsers may keep them for ever;
the page itself is asked for again every time, which costs an answer without a body.
"""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response

import ourvidz
from ourvidz.catalog.config import Settings, StorageConfig
from ourvidz.core.errors import NotFound

STUDIO_FILES: Final = Path(ourvidz.__file__).parent / "studio"

INDEX = "index.html"
ASSETS = "assets"
PAGES: Final = ("queue", "library", "compare", "grid", "performance")
TOP_FILES: Final = ("favicon.svg", "manifest.webmanifest", "theme.js")

FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

# What mimetypes says depends on the machine's own lists.
_MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_PACKED = frozenset({".css", ".html", ".js", ".json", ".svg", ".webmanifest"})
_AMAZON = "https://*.amazonaws.com"


def is_studio(path: str) -> bool:
    """Whether a path is the studio's own, which needs no key: the page asks for one itself."""
    first, _, rest = path.removeprefix("/").partition("/")
    if first in PAGES or path == "/":
        return True
    return (first == ASSETS and bool(rest)) or path.removeprefix("/") in TOP_FILES


def studio_page(root: Path, headers: Headers, settings: Settings) -> Response:
    """Return the page.

    Raises:
        NotFound: it was not built.
    """
    page = root / INDEX
    if not page.is_file():
        raise NotFound(
            "The studio was not built.", hint="Build it with: make studio. The API is at /docs."
        )
    policy = {"Content-Security-Policy": page_policy(settings)}
    return _answer(page, headers, cache=ASK_AGAIN, more=policy)


def studio_file(root: Path, name: str, headers: Headers, *, cache: str) -> Response:
    """Return a file below ``root``.

    Raises:
        NotFound: there is none of that name, or it lies elsewhere.
    """
    file = _inside(root, name)
    if file is None:
        raise NotFound("The studio has no such file.", hint="Load the page again.")
    return _answer(file, headers, cache=cache)


def page_policy(settings: Settings) -> str:
    """Return the page's content security policy: its own files, and where results lie."""
    places = " ".join(("'self'", *_places(settings)))
    shown = f"{places} blob: data:"
    return (
        "default-src 'self'; script-src 'self'; style-src 'self'; font-src 'self'; "
        f"img-src {shown}; media-src {shown}; connect-src {places}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _places(settings: Settings) -> list[str]:
    """Return the origins of signed addresses, besides the page's own."""
    found = [_origin(url) for url in (settings.server.public_url,) if url]
    return found + _storage_places(settings.storage)


def _storage_places(storage: StorageConfig) -> list[str]:
    if storage.endpoint:
        return [_origin(storage.endpoint)]
    return [_AMAZON] if storage.kind == "s3" else []


def _origin(url: str) -> str:
    place = urlsplit(url)
    return f"{place.scheme}://{place.netloc}"


def _inside(root: Path, name: str) -> Path | None:
    try:
        file = (root / name).resolve()
        is_ours = file.is_relative_to(root.resolve()) and file.is_file()
    except (OSError, ValueError):  # too long, or with a null byte
        return None
    return file if is_ours else None


def _answer(
    file: Path, headers: Headers, *, cache: str, more: Mapping[str, str] | None = None
) -> Response:
    media_type = _MEDIA_TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
    own = {"Cache-Control": cache, "Vary": "Accept-Encoding", **(more or {})}
    stat = file.stat()
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    if file.suffix in _PACKED and accepts(headers.get("accept-encoding", ""), "gzip"):
        etag = f'{etag[:-1]}-gzip"'
        own["Content-Encoding"] = "gzip"
    own["ETag"] = etag
    known = [one.strip().removeprefix("W/") for one in headers.get("if-none-match", "").split(",")]
    if etag in known:
        return Response(status_code=304, headers=own)
    if "Content-Encoding" in own:
        return Response(_packed(file, stat.st_mtime_ns), headers=own, media_type=media_type)
    return FileResponse(
        file, headers=own, media_type=media_type or "application/octet-stream", stat_result=stat
    )


@lru_cache(maxsize=256)
def _packed(file: Path, changed_ns: int) -> bytes:
    """Return a file compressed: once for each of its versions."""
    del changed_ns
    return gzip.compress(file.read_bytes(), compresslevel=9, mtime=0)


def accepts(header: str, coding: str) -> bool:
    """Whether an Accept-Encoding header names a coding, and does not refuse it."""
    for entry in header.split(","):
        name, _, weight = entry.partition(";")
        if name.strip().lower() == coding:
            return weight.replace(" ", "").lower() not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
