import subprocess
import sys
import threading
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from hypothesis import given, settings
from hypothesis import strategies as st

from ourvidz.core.errors import InvalidRequest, OutputInvalid, OutputUnwritable
from ourvidz.core.files import sweep_partials
from ourvidz.media.frames import RgbFrame
from ourvidz.media.probe import check, probe
from ourvidz.media.settings import read_settings
from ourvidz.media.video import EncodedPacket, VideoWriter, read_frames
from tests.media.pictures import flat, gradient, noise

SATURATED = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (0, 255, 255),
    (255, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (200, 30, 120),
    (128, 128, 128),
]
# A pixel passes through 8-bit limited-range YUV twice; red against BT.601 would be off by 40.
COLOUR_TOLERANCE = 4

_WRITE_AND_WAIT = """
import sys
from pathlib import Path
import numpy as np
from ourvidz.media.video import VideoWriter
noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
with VideoWriter(Path(sys.argv[1]), width=64, height=64, fps=16, num_threads=1) as writer:
    for _ in range(60):
        writer.write(noise)
    print("written", flush=True)
    sys.stdin.readline()
"""

_PEAKS = """
import resource, sys
from pathlib import Path
import numpy as np
from ourvidz.media.video import VideoWriter
picture = np.zeros((256, 256, 3), dtype=np.uint8)
def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with VideoWriter(
    Path(sys.argv[1]), width=256, height=256, fps=16, preset="ultrafast", num_threads=1
) as writer:
    for index in range(700):
        picture[:, index % 256] = index % 251
        writer.write(picture)
        if index == 99:
            early = peak_kib()
print(peak_kib() - early)
"""


def write_clip(path: Path, frames: list[RgbFrame], *, fps: Fraction | int = 16) -> None:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, fps=fps, num_threads=1) as writer:
        for frame in frames:
            writer.write(frame)


def test_the_file_says_and_holds_bt709_in_limited_range(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_clip(path, [flat((255, 0, 0))] * 3)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.colorspace == Colorspace.ITU709
        assert context.color_primaries == ColorPrimaries.BT709
        assert context.color_trc == ColorTrc.BT709
        assert context.color_range == ColorRange.MPEG
        stored = next(container.decode(video=0)).to_ndarray()
    # ITU-R BT.709-6, 3.3 to 3.5, for (255, 0, 0): Y 62.6, Cb 102.3, Cr 240.0 (BT.601: 81, 90, 240)
    found = (stored[:48].mean(), stored[48:60].mean(), stored[60:].mean())
    assert found == pytest.approx((62.6, 102.3, 240.0), abs=1.5)


@pytest.mark.parametrize("colour", SATURATED)
def test_colours_survive_the_round_trip(colour: tuple[int, int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_clip(path, [flat(colour, 32, 32)] * 2)
    for frame in read_frames(path):
        error = np.abs(frame.astype(int) - np.array(colour)).max()
        assert error <= COLOUR_TOLERANCE, (colour, frame[0, 0])


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_clip(path, [noise(seed=seed) for seed in range(5)])
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_settings_and_title_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    told = {
        "prompt": 'ein "Küken" 抱歉 \U0001f423 \0 ' + "long " * 5000,
        "seed": 2**53,
        "guidance_scale": 6.5,
        "nested": {"list": [1, None, True]},
    }
    with VideoWriter(
        path, width=32, height=32, fps=16, settings=told, title="Küken \0抱歉"
    ) as writer:
        writer.write(gradient(32, 32))
    assert read_settings(path) == told
    with av.open(str(path)) as container:
        assert container.metadata["title"] == "Küken 抱歉"


def test_another_programs_comment_is_not_taken_for_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for comment in ("made by hand", '{"prompt": "x"}', "[1]"):
        with av.open(str(path), "w") as container:
            container.metadata["comment"] = comment
            stream = container.add_stream("libx264", rate=16)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            frame = av.VideoFrame.from_ndarray(gradient(32, 32))
            container.mux([*stream.encode(frame), *stream.encode(None)])
        assert read_settings(path) is None


def _write_until_it_fails(path: Path) -> None:
    with VideoWriter(path, width=64, height=48, fps=16) as writer:
        writer.write(gradient())
        raise ZeroDivisionError


def test_an_error_in_the_body_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _write_until_it_fails(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_no_frame_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputInvalid, match="not one frame"),
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=16),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((64, 48, 3), np.uint8),
        np.zeros((48, 64, 3), np.float32),
    ],
)
def test_a_wrong_frame_is_the_callers_bug(frame: np.ndarray, tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="need"),
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=16) as writer,
    ):
        writer.write(frame)
    with pytest.raises(ValueError, match="with"):
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, fps=16).write(gradient())


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"width": 63}, "width"),
        ({"height": 47}, "height"),
        ({"width": 0}, "width"),
        ({"fps": 0}, "fps"),
        ({"crf": 52}, "crf"),
        ({"path": Path("a.avi")}, "path"),
    ],
)
def test_what_h264_cannot_hold_is_refused(change: dict[str, object], param: str) -> None:
    arguments = {"path": Path("a.mp4"), "width": 64, "height": 48, "fps": 16} | change
    with pytest.raises(InvalidRequest) as caught:
        VideoWriter(**arguments)  # pyright: ignore[reportArgumentType]
    assert caught.value.param == param


