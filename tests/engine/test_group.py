"""One video over two processes: the same as one process makes, and what happens when one ends.

Real processes that meet over gloo on the loopback interface, with the pocket model's weights.
"""

import os
import signal

import numpy as np
import pytest
from group_jobs import drive, events_of, frames_of, is_step, make_engine, make_request

from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import Cancelled, RankLost
from ourvidz.core.event import FramesReady
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine.group.leader import Group


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("group")


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
def told(monkeypatch):
    """What the others are told, by name."""
    names = []
    tell = Group._tell

    def record(group, team, message):
        names.append(type(message).__name__)
        tell(group, team, message)

    monkeypatch.setattr(Group, "_tell", record)
    return names


@pytest.mark.slow
def test_two_processes_make_the_same_video(alone, pair):
    for request in (make_request(), make_request(guidance_scale=1.0), make_request(seed=8)):
        expected, found = frames_of(alone, request), frames_of(pair, request)
        assert found.shape == expected.shape
        difference = np.abs(found.astype(int) - expected.astype(int))
        assert difference.max() <= 1, difference.max()  # float32 sums of other sizes
        assert (difference > 0).mean() < 0.01
    assert np.abs(frames_of(alone, make_request(seed=8)).astype(int) - expected).max() == 0


@pytest.mark.slow
def test_a_cancelled_job_leaves_the_group_ready(alone, pair):
    cancel = CancelToken()

    def at_step(event):
        if is_step(event, 2):
            cancel.cancel()

    with pytest.raises(Cancelled):
        drive(pair, make_request(num_inference_steps=6), at_step, cancel)
    decoding = CancelToken()

    def at_frames(event):
        if isinstance(event, FramesReady):
            decoding.cancel()

    with pytest.raises(Cancelled):
        drive(pair, make_request(), at_frames, decoding)
    request = make_request()
    difference = frames_of(pair, request).astype(int) - frames_of(alone, request)
    assert np.abs(difference).max() <= 1


@pytest.mark.slow
def test_jobs_may_take_turns_on_a_group(alone, pair):
    requests = [make_request(seed=1), make_request(seed=2, guidance_scale=1.0)]
    running = [events_of(pair, request) for request in requests]
    found = {index: [] for index in range(2)}
    while running_now := [index for index, each in enumerate(running) if each is not None]:
        for index in running_now:
            event = next(running[index], None)
            if event is None:
                running[index] = None
            elif isinstance(event, FramesReady):
                found[index].append(event.frames)
    for index, request in enumerate(requests):
        difference = np.concatenate(found[index]).astype(int) - frames_of(alone, request)
        assert np.abs(difference).max() <= 1


@pytest.mark.slow
def test_one_that_ends_fails_the_attempt_and_the_group_starts_again(alone, pair):
    request = make_request(num_inference_steps=4)
    first_pids = pair.group_facts()["pids"]

    def at_step(event):
        if is_step(event, 2):
            os.kill(first_pids[1], signal.SIGKILL)

    with pytest.raises(RankLost, match="Rank 1 of 2 ended"):
        drive(pair, request, at_step)
    difference = frames_of(pair, request).astype(int) - frames_of(alone, request)
    assert np.abs(difference).max() <= 1
    assert pair.group_facts()["pids"][1] != first_pids[1]


@pytest.mark.slow
def test_a_job_of_a_group_that_is_gone_fails_alone(alone, pair):
    old, new = make_request(num_inference_steps=4), make_request(num_inference_steps=4, seed=9)
    orphan = events_of(pair, old)
    next(event for event in orphan if is_step(event, 2))
    lost = pair._group._team
    os.kill(pair.group_facts()["pids"][1], signal.SIGKILL)
    assert lost.is_lost.wait(60)
    running = events_of(pair, new)
    found = []
    for event in running:
        if is_step(event, 2):
            with pytest.raises(RankLost, match="began with is gone"):
                list(orphan)
        elif isinstance(event, FramesReady):
            found.append(event.frames)
    difference = np.concatenate(found).astype(int) - frames_of(alone, new)
    assert np.abs(difference).max() <= 1


@pytest.mark.slow
def test_waiting_for_the_others_is_in_the_ledger(pair):
    recorder = SpanRecorder(SystemClock())
    list(pair.generate(make_request(), recorder=recorder, cancel=CancelToken()))
    waits = [span for span in recorder.spans() if span.facts.get("what") == "other ranks"]
    assert waits
    assert all(span.phase is Phase.LOAD_TRANSFORMER and span.is_background for span in waits)


@pytest.mark.slow
def test_a_clip_of_fewer_lines_than_ranks_is_made_by_one(alone, pair, monkeypatch):
    request = make_request(height=64)
    monkeypatch.setattr(pair._group, "size", 9)  # of eight lines of latents
    assert np.array_equal(frames_of(pair, request), frames_of(alone, request))


@pytest.mark.slow
def test_a_model_is_loaded_and_unloaded_on_all(pair, told):
    request = make_request()
    pair.unload(request.model)
    pair.load(request.model, family="wan", cancel=CancelToken())
    assert told == ["Unload", "Load", "End"]
    assert pair.unload(request.model) > 0
    assert pair.group_facts()["is_ready"]
