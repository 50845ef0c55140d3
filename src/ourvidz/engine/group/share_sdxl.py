"""One rank's part of a batch of images: the same code on the leader and on the others.

A step predicts one row for each image and branch of guidance. Rows do not depend on each other, so
any rank may have any of them. They are divided image by image: guidance magnifies what rounding
does to one of two branches, so these stay together where that leaves ranks even, and in 8 bits
always.

Shapes: R rows (branch by branch, as ``denoise`` has them), B images, C latent channels, h, w
latent height and width, H, W the image's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ourvidz.engine.group.ranks import Ranks
from ourvidz.models.sdxl.denoise import BranchRows, Predict, predict_of
from ourvidz.models.wan.sequence import runs_of

_ROWS_AT_LEAST = 2  # a rank; a step of one row is bound by its launches


def num_working(num_rows: int, size: int) -> int:
    """Return how many of ``size`` ranks predict: as many as get two rows each.

    So one image, with guidance or without, stays on the first. What ranks exchange (latents out,
    predictions back, some hundred kB a row) is little beside a row's work: nothing is weighed.
    """
    return max(1, min(size, num_rows // _ROWS_AT_LEAST))


def rows_of_ranks(num_rows: int, size: int, *, together: int = 1) -> tuple[slice, ...]:
    """Return every rank's rows, as even as they go; none for those that do not work.

    Args:
        num_rows: of a step, a multiple of ``together``.
        size: ranks.
        together: neighbours that stay on one rank: 1, or an image's two branches.
    """
    working = num_working(num_rows, size)
    runs = runs_of(num_rows // together, working)
    found = tuple(slice(run.start * together, run.stop * together) for run in runs)
    return found + (slice(num_rows, num_rows),) * (size - working)


@dataclass(kw_only=True, slots=True, eq=False)
class ImagePart:
    """What a rank works with, and which rows of the present denoising are its own.

    Attributes:
        ranks: all of them, as this one sees them.
        unet: this rank's, as ``models.sdxl.denoise`` takes it.
        decode: maps (n, C, h, w) to (n, H, W, 3) uint8 on the device.
        size: H and W.
        num_branches: of guidance, of each image: 1 or 2.
    """

    ranks: Ranks
    unet: Any
    decode: Callable[[torch.Tensor], torch.Tensor]
    size: tuple[int, int]
    num_branches: int
    _runs: tuple[slice, ...] = ()
    _predict: Predict | None = None

    @property
    def is_shared(self) -> bool:
        """Whether more than one rank has rows."""
        return num_working(self._runs[-1].stop, self.ranks.size) > 1

    @torch.inference_mode()
    def take_rows(
        self, prompt_embeds: torch.Tensor, pooled: torch.Tensor, time_ids: torch.Tensor
    ) -> None:
        """Keep what our rows are predicted from, all rows given: (R, T, D), (R, P) and (R, 6)."""
        together = self.num_branches if getattr(self.unet, "is_8bit", False) else 1
        self._runs = rows_of_ranks(len(prompt_embeds), self.ranks.size, together=together)
        run, self._predict = self._runs[self.ranks.rank], None
        if run.stop > run.start:
            rows = BranchRows(
                prompt_embeds=self._by_image(prompt_embeds)[run],
                pooled_prompt_embeds=self._by_image(pooled)[run],
                time_ids=self._by_image(time_ids)[run],
            )
            self._predict = predict_of(self.unet, rows)

    @torch.inference_mode()
    def predict(self, model_input: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Return (R, C, h, w) float32 on every rank.

        Args:
            model_input: (B, C, h, w), the same on all ranks; every branch has it.
            timestep: [] float32.
        """
        own = model_input.repeat_interleave(self.num_branches, 0)[self._runs[self.ranks.rank]]
        if self._predict is not None:
            own = self._predict(own, timestep)
        found = [own]
        if self.is_shared:
            lengths = [run.stop - run.start for run in self._runs]
            found = self.ranks.gather(own.float(), lengths)
        by_image = torch.cat(found).unflatten(0, (-1, self.num_branches))
        return by_image.transpose(0, 1).flatten(0, 1)

    def _by_image(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (R, ...) with an image's branches beside each other."""
        return rows.unflatten(0, (self.num_branches, -1)).transpose(0, 1).flatten(0, 1)

    @torch.inference_mode()
    def decode_items(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (n, H, W, 3) uint8 on every rank, on the device: an image of each rank.

        Args:
            latents: (n, C, h, w), n at most the number of ranks.
        """
        own = latents[self.ranks.rank : self.ranks.rank + 1]
        images = (
            self.decode(own)
            if len(own)
            else torch.empty(0, *self.size, 3, dtype=torch.uint8, device=latents.device)
        )
        lengths = [int(rank < len(latents)) for rank in range(self.ranks.size)]
        return torch.cat(self.ranks.gather(images, lengths))
