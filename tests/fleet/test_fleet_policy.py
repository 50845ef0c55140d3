"""Which shape the policy wants, and when it lets a machine alone."""

from dataclasses import replace

import pytest

from ourvidz.fleet.policy import (
    ClassLoad,
    Hysteresis,
    PolicyKind,
    QueueSummary,
    decide,
    fixed_shape,
    response_s,
    speedup,
)
from ourvidz.fleet.shape import Shape, cut

GPUS = tuple(str(index) for index in range(8))
ALONE = cut(GPUS, [1] * 8)
WHOLE = cut(GPUS, [8])
SPEEDUPS = {
    "video": {1: 1.0, 2: 1.9, 4: 3.5, 8: 5.8},
    "image": {1: 1.0, 2: 1.5, 4: 2.0, 8: 2.2},
}
VIDEO_S, IMAGE_S = 20.0, 2.5


def videos(load=0.0, **values):
    """A queue of videos that fill this share of eight single GPUs."""
    arrivals_per_s = 8 * load / VIDEO_S
    one = ClassLoad(arrivals_per_s=arrivals_per_s, predicted_s=VIDEO_S, **values)
    return QueueSummary(classes={"video": one})


def decided(queue, *, current=ALONE, since_reform_s=1e6, **values):
    return decide(
        PolicyKind.MIXED,
        gpus=GPUS,
        current=current,
        queue=queue,
        since_reform_s=since_reform_s,
        speedups=SPEEDUPS,
        **values,
    )


@pytest.mark.parametrize(
    ("num_gpus", "sizes"), [(1, (1,)), (2, (2,)), (3, (2, 1)), (7, (4, 2, 1)), (10, (8, 2))]
)
def test_latency_takes_the_largest_group_that_fits_and_the_rest_likewise(num_gpus, sizes):
    gpus = [str(index) for index in range(num_gpus)]
    assert fixed_shape(PolicyKind.LATENCY, gpus).sizes == sizes
    assert fixed_shape(PolicyKind.THROUGHPUT, gpus).sizes == (1,) * num_gpus


def test_fixed_policies_say_what_they_are_and_never_look_at_the_queue():
    for kind, shape in [(PolicyKind.THROUGHPUT, ALONE), (PolicyKind.LATENCY, WHOLE)]:
        found = decide(
            kind,
            gpus=GPUS,
            current=ALONE,
            queue=videos(0.5),
            since_reform_s=0.0,
            speedups=SPEEDUPS,
        )
        assert (found.shape, found.is_change) == (shape, shape != ALONE)
        assert kind.value in found.reason


def test_the_more_load_the_smaller_the_groups():
    largest = [max(decided(videos(load)).shape.sizes) for load in (0.1, 0.5, 0.95, 1.5)]
    assert largest == [8, 4, 1, 1]


def test_it_takes_groups_apart_again_when_they_can_not_keep_up():
    # Eight as one do the work of 5.8: three quarters of eight singles' is more than that.
    found = decided(videos(0.75), current=WHOLE)
    assert found.is_change
    assert max(found.shape.sizes) < 8
    assert "expected" in found.reason


def test_images_that_gain_little_keep_gpus_alone_earlier():
    images = ClassLoad(arrivals_per_s=8 * 0.5 / IMAGE_S, predicted_s=IMAGE_S)
    image_sizes = decided(QueueSummary(classes={"image": images})).shape.sizes
    assert max(image_sizes) < max(decided(videos(0.5)).shape.sizes)


def test_nothing_waits_and_nothing_came():
    assert not decided(QueueSummary()).is_change
    assert "nothing waits" in decided(videos(0.0)).reason


def test_after_a_change_it_stays_for_a_while():
    rules = Hysteresis(min_stay_s=300.0)
    soon = decided(videos(0.1), since_reform_s=299.0, hysteresis=rules)
    later = decided(videos(0.1), since_reform_s=300.0, hysteresis=rules)
    assert (soon.is_change, later.is_change) == (False, True)
    assert "299 s ago" in soon.reason


def test_a_small_gain_is_not_worth_a_change():
    queue = videos(0.75)
    found = decided(queue, hysteresis=Hysteresis(min_gain=0.9))
    assert not found.is_change
    assert found.reason.startswith("not worth it")
    assert decided(queue, hysteresis=Hysteresis(min_gain=0.0)).is_change


def test_a_change_that_costs_more_than_it_saves_is_left_out():
    found = decided(videos(0.3), hysteresis=Hysteresis(reform_s=1e5))
    assert found.reason.startswith("costs more")
    assert not found.is_change


def test_a_load_at_the_border_does_not_swing():
    """Whatever it has changed to, it does not change back at the same load."""
    for percent in range(2, 120, 2):
        queue = videos(percent / 100)
        first = decided(queue)
        again = decided(queue, current=first.shape)
        assert again.shape == first.shape, percent


def test_overdue_jobs_bring_every_gpu_alone_whatever_latency_says():
    queue = videos(0.1, num_waiting=40, num_overdue=3)
    found = decided(queue, current=WHOLE)
    assert found.shape == ALONE
    assert "3 jobs are overdue" in found.reason
    assert not decided(queue, current=ALONE).is_change
    just_now = decided(queue, current=WHOLE, since_reform_s=1.0)
    assert not just_now.is_change


def test_a_machine_of_many_takes_its_share_of_the_queue():
    queue = videos(0.8)  # of one machine; a tenth of ten
    alone, of_ten = decided(queue), decided(queue, share=0.1)
    assert max(of_ten.shape.sizes) > max(alone.shape.sizes)


def test_more_waiting_is_longer_and_more_speed_is_shorter():
    assert response_s((1,) * 8, videos(num_waiting=9), SPEEDUPS) > response_s(
        (1,) * 8, videos(num_waiting=1), SPEEDUPS
    )
    slower = {"video": {size: value / 1.5 for size, value in SPEEDUPS["video"].items()}}
    assert response_s((8,), videos(0.1), slower) > response_s((8,), videos(0.1), SPEEDUPS)


def test_what_nobody_measured_is_assumed_to_gain_a_little():
    assert speedup({}, "video", 1) == 1.0
    assert speedup({}, "video", 8) == pytest.approx(1.6**3)
    assert speedup(SPEEDUPS, "video", 8) == 5.8


def test_a_lone_image_beside_videos_changes_little():
    queue = videos(0.4)
    image = ClassLoad(num_waiting=1, predicted_s=IMAGE_S)
    both = replace(queue, classes={**queue.classes, "image": image})
    assert decided(both).shape == decided(queue).shape


def test_groups_that_stay_keep_their_gpus():
    mixed = Shape(groups=(GPUS[:4], GPUS[4:6], GPUS[6:]))
    found = decided(videos(0.5), current=mixed, hysteresis=Hysteresis(min_gain=0.0))
    assert found.shape.groups[0] == GPUS[:4]
