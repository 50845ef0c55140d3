"""PNG images with the settings that made them inside, compressed in strips side by side.

And ``read_image``, which reads those and WEBP back.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial as bound
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ourvidz.core.errors import InvalidRequest, OutputInvalid
from ourvidz.core.files import atomic_path
from ourvidz.media.frames import RgbFrame, require_rgb
from ourvidz.media.settings import SETTINGS_KEY, JsonValue, dump_json

# How pixels are compressed: lossless in any case. Runs and Huffman codes only, because zlib's
# search for repeats costs photographs time and bytes. Measured at 1024x1024, one core of two
# (2026-11-21), milliseconds and bytes of the whole file: noise 23 ms, 3.15 MB; photograph-like
# with grain 28 ms, 1.66 MB; flat shapes 7 ms, 0.02 MB. Pillow 13 (zlib-ng, best of five filters a
# line) at its level 1: 112 ms, 3.15 MB; 88 ms, 1.83 MB; 19 ms, 0.03 MB; at level 6: 345 ms and
# 1.65 MB of the photograph, at level 0, which stores, 49 ms.
COMPRESSION_STRATEGY = zlib.Z_RLE

_STRIP_BYTES = 512 * 2**10  # of pixels: short enough for many threads, long enough for its codes
_GUESS_STRIDE = 4  # every fourth line is enough to choose a filter by

# PNG, third edition (W3C, 2025): 5.3 chunks, 11.2.1 IHDR, 11.3.3.4 iTXt, 9.2 filter types.
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUECOLOUR = 2
_SUB, _UP = 1, 2
_ZLIB_HEADER = b"\x78\x01"  # RFC 1950: deflate, a window of 32 KiB, fastest
_RAW_DEFLATE = -15
_MEMORY_LEVEL = 9


def write_png(
    path: Path,
    image: RgbFrame,
    *,
    settings: Mapping[str, JsonValue] | None = None,
    threads: Executor | None = None,
) -> None:
    """Write one image. Releases the interpreter lock while compressing, so threads help.

    Args:
        path: Where the file shall appear; ends in ``.png``, its folder exists.
        image: (H, W, 3), uint8, RGB, 0 to 255.
        settings: What made the image; embedded as UTF-8 under the key ``ourvidz``.
        threads: What compresses the strips; ``None``: this thread. Never the executor that runs
            this call, which would wait for itself. The file is the same either way.

    Raises:
        InvalidRequest: The name does not end in ``.png``.
        DiskFull: The disk is full.
        OutputUnwritable: The folder can't be written.
    """
    if path.suffix.lower() != ".png":
        raise InvalidRequest(f"an image's name ends in .png, got {path.name!r}", param="path")
    pixels = require_rgb(image)
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, _TRUECOLOUR, 0, 0, 0)
    chunks = [_SIGNATURE, _chunk(b"IHDR", header)]
    if settings is not None:
        text = dump_json(settings).encode("utf-8")
        chunks.append(_chunk(b"iTXt", SETTINGS_KEY.encode() + b"\0\0\0\0\0" + text))
    chunks += _compressed(pixels.reshape(height, width * 3), threads)
    chunks.append(_chunk(b"IEND", b""))
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.writelines(chunks)


def read_image(path: Path) -> RgbFrame:
    """Return an image's pixels, (H, W, 3) uint8 RGB, 0 to 255.

    Raises:
        OutputInvalid: Missing, damaged or no image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise OutputInvalid(f"{str(path)!r} does not decode as an image: {error}") from error


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)))


def _compressed(lines: npt.NDArray[np.uint8], threads: Executor | None) -> list[bytes]:
    """Return the IDAT chunks of ``lines``, (H, 3 W): one a strip, together one zlib stream."""
    height = max(1, _STRIP_BYTES // lines.shape[1])
    starts = range(0, lines.shape[0], height)
    jobs: list[Callable[[], tuple[npt.NDArray[np.uint8], bytes]]] = [
        bound(_strip, lines, start, min(start + height, lines.shape[0])) for start in starts
    ]
    if threads is None:
        strips = [job() for job in jobs]
    else:
        futures = [threads.submit(job) for job in jobs]
        strips = [future.result() for future in futures]
    checksum = zlib.adler32(b"")
    for filtered, _ in strips:
        checksum = zlib.adler32(filtered.data, checksum)
    return [
        _chunk(b"IDAT", _ZLIB_HEADER),
        *(idat for _, idat in strips),
        _chunk(b"IDAT", struct.pack(">I", checksum)),
    ]


def _strip(
    lines: npt.NDArray[np.uint8], start: int, stop: int
) -> tuple[npt.NDArray[np.uint8], bytes]:
    """Return the lines from ``start`` to ``stop`` as filtered, and their IDAT chunk.

    A strip ends at a byte and refers to nothing before it, so that strips join end to end.
    """
    filtered = _filtered(lines, start, stop)
    deflate = zlib.compressobj(1, zlib.DEFLATED, _RAW_DEFLATE, _MEMORY_LEVEL, COMPRESSION_STRATEGY)
    is_last = stop == lines.shape[0]
    content = deflate.compress(filtered.data)
    content += deflate.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)
    return filtered, _chunk(b"IDAT", content)


def _filtered(lines: npt.NDArray[np.uint8], start: int, stop: int) -> npt.NDArray[np.uint8]:
    """Return differences to the line above or to the pixel on the left, whichever are smaller."""
    current = lines[start:stop]
    left = np.empty((stop - start, 1 + lines.shape[1]), dtype=np.uint8)
    left[:, 0] = _SUB
    left[:, 1:4] = current[:, :3]
    np.subtract(current[:, 3:], current[:, :-3], out=left[:, 4:])
    above = np.empty_like(left)
    above[:, 0] = _UP
    np.subtract(current[1:], current[:-1], out=above[1:, 1:])
    if start == 0:
        above[0] = left[0]  # nothing is above the first line
    else:
        np.subtract(current[0], lines[start - 1], out=above[0, 1:])
    return above if _size(above) <= _size(left) else left


def _size(differences: npt.NDArray[np.uint8]) -> int:
    """Return a sum of absolute differences, the usual guess at what compresses better."""
    sample = differences[::_GUESS_STRIDE].view(np.int8)
    return int(np.abs(sample).view(np.uint8).sum(dtype=np.int64))
