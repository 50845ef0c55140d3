"""Prompt embeddings on disk, below the memory cache, and the encoder's identity in their key.

One small safetensors file a text: a job whose prompt and negative prompt were met before needs no
text encoder (UMT5-XXL: 11 GB). Bytes: only the used rows of Wan's (512, 4096) are kept (8 KiB a
token in bfloat16: 0.2 to 1 MiB instead of 4 MiB); SDXL's 77 x 2048 + 1280 in float16 are 311 KiB.

Prompts are private. A file holds no text, only the text's SHA-256, and only its owner may read it.
That hides prompts from a glance, not from somebody who has the file and a guess to test, or the
text encoder to search with: what protects them is the file's mode.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ourvidz.checkpoints.manifest import read_manifest
from ourvidz.core.errors import CheckpointInvalid, ModelMissing
from ourvidz.engine.embeds import TextEmbeds, TextKey

DEFAULT_MAX_BYTES = 256 * 2**20  # about 500 prompts of Wan or 800 of SDXL
_KEPT_SHARE = 0.9  # of the bound after an eviction, so that not every write evicts
_PARTIAL_MAX_AGE_S = 3600.0  # of a temporary file whose writer was killed

_FORMAT = 1  # of the files; raise it when what is stored, or how it is made, changes

# Samples of a large file: enough that other weights of the same length are told apart (training
# moves every tensor), little enough to read from a cold disk within milliseconds.
_WHOLE_BYTES = 32 * 2**20  # files up to here are hashed whole
_NUM_SAMPLES = 32
_SAMPLE_BYTES = 4096
_SUFFIXES = (".safetensors", ".json", ".model", ".txt")


class EmbedFiles:
    """Embeddings by key, one file each. Callable from any thread; processes may share the folder.

    Nothing here fails a job: what can't be read is removed and counts as missing, and what can't
    be written is not kept.
    """

    def __init__(self, folder: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Use ``folder``, made at the first write; ``max_bytes`` 0 neither reads nor writes."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._num_bytes: int | None = None  # of all files, about: others may write too

    def get(self, key: TextKey) -> TextEmbeds | None:
        """Return the embeddings of ``key`` on the CPU, bit for bit as they were put, or None.

        A file whose own key is another one (a collision, a file moved by hand) or whose content
        is damaged is removed.
        """
        if not self._max_bytes:
            return None
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        embeds = _parse(content, key)
        if embeds is None:
            _remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the least recently used go first
        return embeds

    def put(self, key: TextKey, embeds: TextEmbeds) -> bool:
        """Keep ``embeds``, on whatever device they are; return whether they are kept."""
        content = _compose(key, embeds)
        if len(content) > self._max_bytes:
            return False
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _publish(path, content)
        except OSError:  # a full or read-only disk costs speed, never the job
            return False
        self._make_room(len(content))
        return True

    def __contains__(self, key: TextKey) -> bool:
        """Return whether a file is there, without reading it."""
        return self._path(key).is_file()

    def clear(self) -> None:
        """Remove every file."""
        with self._lock:
            for entry in self._entries():
                _remove(entry.path)
            self._num_bytes = None

    def _path(self, key: TextKey) -> Path:
        digest = key.digest
        return self._folder / digest[:2] / f"{digest}.safetensors"

    def _make_room(self, num_new_bytes: int) -> None:
        with self._lock:
            if self._num_bytes is None:
                self._num_bytes = sum(entry.num_bytes for entry in self._entries())
            else:
                self._num_bytes += num_new_bytes
            if self._num_bytes > self._max_bytes:
                self._num_bytes = self._evict()

    def _evict(self) -> int:
        """Remove the least recently used files and leftovers; return the bytes that stay."""
        entries = sorted(self._entries(), key=lambda entry: entry.mtime_ns)
        num_bytes = sum(entry.num_bytes for entry in entries)
        oldest_partial_ns = time.time_ns() - int(_PARTIAL_MAX_AGE_S * 1e9)
        for entry in entries:
            is_left_over = entry.path.name.startswith(".") and entry.mtime_ns < oldest_partial_ns
            is_one_too_many = num_bytes > self._max_bytes * _KEPT_SHARE
            if is_left_over or (is_one_too_many and not entry.path.name.startswith(".")):
                _remove(entry.path)
                num_bytes -= entry.num_bytes
        return num_bytes

    def _entries(self) -> Iterator[_Entry]:
        for path in self._folder.glob("??/*.safetensors"):
            with contextlib.suppress(OSError):  # another process removed it
                facts = path.stat()
                yield _Entry(path=path, num_bytes=facts.st_size, mtime_ns=facts.st_mtime_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    path: Path
    num_bytes: int
    mtime_ns: int


def _compose(key: TextKey, embeds: TextEmbeds) -> bytes:
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().to("cpu").contiguous()
        for name, tensor in embeds.used_tensors().items()
    }
    metadata = {
        "format": str(_FORMAT),
        "key": key.canonical,
        "num_rows": str(embeds.num_rows),
        "sequence_length": str(embeds.prompt_embeds.shape[1]),
        "num_tokens": str(embeds.num_tokens),
        "num_truncated_tokens": str(embeds.num_truncated_tokens),
        "sha256": _digest_of(tensors),
    }
    return save(tensors, metadata=metadata)


def _parse(content: bytes, key: TextKey) -> TextEmbeds | None:
    """Return what ``_compose`` wrote for ``key``; None for anything else."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        metadata = _metadata(content)
        if metadata.get("format") != str(_FORMAT) or metadata.get("key") != key.canonical:
            return None
        tensors = load(content)
        if _digest_of(tensors) != metadata["sha256"]:
            return None
        return TextEmbeds.from_used_tensors(
            tensors,
            sequence_length=int(metadata["sequence_length"]),
            num_tokens=int(metadata["num_tokens"]),
            num_truncated_tokens=int(metadata["num_truncated_tokens"]),
        )
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return None


