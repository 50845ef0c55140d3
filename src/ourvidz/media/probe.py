"""What a written file really is, by decoding all of it.

Recorded facts come from here, never from the request. Nothing here knows what was asked for;
``check`` compares the two.

``probe`` opens any file of ours. ``VideoProbe`` does the same work while a video is still being
written: it decodes each packet as the encoder makes it, and in the end holds the finished file
against those packets, byte for byte, which takes milliseconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image, UnidentifiedImageError

from ourvidz.core.errors import OutputInvalid
from ourvidz.media.frames import RgbFrame
from ourvidz.media.video import (
    UNREADABLE,
    EncodedPacket,
    PacketDecoder,
    decode_frames,
    video_stream,
)

MediaType: TypeAlias = Literal["video/mp4", "image/png", "image/webp"]

# What the eye takes for one flat colour, in levels of 255; lossy coding moves a level or two.
_FLAT_LEVELS = 4
_BLACK_LEVELS = 4
# Lossy coding refines a still picture from key frame to key frame by a few levels.
_STILL_LEVELS = 12
_MEAN_STRIDE = 4  # every fourth pixel and line is plenty for a mean

_IMAGE_TYPES: dict[str, tuple[MediaType, str]] = {
    ".png": ("image/png", "PNG"),
    ".webp": ("image/webp", "WEBP"),
}
_PNG_END = b"IEND\xaeB`\x82"  # the closing chunk and its checksum, which Pillow does not ask for
# ISO/IEC 23091-2 (H.273) table 4, by the names that ffprobe prints.
_COLOR_SPACES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
# Opening a file decodes its first frames to learn what its header says already, unless no decoder
# may: 10 ms and more.
_NO_DECODER = {"codec_whitelist": "none"}
_LUMA_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])  # BT.709, of red, green and blue

_HINT_NOTHING = (
    "the model gave nothing: look for overflow (an SDXL VAE in float16), a wrong checkpoint or "
    "an extreme guidance_scale"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaFacts:
    """The facts of one file, as decoded."""

    media_type: MediaType
    width: int  # pixels
    height: int
    num_frames: int  # frames that really decode; 1 for an image
    fps: float | None  # None for an image
    duration_s: float | None  # None for an image
    file_bytes: int
    codec: str  # "h264", "png", "webp"
    pixel_format: str  # "yuv420p", "rgb24"
    color_space: str | None  # "bt709" where a video says so; None for an image or untagged video
    mean_luma: float  # over all frames, 0 (black) to 1 (white)
    is_black: bool  # every pixel of every frame
    is_constant: bool  # one flat colour over all pixels of all frames (black is one)
    is_still: bool  # no frame differs visibly from the first; true for an image, and no fault

    def to_dict(self) -> dict[str, str | int | float | bool | None]:
        """Return the facts as JSON values."""
        return dataclasses.asdict(self)


def probe(path: Path, *, pixels: RgbFrame | None = None) -> MediaFacts:
    """Decode every frame of an MP4, PNG or WEBP and return what it is.

    Args:
        path: The file.
        pixels: What an image must show, bit for bit: (H, W, 3) uint8 RGB. ``None`` for anything.

    Raises:
        OutputInvalid: Missing, empty, truncated, damaged, of another format or of other pixels;
            the message says which.
    """
    _require_content(path)
    suffix = path.suffix.lower()
    if suffix == ".mp4":
        return _probe_video(path)
    if suffix in _IMAGE_TYPES:
        return _probe_image(path, *_IMAGE_TYPES[suffix], pixels)
    raise OutputInvalid(f"can't probe {path.name!r}: not an .mp4, .png or .webp")


def _require_content(path: Path) -> None:
    if not path.is_file():
        raise OutputInvalid(f"there is no file {str(path)!r}")
    if path.stat().st_size == 0:
        raise OutputInvalid(f"{str(path)!r} is empty")


def check(
    facts: MediaFacts,
    *,
    width: int | None = None,
    height: int | None = None,
    num_frames: int | None = None,
    fps: Fraction | float | None = None,
    media_type: MediaType | None = None,
) -> None:
    """Raise if the file is not what was expected, or shows nothing.

    ``None`` leaves a fact unchecked; black and constant are always faults, and so is a duration
    that is not the frames over the frame rate. A video that stands still but shows something is
    valid.

    Raises:
        OutputInvalid: Names the first fact that is wrong, with both values.
    """
    _expect("media_type", facts.media_type, media_type)
    _expect("width", facts.width, width)
    _expect("height", facts.height, height)
    _expect("num_frames", facts.num_frames, num_frames)
    if fps is not None and (facts.fps is None or abs(facts.fps - float(fps)) > 0.01):
        raise OutputInvalid(f"the file has fps={facts.fps!r}, expected {float(fps)!r}", param="fps")
    _check_duration(facts)
    if facts.is_black:
        raise OutputInvalid("every pixel of the output is black", hint=_HINT_NOTHING)
    if facts.is_constant:
        raise OutputInvalid("the output is one flat colour", hint=_HINT_NOTHING)


def _expect(name: str, found: object, expected: object) -> None:
    if expected is not None and found != expected:
        raise OutputInvalid(f"the file has {name}={found!r}, expected {expected!r}", param=name)


def _check_duration(facts: MediaFacts) -> None:
    if facts.fps is None or facts.duration_s is None:
        return
    expected_s = facts.num_frames / facts.fps
    if abs(facts.duration_s - expected_s) > 0.5 / facts.fps:
        raise OutputInvalid(
            f"the file lasts {facts.duration_s!r} s, but {facts.num_frames!r} frames at "
            f"{facts.fps!r} a second last {expected_s!r} s",
            param="duration_s",
        )


def _probe_image(
    path: Path, media_type: MediaType, image_format: str, pixels: RgbFrame | None
) -> MediaFacts:
    try:
        content = path.read_bytes()
        if image_format == "PNG" and not content.endswith(_PNG_END):
            raise OutputInvalid(f"{str(path)!r} does not decode as PNG: its end is missing")
        with Image.open(io.BytesIO(content), formats=[image_format]) as image:
            image.verify()  # checksums, which load() would let pass
        with Image.open(io.BytesIO(content), formats=[image_format]) as image:
            mode = image.mode
            rgb = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise OutputInvalid(f"{str(path)!r} does not decode as {image_format}: {error}") from error
    if pixels is not None and not np.array_equal(rgb, pixels):
        raise OutputInvalid(f"{str(path)!r} shows other pixels than were written to it")
    low = rgb.min(axis=0).min(axis=0)  # axis by axis: 70 times as fast as both at once
    high = rgb.max(axis=0).max(axis=0)
    sample = rgb[::_MEAN_STRIDE, ::_MEAN_STRIDE]
    return MediaFacts(
        media_type=media_type,
        width=rgb.shape[1],
        height=rgb.shape[0],
        num_frames=1,
        fps=None,
        duration_s=None,
        file_bytes=len(content),
        codec=image_format.lower(),
        pixel_format="rgb24" if mode == "RGB" else mode.lower(),
        color_space=None,
        mean_luma=float(sample.mean(axis=(0, 1)) @ _LUMA_WEIGHTS / 255),
        is_black=bool(high.max() <= _BLACK_LEVELS),
        is_constant=bool((high - low).max() <= _FLAT_LEVELS),
        is_still=True,
    )


class _PlaneStatistics:
    """Extremes of every plane over all frames, and the mean of luma."""

    def __init__(self, first: av.VideoFrame) -> None:
        self._reformatter = VideoReformatter()
        self._height = first.height
        full_range = first.color_range == ColorRange.JPEG
        self._black, self._white = (0, 255) if full_range else (16, 235)
        self._low = np.full(3, 255)
        self._high = np.zeros(3, dtype=np.int64)
        self._mean_sum = 0.0
        self._num_frames = 0
        self._first_luma: npt.NDArray[np.int16] | None = None
        self.is_still = True

    def add(self, frame: av.VideoFrame) -> None:
        """Take in one frame."""
        yuv = self._reformatter.reformat(frame, format="yuv420p").to_ndarray()
        chroma = yuv[self._height :].reshape(2, -1)
        planes = (yuv[: self._height], chroma[0], chroma[1])
        self._low = np.minimum(self._low, [int(plane.min()) for plane in planes])
        self._high = np.maximum(self._high, [int(plane.max()) for plane in planes])
        luma = planes[0][::_MEAN_STRIDE, ::_MEAN_STRIDE].astype(np.int16)
        self._mean_sum += float(luma.mean())
        self._num_frames += 1
        if self._first_luma is None:
            self._first_luma = luma
        elif self.is_still:
            self.is_still = bool(np.abs(luma - self._first_luma).max() <= _STILL_LEVELS)

    @property
    def mean_luma(self) -> float:
        """0 (black) to 1 (white)."""
        mean = self._mean_sum / self._num_frames
        return min(1.0, max(0.0, (mean - self._black) / (self._white - self._black)))

    @property
    def is_black(self) -> bool:
        """Whether every pixel is black: dark *and* without colour."""
        chroma = np.abs(np.concatenate([self._low[1:], self._high[1:]]) - 128)
        return bool(self._high[0] <= self._black + _BLACK_LEVELS and chroma.max() <= _BLACK_LEVELS)

    @property
    def is_constant(self) -> bool:
        """Whether all pixels of all frames are one colour."""
        return bool((self._high - self._low).max() <= _FLAT_LEVELS)


class VideoProbe:
    """Probes a video while it is written. For one thread at a time, any thread.

    What it returns is what ``probe`` returns of the finished file, and it refuses more: every
    packet of the file has to be, bit for bit and at its time, one that was decoded here. Memory
    holds a digest a packet.
    """

    def __init__(self) -> None:
        """Begin; ``add`` takes the packets."""
        self._frames = _Frames("the encoded video")
        self._decoder: PacketDecoder | None = None
        self._made: list[_PacketMark] = []
        self._codec_header = b""

    def add(self, packet: EncodedPacket) -> None:
        """Decode the next packet, in the order in which they go to the file.

        Raises:
            OutputInvalid: It does not decode.
        """
        if self._decoder is None:
            self._codec_header = packet.codec_header
            self._decoder = PacketDecoder(packet.codec_header)
        self._made.append(_PacketMark.of(packet))
        self._frames.take(self._decoder.decode(packet))

    def end(self) -> None:
        """Decode what the decoder still holds back; no packet comes after this.

        Raises:
            OutputInvalid: It does not decode.
        """
        if self._decoder is not None:
            self._frames.take(self._decoder.flush())

    def facts(self, path: Path) -> MediaFacts:
        """Return the facts of the finished file. Call ``end`` before.

        Raises:
            OutputInvalid: It is missing, or holds anything else than the packets that were added.
        """
        _require_content(path)
        header, codec_header, found = _packets(path)
        if codec_header != self._codec_header:
            raise OutputInvalid(f"{str(path)!r} has another codec header than its encoder made")
        if found != self._made:
            raise OutputInvalid(
                f"{str(path)!r} does not hold the packets that its encoder made: "
                f"{_first_difference(found, self._made)}"
            )
        return self._frames.facts(path, header)


@dataclass(frozen=True, slots=True)
class _PacketMark:
    """What tells one packet from another."""

    digest: bytes
    presented_s: Fraction | None
    decoded_s: Fraction | None
    is_key_frame: bool

    @classmethod
    def of(cls, packet: EncodedPacket) -> _PacketMark:
        digest = hashlib.sha256(packet.content).digest()
        return cls(digest, packet.presented_s, packet.decoded_s, packet.is_key_frame)


def _first_difference(found: list[_PacketMark], made: list[_PacketMark]) -> str:
    if len(found) != len(made):
        return f"{len(found)!r} packets, {len(made)!r} were made"
    index = next(i for i, pair in enumerate(zip(found, made, strict=True)) if pair[0] != pair[1])
    what = "content" if found[index].digest != made[index].digest else "time"
    return f"packet {index!r} of {len(made)!r} has another {what}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    """What a video's container says of it."""

    declared_frames: int  # 0 for unknown
    fps: float | None
    duration_s: float | None
    codec: str


