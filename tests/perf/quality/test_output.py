"""Flicker, sharpness, exposure, and frames that are black, repeated or frozen, on known truth."""

import json
import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, laplace

from ourvidz.core.errors import InvalidRequest, OutputInvalid
from ourvidz.media.image import write_png
from ourvidz.media.video import VideoWriter
from ourvidz.perf.quality import measure, measure_frames

HEIGHT, WIDTH = 64, 96


def ground(level=90):
    return np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)


def grain(*, seed=0):
    texture = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 1))
    texture = gaussian_filter(texture, (1.2, 1.2, 0))
    return np.clip(110 + 60 * texture, 0, 255).astype(np.uint8).repeat(3, axis=2)


def square_at(x, *, on=None, size=12, colour=(200, 30, 40)):
    frame = ground() if on is None else on.copy()
    frame[20 : 20 + size, x : x + size] = colour
    return frame


def write_video(path, frames):
    with VideoWriter(path, width=WIDTH, height=HEIGHT, fps=16) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def of(frames):
    return measure_frames(frames, is_video=True)


def test_sharpness_is_the_variance_of_the_laplacian():
    frame = grain()
    plane = frame.astype(float) @ [0.299, 0.587, 0.114]
    expected = laplace(plane)[1:-1, 1:-1].var()
    assert measure_frames([frame], is_video=False).sharpness == pytest.approx(expected, rel=1e-4)


def test_blur_lowers_sharpness_and_nothing_else():
    blurred = gaussian_filter(grain(), (1.5, 1.5, 0))
    sharp, soft = (measure_frames([f], is_video=False) for f in (grain(), blurred))
    assert soft.sharpness < sharp.sharpness / 4
    assert soft.exposure == pytest.approx(sharp.exposure, abs=0.005)


def test_exposure_and_clipping():
    half = ground(255)
    half[: HEIGHT // 2] = 51
    found = measure_frames([half], is_video=False)
    assert found.exposure == pytest.approx(0.6)
    assert found.clipped == pytest.approx(0.5)


def test_a_still_video_does_not_flicker_and_is_frozen():
    found = of([grain()] * 12)
    assert found.flicker == 0.0
    assert (found.duplicate_frames, found.frozen_frames) == (11, 11)


def test_flicker_is_what_comes_and_goes_in_levels():
    frames = [ground(90 + 10 * (i % 2)) for i in range(9)]
    found = of(frames)
    assert found.flicker == pytest.approx(10)
    assert (found.duplicate_frames, found.frozen_frames) == (0, 0)


def test_movement_is_no_flicker():
    frames = [square_at(4 * i, on=grain()) for i in range(16)]
    assert of(frames).flicker < 1.0
    shaken = [
        np.clip(frame.astype(int) + (6 if i % 2 else 0), 0, 255).astype(np.uint8)
        for i, frame in enumerate(frames)
    ]
    assert of(shaken).flicker == pytest.approx(6, abs=1.5)


def test_where_everything_moves_there_is_no_flicker_to_speak_of():
    assert of([ground(20 * i) for i in range(10)]).flicker is None
    assert of([ground(), ground()]).flicker is None  # nothing comes and goes in two frames


def test_a_stutter_is_duplicates_and_no_standstill():
    found = of([square_at(4 * (i // 2)) for i in range(16)])
    assert (found.duplicate_frames, found.frozen_frames) == (8, 0)


@pytest.mark.parametrize(("num_still", "num_frozen"), [(7, 0), (8, 8), (20, 20)])
def test_half_a_second_of_the_same_is_a_standstill(num_still, num_frozen):
    frames = [square_at(4 * i) for i in range(5)] + [square_at(16)] * num_still
    frames += [square_at(16 + 4 * i) for i in range(1, 5)]
    found = of(frames)
    assert (found.duplicate_frames, found.frozen_frames) == (num_still, num_frozen)


def test_standstills_add_up():
    frames = [square_at(0)] * 11 + [square_at(40)] * 9 + [square_at(70)] * 4
    found = of(frames)
    assert (found.duplicate_frames, found.frozen_frames) == (10 + 8 + 3, 10 + 8)


def test_a_slow_fade_is_no_standstill():
    found = of([ground(60 + i) for i in range(40)])
    assert found.frozen_frames == 0


def test_a_small_thing_that_moves_is_seen_on_a_large_ground():
    found = of([square_at(2 * i, size=5) for i in range(20)])
    assert found.duplicate_frames == 0


def test_black_frames_are_counted_and_a_small_bright_thing_is_not_black():
    star = ground(0)
    star[30:34, 40:44] = (0, 0, 255)  # blue: nearly no luma
    found = of([ground(0), ground(20), star, ground(60)])
    assert found.black_frames == 2


def test_an_image_has_no_time(tmp_path):
    write_png(tmp_path / "a.png", grain())
    found = measure(tmp_path / "a.png")
    assert found.num_frames == 1
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [told[n] for n in ("flicker", "duplicate_frames", "frozen_frames")] == [None] * 3
    assert told["black_frames"] == 0


def test_a_file_that_stands_still_does_so_after_coding(tmp_path):
    texture = np.stack([grain(seed=i)[..., 0] for i in range(3)], axis=2)
    found = measure(write_video(tmp_path / "still.mp4", [texture] * 40))  # over a key frame
    assert found.num_frames == 40
    assert found.frozen_frames == 39
    assert found.flicker < 1.0


def test_a_file_that_moves_does_so_after_coding(tmp_path):
    frames = [square_at(2 * i, on=grain()) for i in range(33)]
    found = measure(write_video(tmp_path / "moves.mp4", frames))
    assert (found.duplicate_frames, found.frozen_frames, found.black_frames) == (0, 0, 0)


def test_memory_does_not_grow_with_the_video():
    def peak(num_frames):
        frames = (square_at(i % 80, on=texture) for i in range(num_frames))
        tracemalloc.start()
        try:
            of(frames)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    texture = grain()
    peak(4)
    assert peak(80) < 1.5 * peak(8)


def test_what_can_not_be_measured_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no frames"):
        of([])
    with pytest.raises(InvalidRequest, match="2x2"):
        of([np.zeros((2, 2, 3), dtype=np.uint8)])
    with pytest.raises(OutputInvalid):
        measure(tmp_path / "gone.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(OutputInvalid):
        measure(tmp_path / "broken.mp4")
    with pytest.raises(InvalidRequest, match=r"sound\.wav"):
        measure(tmp_path / "sound.wav")
