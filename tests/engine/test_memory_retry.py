"""A job that runs out of memory is run again once, after what nobody uses has left."""

import pytest
import torch

from ourvidz.catalog.config import catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import OutOfMemory
from ourvidz.core.event import FramesReady
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine import wan
from ourvidz.worker.assemble import assemble_worker


@pytest.fixture
def engine(tiny_settings):
    made = assemble_worker(
        settings=tiny_settings, catalogue=catalogue_of(tiny_settings), clock=SystemClock()
    ).engine
    yield made
    made.close()


def generate(engine, settings):
    request = resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt="a red circle",
        seed=1,
        values={"num_inference_steps": 2, "width": 64, "height": 96, "num_frames": 5},
    )
    return list(
        engine.generate(request, recorder=SpanRecorder(SystemClock()), cancel=CancelToken())
    )


@pytest.fixture
def failing(monkeypatch):
    """The decoder runs out of memory so often, before or after its first frames."""
    state = {"times": 0, "after": 0, "calls": 0}
    real = wan._decode

    def decode(*arguments):
        state["calls"] += 1
        events = real(*arguments)
        if state["times"] > 0:
            state["times"] -= 1
            frames = 0
            for event in events:
                if frames >= state["after"]:
                    raise torch.OutOfMemoryError("Tried to allocate 1.00 GiB.")
                yield event
                frames += isinstance(event, FramesReady)
        yield from events

    monkeypatch.setattr(wan, "_decode", decode)
    return state


def test_it_succeeds_once_others_have_left(engine, tiny_settings, failing):
    engine.load("sdxl-base-1.0", family="sdxl", cancel=CancelToken())
    failing["times"] = 1
    events = generate(engine, tiny_settings)
    assert sum(len(event.frames) for event in events if isinstance(event, FramesReady)) == 5
    assert set(engine.resident()) == {"wan2.1-t2v-1.3b"}
    assert failing["calls"] == 2


@pytest.mark.parametrize(("others", "times", "after"), [(False, 1, 0), (True, 2, 0), (True, 1, 1)])
def test_it_fails_where_that_is_no_help(engine, tiny_settings, failing, others, times, after):
    """Nothing to free, not enough even so, or frames that are gone already."""
    if others:
        engine.load("sdxl-base-1.0", family="sdxl", cancel=CancelToken())
    failing.update(times=times, after=after)
    with pytest.raises(OutOfMemory):
        generate(engine, tiny_settings)
    assert failing["calls"] == (2 if times == 2 else 1)
