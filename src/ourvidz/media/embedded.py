"""The settings embedded in the bytes of a PNG or MP4 that a stranger sent.

Only the boxes and chunks that hold text are looked at: nothing is decoded, and no library for
pictures or videos sees the bytes. Of a video the boxes ``ftyp`` and ``moov`` are enough.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator
from typing import NoReturn, cast

from ourvidz.core.errors import InvalidRequest
from ourvidz.media.settings import SETTINGS_KEY

MAX_SETTINGS_BYTES = 256 * 2**10

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEY = SETTINGS_KEY.encode("ascii")
_TEXT_IS_PACKED = 1
# ISO/IEC 14496-12, and Apple's metadata within it: where ffmpeg writes the tag "comment".
_COMMENT_PATH = (b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data")
_FULL_BOX_BYTES = 4  # version and flags before what "meta" holds
_DATA_BYTES = 8  # type and locale before a text
_HINT = "Send a PNG or MP4 as OurVidz made it; other programs drop the settings when they save."


def embedded_settings(data: bytes) -> dict[str, object]:
    """Return the settings that ``data`` carries.

    Raises:
        InvalidRequest: neither a PNG nor an MP4, or none of our settings in it.
    """
    if data.startswith(_PNG):
        found, is_wrapped = _png_text(data), False
    elif data[4:8] == b"ftyp":
        found, is_wrapped = _mp4_comment(data), True
    else:
        raise InvalidRequest("This is neither a PNG nor an MP4.", param="body", hint=_HINT)
    settings = _parsed(found) if found is not None and len(found) <= MAX_SETTINGS_BYTES else None
    if is_wrapped and settings is not None:
        settings = _object(settings.get(SETTINGS_KEY))
    if settings is None:
        raise InvalidRequest("The file carries no settings of ours.", param="body", hint=_HINT)
    return settings


def _parsed(text: bytes) -> dict[str, object] | None:
    try:
        return _object(json.loads(text.decode("utf-8"), parse_constant=_refuse))
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


# PNG, third edition (W3C, 2025): 5.3 chunks, 11.3.3.4 iTXt


def _png_text(data: bytes) -> bytes | None:
    place = len(_PNG)
    while place + 8 <= len(data):
        num_bytes = int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if kind == b"iTXt":
            text = _itxt(data[place + 8 : place + 8 + num_bytes])
            if text is not None:
                return text
        place += num_bytes + 12
    return None


def _itxt(chunk: bytes) -> bytes | None:
    key, _, rest = chunk.partition(b"\0")
    if key != _PNG_KEY or len(rest) < 2:
        return None
    is_packed, rest = rest[0] == _TEXT_IS_PACKED, rest[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]
    if not is_packed:
        return text
    try:
        return zlib.decompressobj().decompress(text, MAX_SETTINGS_BYTES + 1)
    except zlib.error:
        return None


# MP4


def _mp4_comment(data: bytes) -> bytes | None:
    found: memoryview | None = memoryview(data)
    for kind in _COMMENT_PATH:
        if found is None:
            return None
        found = next((box for name, box in _boxes(found) if name == kind), None)
        if found is not None and kind == b"meta":
            found = found[_FULL_BOX_BYTES:]
    return None if found is None else bytes(found[_DATA_BYTES:])


def _boxes(data: memoryview) -> Generator[tuple[bytes, memoryview], None, None]:
    place = 0
    while place + 8 <= len(data):
        num_bytes, head = int.from_bytes(data[place : place + 4]), 8
        if num_bytes == 1:
            num_bytes, head = int.from_bytes(data[place + 8 : place + 16]), 16
        elif num_bytes == 0:
            num_bytes = len(data) - place
        if num_bytes < head:
            return
        yield bytes(data[place + 4 : place + 8]), data[place + head : place + num_bytes]
        place += num_bytes
