"""Images of a pocket model by an engine of any group size, for tests of groups."""

import numpy as np
from group_jobs import make_settings

from ourvidz.catalog.config import catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.event import FramesReady
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine.batch import BatchEnd, BatchEvent, BatchMember


def make_image_request(prompt="a small green square on a white background", **values):
    settings = make_settings()
    return resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt=prompt,
        job_type="sdxl_image_fast",
        seed=values.pop("seed", 3),
        values={"num_images": 4, "num_inference_steps": 4, **values},
        unconfirmed=True,
    )


def run_batch(engine, requests, cancels=None, on_report=lambda report: None):
    """Return each member's images and end, of jobs run as one batch."""
    cancels = cancels or [CancelToken() for _ in requests]
    members = [
        BatchMember(request=request, recorder=SpanRecorder(SystemClock()), cancel=cancel)
        for request, cancel in zip(requests, cancels, strict=True)
    ]
    images, ends = [[] for _ in requests], {}
    for report in engine.generate_batch(members, max_items=8):
        if isinstance(report, BatchEnd):
            ends[report.index] = report
        elif isinstance(report.event, FramesReady):
            images[report.index].append(report.event.frames)
        on_report(report)
    return [np.concatenate(each) if each else None for each in images], ends


def is_event(report, index):
    return isinstance(report, BatchEvent) and report.index == index


def difference_of(found, expected):
    assert found.shape == expected.shape
    return np.abs(found.astype(int) - expected.astype(int))
