"""Prompt embeddings by text: a cache on two levels that can't mix up two texts."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import torch

MAX_BYTES = 64 * 2**20  # some 130 prompts of Wan


@dataclass(frozen=True, kw_only=True, slots=True)
class TextKey:
    """Everything that the embeddings of one text depend on.

    One text, never a batch: a batch rounds otherwise, the library's pipelines encode a prompt and
    its negative prompt by separate calls too (diffusers 0.42.1, ``WanPipeline.encode_prompt``,
    ``StableDiffusionXLPipeline.encode_prompt``), and a default negative prompt then serves every
    job. Known before any weight is loaded.
    """

    encoder: str  # from ``embed_files.encoder_identity``: text encoders, tokenizers, versions
    text: str = field(repr=False)  # as the tokenizer gets it, cleaned
    max_length: int  # tokens; 0 where the tokenizer's own limit holds
    dtype: str  # that the encoder runs in: "bfloat16", "float32"...
    device_type: str  # "cuda" or "cpu": they round otherwise

    @property
    def canonical(self) -> str:
        """The key as JSON, with the text's SHA-256 in the text's place."""
        text_sha256 = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()
        return json.dumps(
            {
                "device_type": self.device_type,
                "dtype": self.dtype,
                "encoder": self.encoder,
                "max_length": self.max_length,
                "text_sha256": text_sha256,
            },
            sort_keys=True,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of ``canonical``, in hex."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextEmbeds:
    """Embeddings of one text. Nobody may change the tensors in place."""

    prompt_embeds: torch.Tensor  # (1, T, D)
    num_rows: int  # rows of T from the first that may differ from zero; the others are zero
    num_tokens: int  # used, the end token included
    num_truncated_tokens: int = 0
    pooled_prompt_embeds: torch.Tensor | None = None  # (1, P); SDXL's

    def used_tensors(self) -> dict[str, torch.Tensor]:
        """Return what has to be kept: the used rows, copied, and the pooled embeddings."""
        used = {"prompt_embeds": self.prompt_embeds[:, : self.num_rows].clone()}
        if self.pooled_prompt_embeds is not None:
            used["pooled_prompt_embeds"] = self.pooled_prompt_embeds
        return used

    @classmethod
    def from_used_tensors(
        cls,
        tensors: Mapping[str, torch.Tensor],
        *,
        sequence_length: int,
        num_tokens: int,
        num_truncated_tokens: int,
    ) -> Self:
        """Rebuild embeddings, (1, ``sequence_length``, D), from ``used_tensors``.

        Raises:
            KeyError, ValueError: the tensors are of another shape.
        """
        used = tensors["prompt_embeds"]
        num_rows = used.shape[1] if used.ndim == 3 else -1
        if used.shape[0] != 1 or not 0 <= num_rows <= sequence_length:
            raise ValueError(f"{tuple(used.shape)} is no part of {sequence_length} rows")
        whole = used.new_zeros(1, sequence_length, used.shape[2])
        whole[:, :num_rows] = used
        return cls(
            prompt_embeds=whole,
            num_rows=num_rows,
            num_tokens=num_tokens,
            num_truncated_tokens=num_truncated_tokens,
            pooled_prompt_embeds=tensors.get("pooled_prompt_embeds"),
        )

    def to(self, device: torch.device | str) -> TextEmbeds:
        """Return them on ``device``."""
        pooled = self.pooled_prompt_embeds
        return replace(
            self,
            prompt_embeds=self.prompt_embeds.to(device),
            pooled_prompt_embeds=None if pooled is None else pooled.to(device),
        )


class TextStore(Protocol):
    """A slower level below the memory: ``embed_files.EmbedFiles``."""

    def get(self, key: TextKey) -> TextEmbeds | None:
        """Return the embeddings of ``key`` on the CPU, or None."""
        ...

    def put(self, key: TextKey, embeds: TextEmbeds) -> bool:
        """Keep them; return whether they are kept."""
        ...


class TextEmbedCache:
    """Embeddings by text: in memory, least recently used go first, and below it in ``files``.

    The memory keeps only used rows (a Wan text in bfloat16: 8 KiB a token). Callable from any
    thread.
    """

    def __init__(self, *, files: TextStore | None = None, max_bytes: int = MAX_BYTES) -> None:
        """Start empty; without ``files`` nothing outlives the process."""
        self._files = files
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[TextKey, _Used] = OrderedDict()

    def get(self, key: TextKey, device: torch.device | str) -> TextEmbeds | None:
        """Return the embeddings of ``key`` on ``device``, or None; loads no encoder."""
        with self._lock:
            used = self._entries.get(key)
            if used is not None:
                self._entries.move_to_end(key)
        if used is not None:
            return used.whole().to(device)
        found = None if self._files is None else self._files.get(key)
        if found is None:
            return None
        found = found.to(device)
        self._remember(key, found)
        return found

    def put(self, key: TextKey, embeds: TextEmbeds) -> None:
        """Keep ``embeds`` on both levels, as far as they have room."""
        self._remember(key, embeds)
        if self._files is not None:
            self._files.put(key, embeds)

    def clear(self) -> None:
        """Forget what is in memory; files stay."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        """Return how many entries are in memory."""
        with self._lock:
            return len(self._entries)

    def _remember(self, key: TextKey, embeds: TextEmbeds) -> None:
        used = _Used.of(embeds)
        if used.num_bytes > self._max_bytes:
            return
        with self._lock:
            self._entries[key] = used
            self._entries.move_to_end(key)
            while sum(entry.num_bytes for entry in self._entries.values()) > self._max_bytes:
                self._entries.popitem(last=False)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Used:
    """What the memory keeps of one text."""

    tensors: Mapping[str, torch.Tensor]
    sequence_length: int
    num_tokens: int
    num_truncated_tokens: int

    @classmethod
    def of(cls, embeds: TextEmbeds) -> Self:
        return cls(
            tensors=embeds.used_tensors(),
            sequence_length=embeds.prompt_embeds.shape[1],
            num_tokens=embeds.num_tokens,
            num_truncated_tokens=embeds.num_truncated_tokens,
        )

    @property
    def num_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def whole(self) -> TextEmbeds:
        return TextEmbeds.from_used_tensors(
            self.tensors,
            sequence_length=self.sequence_length,
            num_tokens=self.num_tokens,
            num_truncated_tokens=self.num_truncated_tokens,
        )
