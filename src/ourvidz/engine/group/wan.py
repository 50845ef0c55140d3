"""A video job on a group: stands where a predictor and a decoder of one device would."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence

import torch

from ourvidz.core.request import GenerationRequest
from ourvidz.engine.context import JobContext
from ourvidz.engine.group.job import GroupJob
from ourvidz.engine.group.leader import Group
from ourvidz.engine.group.messages import DecodeChunk, Predict, StartDecode, TakeText
from ourvidz.engine.group.plan import ForwardPlan, choose_plan, exchange_s, predicted_s
from ourvidz.engine.group.share import Step, predict, send_step, stripe_of, work_of
from ourvidz.models.frames import to_host
from ourvidz.models.wan.fast import FastWan, Text
from ourvidz.models.wan.stream import StreamingDecoder
from ourvidz.models.wan.stripes import gather_frames

_log = logging.getLogger(__name__)


class GroupWan(GroupJob):
    """One job's forwards and decode on all ranks. A predictor (``models.wan.predict``)."""

    def __init__(self, group: Group, context: JobContext, request: GenerationRequest) -> None:
        """See ``GroupJob``."""
        super().__init__(group, context, request)
        self._predictor: FastWan | None = None
        self._decoder: StreamingDecoder | None = None
        self._plan: ForwardPlan | None = None
        self._texts: list[Text] = []

    def bind(self, predictor: FastWan, decoder: StreamingDecoder) -> None:
        """Take what this rank works with."""
        self._predictor, self._decoder = predictor, decoder

    @property
    def dtype(self) -> torch.dtype:
        """See ``Predictor``."""
        return self._own.dtype

    @torch.inference_mode()
    def text(self, prompt_embeds: torch.Tensor) -> int:
        """See ``Predictor``; the others get it too."""
        embeds = prompt_embeds.contiguous()
        dtype = str(embeds.dtype).removeprefix("torch.")
        with self._group.together(self._job) as ranks:
            self._group.send(TakeText(job=self._job, shape=tuple(embeds.shape), dtype=dtype))
            self._texts.append(self._own.text(ranks.broadcast(embeds)))
        return len(self._texts) - 1

    @torch.inference_mode()
    def velocities(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        texts: Sequence[int],
        *,
        is_batched: bool = False,
    ) -> list[torch.Tensor]:
        """See ``Predictor``."""
        ranks, figures = self._group.ranks(self._job), self._group.figures(self._job)
        step = Step(
            latents=latents,
            timestep=timestep,
            texts=[self._texts[index] for index in texts],
            is_batched=is_batched,
        )
        work = work_of(self._own, step)
        plan = choose_plan(ranks.size, work, figures)
        if plan != self._plan:
            self._plan = plan
            whole_s = predicted_s(plan, work, figures)
            share = exchange_s(plan, work, figures) / whole_s
            _log.info(
                "%s: %.3f s a step expected, %.0f %% of it exchange", plan, whole_s, 100 * share
            )
        if plan.size == 1:
            return self._own.velocities(latents, timestep, step.texts, is_batched=is_batched)
        message = Predict(
            job=self._job, texts=tuple(texts), shape=tuple(latents.shape), is_batched=is_batched
        )
        with self._group.together(self._job):
            self._group.send(message)
            send_step(ranks, latents, timestep)
            return predict(ranks, self._own, plan, step)

    def decode(self, *, latents: torch.Tensor) -> Generator[torch.Tensor, None, None]:
        """Yield frames as ``models.wan.decode.decode`` does.

        Raises:
            RankLost: one of the others is gone; what was yielded before is right.
        """
        for chunk in to_host(self._chunks(latents.contiguous())):
            self._group.raise_if_lost(self._job)
            yield chunk

    def _chunks(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        assert self._decoder is not None, "bind() comes first"
        ranks = self._group.ranks(self._job)
        stripe = stripe_of(ranks)
        height = latents.shape[3] * self._decoder.scale
        with self._group.together(self._job):
            self._group.send(StartDecode(job=self._job, shape=tuple(latents.shape)))
            ranks.broadcast(latents)
            chunks = self._decoder.decode_stripe(latents, stripe=stripe)
        while True:
            with self._group.together(self._job):
                self._group.send(DecodeChunk(job=self._job))
                chunk = next(chunks, None)
                if chunk is None:
                    return
                whole = gather_frames(chunk, stripe=stripe, height=height)
                assert whole is not None, "rank 0 has the whole frames"
            yield whole

    @property
    def _own(self) -> FastWan:
        assert self._predictor is not None, "bind() comes first"
        return self._predictor
