import dataclasses
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ourvidz.core.errors import OutputInvalid
from ourvidz.media.frames import RgbFrame
from ourvidz.media.image import write_png
from ourvidz.media.probe import MediaFacts, VideoProbe, check, probe
from ourvidz.media.thumbnail import write_thumbnail
from ourvidz.media.video import EncodedPacket, VideoWriter
from tests.media.pictures import flat, gradient, noise


def clip_facts(path: Path, frames: list[RgbFrame]) -> MediaFacts:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, fps=16, num_threads=1) as writer:
        for frame in frames:
            writer.write(frame)
    return probe(path)


def test_facts_of_a_video_come_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    facts = clip_facts(path, [gradient(shift=i) for i in range(9)])
    assert dataclasses.replace(facts, mean_luma=0.0) == MediaFacts(
        media_type="video/mp4",
        width=64,
        height=48,
        num_frames=9,
        fps=16.0,
        duration_s=9 / 16,
        file_bytes=path.stat().st_size,
        codec="h264",
        pixel_format="yuv420p",
        color_space="bt709",
        mean_luma=0.0,
        is_black=False,
        is_constant=False,
        is_still=False,
    )
    check(facts, width=64, height=48, num_frames=9, fps=16, media_type="video/mp4")
    assert json.loads(json.dumps(facts.to_dict())) == facts.to_dict()


