"""H.264 in MP4, written one frame at a time while the rest is still being decoded.

Colours are BT.709 limited range, said in the tags *and* done in the conversion: a player that
trusts the tags shows the colours that the model made. Encoders hold a few dozen frames each, so
memory does not grow with the video. Where there are many cores, several encoders work at once, on a
segment each (``media.segments``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

import av
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from ourvidz.core.errors import InvalidRequest, OutputInvalid
from ourvidz.core.files import atomic_path, disk_errors_as_ours
from ourvidz.media.frames import RgbFrame, require_rgb
from ourvidz.media.segments import SegmentedEncoder
from ourvidz.media.settings import JsonValue, comment_of

X264Preset: TypeAlias = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"
]
# Measured on 81 frames of 480x832 with fine grain, two cores, one encoder thread / all of them
# (2026-11-21, x264 in PyAV 18.1): veryfast at 16 takes 0.88 / 0.64 s, 1.32 MB and 41.35 dB of
# luma; medium needs 1.81 / 1.22 s for the same 41.35 dB (at 18), 1.17 MB.
DEFAULT_PRESET: X264Preset = "veryfast"
# Without lookahead packets leave sooner: 81 frames that arrive within 0.6 s are on disk 24 ms after
# the last where 49 passed (fine grain, 16 cores of a GPU's host), 108 where 190 passed (noise). It
# moves bits between contents: at 15 clean frames have 45.5 dB in 1.56 MB where 16 with lookahead
# had 43.8 in 1.33, grainy ones 38.2 in 3.24 where 39.1 took 3.54 (33 frames, 2026-11-22).
DEFAULT_CRF = 15

# What PyAV raises of a damaged file; the last of tags that are no text.
UNREADABLE = (FFmpegError, IndexError, UnicodeDecodeError)

_SECONDS_BETWEEN_KEY_FRAMES = 2  # x264's 250 frames would make a 16 fps clip seek from its start

_THREADS_AN_ENCODER = 5  # more make 480 lines no quicker: see ``media.segments``
_MOST_ENCODERS = 6
_SEGMENT_BYTES = 512 * 2**20  # of frames that may wait in segments


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPacket:
    """One compressed picture as it lies in the file."""

    content: bytes
    codec_header: bytes  # of the stream: what a decoder needs first
    presented_s: Fraction | None  # seconds from the begin of the video
    decoded_s: Fraction | None  # likewise; a picture may be decoded before an earlier one
    is_key_frame: bool

    @classmethod
    def of(cls, packet: av.Packet, codec_header: bytes) -> Self:
        """Copy ``packet``, which muxing changes."""
        time_base = packet.time_base
        return cls(
            content=bytes(packet),
            codec_header=codec_header,
            presented_s=None if packet.pts is None else packet.pts * time_base,
            decoded_s=None if packet.dts is None else packet.dts * time_base,
            is_key_frame=packet.is_keyframe,
        )


class VideoWriter:
    """Writes an MP4 frame by frame; the file appears under its name only when all is well.

    Use as a context manager. Leaving it normally flushes the encoder and publishes the file;
    leaving it by an exception removes every trace. Not safe for several threads at once, but it
    may be used by another thread than the one that made it.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        fps: Fraction | int,
        settings: Mapping[str, JsonValue] | None = None,
        title: str | None = None,
        preset: X264Preset = DEFAULT_PRESET,
        crf: int = DEFAULT_CRF,
        num_threads: int = 0,
        on_packet: Callable[[EncodedPacket], None] | None = None,
    ) -> None:
        """Prepare; nothing is opened before ``with``.

        Args:
            path: Where the file shall appear; ends in ``.mp4``, its folder exists.
            width: Pixels, even.
            height: Pixels, even.
            fps: Frames a second, above 0; a ``Fraction`` for 24000/1001.
            settings: What made the video; embedded as the ``comment`` tag.
            title: The ``title`` tag, most useful as the prompt.
            preset: x264's effort: a slower one makes a smaller file of equal quality.
            crf: x264's quality, 0 (best) to 51; its scale shifts a little with ``preset``.
            num_threads: Encoder threads in all; 0: one a core that this process may use. From ten
                on they belong to several encoders, a segment each.
            on_packet: Called with each packet before it goes to the file, in ``write`` and at the
                end of ``with``; the bytes are those that the file will hold.

        Raises:
            InvalidRequest: An odd or empty size, a frame rate or ``crf`` out of range, or a
                name that does not end in ``.mp4``.
        """
        _require_even(width, param="width")
        _require_even(height, param="height")
        if fps <= 0:
            raise InvalidRequest(f"fps must be above 0, got {fps!r}", param="fps")
        if not 0 <= crf <= 51:
            raise InvalidRequest(f"crf must be 0 to 51, got {crf!r}", param="crf")
        if path.suffix.lower() != ".mp4":
            raise InvalidRequest(f"a video's name ends in .mp4, got {path.name!r}", param="path")
        self._path = path
        self._width = width
        self._height = height
        self._fps = Fraction(fps)
        self._metadata = {"comment": comment_of(settings)} if settings is not None else {}
        if title:
            # Tags are C strings in UTF-8: a zero byte would end one, half a surrogate fail it.
            self._metadata["title"] = title.replace("\0", "").encode("utf-8", "replace").decode()
        self._preset: X264Preset = preset
        self._crf = crf
        self._num_threads = num_threads or len(os.sched_getaffinity(0))
        self._num_encoders = self._encoders()
        self._segmented: SegmentedEncoder | None = None
        self._on_packet = on_packet
        self._codec_header = b""
        self._num_frames = 0
        self._reformatter = VideoReformatter()
        self._stack = contextlib.ExitStack()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    @property
    def path(self) -> Path:
        """Where the file appears."""
        return self._path

    @property
    def num_frames(self) -> int:
        """How many frames were written so far."""
        return self._num_frames

    def __enter__(self) -> Self:
        """Open the temporary file and the encoder.

        Raises:
            OutputUnwritable: The folder can't be written.
        """
        with contextlib.ExitStack() as stack:
            partial = stack.enter_context(atomic_path(self._path))
            self._container = av.open(
                str(partial),
                "w",
                options={"movflags": "+faststart"},  # plays before it is fully downloaded
            )
            stack.push(self._close)
            self._container.metadata.update(self._metadata)
            self._stream = self._add_stream(self._container)
            self._container.start_encoding()
            self._codec_header = self._stream.codec_context.extradata or b""
            if self._num_encoders > 1:
                self._segmented = SegmentedEncoder(
                    self._make_encoder,
                    frames_per_segment=self._stream.gop_size,
                    num_encoders=self._num_encoders,
                )
                stack.callback(self._segmented.abandon)
            self._stack = stack.pop_all()
        return self

    def write(self, frame: RgbFrame) -> None:
        """Encode the next frame. It is copied; the caller may reuse the array.

        Args:
            frame: (height, width, 3), uint8, RGB, 0 to 255.

        Raises:
            ValueError: The frame's shape or dtype is another one.
            DiskFull: The disk is full (what is still buffered may find it full later, at the
                end of ``with``).
        """
        rgb = require_rgb(frame, width=self._width, height=self._height)
        container, stream = self._opened()
        with disk_errors_as_ours(self._path):
            if self._segmented is None:
                picture = self._to_yuv(self._reformatter, rgb, self._num_frames)
                self._mux(container, stream.encode(picture))
            else:
                self._mux(container, self._segmented.encode(rgb.copy()))
        self._num_frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush and publish, or remove every trace if the body raised.

        Raises:
            DiskFull: The disk is full.
            OutputInvalid: Not one frame was written.
        """
        stack, self._stack = self._stack, contextlib.ExitStack()
        if error is not None:
            stack.__exit__(kind, error, trace)
            return
        with stack:
            self._finish(*self._opened())

    def _opened(self) -> tuple[OutputContainer, VideoStream]:
        if self._container is None or self._stream is None:
            raise ValueError("write inside the `with` block of the VideoWriter")
        return self._container, self._stream

    def _add_stream(self, container: OutputContainer) -> VideoStream:
        stream = container.add_stream("libx264", rate=self._fps, options=self._options())
        self._set_up(stream.codec_context)
        return stream

    def _options(self) -> dict[str, str]:
        return {
            "preset": self._preset,
            "crf": str(self._crf),
            # As MP4 stores it: the muxer copies what the encoder made.
            "x264-params": "annexb=0:rc-lookahead=0",
        }

    def _set_up(self, context: VideoCodecContext) -> None:
        context.width = self._width
        context.height = self._height
        context.pix_fmt = "yuv420p"
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.gop_size = max(1, round(_SECONDS_BETWEEN_KEY_FRAMES * self._fps))
        context.thread_count = max(1, self._num_threads // self._num_encoders)

    def _encoders(self) -> int:
        """Return how many encoders work at once."""
        frame_bytes = self._width * self._height * 3
        segment_bytes = frame_bytes * max(1, round(_SECONDS_BETWEEN_KEY_FRAMES * self._fps))
        by_memory = max(1, _SEGMENT_BYTES // segment_bytes)
        return min(max(1, self._num_threads // _THREADS_AN_ENCODER), _MOST_ENCODERS, by_memory)

    def _make_encoder(self) -> _SegmentEncoder:
        context = VideoCodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext), type(context)
        context.options = self._options()
        self._set_up(context)
        context.framerate = self._fps
        context.time_base = 1 / self._fps
        context.flags |= Flags.global_header  # the file holds it once, for all segments
        context.open()
        if (context.extradata or b"") != self._codec_header:
            raise OutputInvalid("two encoders of one video disagree about its header")
        return _SegmentEncoder(context=context, to_yuv=self._to_yuv)

    def _to_yuv(self, reformatter: VideoReformatter, rgb: RgbFrame, index: int) -> av.VideoFrame:
        # Without both colour spaces swscale would use BT.601, whatever the tags say.
        picture = reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, format="rgb24"),
            format="yuv420p",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_color_trc=ColorTrc.BT709,
            dst_color_primaries=ColorPrimaries.BT709,
        )
        picture.pts = index
        picture.time_base = 1 / self._fps
        return picture

    def _finish(self, container: OutputContainer, stream: VideoStream) -> None:
        if self._num_frames == 0:
            raise OutputInvalid(f"not one frame was written to {str(self._path)!r}")
        rest = stream.encode(None) if self._segmented is None else self._segmented.end()
        self._mux(container, rest)

    def _mux(self, container: OutputContainer, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            if self._stream is not None:
                packet.stream = self._stream  # a segment's comes from an encoder of its own
            if self._on_packet is not None:
                self._on_packet(EncodedPacket.of(packet, self._codec_header))
            container.mux(packet)

    def _close(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        container, self._container, self._stream = self._container, None, None
        if container is None:
            return
        try:
            container.close()  # writes the index, so it can find the disk full as well
        except FFmpegError:
            if error is None:
                raise


class _SegmentEncoder:
    """x264 for one segment; see ``segments.Encoder``."""

    def __init__(
        self,
        *,
        context: VideoCodecContext,
        to_yuv: Callable[[VideoReformatter, RgbFrame, int], av.VideoFrame],
    ) -> None:
        self._context = context
        self._to_yuv = to_yuv
        self._reformatter = VideoReformatter()

    def encode(self, frame: RgbFrame, index: int) -> list[av.Packet]:
        return self._context.encode(self._to_yuv(self._reformatter, frame, index))

    def end(self) -> list[av.Packet]:
        return self._context.encode(None)


def read_frames(path: Path) -> Iterator[RgbFrame]:
    """Decode a video frame by frame, its colours converted as its tags say (BT.709 if untagged).

    Args:
        path: An MP4.

    Yields:
        (H, W, 3), uint8, RGB, 0 to 255, in time order.

    Raises:
        OutputInvalid: Missing, truncated, damaged or no video.
    """
    reformatter = VideoReformatter()
    for picture in decode_frames(path):
        tagged = picture.colorspace in (Colorspace.ITU601, Colorspace.BT2020, 6)
        rgb = reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=picture.colorspace if tagged else Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.JPEG,
        )
        yield require_rgb(rgb.to_ndarray())


def decode_frames(path: Path) -> Iterator[av.VideoFrame]:
    """Decode a video's pictures as stored, strictly: damage is an error, not a guess.

    Raises:
        OutputInvalid: Missing, truncated, damaged or no video.
    """
    try:
        with av.open(str(path), "r", format="mp4") as container:
            stream = video_stream(path, container)
            _be_strict(stream.codec_context)
            for packet in container.demux(stream):
                for picture in packet.decode():
                    if picture.is_corrupt:
                        raise OutputInvalid(f"{str(path)!r} has a damaged frame")
                    yield picture
    except UNREADABLE as error:
        raise OutputInvalid(f"{str(path)!r} does not decode as video: {error}") from error


def video_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the video stream of an open file.

    Raises:
        OutputInvalid: It has none, or one of an unknown codec.
    """
    streams = container.streams.video
    # PyAV's types do not say that an unknown codec has no context.
    context: object = streams[0].codec_context if streams else None
    if context is None:
        raise OutputInvalid(f"{str(path)!r} has no video stream")
    return streams[0]


