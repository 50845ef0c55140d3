"""Files made beside the thread that drives the job: when each part begins, and what is refused."""

import threading
from pathlib import Path

import numpy as np
import pytest

from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import OutputInvalid
from ourvidz.core.event import FramesReady
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.media.image import write_png
from ourvidz.media.video import VideoWriter
from ourvidz.worker import writers
from ourvidz.worker.writers import OutputNames, make_writer
from tests.media.pictures import flat, noise

_WAIT_S = 30.0


@pytest.fixture
def recorder():
    return SpanRecorder(SystemClock())


def open_writer(request, folder, recorder):
    names = OutputNames(folder=folder, stem="job")
    return make_writer(request, names=names, recorder=recorder, settings={"seed": 1})


def add_frames(writer, request, count, *, draw=noise):
    for seed in range(count):
        frame = draw(request.width, request.height, seed=seed)
        writer.add(FramesReady(item=0, frames=frame[None]))


def finish(writer):
    try:
        writer.end()
        return writer.finish()
    except BaseException:
        writer.abandon()
        raise


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip_in_the_middle, Path.unlink])
def test_a_damaged_image_is_not_delivered(ask, recorder, tmp_path, monkeypatch, damage):
    def write(path, *args, **kwargs):
        write_png(path, *args, **kwargs)
        if path.name == "job-2.png":  # one among whole ones
            damage(path)

    monkeypatch.setattr(writers, "write_png", write)
    request = ask("sdxl_image_fast", num_images=3)
    writer = open_writer(request, tmp_path, recorder)
    for item in range(3):
        picture = noise(request.width, request.height, seed=item)
        writer.add(FramesReady(item=item, frames=picture[None]))
    with pytest.raises(OutputInvalid):
        finish(writer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [cut, flip_in_the_middle, Path.unlink])
def test_a_damaged_video_is_not_delivered(ask, recorder, tmp_path, monkeypatch, damage):
    class Damaging(VideoWriter):
        def __exit__(self, *error) -> None:
            super().__exit__(*error)
            damage(self.path)

    monkeypatch.setattr(writers, "VideoWriter", Damaging)
    request = ask()
    writer = open_writer(request, tmp_path, recorder)
    add_frames(writer, request, request.num_frames)
    with pytest.raises(OutputInvalid):
        finish(writer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [8, 10])
def test_another_number_of_frames_is_not_delivered(ask, recorder, tmp_path, count):
    request = ask()
    writer = open_writer(request, tmp_path, recorder)
    add_frames(writer, request, count)
    with pytest.raises(OutputInvalid, match=f"num_frames={count}, expected 9"):
        finish(writer)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_shows_nothing_is_not_delivered(ask, recorder, tmp_path):
    request = ask()
    writer = open_writer(request, tmp_path, recorder)
    picture = flat((0, 0, 0), request.width, request.height)
    add_frames(writer, request, request.num_frames, draw=lambda *_, seed: picture)
    with pytest.raises(OutputInvalid, match="black"):
        finish(writer)
    assert list(tmp_path.iterdir()) == []


def test_a_video_is_probed_and_its_thumbnail_made_before_its_last_frame(
    ask, recorder, tmp_path, monkeypatch
):
    probed, drawn = threading.Event(), threading.Event()

    class Telling(writers.VideoProbe):
        def add(self, packet) -> None:
            super().add(packet)
            probed.set()

    def tell(path, image):
        drawn.set()
        return write_thumbnail(path, image)

    write_thumbnail = writers.write_thumbnail
    monkeypatch.setattr(writers, "VideoProbe", Telling)
    monkeypatch.setattr(writers, "write_thumbnail", tell)
    request = ask(num_frames=81)
    writer = open_writer(request, tmp_path, recorder)
    add_frames(writer, request, 80)
    assert drawn.wait(_WAIT_S)
    assert probed.wait(_WAIT_S)
    writer.add(FramesReady(item=0, frames=noise(request.width, request.height)[None]))
    (asset,) = finish(writer)
    assert asset.num_frames == 81
    spans = recorder.spans()
    assert all(span.is_background for span in spans)
    (saved,) = (span for span in spans if span.phase is Phase.SAVE)
    probes = [span for span in spans if span.phase is Phase.PROBE]
    assert [span.facts["what"] for span in probes] == ["packets", "packets", "file"]
    assert probes[0].start_s < saved.end_s <= probes[2].start_s


def test_the_thumbnail_of_a_video_shows_its_middle(ask, recorder, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(writers, "write_thumbnail", lambda _, image: shown.append(image))
    request = ask()
    writer = open_writer(request, tmp_path, recorder)
    add_frames(writer, request, request.num_frames)
    finish(writer)
    (image,) = shown
    assert np.array_equal(image, noise(request.width, request.height, seed=4))


@pytest.mark.parametrize("num_images", [1, 3])
def test_every_part_of_an_image_has_its_span(ask, recorder, tmp_path, num_images):
    request = ask("sdxl_image_fast", num_images=num_images)
    writer = open_writer(request, tmp_path, recorder)
    for item in range(num_images):
        picture = noise(request.width, request.height, seed=item)
        writer.add(FramesReady(item=item, frames=picture[None]))
    assets = finish(writer)
    assert [asset.seed for asset in assets] == list(request.item_seeds)
    found = sorted((span.phase.value, span.facts["item"]) for span in recorder.spans())
    phases = ("probe", "save", "thumbnail")
    assert found == [(phase, item) for phase in phases for item in range(num_images)]


@pytest.mark.parametrize("job_type", ["video_fast", "sdxl_image_fast"])
@pytest.mark.parametrize("is_finished", [False, True])
def test_abandoning_removes_everything(ask, recorder, tmp_path, job_type, is_finished):
    request = ask(job_type)
    writer = open_writer(request, tmp_path, recorder)
    for index in range(max(request.num_images, request.num_frames)):
        item = index if request.num_images > 1 else 0
        picture = noise(request.width, request.height, seed=index)
        writer.add(FramesReady(item=item, frames=picture[None]))
    if is_finished:
        finish(writer)
    writer.abandon()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []
