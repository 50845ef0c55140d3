"""Frames to files beside the thread that drives the job.

A writer takes decoded frames as they come and saves them in threads of its own, so that encoding
a video overlaps decoding it. ``finish`` waits for the files, probes them and returns the assets;
``abandon`` removes whatever was made.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ourvidz.core.asset import Asset
from ourvidz.core.event import FramesReady
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.media.frames import MiddleFrame, RgbFrame
from ourvidz.media.image import write_png
from ourvidz.media.probe import MediaFacts, check, probe
from ourvidz.media.thumbnail import write_thumbnail
from ourvidz.media.video import VideoWriter

# Decoded frames that may wait for the encoder: a clip of ordinary length whole, so that the device
# goes on with the next job, and no more than this many bytes.
_QUEUE_BYTES = 128 * 2**20
_MIN_QUEUE_FRAMES = 16
_IMAGE_THREADS = 4  # PNG compression releases the interpreter lock


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
        self._queue: queue.Queue[RgbFrame | None] = queue.Queue(_queue_frames(request))
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="save")
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
        for path in (self._path, self._names.thumbnail(self._path)):
            path.unlink(missing_ok=True)

    def _write(self) -> Asset:
        request, middle = self._request, MiddleFrame(self._request.num_frames)
        first = self._queue.get()  # the span begins with work, not with waiting for it
        with (
            self._recorder.span(Phase.SAVE, is_background=True),
            VideoWriter(
                self._path,
                width=request.width,
                height=request.height,
                fps=request.fps,
                settings=self._settings,
                title=request.prompt,
            ) as writer,
        ):
            frame = first
            while frame is not None and not self._stopped.is_set():
                writer.write(frame)
                middle.offer(frame)
                frame = self._queue.get()
        thumbnail = self._names.thumbnail(self._path)
        with self._recorder.span(Phase.THUMBNAIL, is_background=True):
            write_thumbnail(thumbnail, middle.frame)
        return _probed(
            self._path,
            request,
            recorder=self._recorder,
            thumbnail=thumbnail,
            seed=request.seed,
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
        self._pool = ThreadPoolExecutor(_IMAGE_THREADS, thread_name_prefix="save")
        self._results: list[Future[Asset]] = []

    def add(self, event: FramesReady) -> None:
        for result in self._results:
            if result.done():
                result.result()
        self._results.append(self._pool.submit(self._write, event.item, event.frames[0]))

    def end(self) -> None:
        self._pool.shutdown(wait=False)

    def finish(self) -> tuple[Asset, ...]:
        assets = tuple(result.result() for result in self._results)
        self._pool.shutdown()
        return assets

    def abandon(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for item in range(self._request.num_images):
            path = self._path(item)
            path.unlink(missing_ok=True)
            self._names.thumbnail(path).unlink(missing_ok=True)

    def _path(self, item: int) -> Path:
        return self._names.media(self._request.media_type, item, self._request.num_images)

    def _write(self, item: int, image: RgbFrame) -> Asset:
        path, seed = self._path(item), self._request.item_seeds[item]
        with self._recorder.span(Phase.SAVE, is_background=True, facts={"item": item}):
            write_png(path, image, settings={**self._settings, "seed": seed})
        thumbnail = self._names.thumbnail(path)
        with self._recorder.span(Phase.THUMBNAIL, is_background=True, facts={"item": item}):
            write_thumbnail(thumbnail, image)
        return _probed(path, self._request, recorder=self._recorder, thumbnail=thumbnail, seed=seed)


def _probed(
    path: Path,
    request: GenerationRequest,
    *,
    recorder: SpanRecorder,
    thumbnail: Path,
    seed: int,
) -> Asset:
    with recorder.span(Phase.PROBE, is_background=True):
        facts = probe(path)
        is_video = request.media_type is MediaType.VIDEO
        check(
            facts,
            width=request.width,
            height=request.height,
            num_frames=request.num_frames,
            fps=request.fps if is_video else None,
        )
    return _asset(facts, path=path, thumbnail=thumbnail, seed=seed)


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