class PacketDecoder:
    """Decodes H.264 packets as strictly as ``decode_frames``, wherever they come from."""

    def __init__(self, codec_header: bytes) -> None:
        """Prepare for packets of a stream with this header."""
        context = av.CodecContext.create("h264", "r")
        assert isinstance(context, VideoCodecContext)
        context.extradata = codec_header
        _be_strict(context)
        self._context = context

    def decode(self, packet: EncodedPacket) -> list[av.VideoFrame]:
        """Take the next packet and return what it completes: nothing, or pictures in time order.

        Raises:
            OutputInvalid: It is damaged.
        """
        # A copy in FFmpeg's own memory. ``Packet(content)`` would lend the decoder's threads bytes
        # that only the interpreter can take back, and freeing the decoder waits for those threads
        # with the interpreter's lock held: PyAV 18.1 hung in one of some 25 damaged decodes.
        copy = av.Packet(len(packet.content))
        copy.update(packet.content)
        return self._decoded(copy)

    def flush(self) -> list[av.VideoFrame]:
        """Return the pictures that are still held back. Nothing can be decoded after it.

        Raises:
            OutputInvalid: They are damaged.
        """
        return self._decoded(None)

    def _decoded(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        try:
            pictures = self._context.decode(packet)
        except FFmpegError as error:
            raise OutputInvalid(f"the encoded video does not decode: {error}") from error
        if any(picture.is_corrupt for picture in pictures):
            raise OutputInvalid("the encoded video has a damaged frame")
        return pictures


def _be_strict(context: VideoCodecContext) -> None:
    context.thread_type = "AUTO"
    context.options = {"err_detect": "explode"}


def _require_even(pixels: int, *, param: str) -> None:
    if pixels < 2 or pixels % 2:
        raise InvalidRequest(
            f"{param} must be even and 2 or more, got {pixels!r}",
            param=param,
            hint="4:2:0 colour stores one chroma sample for two by two pixels",
        )
