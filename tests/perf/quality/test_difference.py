"""PSNR, SSIM and largest difference, against known values and against scipy's filters."""

import json
import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ourvidz.core.errors import InvalidRequest, OutputInvalid
from ourvidz.media.image import write_png
from ourvidz.media.video import VideoWriter, read_frames
from ourvidz.perf.quality import OutputDifference, compare, compare_frames, pooled


def noise(num_frames=2, height=32, width=48, *, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def write_video(path, frames):
    height, width = frames.shape[1:3]
    with VideoWriter(path, width=width, height=height, fps=16) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def test_psnr_is_of_all_frames_together():
    exact = np.full((2, 32, 48, 3), 100, dtype=np.uint8)
    found = exact.copy()
    found[0] += 10  # half of the values: mean squared difference 50
    difference = compare_frames(found, exact)
    assert difference.psnr_db == pytest.approx(10 * math.log10(255**2 / 50))
    assert (difference.largest, difference.num_frames) == (10, 2)


def test_equal_outputs_are_infinitely_near_and_json_says_so_without_infinity():
    difference = compare_frames(noise(), noise())
    assert difference == OutputDifference(psnr_db=math.inf, ssim=1.0, largest=0, num_frames=2)
    told = json.loads(json.dumps(difference.to_dict(), allow_nan=False))
    assert told["psnr_db"] is None
    assert told["is_identical"] is True
    assert difference.finite_psnr_db == 100.0


def test_ssim_of_flat_frames_is_the_luminance_term_alone():
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)
    one, other = (np.full((1, 32, 48, 3), value, dtype=np.uint8) for value in (110, 100))
    assert compare_frames(one, other).ssim == pytest.approx(expected, abs=1e-4)


def test_ssim_falls_with_what_is_lost_of_the_structure():
    exact = noise(seed=1)
    assert compare_frames(255 - exact, exact).ssim < 0
    assert 0 < compare_frames(exact // 2, exact).ssim < 0.99


@pytest.mark.parametrize("size", [(11, 11), (24, 17), (40, 64)])
def test_ssim_is_that_of_gaussian_windows_in_double_precision(size):
    height, width = size
    exact = noise(1, height, width, seed=2)
    found = (exact * 0.8 + noise(1, height, width, seed=3) * 0.2).astype(np.uint8)
    a, b = (each[0].astype(float) @ [0.299, 0.587, 0.114] for each in (found, exact))

    def blurred(plane):  # a radius of 5 is the window of 11
        return gaussian_filter(plane, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    ma, mb = blurred(a), blurred(b)
    va, vb = blurred(a * a) - ma**2, blurred(b * b) - mb**2
    covariance = blurred(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * ma * mb + c1) * (2 * covariance + c2)
    expected /= (ma**2 + mb**2 + c1) * (va + vb + c2)
    assert compare_frames(found, exact).ssim == pytest.approx(expected.mean(), abs=1e-5)


def test_the_largest_difference_does_not_wrap_around():
    exact = np.zeros((1, 16, 16, 3), dtype=np.uint8)
    found = exact.copy()
    found[0, 3, 4, 1] = 255
    assert compare_frames(found, exact).largest == 255
    assert compare_frames(exact, found).largest == 255


def test_images_are_compared_by_their_pixels(tmp_path):
    frame = noise(1)[0]
    other = frame.copy()
    other[0, 0, 0] ^= 1
    for name, pixels in (("a.png", frame), ("b.png", other)):
        write_png(tmp_path / name, pixels)
    assert compare(tmp_path / "a.png", tmp_path / "a.png").is_identical
    assert compare(tmp_path / "a.png", tmp_path / "b.png").largest == 1


def test_videos_are_compared_as_they_decode(tmp_path):
    ramp = np.linspace(40, 200, 48, dtype=np.uint8)
    frames = np.repeat(np.tile(ramp[None, :, None], (32, 1, 3))[None], 6, axis=0)
    frames[3:] += 20
    one, other = (write_video(tmp_path / n, f) for n, f in (("a.mp4", frames), ("b.mp4", frames)))
    assert compare(one, other).is_identical
    found = compare(write_video(tmp_path / "c.mp4", frames - 10), one)
    decoded = [np.stack(list(read_frames(p))).astype(float) for p in (tmp_path / "c.mp4", one)]
    error = np.square(decoded[0] - decoded[1]).mean()
    assert found.psnr_db == pytest.approx(10 * math.log10(255**2 / error))
    assert found.num_frames == 6


def test_what_can_not_be_compared_is_refused_with_both_values(tmp_path):
    with pytest.raises(InvalidRequest, match="48x32, the other 48x24"):
        compare_frames(noise(), noise(height=24))
    with pytest.raises(InvalidRequest, match="ends after 2 frames"):
        compare_frames(noise(3), noise(2))
    with pytest.raises(InvalidRequest, match="ends after 2 frames"):
        compare_frames(noise(2), noise(3))
    with pytest.raises(InvalidRequest, match="smaller than SSIM's window"):
        compare_frames(noise(height=10), noise(height=10))
    with pytest.raises(InvalidRequest, match="no frames"):
        compare_frames([], [])
    with pytest.raises(OutputInvalid, match=r"gone\.png"):
        compare(tmp_path / "gone.png", tmp_path / "gone.png")
    with pytest.raises(InvalidRequest, match=r"notes\.txt"):
        compare(tmp_path / "notes.txt", tmp_path / "notes.txt")


def test_pooled_differences_are_those_of_all_frames_together():
    exact, found = noise(5, seed=4), noise(5, seed=5)
    found[4] = exact[4]
    parts = [compare_frames(found[s], exact[s]) for s in (slice(0, 3), slice(3, 4), slice(4, 5))]
    whole, together = compare_frames(found, exact), pooled(parts)
    assert together.psnr_db == pytest.approx(whole.psnr_db)
    assert together.ssim == pytest.approx(whole.ssim)
    assert (together.largest, together.num_frames) == (whole.largest, 5)
    assert pooled(parts[2:]).psnr_db == math.inf
    with pytest.raises(InvalidRequest):
        pooled([])
