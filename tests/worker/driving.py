"""Drives active jobs in turns, as the service does, and keeps what they report."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from ourvidz.core.cancel import CancelToken
from ourvidz.core.event import FramesReady
from ourvidz.worker.active import Turns
from ourvidz.worker.job_run import JobOrder
from ourvidz.worker.writers import OutputNames


@dataclass
class Seen:
    """What the jobs reported, by job id."""

    events: dict = field(default_factory=lambda: defaultdict(list))
    finishing: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    order: list = field(default_factory=list)  # (job id, event) in the order of the turns

    def take(self, report):
        if report.event is not None:
            self.events[report.job_id].append(report.event)
            self.order.append((report.job_id, report.event))
        elif report.finishing is not None:
            self.finishing[report.job_id] = report.finishing
        else:
            self.errors[report.job_id] = report.error

    def results(self):
        return {job_id: finishing.wait() for job_id, finishing in self.finishing.items()}

    def frames(self, job_id):
        """All frames of a job, item by item."""
        found = [event for event in self.events[job_id] if isinstance(event, FramesReady)]
        return np.concatenate([event.frames for event in found])


def order_of(request, folder, job_id, **values):
    return JobOrder(
        request=request,
        job_id=job_id,
        cancel=values.pop("cancel", None) or CancelToken(),
        names=OutputNames(folder=folder, stem=job_id),
        **values,
    )


def take_turns(turns, *, seen=None, after=lambda report: None):
    """Give every active job one turn after another until all have ended."""
    seen = seen or Seen()
    while turns.jobs:
        is_all_blocked = all(job.is_blocked for job in turns.jobs)
        for job in turns.jobs:
            report = turns.advance(job, block_s=0.05 if is_all_blocked else 0.0)
            if report is not None:
                seen.take(report)
                after(report)
    return seen


def run_alone(worker, order):
    turns = Turns(worker.clock)
    turns.add(worker.start(order))
    return take_turns(turns)


def frames_alone(worker, order):
    """The frames that a job gives by itself; its files are removed."""
    seen = run_alone(worker, order)
    for finishing in seen.finishing.values():
        finishing.wait()
        finishing.abandon()
    return seen.frames(order.job_id)