class _Frames:
    """Facts of decoded frames, gathered as they come."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._statistics: _PlaneStatistics | None = None
        self._num_frames = 0
        self._size = (0, 0)
        self._pixel_format = ""
        self._color_space: str | None = None

    def take(self, frames: Iterable[av.VideoFrame]) -> None:
        for frame in frames:
            if self._statistics is None:
                self._statistics = _PlaneStatistics(frame)
                self._size = (frame.width, frame.height)
                self._pixel_format = frame.format.name
                self._color_space = _COLOR_SPACES.get(int(frame.colorspace))
            if (frame.width, frame.height) != self._size:
                raise OutputInvalid(f"{self._name} changes its size at frame {self._num_frames!r}")
            self._statistics.add(frame)
            self._num_frames += 1

    def facts(self, path: Path, header: _Header) -> MediaFacts:
        if self._statistics is None:
            raise OutputInvalid(f"{str(path)!r} has no frame")
        if header.declared_frames not in (0, self._num_frames):
            raise OutputInvalid(
                f"{str(path)!r} declares {header.declared_frames!r} frames, "
                f"{self._num_frames!r} decode"
            )
        return MediaFacts(
            media_type="video/mp4",
            width=self._size[0],
            height=self._size[1],
            num_frames=self._num_frames,
            fps=header.fps,
            duration_s=header.duration_s,
            file_bytes=path.stat().st_size,
            codec=header.codec,
            pixel_format=self._pixel_format,
            color_space=self._color_space,
            mean_luma=self._statistics.mean_luma,
            is_black=self._statistics.is_black,
            is_constant=self._statistics.is_constant,
            is_still=self._statistics.is_still,
        )


def _probe_video(path: Path) -> MediaFacts:
    header = _header(path)
    frames = _Frames(repr(str(path)))
    frames.take(decode_frames(path))
    return frames.facts(path, header)


def _header(path: Path) -> _Header:
    try:
        with av.open(str(path), "r", format="mp4", options=_NO_DECODER) as container:
            return _header_of(path, container)
    except UNREADABLE as error:
        raise OutputInvalid(f"{str(path)!r} does not decode as video: {error}") from error


def _header_of(path: Path, container: InputContainer) -> _Header:
    stream = video_stream(path, container)
    duration_s = None
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    return _Header(
        declared_frames=stream.frames,
        fps=None if stream.average_rate is None else float(stream.average_rate),
        duration_s=duration_s,
        codec=stream.codec_context.name,
    )


def _packets(path: Path) -> tuple[_Header, bytes, list[_PacketMark]]:
    """Return the header, the codec header and all packets of a file; decodes nothing."""
    try:
        with av.open(str(path), "r", format="mp4", options=_NO_DECODER) as container:
            header = _header_of(path, container)
            stream = video_stream(path, container)
            codec_header = stream.codec_context.extradata or b""
            marks = [
                _PacketMark.of(EncodedPacket.of(packet, codec_header))
                for packet in container.demux(stream)
                if packet.size
            ]
    except UNREADABLE as error:
        raise OutputInvalid(f"{str(path)!r} can't be read as video: {error}") from error
    return header, codec_header, marks
