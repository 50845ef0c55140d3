"""Frames to files beside the thread that drives the job.

A writer takes decoded frames as they come. Threads of its own compress them, decode what was
compressed and make the thumbnails, all while the model still decodes, so that after the last frame
little is left: a video's last packets and the comparison of its file with them, or one image.
``finish`` waits for the files and returns the assets; ``abandon`` removes whatever was made.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ourvidz.core.asset import Asset
from ourvidz.core.event import FramesReady
from ourvidz.core.phase import Phase, Span
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.media.frames import MiddleFrame, RgbFrame
from ourvidz.media.image import write_png
from ourvidz.media.probe import MediaFacts, VideoProbe, check, probe
from ourvidz.media.thumbnail import write_thumbnail
from ourvidz.media.video import EncodedPacket, VideoWriter

# Decoded frames that may wait for the encoder: a clip of ordinary length whole, so that the device
# goes on with the next job, and no more than this many bytes.
_QUEUE_BYTES = 128 * 2**20
_MIN_QUEUE_FRAMES = 16
_VIDEO_THREADS = 3  # one saves, one probes, one makes the thumbnail
_MAX_IMAGE_THREADS = 16  # compressing and decoding release the interpreter lock


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputNames:
    """Where a job's files go."""

    folder: Path
    stem: str

    def media(self, media_type: MediaType, index: int, count: int) -> Path:
        """Return the path of item ``index`` of ``count``."""
        suffix = ".mp4" if media_type is MediaType.VIDEO else ".png"
        number = f"-{index + 1}" if count > 1 else ""
        return self.folder / f"{self.stem}{number}{suffix}"

    def thumbnail(self, media: Path) -> Path:
        """Return the path of the thumbnail that belongs to ``media``."""
        return media.with_name(f"{media.stem}.thumb.webp")

    @property
    def sidecar(self) -> Path:
        """The job's JSON."""
        return self.folder / f"{self.stem}.json"


class Writer(Protocol):
    """What the worker needs of either kind of output."""

    def add(self, event: FramesReady) -> None:
        """Take decoded frames. Raises what a writing thread met, as soon as it met it."""
        ...

    def end(self) -> None:
        """Say that no more frames come: the files are finished without anyone waiting."""
        ...

    def finish(self) -> tuple[Asset, ...]:
        """Wait for the files and return their probed facts. Call ``end`` before."""
        ...

    def abandon(self) -> None:
        """Stop and remove every file. Idempotent; also correct after ``finish``."""
        ...


def make_writer(
    request: GenerationRequest,
    *,
    names: OutputNames,
    recorder: SpanRecorder,
    settings: Mapping[str, Any],
) -> Writer:
    """Return the writer for the request's media type; ``settings`` are embedded in each file."""
    kind = _VideoFileWriter if request.media_type is MediaType.VIDEO else _ImageFilesWriter
    return kind(request, names=names, recorder=recorder, settings=settings)


