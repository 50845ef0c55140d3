"""A batch of images on a group: stands where a UNet and a decoder of one device would."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch

from ourvidz.core.request import GenerationRequest
from ourvidz.engine.context import JobContext
from ourvidz.engine.group.job import GroupJob
from ourvidz.engine.group.leader import Group
from ourvidz.engine.group.messages import DecodeItems, PredictRows, TakeRows
from ourvidz.engine.group.share import send_step
from ourvidz.engine.group.share_sdxl import ImagePart, num_working
from ourvidz.models.frames import to_host

_log = logging.getLogger(__name__)


class GroupImages(GroupJob):
    """One batch's predictions and decode on all ranks. A UNet as ``models.sdxl.denoise`` has it.

    One denoising at a time: the text of the next replaces the last one's.
    """

    def __init__(self, group: Group, context: JobContext, request: GenerationRequest) -> None:
        """See ``GroupJob``; of jobs batched together ``request`` is the first's."""
        super().__init__(group, context, request)
        self._request = request
        self._part: ImagePart | None = None
        self._num_texts = 0

    def bind(self, unet: Any, decode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Take what this rank works with, once all have met; see ``ImagePart``."""
        self._part = ImagePart(
            ranks=self._group.ranks(self._job),
            unet=unet,
            decode=decode,
            size=(self._request.height, self._request.width),
            num_branches=2 if self._request.uses_guidance else 1,
        )

    @property
    def dtype(self) -> torch.dtype:
        """See ``FastUnet``."""
        return self._own.unet.dtype

    @torch.inference_mode()
    def text(
        self,
        prompt_embeds: torch.Tensor,
        pooled_prompt_embeds: torch.Tensor,
        time_ids: torch.Tensor,
    ) -> int:
        """See ``FastUnet``; the others get it too, if they have rows."""
        parts = [part.contiguous() for part in (prompt_embeds, pooled_prompt_embeds, time_ids)]
        self._num_texts += 1
        working = num_working(len(prompt_embeds), self.size)
        _log.info("%d rows a step on %d of %d ranks", len(prompt_embeds), working, self.size)
        if working == 1:
            self._own.take_rows(*parts)
            return self._num_texts
        message = TakeRows(
            job=self._job,
            shapes=tuple(tuple(part.shape) for part in parts),
            dtype=str(self.dtype).removeprefix("torch."),
        )
        with self._group.together(self._job) as ranks:
            self._group.send(message)
            self._own.take_rows(*(ranks.broadcast(part) for part in parts))
        return self._num_texts

    @torch.inference_mode()
    def predict(self, sample: torch.Tensor, timestep: torch.Tensor, context: int) -> torch.Tensor:
        """See ``FastUnet``: (R, C, h, w), float32 where ranks share."""
        assert context == self._num_texts, "one denoising at a time"
        if not self._own.is_shared:
            return self._own.predict(sample, timestep)
        with self._group.together(self._job) as ranks:
            self._group.send(PredictRows(job=self._job, shape=tuple(sample.shape)))
            return self._own.predict(*send_step(ranks, sample.float(), timestep))

    def decode(self, latents: torch.Tensor) -> Generator[torch.Tensor, None, None]:
        """Yield a batch's images in order, as ``models.sdxl.decode`` does.

        Args:
            latents: (B, C, h, w).

        Raises:
            RankLost: one of the others is gone; what was yielded before is right.
        """
        for images in to_host(self._rounds(latents)):
            self._group.raise_if_lost(self._job)
            yield from images.unbind(0)

    def _rounds(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield (n, H, W, 3) on the device: an image of each rank at a time."""
        for items in latents.split(self.size):
            if len(items) == 1:
                yield self._own.decode(items)
                continue
            with self._group.together(self._job) as ranks:
                self._group.send(DecodeItems(job=self._job, shape=tuple(items.shape)))
                ranks.broadcast(items.contiguous())
                images = self._own.decode_items(items)
            yield images

    @property
    def _own(self) -> ImagePart:
        assert self._part is not None, "bind() comes first"
        return self._part
