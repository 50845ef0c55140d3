"""Honest times of work that a device does later than the host asked for it.

On CUDA a host clock read without waiting times the queueing, not the work. So units are marked
with device events, the host is kept at most one unit ahead (which also bounds how long a cancel
takes), and a phase ends with one wait.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from ourvidz.core.clock import Clock
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import Fact, SpanRecorder
from ourvidz.engine.device import synchronize

_Mark = torch.cuda.Event | float


class UnitTimer:
    """Marks begin and end of each unit (step, token) of a phase and tells how long each took."""

    def __init__(self, device: torch.device, clock: Clock) -> None:
        self._device = device
        self._clock = clock
        self._begin = self._mark()
        self._units: list[tuple[_Mark, _Mark]] = []

    def _mark(self) -> _Mark:
        if self._device.type != "cuda":
            return self._clock.monotonic()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def unit_done(self) -> None:
        """Mark that a unit was issued, and wait for the one before it."""
        end = self._mark()
        self._units.append((self._begin, end))
        self._begin = end
        if len(self._units) >= 2:
            _wait(self._units[-2][1])

    def skip(self) -> None:
        """Leave out what came since the last unit: other jobs' turns. The next begins now."""
        self._begin = self._mark()

    def unit_times_s(self) -> tuple[float, ...]:
        """Return each unit's seconds; waits for the last one."""
        if self._units:
            _wait(self._units[-1][1])
        return tuple(_between_s(begin, end) for begin, end in self._units)


def _wait(mark: _Mark) -> None:
    if isinstance(mark, torch.cuda.Event):
        mark.synchronize()


def _between_s(begin: _Mark, end: _Mark) -> float:
    if isinstance(begin, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
        return begin.elapsed_time(end) / 1000
    assert isinstance(begin, float), "marks of one timer are of one kind"
    assert isinstance(end, float), "marks of one timer are of one kind"
    return end - begin


@contextmanager
def device_phase(
    recorder: SpanRecorder, phase: Phase, device: torch.device
) -> Generator[dict[str, Fact]]:
    """Record a span that ends when the device has finished what was asked inside it.

    On CUDA the span also carries the device's own seconds, measured with events; where the block
    says ``device_s`` itself, that counts. Turns that other jobs had inside it are taken off (by
    the host's clock) and told as ``waiting_for_turn_s``.
    """
    start_s = recorder.clock.monotonic()
    with recorder.span(phase) as facts:
        if device.type != "cuda":
            yield facts
            _tell_lost_turns(recorder, facts, start_s)
            return
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record(torch.cuda.current_stream(device))
        yield facts
        end.record(torch.cuda.current_stream(device))
        synchronize(device)
        lost_s = _tell_lost_turns(recorder, facts, start_s)
        facts.setdefault("device_s", max(0.0, start.elapsed_time(end) / 1000 - lost_s))


def _tell_lost_turns(recorder: SpanRecorder, facts: dict[str, Fact], start_s: float) -> float:
    lost_s = recorder.lost_s(start_s, recorder.clock.monotonic())
    if lost_s > 0:
        facts["waiting_for_turn_s"] = lost_s
    return lost_s
