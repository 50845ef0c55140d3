"""Bytes of weight files into tensors at the storage's speed.

Several threads read large pieces of files. On a CPU they read straight into the final tensors. For
a device they read into a few pinned buffers, shared by all loads of the process, from which a side
stream copies; dtypes are converted where the tensor lives. Host memory beyond the tensors is
bounded by those buffers: ``NUM_BUFFERS * CHUNK_BYTES`` = 256 MiB.

What bounds it, for 11.4 GB of UMT5: 8.1 s from a disk of 1.4 GB/s; 0.2 s over PCIe at 55 GB/s; from
the page cache one thread copies about 5 to 10 GB/s, so eight of them come near PCIe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import torch

from ourvidz.checkpoints._safetensors import (  # pyright: ignore[reportPrivateUsage]
    TensorInfo,
    read_header,
)
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import CheckpointInvalid

# Large enough that a disk's latency (0.1 ms; 1 ms and more over a network) does not show beside
# the transfer, small enough that a cancel is met soon.
CHUNK_BYTES = 16 * 2**20
NUM_THREADS = 8
NUM_BUFFERS = 16
_PAGE_BYTES = 4096  # O_DIRECT's alignment on every disk in use (512 or 4096)
_ADVICE_BYTES = 512 * 2**10
_READ_AHEAD_BYTES = 2**30  # of a file, while its module is built

_NUM_PROBES = 32  # evenly spread; enough to tell "mostly there" from "mostly not"
WARM_SHARE = 0.9

_HINT_AGAIN = "Fetch the model again: `ourvidz models pull`, then `ourvidz models verify`."

# The format's words that torch has a type of whole bytes for.
_DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """One tensor as it lies in a safetensors file."""

    file: Path
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int  # bytes from the start of the file
    num_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRead:
    """A stored tensor and the contiguous tensor of as many elements that it fills."""

    stored: StoredTensor
    target: torch.Tensor


def stored_tensors(file: Path) -> list[StoredTensor]:
    """Return what a safetensors file holds, in file order; reads its header only.

    Raises:
        CheckpointInvalid: no safetensors file, truncated, a place that does not fit its shape or
            overlaps another, or a dtype that torch lacks.
    """
    try:
        header = read_header(file)
    except CheckpointInvalid as error:
        raise _broken(file, error.message) from error
    except (RecursionError, OverflowError) as error:  # JSON nested or numbered beyond reason
        raise _broken(file, repr(error)) from error
    # The header's check leaves no gaps: the data are the end of the file.
    data_begin = file.stat().st_size - max((info.end for info in header.values()), default=0)
    ordered = sorted(header.items(), key=lambda item: (item[1].begin, item[1].end))
    return [_stored(file, name, info, data_begin) for name, info in ordered]


def _stored(file: Path, name: str, info: TensorInfo, data_begin: int) -> StoredTensor:
    if info.dtype not in _DTYPES:
        raise CheckpointInvalid(
            f"{file} holds {name!r} as {info.dtype}, which can't be loaded.", hint=_HINT_AGAIN
        )
    return StoredTensor(
        file=file,
        name=name,
        dtype=_DTYPES[info.dtype],
        shape=info.shape,
        offset=data_begin + info.begin,
        num_bytes=info.end - info.begin,
    )


def _broken(file: Path, why: str) -> CheckpointInvalid:
    return CheckpointInvalid(f"{file} is truncated or not safetensors: {why}", hint=_HINT_AGAIN)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How files are read; the defaults are for any machine, benchmarks and tests try others."""

    chunk_bytes: int = CHUNK_BYTES
    num_threads: int = NUM_THREADS
    # Past the page cache (O_DIRECT). None: for what the cache lacks and could not keep anyway.
    is_direct: bool | None = None
    # Through buffers also on a CPU, as it is done for a device.
    is_staged: bool = False