def test_an_absent_folder_is_unwritable(tmp_path: Path) -> None:
    with pytest.raises(OutputUnwritable):
        write_clip(tmp_path / "absent" / "a.mp4", [gradient()])


def test_the_callers_array_may_be_reused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    picture = noise(32, 32)
    with VideoWriter(path, width=32, height=32, fps=16, num_threads=1, crf=1) as writer:
        writer.write(picture)
        first = picture.copy()
        picture[:] = 0
        writer.write(picture)
    stored = next(iter(read_frames(path)))
    assert np.abs(stored.astype(int).mean() - first.mean()) < 3


def test_a_killed_writer_leaves_only_a_partial(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITE_AND_WAIT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
        process.wait()
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(".a.partial-")
    assert sweep_partials(tmp_path, older_than_s=3600, now=_long_after(leftover)) == [leftover]


def _long_after(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime + 1e6, UTC)


@pytest.mark.parametrize("num_frames", [1, 2, 32, 33, 35, 36, 67, 81])
def test_segments_make_one_video(num_frames: int, tmp_path: Path) -> None:
    """Fifteen threads are three encoders; a segment has two seconds, 32 frames."""
    frames = [gradient(96, 64, shift=3 * i) for i in range(num_frames)]
    packets: list[EncodedPacket] = []
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    for path, threads, told in ((whole, 1, [].append), (cut, 15, packets.append)):
        with VideoWriter(
            path, width=96, height=64, fps=16, num_threads=threads, on_packet=told
        ) as writer:
            for frame in frames:
                writer.write(frame)
    # Others may stand where x264 sees a new scene.
    keys = {index for index, packet in enumerate(packets) if packet.is_key_frame}
    assert keys >= {start for start in range(0, num_frames, 32) if num_frames - start >= 4}
    times = [packet.decoded_s for packet in packets if packet.decoded_s is not None]
    assert len(times) == num_frames
    assert times == sorted(set(times))
    check(probe(cut), width=96, height=64, num_frames=num_frames, fps=16)
    for found, expected, frame in zip(read_frames(cut), read_frames(whole), frames, strict=True):
        errors = [np.square(each.astype(float) - frame).mean() for each in (found, expected)]
        assert errors[0] < 1.2 * errors[1] + 0.5


def test_an_error_in_the_body_ends_segments(tmp_path: Path) -> None:
    before = threading.active_count()

    def write_and_stop() -> None:
        path = tmp_path / "a.mp4"
        with VideoWriter(path, width=64, height=64, fps=16, num_threads=15) as writer:
            for index in range(70):
                writer.write(gradient(64, 64, shift=index))
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_and_stop()
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    """600 more frames are 112 MiB raw; the encoder may keep its look-ahead, not the video."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAKS, str(tmp_path / "a.mp4")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 16 * 1024


@settings(max_examples=25, deadline=None, database=None)
@given(
    half_width=st.integers(8, 128),
    half_height=st.integers(8, 128),
    num_frames=st.integers(1, 9),
    fps=st.sampled_from([1, 8, 16, 24, 30, Fraction(24000, 1001)]),
)
def test_any_even_size_and_length_reads_back(
    half_width: int,
    half_height: int,
    num_frames: int,
    fps: Fraction | int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    width, height = 2 * half_width, 2 * half_height
    write_clip(path, [gradient(width, height, shift=i) for i in range(num_frames)], fps=fps)
    facts = probe(path)
    check(facts, width=width, height=height, num_frames=num_frames, fps=fps)
    assert facts.duration_s == pytest.approx(num_frames / fps, abs=0.1 / fps)
    assert len(list(read_frames(path))) == num_frames
