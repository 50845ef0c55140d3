import torch

from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine.timing import UnitTimer, device_phase
from tests.clocks import ManualClock

CPU = torch.device("cpu")


def test_units_are_timed_by_the_injected_clock():
    clock = ManualClock()
    timer = UnitTimer(CPU, clock)
    for seconds in (3.0, 1.0, 2.0):
        clock.advance(seconds)
        timer.unit_done()
    assert timer.unit_times_s() == (3.0, 1.0, 2.0)


def test_a_device_phase_is_one_span():
    clock = ManualClock()
    recorder = SpanRecorder(clock)
    with device_phase(recorder, Phase.DECODE, CPU):
        clock.advance(2.0)
    (span,) = recorder.spans()
    assert (span.phase, span.duration_s, span.is_background) == (Phase.DECODE, 2.0, False)


def test_others_turns_between_two_units_are_left_out():
    clock = ManualClock()
    timer = UnitTimer(CPU, clock)
    clock.advance(1.0)
    timer.unit_done()
    clock.advance(7.0)
    timer.skip()
    clock.advance(2.0)
    timer.unit_done()
    assert timer.unit_times_s() == (1.0, 2.0)


def test_a_device_phase_tells_how_long_it_waited_for_its_turn():
    clock = ManualClock()
    recorder = SpanRecorder(clock)
    with device_phase(recorder, Phase.DECODE, CPU):
        clock.advance(2.0)
        recorder.lose_turn(clock.monotonic(), clock.monotonic() + 3.0)
        clock.advance(3.0)
    (span,) = recorder.spans()
    assert span.facts == {"waiting_for_turn_s": 3.0}