def read_tensors(
    reads: Sequence[TensorRead],
    *,
    device: torch.device,
    cancel: CancelToken | None = None,
    options: ReadOptions | None = None,
    buffers: BufferPool | None = None,
) -> None:
    """Fill every target from its file, converting to the target's dtype.

    When this returns or raises, no thread and no copy touches the targets any more.

    Args:
        reads: targets on ``device``, contiguous, no two alike.
        device: where the targets are.
        cancel: asked before each piece of a file, by the calling thread only.
        options: sizes and the way of reading.
        buffers: between file and device; left out, those that the process shares.

    Raises:
        CheckpointInvalid: a file is shorter than its header said.
        OSError: a file can't be read.
        Cancelled: ``cancel`` was set.
    """
    options = options or ReadOptions()
    is_staged = options.is_staged or device.type != "cpu"
    buffers = (buffers or shared_buffers(device)) if is_staged else None
    if buffers is not None:
        options = replace(options, chunk_bytes=min(options.chunk_bytes, buffers.buffer_bytes))
    with _Sink(device, buffers) as sink:
        _run_all(_chunks(reads, options), sink, cancel, options.num_threads)


def _run_all(
    chunks: Iterable[_Chunk], sink: _Sink, cancel: CancelToken | None, num_threads: int
) -> None:
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="read")
    waiting: set[Future[None]] = set()
    try:
        for chunk in chunks:
            if cancel is not None:
                cancel.raise_if_cancelled()
            if len(waiting) >= 2 * num_threads:
                done, waiting = futures_wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
            waiting.add(pool.submit(sink.put, chunk))
        for future in waiting:
            future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# ---- What is read together


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """Some elements of one tensor, in one chunk."""

    begin: int  # bytes from the start of the file
    end: int
    dtype: torch.dtype  # as stored
    target: torch.Tensor  # flat, as many elements


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunk:
    """Neighbouring pieces of one file, which one thread reads at once."""

    file: Path
    is_direct: bool
    is_cold: bool
    pieces: tuple[_Piece, ...]

    @property
    def begin(self) -> int:
        """First byte in the file."""
        return self.pieces[0].begin

    @property
    def end(self) -> int:
        """Byte after the last."""
        return self.pieces[-1].end


def _chunks(reads: Sequence[TensorRead], options: ReadOptions) -> Iterator[_Chunk]:
    """Cut the reads into chunks, in the order of files and within each in file order.

    A chunk with what alignment adds on both sides fits ``chunk_bytes``.
    """
    room = options.chunk_bytes - 2 * _PAGE_BYTES
    assert room >= _PAGE_BYTES, options.chunk_bytes
    by_file: dict[Path, list[TensorRead]] = {}
    for read in reads:
        assert read.target.is_contiguous(), read.stored.name
        assert read.target.numel() * read.stored.dtype.itemsize == read.stored.num_bytes
        by_file.setdefault(read.stored.file, []).append(read)
    for file, members in by_file.items():
        is_cold = (cached_share(file) or 0.0) < WARM_SHARE
        is_direct = (
            options.is_direct if options.is_direct is not None else is_cold and _is_too_big(file)
        )
        held: list[_Piece] = []
        for piece in _pieces(sorted(members, key=lambda read: read.stored.offset), room):
            if held and piece.end - held[0].begin > room:
                yield _Chunk(file=file, is_direct=is_direct, is_cold=is_cold, pieces=tuple(held))
                held = []
            held.append(piece)
        if held:
            yield _Chunk(file=file, is_direct=is_direct, is_cold=is_cold, pieces=tuple(held))


def _pieces(reads: Iterable[TensorRead], room: int) -> Iterator[_Piece]:
    for read in reads:
        size = read.stored.dtype.itemsize
        flat = read.target.detach().view(-1)
        step = room // size
        for first in range(0, flat.numel(), step):
            part = flat[first : first + step]
            begin = read.stored.offset + first * size
            yield _Piece(
                begin=begin,
                end=begin + part.numel() * size,
                dtype=read.stored.dtype,
                target=part,
            )


def _is_too_big(file: Path) -> bool:
    """Whether caching the file would push out about as much as it brings in."""
    return file.stat().st_size > psutil.virtual_memory().available // 2


# ---- How one chunk is read


