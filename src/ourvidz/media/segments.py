"""One video encoded in segments by several encoders at once, packets leaving in order.

x264 spreads a small picture over few cores: 81 frames of 480x832 noise take 0.96 s with eight
threads, 0.98 with twelve and 1.03 with sixteen on sixteen cores, and 0.42 in three segments of 27
with five threads each (PyAV 18.1, 2026-11-22). A segment is what stands between two key frames
anyway, so the file differs by what an encoder knows of the segment before (18.65 and 18.80 MB).

A segment's first decoding time is one step after the last of the segment before: encoders delay by
the same number of frames, and times follow the frames' numbers.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from av.packet import Packet

from ourvidz.media.frames import RgbFrame

# x264 learns by how much it delays from its first three frames (``i_bframe_delay`` in encoder.c); a
# clip's last few frames go with the segment before.
_FEWEST = 4


class Encoder(Protocol):
    """What encodes one segment."""

    def encode(self, frame: RgbFrame, index: int) -> Sequence[Packet]:
        """Take the clip's frame ``index``; return what is ready."""
        ...

    def end(self) -> Sequence[Packet]:
        """Return the rest."""
        ...


@dataclass(kw_only=True, slots=True, eq=False)
class _Segment:
    """Frames on their way in, packets on their way out; None ends either."""

    frames: queue.SimpleQueue[tuple[RgbFrame, int] | None] = field(
        default_factory=queue.SimpleQueue[tuple[RgbFrame, int] | None]
    )
    packets: queue.SimpleQueue[Packet | None] = field(
        default_factory=queue.SimpleQueue[Packet | None]
    )
    work: Future[None] | None = None

    def run(self, encoder: Encoder) -> None:
        try:
            while (item := self.frames.get()) is not None:
                for packet in encoder.encode(*item):
                    self.packets.put(packet)
            for packet in encoder.end():
                self.packets.put(packet)
        finally:
            self.packets.put(None)


class SegmentedEncoder:
    """Gives frames to encoders in turn and their packets back in order.

    At most ``num_encoders`` segments are held: memory does not grow with the clip.
    """

    def __init__(
        self, make: Callable[[], Encoder], *, frames_per_segment: int, num_encoders: int
    ) -> None:
        """Prepare.

        Args:
            make: a new encoder, for a segment.
            frames_per_segment: 1 or more.
            num_encoders: that work at once, 1 or more.
        """
        assert min(frames_per_segment, num_encoders) >= 1
        self._make = make
        self._length = frames_per_segment
        self._num_encoders = num_encoders
        self._pool = ThreadPoolExecutor(num_encoders, thread_name_prefix="encode")
        self._segments: deque[_Segment] = deque()
        self._waiting: list[tuple[RgbFrame, int]] = []  # of a segment that may not come to be
        self._num_frames = self._num_started = 0

    def encode(self, frame: RgbFrame) -> Iterator[Packet]:
        """Take the next frame, whose array must not change; yield packets that are ready.

        Raises:
            Exception: what an encoder met.
        """
        self._waiting.append((frame, self._num_frames))
        is_begun = self._num_frames // self._length < self._num_started
        self._num_frames += 1
        fewest = min(_FEWEST, self._length) if self._num_started else 1
        if not is_begun and len(self._waiting) == fewest:
            yield from self._start()
            is_begun = True
        if is_begun:
            self._hand_over()
        yield from self._ready()

    def end(self) -> Iterator[Packet]:
        """Yield all packets that are left, waiting for them. Raises as ``encode``."""
        self._hand_over()
        self._end_last()
        while self._segments:
            yield from self._drain_first()
        self._pool.shutdown()

    def abandon(self) -> None:
        """Stop; what was not yielded is lost. Idempotent, also after ``end``."""
        self._end_last()
        self._segments.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> Iterator[Packet]:
        """Begin a segment, once there is room for one; yield what comes out meanwhile."""
        self._end_last()
        while len(self._segments) >= self._num_encoders:
            yield from self._drain_first()
        segment = _Segment()
        segment.work = self._pool.submit(segment.run, self._make())
        self._segments.append(segment)
        self._num_started += 1

    def _hand_over(self) -> None:
        """Give what waits to the newest segment."""
        for item in self._waiting:
            self._segments[-1].frames.put(item)
        self._waiting.clear()

    def _end_last(self) -> None:
        if self._segments:
            self._segments[-1].frames.put(None)

    def _ready(self) -> Iterator[Packet]:
        """Yield what the first segment has by now, and the next ones' once it is over."""
        while self._segments:
            first = self._segments[0]
            try:
                packet = first.packets.get_nowait()
            except queue.Empty:
                return
            if packet is None:
                self._leave()
            else:
                yield packet

    def _drain_first(self) -> Iterator[Packet]:
        while (packet := self._segments[0].packets.get()) is not None:
            yield packet
        self._leave()

    def _leave(self) -> None:
        work = self._segments.popleft().work
        assert work is not None, "a segment works from the start"
        work.result()