def test_facts_of_an_image_come_from_the_file(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", gradient(40, 30))
    facts = probe(tmp_path / "a.png")
    assert (facts.media_type, facts.width, facts.height) == ("image/png", 40, 30)
    assert (facts.num_frames, facts.fps, facts.duration_s) == (1, None, None)
    assert (facts.codec, facts.pixel_format) == ("png", "rgb24")
    write_thumbnail(tmp_path / "a.webp", gradient(40, 30))
    assert probe(tmp_path / "a.webp").media_type == "image/webp"


@pytest.mark.parametrize(("level", "expected"), [(0, 0.0), (128, 0.5), (255, 1.0)])
def test_mean_luma_has_one_scale_for_both_kinds(
    level: int, expected: float, tmp_path: Path
) -> None:
    picture = flat((level, level, level))
    write_png(tmp_path / "a.png", picture)
    assert probe(tmp_path / "a.png").mean_luma == pytest.approx(expected, abs=0.01)
    facts = clip_facts(tmp_path / "a.mp4", [picture] * 2)
    assert facts.mean_luma == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
@pytest.mark.parametrize(
    ("colour", "is_black"),
    [((0, 0, 0), True), ((0, 0, 90), False), ((128, 128, 128), False), ((255, 255, 255), False)],
)
def test_flat_outputs_are_refused(
    name: str, colour: tuple[int, int, int], is_black: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name == "a.png":
        write_png(path, flat(colour))
        facts = probe(path)
    else:
        facts = clip_facts(path, [flat(colour)] * 5)
    assert (facts.is_black, facts.is_constant) == (is_black, True)
    with pytest.raises(OutputInvalid, match="black" if is_black else "one flat colour") as caught:
        check(facts)
    assert caught.value.hint


def test_a_still_picture_with_content_is_valid(tmp_path: Path) -> None:
    facts = clip_facts(tmp_path / "a.mp4", [gradient(160, 96)] * 40)
    assert facts.is_still
    check(facts)


def test_one_small_thing_in_one_frame_is_content(tmp_path: Path) -> None:
    frames = [flat((0, 0, 0), 160, 96) for _ in range(9)]
    frames[6][41:49, 71:79] = (255, 200, 40)
    facts = clip_facts(tmp_path / "a.mp4", frames)
    assert not facts.is_black
    assert not facts.is_constant
    check(facts)


def test_frames_flat_in_different_colours_are_content(tmp_path: Path) -> None:
    facts = clip_facts(tmp_path / "a.mp4", [flat((30 * i, 80, 80)) for i in range(5)])
    assert not facts.is_constant
    assert not facts.is_still


@pytest.mark.parametrize(
    ("expected", "param"),
    [
        ({"width": 66}, "width"),
        ({"height": 46}, "height"),
        ({"num_frames": 4}, "num_frames"),
        ({"fps": 24}, "fps"),
        ({"media_type": "image/png"}, "media_type"),
    ],
)
def test_a_wrong_fact_is_named_with_both_values(
    expected: dict[str, object], param: str, tmp_path: Path
) -> None:
    facts = clip_facts(tmp_path / "a.mp4", [gradient(shift=i) for i in range(5)])
    with pytest.raises(OutputInvalid) as caught:
        check(facts, **expected)  # pyright: ignore[reportArgumentType]
    assert caught.value.param == param
    assert "expected" in caught.value.message


def test_a_duration_that_belies_the_frames_is_refused(tmp_path: Path) -> None:
    facts = clip_facts(tmp_path / "a.mp4", [gradient(shift=i) for i in range(5)])
    with pytest.raises(OutputInvalid, match="lasts"):
        check(dataclasses.replace(facts, duration_s=5.0))


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.webp"])
def test_missing_empty_foreign_and_unknown_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(OutputInvalid, match="no file"):
        probe(path)
    path.write_bytes(b"")
    with pytest.raises(OutputInvalid, match="empty"):
        probe(path)
    path.write_bytes(b"not a picture at all" * 50)
    with pytest.raises(OutputInvalid, match="does not decode"):
        probe(path)
    Image.fromarray(gradient()).save(path, format="BMP")
    with pytest.raises(OutputInvalid, match="does not decode"):
        probe(path)
    with pytest.raises(OutputInvalid, match="can't probe"):
        probe(path.rename(tmp_path / "a.txt"))


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    with VideoWriter(folder / "a.mp4", width=64, height=48, fps=16, num_threads=1) as writer:
        for seed in range(9):
            writer.write(noise(seed=seed))
    write_png(folder / "a.png", noise())
    write_thumbnail(folder / "a.webp", noise())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=60, deadline=None, database=None)
@given(name=st.sampled_from(["a.mp4", "a.png", "a.webp"]), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(
    name: str,
    share: float,
    whole_files: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("cut") / name
    content = whole_files[name]
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(OutputInvalid):
        probe(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.webp"])
@pytest.mark.parametrize("cut", [1, 4, 12, 13])
def test_a_file_short_of_its_last_bytes_is_refused(
    name: str, cut: int, whole_files: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(whole_files[name][:-cut])
    with pytest.raises(OutputInvalid):
        probe(path)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


@settings(max_examples=60, deadline=None, database=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_png_with_any_flipped_bit_is_refused(
    share: float, whole_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("flip") / "a.png"
    content = whole_files["a.png"]
    path.write_bytes(flipped(content, int(len(content) * share)))
    with pytest.raises(OutputInvalid):
        probe(path, pixels=noise())


def written(path: Path, frames: list[RgbFrame], *, fps: Fraction | int = 16) -> VideoProbe:
    packets = VideoProbe()
    height, width = frames[0].shape[:2]
    with VideoWriter(
        path, width=width, height=height, fps=fps, num_threads=1, on_packet=packets.add
    ) as writer:
        for frame in frames:
            writer.write(frame)
    packets.end()
    return packets


@pytest.mark.parametrize("fps", [8, 16, Fraction(24000, 1001), Fraction(617, 50)])
@pytest.mark.parametrize(
    "frames",
    [
        [noise(seed=seed) for seed in range(9)],
        [gradient(shift=i) for i in range(70)],
        [flat((0, 0, 0))] * 5,
        [gradient()],
    ],
    ids=["noise", "key frames", "black", "one frame"],
)
def test_probing_while_writing_finds_what_probing_the_file_finds(
    frames: list[RgbFrame], fps: Fraction | int, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    packets = written(path, frames, fps=fps)
    assert packets.facts(path) == probe(path)
    assert packets.facts(path).num_frames == len(frames)


@pytest.fixture(scope="module")
def probed_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoProbe, bytes, list[range]]:
    """A clip with two key frames: its packets as probed, its bytes, and where each packet lies."""
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    packets = written(path, [noise(seed=seed) for seed in range(40)])
    with av.open(str(path)) as container:
        places = [
            range(packet.pos, packet.pos + packet.size)
            for packet in container.demux(video=0)
            if packet.pos is not None and packet.size
        ]
    return packets, path.read_bytes(), places


@settings(max_examples=60, deadline=None, database=None)
@given(packet=st.integers(0, 39), share=st.floats(0, 1, exclude_max=True))
def test_any_flipped_bit_of_any_packet_is_found(
    packet: int,
    share: float,
    probed_clip: tuple[VideoProbe, bytes, list[range]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    packets, content, places = probed_clip
    path = tmp_path_factory.mktemp("flip") / "a.mp4"
    place = places[packet]
    path.write_bytes(flipped(content, place[int(len(place) * share)]))
    with pytest.raises(OutputInvalid, match=f"packet {packet} of 40 has another content"):
        packets.facts(path)


@settings(max_examples=40, deadline=None, database=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_video_cut_anywhere_is_not_what_was_written(
    share: float,
    probed_clip: tuple[VideoProbe, bytes, list[range]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    packets, content, _ = probed_clip
    path = tmp_path_factory.mktemp("cut") / "a.mp4"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(OutputInvalid):
        packets.facts(path)


@pytest.mark.parametrize("cut", [1, 4, 13])
def test_a_video_short_of_its_last_bytes_is_not_what_was_written(
    cut: int, probed_clip: tuple[VideoProbe, bytes, list[range]], tmp_path: Path
) -> None:
    packets, content, _ = probed_clip
    (tmp_path / "a.mp4").write_bytes(content[:-cut])
    with pytest.raises(OutputInvalid):
        packets.facts(tmp_path / "a.mp4")


def test_fewer_frames_and_another_clip_are_not_what_was_written(tmp_path: Path) -> None:
    frames = [noise(seed=seed) for seed in range(9)]
    packets = written(tmp_path / "a.mp4", frames)
    written(tmp_path / "short.mp4", frames[:8])
    with pytest.raises(OutputInvalid, match="8 packets, 9 were made"):
        packets.facts(tmp_path / "short.mp4")
    written(tmp_path / "slow.mp4", frames, fps=8)
    with pytest.raises(OutputInvalid, match="another codec header"):
        packets.facts(tmp_path / "slow.mp4")
    written(tmp_path / "large.mp4", [noise(96, 64)] * 9)
    with pytest.raises(OutputInvalid, match="another codec header"):
        packets.facts(tmp_path / "large.mp4")
    with pytest.raises(OutputInvalid, match="no file"):
        packets.facts(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("box", "byte"),
    [(b"stts", 19), (b"ctts", 19), (b"stsz", 19), (b"stco", 15), (b"avcC", 10)],
    ids=["durations", "times", "sizes", "places", "codec header"],
)
def test_a_damaged_index_is_found(
    box: bytes,
    byte: int,
    probed_clip: tuple[VideoProbe, bytes, list[range]],
    tmp_path: Path,
) -> None:
    packets, content, _ = probed_clip
    (tmp_path / "a.mp4").write_bytes(flipped(content, content.index(box) + byte))
    with pytest.raises(OutputInvalid):
        packets.facts(tmp_path / "a.mp4")


def test_tags_that_are_no_text_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, width=64, height=48, fps=16, title="a title", num_threads=1) as writer:
        writer.write(noise())
    path.write_bytes(path.read_bytes().replace(b"a title", b"a \xff\xfetle"))
    with pytest.raises(OutputInvalid):
        probe(path)


def test_packets_that_do_not_decode_are_refused(tmp_path: Path) -> None:
    made: list[EncodedPacket] = []
    with VideoWriter(
        tmp_path / "a.mp4", width=64, height=48, fps=16, num_threads=1, on_packet=made.append
    ) as writer:
        for seed in range(9):
            writer.write(noise(seed=seed))
    packets = VideoProbe()

    def take() -> None:
        for packet in made:
            packets.add(dataclasses.replace(packet, content=b"\xff" * len(packet.content)))
        packets.end()

    with pytest.raises(OutputInvalid, match="does not decode"):
        take()


_DROPPED = """
import dataclasses, faulthandler, sys
from pathlib import Path
import numpy as np
from ourvidz.core.errors import OutputInvalid
from ourvidz.media.probe import VideoProbe
from ourvidz.media.video import VideoWriter
faulthandler.dump_traceback_later(60, exit=True)
made = []
draw = np.random.default_rng(0)
with VideoWriter(
    Path(sys.argv[1]), width=64, height=48, fps=16, num_threads=1, on_packet=made.append
) as writer:
    for _ in range(9):
        writer.write(draw.integers(0, 256, (48, 64, 3), dtype=np.uint8))
for _ in range(300):
    dropped, damaged = VideoProbe(), VideoProbe()
    for packet in made[:4]:
        dropped.add(packet)
    try:
        for packet in made:
            damaged.add(dataclasses.replace(packet, content=bytes([255]) * len(packet.content)))
    except OutputInvalid:
        pass
"""


def test_decodes_that_are_given_up_never_hang(tmp_path: Path) -> None:
    """Freed with packets in its threads, a decoder waits for them and they for the interpreter."""
    command = [sys.executable, "-c", _DROPPED, str(tmp_path / "a.mp4")]
    subprocess.run(command, check=True, capture_output=True, timeout=100)


def test_an_image_with_transparency_says_so(tmp_path: Path) -> None:
    rgba = np.dstack([gradient(), np.full((48, 64), 128, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert probe(tmp_path / "a.png").pixel_format == "rgba"