class _Sink:
    """Where threads put chunks. On leaving it, all copies are done."""

    def __init__(self, device: torch.device, buffers: BufferPool | None) -> None:
        self._device = device
        self._buffers = buffers
        self._stream: Any = None

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            self._stream = copy_stream(self._device)
            # Targets may lie where kernels of the caller's stream still read freed tensors.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            # Also after an error: targets must not be freed under a copy.
            self._stream.synchronize()

    def put(self, chunk: _Chunk) -> None:
        if self._buffers is None:
            _read_in_place(chunk)
            return
        buffer = self._buffers.take()
        try:
            start = _read_chunk(chunk, buffer)
            if self._stream is None:
                self._copy(chunk, buffer.memory, start)
                return
            with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
                try:
                    self._copy(chunk, buffer.memory, start)
                finally:
                    event = torch.cuda.Event(blocking=True)
                    event.record(self._stream)
                    buffer.is_copied = event
        finally:
            self._buffers.give_back(buffer)

    def _copy(self, chunk: _Chunk, memory: torch.Tensor, start: int) -> None:
        for piece in chunk.pieces:
            raw = memory[start + piece.begin - chunk.begin : start + piece.end - chunk.begin]
            if piece.dtype == piece.target.dtype:
                piece.target.view(torch.uint8).copy_(raw, non_blocking=True)
            else:
                # A copy of its own also because the piece may lie at an odd place of the buffer.
                here = torch.empty(raw.numel(), dtype=torch.uint8, device=self._device)
                here.copy_(raw, non_blocking=True)
                piece.target.copy_(here.view(piece.dtype))


def _read_in_place(chunk: _Chunk) -> None:
    """Read into the targets, without a buffer where the dtype is right already."""
    with _open(chunk, is_direct=False) as file:
        for piece in chunk.pieces:
            if piece.dtype == piece.target.dtype:
                _read_into(file, chunk.file, piece.begin, _bytes_of(piece.target))
            else:
                scratch = torch.empty(piece.target.numel(), dtype=piece.dtype)
                _read_into(file, chunk.file, piece.begin, _bytes_of(scratch))
                piece.target.copy_(scratch)


def _read_chunk(chunk: _Chunk, buffer: _Buffer) -> int:
    """Read a chunk into the buffer; return at which of its bytes the chunk begins."""
    if chunk.is_direct and buffer.is_aligned:
        try:
            return _read_directly(chunk, buffer)
        except OSError:
            pass  # a file system without O_DIRECT says so here or when opened; read it plainly
    with _open(chunk, is_direct=False) as file:
        memory = _bytes_of(buffer.memory)[: chunk.end - chunk.begin]
        _read_into(file, chunk.file, chunk.begin, memory)
    return 0


def _read_directly(chunk: _Chunk, buffer: _Buffer) -> int:
    begin = chunk.begin // _PAGE_BYTES * _PAGE_BYTES
    end = -(-chunk.end // _PAGE_BYTES) * _PAGE_BYTES
    memory = _bytes_of(buffer.memory)[: end - begin]
    with _open(chunk, is_direct=True) as file:
        file.seek(begin)
        done = file.readinto(memory)
    if done < chunk.end - begin:  # a short read leaves the alignment: the plain way mends or tells
        raise OSError(f"read {done} bytes of {end - begin}")
    return chunk.begin - begin


def _open(chunk: _Chunk, *, is_direct: bool) -> Any:
    flag = getattr(os, "O_DIRECT", 0) if is_direct else 0
    file = open(  # noqa: SIM115 (the caller's to close)
        chunk.file, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | flag)
    )
    if chunk.is_cold and not is_direct:
        # Asks for the whole chunk at once; read() alone would keep only a few pages in flight.
        _advise(file.fileno(), chunk.begin, chunk.end - chunk.begin)
    return file


def _advise(descriptor: int, offset: int, num_bytes: int) -> None:
    if not hasattr(os, "posix_fadvise"):
        return
    # Linux cuts one call's request to what the disk takes at once (mm/readahead.c,
    # force_page_cache_ra), often about 1 MiB: many small calls bring all of it.
    for begin in range(offset, offset + num_bytes, _ADVICE_BYTES):
        os.posix_fadvise(descriptor, begin, _ADVICE_BYTES, os.POSIX_FADV_WILLNEED)


def _read_into(file: Any, path: Path, offset: int, memory: memoryview) -> None:
    file.seek(offset)
    done = 0
    while done < len(memory):
        count = file.readinto(memory[done:])
        if not count:
            raise _broken(path, f"it ends at byte {offset + done}, within its tensors")
        done += count


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return tensor.view(torch.uint8).numpy().data


# ---- Buffers


@dataclass(kw_only=True, slots=True)
class _Buffer:
    memory: torch.Tensor  # (N,) uint8
    is_copied: Any = None  # event of its last copy

    @property
    def is_aligned(self) -> bool:
        return self.memory.data_ptr() % _PAGE_BYTES == 0


