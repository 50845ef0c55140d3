"""Every other rank's side: a process that loads weights and works out its part of each message.

``python -m ourvidz.engine.group.follower RANK SIZE DEVICE FD STORE``, started by the leader. It
ends when the leader does, or when anything goes wrong: the leader then starts a new group.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import IllegalState, OurVidzError, OutOfMemory
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine.context import JobContext, workload_of
from ourvidz.engine.group import ranks as group_ranks
from ourvidz.engine.group.load import images_of, request_networks, video_of
from ourvidz.engine.group.messages import (
    Begin,
    Broken,
    DecodeChunk,
    DecodeItems,
    End,
    Failed,
    FollowerSettings,
    Hello,
    ImageMessage,
    Load,
    Measure,
    Message,
    Predict,
    PredictRows,
    Ready,
    Shape,
    StartDecode,
    TakeRows,
    TakeText,
    Unload,
)
from ourvidz.engine.group.plan import LinkFigures, choose_plan
from ourvidz.engine.group.ranks import Ranks
from ourvidz.engine.group.share import Step, predict, stripe_of, take_step, work_of
from ourvidz.engine.group.share_sdxl import ImagePart
from ourvidz.engine.residency import Component, Residency
from ourvidz.models.wan.fast import FastWan, Text
from ourvidz.models.wan.stream import StreamingDecoder
from ourvidz.models.wan.stripes import gather_frames

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1


@dataclass(kw_only=True, slots=True, eq=False)
class _Loading:
    """A job whose networks load in a thread, while others' messages are answered."""

    context: JobContext
    message: Begin | Load
    networks: Sequence[Future[Component]] = ()
    error: Exception | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A job's networks are there, or can't be; a follower tells itself, among other messages."""

    job: int


@dataclass(kw_only=True, slots=True, eq=False)
class _VideoJob:
    context: JobContext
    predictor: FastWan
    decoder: StreamingDecoder
    texts: list[Text] = field(default_factory=list[Text])
    latents: torch.Tensor | None = None
    chunks: Iterator[torch.Tensor] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _ImageJob:
    context: JobContext
    part: ImagePart


class Follower:
    """Answers one message after another."""

    def __init__(
        self,
        *,
        ranks: Ranks,
        settings: FollowerSettings,
        connection: Connection,
        messages: queue.SimpleQueue[Message | Loaded],
    ) -> None:
        """Take the way to the others; nothing is loaded yet.

        Args:
            ranks: all of us.
            settings: the leader's.
            connection: where answers go.
            messages: what is still to be handled, where we put what we tell ourselves.
        """
        self._messages = messages
        self._ranks = ranks
        self._settings = settings
        self._connection = connection
        self._clock = SystemClock()
        self._residency = Residency(
            device=ranks.device,
            dtype=settings.dtype,
            vram_bytes=settings.vram_bytes,
            host_cache_bytes=settings.host_cache_bytes,
            clock=self._clock,
        )
        self._loading: dict[int, _Loading] = {}
        self._videos: dict[int, _VideoJob] = {}
        self._images: dict[int, _ImageJob] = {}
        self._figures: LinkFigures | None = None

    def handle(self, message: Message | Loaded) -> None:
        """Do what the leader says.

        Raises:
            Exception: whatever goes wrong but for loading, which is answered.
        """
        match message:
            case Measure():
                self._figures = group_ranks.measure_link(self._ranks)
            case Begin() | Load():
                self._begin(message)
            case Unload():
                with suppress(IllegalState):  # a job began with it meanwhile
                    self._residency.unload(message.model_id)
            case Loaded():
                self._finish(self._loading.pop(message.job))
            case TakeText():
                self._take_text(message)
            case Predict():
                self._predict(message)
            case StartDecode():
                self._start_decode(message)
            case DecodeChunk():
                self._decode_chunk(self._videos[message.job])
            case TakeRows() | PredictRows() | DecodeItems():
                self._share_images(self._images[message.job].part, message)
            case End():
                self._end(message.job)

    def _end(self, job: int) -> None:
        if job in self._loading:
            self._loading[job].context.cancel.cancel()  # what it holds goes when that has ended
        done = self._videos.pop(job, None) or self._images.pop(job, None)
        if done is not None:
            done.context.release_all()

    def _finish(self, loading: _Loading) -> None:
        """Make of the networks what the job works with, and answer."""
        context, message = loading.context, loading.message
        try:
            if not context.cancel.is_cancelled:
                is_held = self._take(loading)
                self._connection.send(Ready(job=message.job))
                if is_held:
                    return
        except torch.OutOfMemoryError as error:
            self._fail(message, OutOfMemory(str(error)))
        except OurVidzError as error:
            self._fail(message, error)
        context.release_all()

    def _fail(self, message: Begin | Load, error: OurVidzError) -> None:
        self._connection.send(
            Failed(job=message.job, code=error.code, message=error.message, hint=error.hint)
        )

    def _begin(self, message: Begin | Load) -> None:
        context = JobContext(
            device=self._ranks.device,
            residency=self._residency,
            recorder=SpanRecorder(self._clock),
            cancel=CancelToken(),
            clock=self._clock,
            locate=message.folders.__getitem__,
            tokenizers={},
            dtype=self._settings.dtype,
            variants=message.variants,
            techniques=message.techniques if isinstance(message, Begin) else frozenset(),
            cache_dir=self._settings.cache_dir,
        )
        loading = _Loading(context=context, message=message)
        self._loading[message.job] = loading
        threading.Thread(
            target=self._load, args=(loading,), name=f"load-{message.job}", daemon=True
        ).start()

    def _load(self, loading: _Loading) -> None:
        context, message = loading.context, loading.message
        try:
            if isinstance(message, Begin) and message.activation_bytes is not None:
                self._residency.expect_activations(
                    workload_of(message.request), message.activation_bytes
                )
            model_id = message.model_id if isinstance(message, Load) else message.request.model
            loading.networks = request_networks(context, family=message.family, model_id=model_id)
            for network in loading.networks:
                network.result()
        except Exception as error:  # noqa: BLE001 - raised again where messages are handled
            loading.error = error
        self._messages.put(Loaded(job=message.job))

    def _take(self, loading: _Loading) -> bool:
        """Keep what a job works with; return whether there is a job."""
        if loading.error is not None:
            raise loading.error
        context, message, networks = loading.context, loading.message, loading.networks
        if isinstance(message, Load):
            return False
        if message.family == "sdxl":
            part = images_of(context, message, self._ranks, networks)
            self._images[message.job] = _ImageJob(context=context, part=part)
        else:
            predictor, decoder = video_of(context, message, self._ranks, networks)
            self._videos[message.job] = _VideoJob(
                context=context, predictor=predictor, decoder=decoder
            )
        return True

    @torch.inference_mode()
    def _share_images(self, part: ImagePart, message: ImageMessage) -> None:
        match message:
            case TakeRows():
                dtype = getattr(torch, message.dtype)
                part.take_rows(*(self._taken(shape, dtype) for shape in message.shapes))
            case PredictRows():
                part.predict(*take_step(self._ranks, message.shape))
            case DecodeItems():
                part.decode_items(self._taken(message.shape, torch.float32))

    def _taken(self, shape: Shape, dtype: torch.dtype) -> torch.Tensor:
        return self._ranks.broadcast(torch.empty(shape, dtype=dtype, device=self._ranks.device))

    @torch.inference_mode()
    def _take_text(self, message: TakeText) -> None:
        job = self._videos[message.job]
        embeds = self._taken(message.shape, getattr(torch, message.dtype))
        job.texts.append(job.predictor.text(embeds))

    def _predict(self, message: Predict) -> None:
        job = self._videos[message.job]
        latents, timestep = take_step(self._ranks, message.shape)
        step = Step(
            latents=latents,
            timestep=timestep,
            texts=[job.texts[index] for index in message.texts],
            is_batched=message.is_batched,
        )
        work = work_of(job.predictor, step)
        assert self._figures is not None, "the leader has it measured first"
        plan = choose_plan(self._ranks.size, work, self._figures)
        predict(self._ranks, job.predictor, plan, step)

    @torch.inference_mode()
    def _start_decode(self, message: StartDecode) -> None:
        job = self._videos[message.job]
        job.latents = self._taken(message.shape, torch.float32)
        job.chunks = job.decoder.decode_stripe(job.latents, stripe=stripe_of(self._ranks))

    def _decode_chunk(self, job: _VideoJob) -> None:
        assert job.chunks is not None, "decoding was started"
        assert job.latents is not None, "decoding was started"
        chunk = next(job.chunks, None)
        if chunk is None:
            job.chunks = job.latents = None
            return
        height = job.latents.shape[3] * job.decoder.scale
        gather_frames(chunk, stripe=stripe_of(self._ranks), height=height)


def main(arguments: list[str]) -> int:
    """Run one follower until the leader ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the leader drains, and needs us meanwhile
    rank, size = int(arguments[0]), int(arguments[1])
    device, connection = torch.device(arguments[2]), Connection(int(arguments[3]))
    logging.basicConfig(level=logging.INFO, format=f"rank {rank}: %(message)s")
    _end_with_leader()
    settings: FollowerSettings = connection.recv()
    if device.type == "cpu" and settings.num_threads is not None:
        torch.set_num_threads(settings.num_threads)
    messages: queue.SimpleQueue[Message | Loaded] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, messages), daemon=True).start()
    connection.send(Hello())
    store = group_ranks.meeting_place(Path(arguments[4]), size)
    ranks = group_ranks.join(rank=rank, size=size, device=device, store=store)
    follower = Follower(ranks=ranks, settings=settings, connection=connection, messages=messages)
    while True:
        try:
            follower.handle(messages.get())
        except Exception as error:  # noqa: BLE001 - the log has it, and the leader a new group
            _log.exception("this rank ends, and its group with it")
            with suppress(OSError):
                connection.send(Broken(reason=f"{type(error).__name__}: {error}"))
            return 1


def _read(connection: Connection, messages: queue.SimpleQueue[Any]) -> None:
    """Pass messages on; end the process when the leader is gone, whatever it waits for."""
    while True:
        try:
            messages.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _end_with_leader() -> None:
    """Have the kernel end this process with the leader's (Linux), however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