def _metadata(content: bytes) -> dict[str, Any]:
    """Return the header's ``__metadata__`` (format: 8 bytes of length, then JSON)."""
    num_header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + num_header_bytes])
    return header["__metadata__"]


def _digest_of(tensors: dict[str, torch.Tensor]) -> str:
    """Return a hash of the values: the format guards its lengths, not its bits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _publish(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, without waiting for the device.

    ``core.files.atomic_path`` flushes to the device, which a cache does not need: a file that a
    power cut tears is found out by its hash. The temporary name is of the form that
    ``core.files.sweep_partials`` knows.
    """
    partial = path.with_name(f".{path.stem}.partial-{secrets.token_hex(8)}{path.suffix}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except OSError:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


# ------------------------------------------------------------------------- the encoder's identity


def encoder_identity(root: Path, names: Sequence[str], *, made_with: Sequence[str] = ()) -> str:
    """Return a text that is equal for encoders that give equal embeddings, on any machine.

    Nothing is loaded. Of every file of the components it takes name, length and content: SHA-256
    of a small file, of 32 samples of a large one, and beside the samples the hash that the model's
    manifest records, or without a manifest the time of the last write.

    Args:
        root: the model's folder.
        names: the components that embeddings depend on: text encoders and tokenizers.
        made_with: versions of what runs them.

    Raises:
        ModelMissing: a component's folder is not there or has no files.
    """
    recorded = _recorded_hashes(root)
    digest = hashlib.sha256("\n".join(made_with).encode())
    for name in names:
        files = _files(root / name)
        for path in files:
            relative = path.relative_to(root).as_posix()
            digest.update(f"{relative} {_file_identity(path, recorded.get(relative))}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [path for path in files if path.suffix in _SUFFIXES and path.is_file()]
    if not files:
        raise ModelMissing(
            f"No files in {folder}.", hint="Fetch the model again: `ourvidz models pull`."
        )
    return files


def _recorded_hashes(root: Path) -> dict[str, str]:
    try:
        manifest = read_manifest(root)
    except CheckpointInvalid:
        return {}
    return {} if manifest is None else {p: r.sha256 for p, r in manifest.files.items()}


_fingerprints: dict[tuple[str, int, int], str] = {}  # by path, length and time of the last write
_fingerprints_lock = threading.Lock()


def _file_identity(path: Path, recorded: str | None) -> str:
    facts = path.stat()
    place = (str(path.resolve()), facts.st_size, facts.st_mtime_ns)
    with _fingerprints_lock:
        fingerprint = _fingerprints.get(place)
    if fingerprint is None:
        fingerprint = _fingerprint(path, facts.st_size)
        with _fingerprints_lock:
            _fingerprints[place] = fingerprint
    if facts.st_size <= _WHOLE_BYTES:
        return fingerprint
    return f"{facts.st_size} {fingerprint} {recorded or facts.st_mtime_ns}"


def _fingerprint(path: Path, num_bytes: int) -> str:
    if num_bytes <= _WHOLE_BYTES:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):  # else each sample would read ahead
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        last = num_bytes - _SAMPLE_BYTES
        for index in range(_NUM_SAMPLES):
            digest.update(os.pread(descriptor, _SAMPLE_BYTES, last * index // (_NUM_SAMPLES - 1)))
    finally:
        os.close(descriptor)
    return digest.hexdigest()