class _VideoFileWriter:
    def __init__(
        self,
        request: GenerationRequest,
        *,
        names: OutputNames,
        recorder: SpanRecorder,
        settings: Mapping[str, Any],
    ) -> None:
        self._request = request
        self._names = names
        self._recorder = recorder
        self._settings = settings
        self._path = names.media(request.media_type, 0, 1)
        self._thumbnail = names.thumbnail(self._path)
        self._queue: queue.Queue[RgbFrame | None] = queue.Queue(_queue_frames(request))
        self._packets: queue.SimpleQueue[EncodedPacket | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(_VIDEO_THREADS, thread_name_prefix="save")
        self._result: Future[Asset] = self._pool.submit(self._write)

    def add(self, event: FramesReady) -> None:
        for frame in event.frames:
            self._put(frame)
            if self._result.done():
                self._result.result()

    def _put(self, frame: RgbFrame | None) -> None:
        while not self._result.done():
            with contextlib.suppress(queue.Full):
                self._queue.put(frame, timeout=0.1)  # looks at the result again if the disk fails
                return

    def end(self) -> None:
        self._put(None)

    def finish(self) -> tuple[Asset, ...]:
        asset = self._result.result()
        self._pool.shutdown()
        return (asset,)

    def abandon(self) -> None:
        self._stopped.set()
        self._put(None)
        self._pool.shutdown(wait=True)
        for path in (self._path, self._thumbnail):
            path.unlink(missing_ok=True)

    def _write(self) -> Asset:
        first = self._queue.get()  # the span begins with work, not with waiting for it
        probing = self._pool.submit(self._probe_packets)
        try:
            with self._recorder.span(Phase.SAVE, is_background=True):
                thumbnail = self._save(first)
        finally:
            self._packets.put(None)
        thumbnail.result()
        packets = probing.result()
        with self._recorder.span(Phase.PROBE, is_background=True, facts={"what": "file"}):
            facts = packets.facts(self._path)
            _check(facts, self._request)
        return _asset(facts, path=self._path, thumbnail=self._thumbnail, seed=self._request.seed)

    def _save(self, frame: RgbFrame | None) -> Future[None]:
        """Write the file; return the thumbnail, begun as soon as the middle frame was there."""
        request, middle = self._request, MiddleFrame(self._request.num_frames)
        thumbnail: Future[None] | None = None
        with VideoWriter(
            self._path,
            width=request.width,
            height=request.height,
            fps=request.fps,
            settings=self._settings,
            title=request.prompt,
            on_packet=self._packets.put,
        ) as writer:
            while frame is not None and not self._stopped.is_set():
                middle.offer(frame)
                if thumbnail is None and middle.is_found:
                    thumbnail = self._pool.submit(self._write_thumbnail, middle.frame)
                writer.write(frame)
                frame = self._queue.get()
        return thumbnail or self._pool.submit(self._write_thumbnail, middle.frame)

    def _write_thumbnail(self, frame: RgbFrame) -> None:
        with self._recorder.span(Phase.THUMBNAIL, is_background=True):
            write_thumbnail(self._thumbnail, frame)

    def _probe_packets(self) -> VideoProbe:
        """Decode what the encoder makes, as it makes it."""
        packets, clock = VideoProbe(), self._recorder.clock
        packet = self._packets.get()
        start_s = last_s = clock.monotonic()
        while packet is not None and not self._stopped.is_set():
            last_s = clock.monotonic()
            packets.add(packet)
            packet = self._packets.get()
        # Two spans: up to the last packet it may be the encoder that is waited for.
        self._add_probe_span(start_s, last_s)
        if not self._stopped.is_set():
            packets.end()
        self._add_probe_span(last_s, clock.monotonic())
        return packets

    def _add_probe_span(self, start_s: float, end_s: float) -> None:
        self._recorder.add(
            Span(
                phase=Phase.PROBE,
                start_s=start_s,
                end_s=end_s,
                is_background=True,
                facts={"what": "packets"},
            )
        )


def _queue_frames(request: GenerationRequest) -> int:
    return max(_MIN_QUEUE_FRAMES, _QUEUE_BYTES // (request.width * request.height * 3))


class _ImageFilesWriter:
    def __init__(
        self,
        request: GenerationRequest,
        *,
        names: OutputNames,
        recorder: SpanRecorder,
        settings: Mapping[str, Any],
    ) -> None:
        self._request = request
        self._names = names
        self._recorder = recorder
        self._settings = settings
        threads = _image_threads()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="save")
        self._strips = ThreadPoolExecutor(threads, thread_name_prefix="strip")
        self._results: list[Future[Asset]] = []
        self._thumbnails: list[Future[None]] = []

    def add(self, event: FramesReady) -> None:
        for done in (*self._results, *self._thumbnails):
            if done.done():
                done.result()
        item, image = event.item, event.frames[0]
        self._results.append(self._pool.submit(self._write, item, image))
        self._thumbnails.append(self._pool.submit(self._write_thumbnail, item, image))

    def end(self) -> None:
        self._pool.shutdown(wait=False)

    def finish(self) -> tuple[Asset, ...]:
        assets = tuple(result.result() for result in self._results)
        for thumbnail in self._thumbnails:
            thumbnail.result()
        self._shut_down()
        return assets

    def _shut_down(self, *, cancel: bool = False) -> None:
        self._pool.shutdown(wait=True, cancel_futures=cancel)
        self._strips.shutdown(wait=True)  # after those who give it work

    def abandon(self) -> None:
        self._shut_down(cancel=True)
        for item in range(self._request.num_images):
            path = self._path(item)
            path.unlink(missing_ok=True)
            self._names.thumbnail(path).unlink(missing_ok=True)

    def _path(self, item: int) -> Path:
        return self._names.media(self._request.media_type, item, self._request.num_images)

    def _write(self, item: int, image: RgbFrame) -> Asset:
        path, seed = self._path(item), self._request.item_seeds[item]
        with self._recorder.span(Phase.SAVE, is_background=True, facts={"item": item}):
            write_png(path, image, settings={**self._settings, "seed": seed}, threads=self._strips)
        with self._recorder.span(Phase.PROBE, is_background=True, facts={"item": item}):
            facts = probe(path, pixels=image)
            _check(facts, self._request)
        return _asset(facts, path=path, thumbnail=self._names.thumbnail(path), seed=seed)

    def _write_thumbnail(self, item: int, image: RgbFrame) -> None:
        with self._recorder.span(Phase.THUMBNAIL, is_background=True, facts={"item": item}):
            write_thumbnail(self._names.thumbnail(self._path(item)), image)


def _image_threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _MAX_IMAGE_THREADS)


def _check(facts: MediaFacts, request: GenerationRequest) -> None:
    check(
        facts,
        width=request.width,
        height=request.height,
        num_frames=request.num_frames,
        fps=request.fps if request.media_type is MediaType.VIDEO else None,
    )


def _asset(facts: MediaFacts, *, path: Path, thumbnail: Path, seed: int) -> Asset:
    return Asset(
        path=str(path),
        media_type=facts.media_type,
        width=facts.width,
        height=facts.height,
        num_frames=facts.num_frames,
        fps=facts.fps,
        duration_s=facts.duration_s,
        bytes=facts.file_bytes,
        thumbnail_path=str(thumbnail),
        seed=seed,
    )
