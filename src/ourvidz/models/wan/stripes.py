"""One clip's decode over several ranks: each works on a stripe of lines, borders are exchanged.

By height and not by time: every convolution looks two frames back, so a rank that took over in
the middle of a clip would have to wait for the frames before it or to compute them again (the
past reaches through all stages). By height all ranks start at once, hold the same frames, and a
convolution of 3x3 lacks one line of each neighbour, whatever the clip's length.

A stripe of the latents is a stripe at every stage, 2, 4 and 8 times as high. What each rank needs
of the others, in this order for each piece of the clip:

- before each 3x3 convolution the neighbours' edge lines of its new frames (``Stripe.exchange``);
  past frames keep the borders that they were given;
- before the spatial attention of the first stage all lines (``Stripe.gather``);
- at the end rank 0 takes all stripes of 8-bit frames (``gather_frames``).

That is, for 81 frames of 480x832 in bfloat16 with ``options_for(..., num_stripes=n)``, 275
exchanges at 2 ranks and 159 from 4 on (507 at one latent frame a step), and 0.50 GB that a rank
with two neighbours sends them; 0.93 GB where frames are paired, since edges travel transformed.
Latency counts, not bytes: so one message a neighbour, and many frames at once.

Exact algebra: each sum has the terms that it has on one rank. Their order is the convolution's
choice, by its input's size: in float32 the pixels of [-1, 1] differ by up to 3e-6, with float64
weights by less than float32 resolves. Every rank must take the same steps: if one leaves, all must.

Shapes: n frames, H, W lines and columns, C channels; F latent frames, h, w of latents.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist

from ourvidz.core.errors import InvalidRequest
from ourvidz.models.frames import to_host
from ourvidz.models.wan.sequence import runs_of

# Lines of a frame that one line of latents becomes, in Wan 2.1's VAE.
_FRAME_LINES = 8


@dataclass(frozen=True, kw_only=True)
class Stripe:
    """Which lines of a picture are this rank's, and the way to the other ranks.

    Attributes:
        group: process group of exactly these ranks in their order; None for the default one. NCCL
            for tensors on GPUs, gloo on CPUs.
        rank: this rank's place from the top, in [0, ``size``).
        size: number of ranks.
    """

    group: Any
    rank: int
    size: int

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.size, self

    def lines(self, num_lines: int) -> slice:
        """Return this rank's of ``num_lines`` lines, split as evenly as they go.

        Raises:
            InvalidRequest: fewer lines than ranks.
        """
        return self._lines(self.rank, num_lines)

    def exchange(self, frames: torch.Tensor) -> None:
        """Fill the first and last line of each frame: neighbours' edges, or zeros without one.

        Args:
            frames: (n, H + 2, W, C), of any strides, the stripe's own lines between.
        """
        edges = torch.stack((frames[:, 1], frames[:, -2]))
        peers = {self.rank - 1: 0, self.rank + 1: 1}
        peers = {peer: side for peer, side in peers.items() if 0 <= peer < self.size}
        borders = torch.empty_like(edges) if len(peers) == 2 else torch.zeros_like(edges)
        self.swap(
            sends={peer: edges[side] for peer, side in peers.items()},
            receives={peer: borders[side] for peer, side in peers.items()},
        )
        frames[:, :: frames.shape[1] - 1] = borders.transpose(0, 1)

    def gather(self, own: torch.Tensor, *, num_lines: int) -> torch.Tensor:
        """Return (n, ``num_lines``, W, C) of all ranks' stripes, on every rank.

        Args:
            own: (n, H, W, C) contiguous, this rank's ``lines`` of ``num_lines``.
            num_lines: of the whole.
        """
        parts = self.parts(own, num_lines=num_lines)
        others = {rank: part for rank, part in enumerate(parts) if rank != self.rank}
        self.swap(sends=dict.fromkeys(others, own), receives=others)
        return torch.cat(parts, dim=1)

    def parts(self, own: torch.Tensor, *, num_lines: int, unit: int = 1) -> list[torch.Tensor]:
        """Return ``own`` at its rank's place, and room for the other ranks' stripes.

        Args:
            own: (n, H, W, C).
            num_lines: of the whole, a multiple of ``unit``.
            unit: lines that stay together.
        """
        counts = [self._lines(rank, num_lines // unit) for rank in range(self.size)]
        heights = [unit * (lines.stop - lines.start) for lines in counts]
        assert own.shape[1] == heights[self.rank], (own.shape, heights, self)
        frames, _, *rest = own.shape
        return [
            own if rank == self.rank else own.new_empty(frames, height, *rest)
            for rank, height in enumerate(heights)
        ]

    def swap(
        self, *, sends: Mapping[int, torch.Tensor], receives: Mapping[int, torch.Tensor]
    ) -> None:
        """Send to and receive from some ranks at once; on a GPU only its stream waits.

        Args:
            sends: contiguous tensors by the rank that takes them.
            receives: contiguous tensors to be filled, by the rank that sends them.
        """
        ops = [self._op(dist.isend, tensor, peer) for peer, tensor in sends.items()]
        ops += [self._op(dist.irecv, tensor, peer) for peer, tensor in receives.items()]
        for work in dist.batch_isend_irecv(ops) if ops else ():
            work.wait()

    def _op(self, op: Any, tensor: torch.Tensor, peer: int) -> dist.P2POp:
        return dist.P2POp(op, tensor, group=self.group, group_peer=peer)

    def _lines(self, rank: int, num_lines: int) -> slice:
        if num_lines < self.size:
            raise InvalidRequest(
                f"{num_lines} lines of latents can't be split over {self.size} ranks.",
                param="height",
                hint=f"Use at most {num_lines} ranks, or a height of at least "
                f"{self.size * _FRAME_LINES}.",
            )
        return runs_of(num_lines, self.size)[rank]


class StripeDecoder(Protocol):
    """What ``decode_together`` drives: ``models.wan.stream.StreamingDecoder``."""

    @property
    def scale(self) -> int:
        """Lines of a frame that one line of latents becomes."""
        ...

    def decode_stripe(self, latents: torch.Tensor, *, stripe: Stripe) -> Iterator[torch.Tensor]:
        """Yield this rank's lines of the clip's frames."""
        ...


@torch.inference_mode()
def gather_frames(
    chunk: torch.Tensor, *, stripe: Stripe, height: int, dst: int = 0, unit: int = _FRAME_LINES
) -> torch.Tensor | None:
    """Return (n, H, W, 3) of all ranks' stripes on rank ``dst``, None on the others.

    Args:
        chunk: (n, stripe's H, W, 3) uint8 on the device, from ``decode_stripe``.
        stripe: this rank's.
        height: H of the whole frames, a multiple of ``unit``.
        dst: the rank that takes them.
        unit: lines of a frame that one line of latents becomes.
    """
    chunk = chunk.contiguous()
    if stripe.rank != dst:
        stripe.swap(sends={dst: chunk}, receives={})
        return None
    parts = stripe.parts(chunk, num_lines=height, unit=unit)
    receives = {rank: part for rank, part in enumerate(parts) if rank != dst}
    stripe.swap(sends={}, receives=receives)
    return torch.cat(parts, dim=1)


def decode_together(
    decoder: StripeDecoder, latents: torch.Tensor, *, stripe: Stripe
) -> Generator[torch.Tensor, None, None]:
    """Yield on rank 0 what ``StreamingDecoder.decode`` does; on other ranks run along.

    Each rank drives its own to the end (``for _ in decode_together(...)``). On a GPU rank 0 is one
    chunk ahead of what it yields; one that stops early leaves the others waiting.

    Args:
        decoder: every rank's own, with the same weights and options.
        latents: (1, C, F, h, w), normalised, the whole clip's and the same on all ranks.
        stripe: this rank's.

    Yields:
        (n, H, W, 3) uint8 RGB on the CPU, on rank 0 alone.
    """
    height = latents.shape[3] * decoder.scale
    gathered = (
        gather_frames(chunk, stripe=stripe, height=height, unit=decoder.scale)
        for chunk in decoder.decode_stripe(latents, stripe=stripe)
    )
    return to_host(chunk for chunk in gathered if chunk is not None)
