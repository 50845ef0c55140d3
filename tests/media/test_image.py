import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ourvidz.core.errors import InvalidRequest, OutputInvalid
from ourvidz.media.frames import RgbFrame
from ourvidz.media.image import write_png
from ourvidz.media.probe import probe
from ourvidz.media.settings import JsonValue, dump_json, read_settings
from tests.media.pictures import gradient, noise

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children, max_size=4)
    ),
    max_leaves=8,
)


# Of one pixel, of one strip, and of several with a shorter last one.
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (33, 17), (700, 611)])
@pytest.mark.parametrize("draw", [noise, gradient])
def test_pixels_and_settings_read_back(
    width: int, height: int, draw: Callable[[int, int], RgbFrame], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    picture = draw(width, height)
    told = {"prompt": "ein Küken, 抱歉 \U0001f423", "seed": 7, "loras": []}
    write_png(path, picture, settings=told)
    with Image.open(path) as image:
        assert image.mode == "RGB"
        image.verify()
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), picture)
    assert read_settings(path) == told


def test_another_library_reads_the_same_pixels(tmp_path: Path) -> None:
    picture = noise(700, 611)
    write_png(tmp_path / "a.png", picture, settings={"seed": 1})
    with av.open(str(tmp_path / "a.png")) as container:
        (frame,) = container.decode(video=0)
    assert np.array_equal(frame.to_ndarray(format="rgb24"), picture)


def test_threads_change_nothing_in_the_file(tmp_path: Path) -> None:
    picture = noise(700, 611)
    write_png(tmp_path / "alone.png", picture)
    with ThreadPoolExecutor(3) as threads:
        write_png(tmp_path / "threads.png", picture, threads=threads)
    assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "threads.png").read_bytes()


def test_the_whole_stream_is_one_valid_zlib_stream(tmp_path: Path) -> None:
    """With its checksum, which Pillow does not ask for."""
    write_png(tmp_path / "a.png", noise(700, 611))
    content, stream, at = (tmp_path / "a.png").read_bytes(), b"", 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            stream += content[at + 8 : at + 8 + length]
        at += 12 + length
    inflate = zlib.decompressobj()
    assert len(inflate.decompress(stream)) == 611 * (1 + 3 * 700)
    assert inflate.eof
    assert not inflate.unused_data


@pytest.mark.parametrize("is_transposed", [False, True])
def test_a_ramp_either_way_becomes_small(is_transposed: bool, tmp_path: Path) -> None:
    """The filter follows the picture: differences to the wrong side would take 20 times this."""
    ramp = np.broadcast_to(np.arange(512)[None, :, None] * 97 % 251, (512, 512, 3))
    picture = ramp.astype(np.uint8)
    write_png(tmp_path / "a.png", picture.transpose(1, 0, 2) if is_transposed else picture)
    assert (tmp_path / "a.png").stat().st_size < 20_000


def test_other_pixels_than_were_written_are_refused(tmp_path: Path) -> None:
    picture = noise(40, 30)
    write_png(tmp_path / "a.png", picture)
    probe(tmp_path / "a.png", pixels=picture)
    other = picture.copy()
    other[29, 39, 2] ^= 1
    with pytest.raises(OutputInvalid, match="other pixels"):
        probe(tmp_path / "a.png", pixels=other)


def test_a_transposed_view_is_written_as_seen(tmp_path: Path) -> None:
    picture = gradient().transpose(1, 0, 2)[::-1]
    write_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture)


@settings(max_examples=50, deadline=None, database=None)
@given(told=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON_VALUES))
def test_any_json_reads_back(
    told: dict[str, JsonValue], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_png(path, gradient(8, 8), settings=told)
    assert read_settings(path) == told


def test_a_png_without_settings_of_ours_has_none(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    assert read_settings(tmp_path / "a.png") is None


def test_unreadable_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no file"):
        read_settings(tmp_path / "absent.png")
    for name in ("a.png", "a.mp4"):
        (tmp_path / name).write_bytes(b"neither")
        with pytest.raises(OutputInvalid, match="no readable"):
            read_settings(tmp_path / name)


def test_a_bad_name_names_its_parameter(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        write_png(tmp_path / "a.jpg", gradient())
    assert caught.value.param == "path"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": float("nan")}, r"\$\.a is nan"),
        ({"a": [1, float("inf")]}, r"\$\.a\[1\] is inf"),
        ({"a": {1: "x"}}, r"\$\.a has the key 1"),
        ({"a": {"b": Path("x")}}, r"\$\.a\.b is a"),
        ({"a": "\ud800"}, r"\$\.a holds half"),
    ],
)
def test_what_json_cannot_say_is_named(value: JsonValue, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        dump_json(value)
