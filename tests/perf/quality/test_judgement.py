"""A speed is told with its difference, or not as a speed alone."""

import json
import math

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import Fidelity
from ourvidz.perf.quality import (
    BARS,
    Bar,
    OutputDifference,
    Speed,
    speed_and_quality,
)
from ourvidz.perf.stats import hodges_lehmann, relative_shift

BAR = Bar(psnr_db=40.0, ssim=0.99)


def times(median_s, *, n=7):
    return [median_s * (1 + 0.005 * (i - n // 2)) for i in range(n)]


def difference(psnr_db=45.0, ssim=0.995, largest=9):
    return OutputDifference(psnr_db=psnr_db, ssim=ssim, largest=largest, num_frames=81)


FASTER = relative_shift(times(10), times(7))
SLOWER = relative_shift(times(7), times(10))
EQUAL = relative_shift(times(10), times(9.9))


def test_faster_within_the_bar_is_faster_and_says_both():
    found = speed_and_quality(FASTER, difference(), BAR)
    assert (found.label, found.is_same_output, found.missed) == ("faster", True, ())
    assert "-30.0%" in found.text
    assert "45.0 dB" in found.text


@pytest.mark.parametrize(
    ("given", "missed"),
    [
        (difference(psnr_db=31.25), ("PSNR 31.2 dB, under 40",)),
        (difference(ssim=0.9), ("SSIM 0.9000, under 0.99",)),
        (difference(psnr_db=20, ssim=0.5), ("PSNR 20.0 dB, under 40", "SSIM 0.5000, under 0.99")),
    ],
)
def test_below_the_bar_it_is_faster_with_a_different_output(given, missed):
    found = speed_and_quality(FASTER, given, BAR)
    assert found.label == "faster, different output"
    assert (found.is_same_output, found.missed) == (False, missed)
    assert missed[0] in found.text


def test_without_a_difference_nothing_is_faster_alone():
    found = speed_and_quality(FASTER, None, BAR)
    assert found.label == "faster, output not compared"
    assert found.is_same_output is None


def test_equal_outputs_hold_every_bar():
    same = OutputDifference(psnr_db=math.inf, ssim=1.0, largest=0, num_frames=1)
    found = speed_and_quality(FASTER, same, Bar(psnr_db=1e6, ssim=1.0, largest=0))
    assert found.label == "faster"
    assert "value by value" in found.text
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["difference"]["is_identical"]


def test_the_largest_difference_can_be_a_bar():
    found = speed_and_quality(FASTER, difference(largest=9), Bar(largest=8))
    assert found.missed == ("a value off by 9 of 255, above 8",)


def test_other_speeds_carry_the_difference_too():
    assert speed_and_quality(SLOWER, difference(), BAR).label == "slower"
    assert speed_and_quality(EQUAL, difference(20), BAR).label == (
        "no change detected, different output"
    )
    few = speed_and_quality(relative_shift([10, 10.1], [7, 7.1]), difference(), BAR)
    assert (few.speed, few.low, few.high) == (Speed.INDICATIVE, None, None)
    assert few.label == "too few runs"


def test_a_small_change_is_no_change():
    small = relative_shift(times(10), times(9.5))
    assert speed_and_quality(small, difference(), BAR).speed is Speed.UNCHANGED
    found = speed_and_quality(small, difference(), BAR, smallest_change=0.01)
    assert found.speed is Speed.FASTER


def test_every_fidelity_has_its_bar():
    assert set(BARS) == set(Fidelity)
    assert BARS[Fidelity.DRAFT].missed(difference(24.0))
    assert not BARS[Fidelity.DRAFT].missed(difference(26.0))


def test_what_is_no_relative_change_is_refused():
    with pytest.raises(InvalidRequest, match="share"):
        speed_and_quality(hodges_lehmann(times(10), times(7)), difference(), BAR)
    with pytest.raises(InvalidRequest, match=r"-0\.1"):
        speed_and_quality(FASTER, difference(), BAR, smallest_change=-0.1)
    with pytest.raises(InvalidRequest, match="bar"):
        Bar()
