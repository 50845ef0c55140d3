"""Videos of a pocket model by an engine of any group size, for tests of groups."""

from pathlib import Path

import numpy as np

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.event import FramesReady, Progress
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.worker.assemble import assemble_worker

PROMPT = "a red circle moves right over a blue background"


def make_settings(data=Path(), group_size=1, device="cpu"):
    return Settings(device=device, group_size=group_size, data_dir=data)


def make_engine(data, group_size, device="cpu"):
    settings = make_settings(data, group_size, device)
    return assemble_worker(
        settings=settings, catalogue=catalogue_of(settings), clock=SystemClock()
    ).engine


def make_request(**values):
    settings = make_settings()
    return resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt=PROMPT,
        seed=values.pop("seed", 3),
        values={"num_frames": 9, "num_inference_steps": 2, "height": 96, "width": 96, **values},
        unconfirmed=True,
    )


def events_of(engine, request, cancel=None):
    return engine.generate(
        request, recorder=SpanRecorder(SystemClock()), cancel=cancel or CancelToken()
    )


def frames_of(engine, request):
    events = events_of(engine, request)
    return np.concatenate([each.frames for each in events if isinstance(each, FramesReady)])


def drive(engine, request, on_event, cancel=None):
    """Run a job to its end, telling ``on_event`` of each event."""
    for event in events_of(engine, request, cancel):
        on_event(event)


def is_step(event, step):
    return isinstance(event, Progress) and event.phase is Phase.DENOISE and event.done == step
