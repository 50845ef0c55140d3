"""Names that may reach a storage: only what the server itself makes."""

from __future__ import annotations

import re

from ourvidz.core.errors import InvalidRequest

# The characters that a local folder, S3 and a URL all carry unchanged.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~@=-]*", re.ASCII)
_MAX_SEGMENT_CHARS = 200  # file systems end at 255 bytes
_MAX_KEY_CHARS = 1000  # S3 ends at 1024 bytes
_MAX_NAME_CHARS = 200


def check_bucket(bucket: str) -> str:
    """Return ``bucket``.

    Raises:
        InvalidRequest: not 1 to 63 letters, digits, ``.``, ``_`` and ``-``, a letter or digit
            first; or with ``..`` in it.
    """
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise InvalidRequest(f"{_shown(bucket)} is not the name of a bucket.", param="bucket")
    return bucket


def check_key(key: str) -> str:
    """Return ``key``.

    Raises:
        InvalidRequest: empty, over 1,000 characters, absolute, or with a segment that is empty,
            over 200 characters, begins with a dot or holds anything but letters, digits and
            ``. _ ~ @ = -``.
    """
    segments = key.split("/")
    is_good = len(key) <= _MAX_KEY_CHARS and all(
        _SEGMENT.fullmatch(segment) and len(segment) <= _MAX_SEGMENT_CHARS for segment in segments
    )
    if not is_good:
        raise InvalidRequest(f"{_shown(key)} is not a key of this storage.", param="key")
    return key


def check_name(name: str | None) -> str | None:
    """Return the file name that a browser shall save under.

    Raises:
        InvalidRequest: empty, over 200 characters, or with a slash or control character.
    """
    if name is None:
        return None
    if not name or len(name) > _MAX_NAME_CHARS or set(name) & {"/", "\\"} or not name.isprintable():
        raise InvalidRequest(f"{_shown(name)} is not a file name.", param="name")
    return name


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