@dataclass(kw_only=True, slots=True)
class BufferPool:
    """A few equal buffers of host memory, made when first needed and kept. Thread-safe."""

    num_buffers: int = NUM_BUFFERS
    buffer_bytes: int = CHUNK_BYTES
    is_pinned: bool = False
    num_made: int = 0
    _free: list[_Buffer] = field(default_factory=list[_Buffer])
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self) -> _Buffer:
        """Return a buffer whose last copy is done; waits while all are in use."""
        with self._changed:
            while not self._free and self.num_made >= self.num_buffers:
                self._changed.wait()
            if self._free:
                buffer = self._free.pop(
                    0
                )  # the one given back first: its copy is done, most likely
            else:
                buffer = self._make()
                self.num_made += 1
        try:
            if buffer.is_copied is not None:
                buffer.is_copied.synchronize()
        except BaseException:
            self.give_back(buffer)
            raise
        return buffer

    def give_back(self, buffer: _Buffer) -> None:
        """Let others have the buffer, once its ``is_copied`` has happened."""
        with self._changed:
            self._free.append(buffer)
            self._changed.notify()

    def _make(self) -> _Buffer:
        if self.is_pinned:
            try:
                # A power of two: torch's allocator of pinned memory rounds up to one.
                pinned = torch.empty(self.buffer_bytes, dtype=torch.uint8, pin_memory=True)
                return _Buffer(memory=pinned)
            except RuntimeError:
                pass  # the system limits pinned memory: copies are then slower, and as right
        plain = torch.empty(self.buffer_bytes + _PAGE_BYTES, dtype=torch.uint8)
        shift = -plain.data_ptr() % _PAGE_BYTES
        return _Buffer(memory=plain[shift : shift + self.buffer_bytes])


_shared_lock = threading.Lock()
_shared: dict[bool, BufferPool] = {}
_streams: dict[torch.device, Any] = {}


def shared_buffers(device: torch.device) -> BufferPool:
    """Return the buffers that all loads of this process share, pinned for a CUDA device."""
    is_pinned = device.type == "cuda"
    with _shared_lock:
        return _shared.setdefault(is_pinned, BufferPool(is_pinned=is_pinned))


def copy_stream(device: torch.device) -> Any:
    """Return the device's one stream for loading: its temporaries then share one memory pool."""
    with _shared_lock:
        if device not in _streams:
            _streams[device] = torch.cuda.Stream(device)
        return _streams[device]


# ---- The page cache


def cached_share(file: Path) -> float | None:
    """Return about how much of a file is in the page cache, 0 to 1; None where it can't be told.

    Reads one byte at ``_NUM_PROBES`` places with ``RWF_NOWAIT``, which fails rather than going to
    the disk (Linux 4.14, preadv2(2)).
    """
    nowait = getattr(os, "RWF_NOWAIT", None)
    if nowait is None:
        return None
    descriptor = os.open(file, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        step = max(1, size // _NUM_PROBES)
        hits = [_is_cached(descriptor, offset, nowait) for offset in range(0, size, step)]
    finally:
        os.close(descriptor)
    return sum(hits) / len(hits) if hits else None


def _is_cached(descriptor: int, offset: int, nowait: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], offset, nowait) == 1
    except OSError:  # EAGAIN: not in memory; EOPNOTSUPP: the file system can't tell
        return False


def read_ahead(files: Sequence[Path], *, max_bytes: int = _READ_AHEAD_BYTES) -> threading.Thread:
    """Ask the system to bring the files' first bytes into the page cache, in a thread.

    For the time in which a module is built, or a job is not there yet. Nothing is asked for that is
    cached, or too big to be.
    """
    thread = threading.Thread(
        target=_read_ahead, args=(list(files), max_bytes), name="read-ahead", daemon=True
    )
    thread.start()
    return thread


def _read_ahead(files: Sequence[Path], max_bytes: int) -> None:
    for file in files:
        try:
            size = file.stat().st_size
            if (cached_share(file) or 0.0) < WARM_SHARE and not _is_too_big(file):
                with file.open("rb") as opened:
                    _advise(opened.fileno(), 0, min(size, max_bytes))
        except OSError:
            return  # whoever reads the file tells
        max_bytes -= size
        if max_bytes <= 0:
            return
