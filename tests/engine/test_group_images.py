"""Batches of images over two processes: the same as one makes, and what happens on the way.

Real processes that meet over gloo on the loopback interface, with the pocket model's weights.
"""

import logging
import os
import signal

import numpy as np
import pytest
from group_images import difference_of, is_event, make_image_request, run_batch
from group_jobs import drive, events_of, frames_of, is_step, make_engine, make_request

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, RankLost
from ourvidz.core.event import FramesReady
from ourvidz.engine.group.share_sdxl import rows_of_ranks


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def alone(data):
    engine = make_engine(data, 1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def pair(data):
    engine = make_engine(data, 2)
    yield engine
    engine.close()


@pytest.fixture
def plans(caplog):
    """What the leader says of how it divides."""
    caplog.set_level(logging.INFO, logger="ourvidz.engine.group.sdxl")
    return lambda: [record.getMessage() for record in caplog.records if "rows" in record.msg]


@pytest.mark.parametrize(
    ("num_rows", "size", "together", "lengths"),
    [
        (2, 4, 1, [2, 0, 0, 0]),  # one image with guidance
        (3, 2, 1, [3, 0]),
        (4, 4, 1, [2, 2, 0, 0]),
        (12, 4, 1, [3, 3, 3, 3]),
        (12, 4, 2, [4, 4, 2, 2]),  # in 8 bits
        (10, 4, 1, [3, 3, 2, 2]),
        (5, 2, 1, [3, 2]),
    ],
)
def test_ranks_work_from_two_rows_on(num_rows, size, together, lengths):
    runs = rows_of_ranks(num_rows, size, together=together)
    assert [run.stop - run.start for run in runs] == lengths
    assert [row for run in runs for row in range(num_rows)[run]] == list(range(num_rows))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "plan"),
    [
        ({}, "8 rows a step on 2 of 2 ranks"),
        ({"num_images": 5, "guidance_scale": 1.0}, "5 rows a step on 2 of 2 ranks"),
        ({"num_images": 3, "seed": 8}, "6 rows a step on 2 of 2 ranks"),
        # Two rows to denoise stay here, two images to decode do not.
        ({"num_images": 2, "guidance_scale": 1.0}, "2 rows a step on 1 of 2 ranks"),
    ],
    ids=str,
)
def test_two_processes_make_the_same_images(alone, pair, plans, values, plan):
    request = make_image_request(**values)
    expected = frames_of(alone, request)
    difference = difference_of(frames_of(pair, request), expected)
    assert plans() == [plan]
    assert difference.max() <= 1, difference.max()  # float32 sums of other sizes
    assert (difference > 0).mean() < 0.01
    assert np.abs(expected[0].astype(int) - expected[1]).max() > 1  # one seed each


def test_one_image_stays_on_the_first(alone, pair, plans):
    request = make_image_request(num_images=1)
    assert np.array_equal(frames_of(pair, request), frames_of(alone, request))
    assert plans() == []


def test_a_cancelled_batch_leaves_the_group_ready(alone, pair):
    cancel = CancelToken()

    def at_step(event):
        if is_step(event, 2):
            cancel.cancel()

    with pytest.raises(Cancelled):
        drive(pair, make_image_request(num_inference_steps=6), at_step, cancel)
    decoding = CancelToken()

    def at_frames(event):
        if isinstance(event, FramesReady):
            decoding.cancel()

    with pytest.raises(Cancelled):
        drive(pair, make_image_request(), at_frames, decoding)
    request = make_image_request()
    assert difference_of(frames_of(pair, request), frames_of(alone, request)).max() <= 1


def test_jobs_batched_together_are_shared(alone, pair, plans):
    requests = [
        make_image_request("a large red circle on a black background", num_images=1),
        make_image_request("a small blue star on a white background", num_images=2, seed=9),
    ]
    found, ends = run_batch(pair, requests)
    assert plans() == ["6 rows a step on 2 of 2 ranks"]
    assert [ends[index].result.batched_with for index in range(2)] == [1, 1]
    for images, request in zip(found, requests, strict=True):
        assert difference_of(images, frames_of(alone, request)).max() <= 1


def test_one_of_a_batch_may_be_cancelled(alone, pair):
    requests = [make_image_request(num_images=2), make_image_request(num_images=2, seed=9)]
    cancels = [CancelToken(), CancelToken()]

    def on_report(report):
        if is_event(report, 0) and is_step(report.event, 2):
            cancels[0].cancel()

    found, ends = run_batch(pair, requests, cancels, on_report)
    assert isinstance(ends[0].error, Cancelled)
    assert found[0] is None
    assert ends[1].error is None
    assert difference_of(found[1], frames_of(alone, requests[1])).max() <= 1


@pytest.mark.slow
def test_images_and_a_video_may_take_turns_on_a_group(alone, pair):
    requests = [make_image_request(num_images=2), make_request()]
    running = dict(enumerate(events_of(pair, request) for request in requests))
    found = {index: [] for index in running}
    while running:
        for index, events in tuple(running.items()):
            event = next(events, None)
            if event is None:
                del running[index]
            elif isinstance(event, FramesReady):
                found[index].append(event.frames)
    for index, request in enumerate(requests):
        made = np.concatenate(found[index])
        assert difference_of(made, frames_of(alone, request)).max() <= 1


@pytest.mark.slow
def test_one_that_ends_fails_the_batch_and_the_group_starts_again(alone, pair):
    requests = [make_image_request(num_images=2), make_image_request(num_images=2, seed=9)]
    first_pids = pair.group_facts()["pids"]

    def on_report(report):
        if is_event(report, 0) and is_step(report.event, 2):
            os.kill(first_pids[1], signal.SIGKILL)

    _, ends = run_batch(pair, requests, on_report=on_report)
    for index in range(2):
        assert isinstance(ends[index].error, RankLost), ends[index]
    found, _ = run_batch(pair, requests)
    for images, request in zip(found, requests, strict=True):
        assert difference_of(images, frames_of(alone, request)).max() <= 1
    assert pair.group_facts()["pids"][1] != first_pids[1]
