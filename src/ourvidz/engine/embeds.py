"""Prompt embeddings made ahead of their job: a small cache that can't mix up two texts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch

MAX_BYTES = 64 * 2**20  # a Wan job's pair in bfloat16 is 8 MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedKey:
    """Everything that embeddings depend on; the device and precision are the engine's own."""

    model_id: str
    checkpoints: tuple[str, ...]  # identity of each text encoder's files
    texts: tuple[str, ...]  # encoded as one batch, in this order: another batch rounds otherwise
    max_length: int  # tokens; 0 where the tokenizer's own limit holds


class EmbedCache:
    """Least recently used entries go first. Callable from any thread."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[EmbedKey, tuple[Any, int]] = OrderedDict()

    def get(self, key: EmbedKey) -> Any:
        """Return what was put under ``key``, which nobody may change in place, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: EmbedKey, embeds: Any, *tensors: torch.Tensor) -> None:
        """Keep ``embeds``, whose memory is ``tensors``; what is too large alone is not kept."""
        num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if num_bytes > self._max_bytes:
            return
        with self._lock:
            self._entries[key] = (embeds, num_bytes)
            self._entries.move_to_end(key)
            while sum(size for _, size in self._entries.values()) > self._max_bytes:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        """Return how many entries are kept."""
        with self._lock:
            return len(self._entries)
