"""Our own forwards with what they hold between jobs counted, and given up under pressure.

Captured graphs and caches of fixed size take memory from their first use on, beside the weights.
The plan asks how much at each decision (``residency.Growing``).
"""

from __future__ import annotations

import threading
from typing import Any

import torch

from ourvidz.models.qwen.fast import FastQwen
from ourvidz.models.sdxl.fast import FastUnet, TextContext


class TrackedUnet(FastUnet):
    """``FastUnet``; its graphs are idle memory: a step without graphs, and a capture, make them.

    A shape's buffers take 310 MB at SDXL's size and six images, of which 290 are the text's keys
    and values; all shapes share the pool that steps work in.
    """

    def __init__(self, unet: Any, **options: Any) -> None:
        """Prepare the weights; the same arguments as ``FastUnet``."""
        super().__init__(unet, **options)
        self._using = threading.Lock()
        self._counted: tuple[object, ...] = ()  # the shapes that were
        self._idle_bytes = 0
        self._last_use: torch.cuda.Event | None = None

    @staticmethod
    def added_bytes(unet: Any, *, is_8bit: bool) -> int:
        """Return the bytes of what is made beside the module's weights, before any graph.

        Upsampling folded into its convolution: 16 taps for 9. And the blocks' linears in 8 bits,
        but for the text's keys and values.
        """
        num_bytes = 0
        for block in unet.up_blocks:
            for upsampler in getattr(block, "upsamplers", None) or ():
                weight = upsampler.conv.weight
                num_bytes += weight.numel() * weight.element_size() * 16 // 9
        if is_8bit:
            num_bytes += sum(
                weight.numel()
                for name, weight in unet.named_parameters()
                if ".transformer_blocks." in name
                and weight.ndim == 2
                and not name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))
            )
        return num_bytes

    @property
    def idle_bytes(self) -> int:
        """See ``residency.Growing``."""
        return self._idle_bytes

    def predict(
        self, sample: torch.Tensor, timestep: torch.Tensor | float, context: TextContext
    ) -> torch.Tensor:
        """See ``FastUnet.predict``."""
        with self._using:
            out = super().predict(sample, timestep, context)
            if self._graphs:
                self._last_use = torch.cuda.Event()
                self._last_use.record(torch.cuda.current_stream(self.device))
                self._count()
            return out

    def drop_idle(self) -> None:
        """See ``residency.Growing``."""
        with self._using:
            if self._last_use is not None:  # a graph must not be freed while it runs
                self._last_use.synchronize()
            self._graphs.clear()
            self._pool = None  # one that no graph uses any more can't be captured into again
            self._counted, self._idle_bytes = (), 0

    def _count(self) -> None:
        shapes = tuple(self._graphs)
        if set(shapes) == set(self._counted):
            return
        buffers = [
            buffer
            for graph in self._graphs.values()
            for buffer in (graph.sample, graph.key_values, graph.embedding)
        ]
        self._counted = shapes
        self._idle_bytes = sum(buffer.nbytes for buffer in buffers) + pool_bytes(self._pool)


class TrackedQwen(FastQwen):
    """``FastQwen``; its free slots, each with a cache and a graph, are idle memory."""

    @property
    def idle_bytes(self) -> int:
        """See ``residency.Growing``. Without the graphs' own pools, which take a few MB."""
        with self._lock:
            slots = tuple(self._idle)
        return sum(
            part.nbytes
            for slot in slots
            for part in vars(slot).values()
            if isinstance(part, torch.Tensor) and part.device == self._device
        )


def pool_bytes(pool: Any) -> int:
    """Return the bytes that graphs captured into ``pool`` keep from everybody else."""
    if pool is None:
        return 0
    segments: list[dict[str, Any]] = torch.cuda.memory_snapshot()
    return sum(segment["total_size"] for segment in segments if segment["segment_pool_id"] == pool)
