import pytest
from hypothesis import given
from hypothesis import strategies as st

from ourvidz.core.phase import Phase, Span
from ourvidz.perf.ledger import (
    account_of,
    device_seconds,
    exclusive_phases_s,
    is_unattributed_alarming,
    median_step_s,
)


def span(phase: Phase, start_s: float, end_s: float, *, background: bool = False) -> Span:
    return Span(phase=phase, start_s=start_s, end_s=end_s, is_background=background)


def test_parallel_loads_count_as_the_slowest():
    phases = exclusive_phases_s(
        [
            span(Phase.LOAD_TEXT_ENCODER, 0, 3, background=True),
            span(Phase.LOAD_TRANSFORMER, 0, 5, background=True),
            span(Phase.LOAD_VAE, 0, 1, background=True),
        ],
        start_s=0,
        end_s=5,
    )
    assert phases == {"load.transformer": 5.0, "unattributed": 0.0}


def test_encoding_while_the_transformer_still_loads_is_encoding():
    phases = exclusive_phases_s(
        [
            span(Phase.LOAD_TEXT_ENCODER, 0, 2, background=True),
            span(Phase.LOAD_TRANSFORMER, 0, 6, background=True),
            span(Phase.ENCODE, 2, 3),
            span(Phase.DENOISE, 6, 10),
        ],
        start_s=0,
        end_s=10,
    )
    assert phases == {
        "load.transformer": 5.0,
        "encode": 1.0,
        "denoise": 4.0,
        "unattributed": 0.0,
    }


def test_saving_beside_decoding_only_counts_its_tail():
    phases = exclusive_phases_s(
        [span(Phase.DECODE, 0, 4), span(Phase.SAVE, 0.5, 5, background=True)], start_s=0, end_s=5
    )
    assert phases == {"decode": 4.0, "save": 1.0, "unattributed": 0.0}


def test_time_without_a_span_is_unattributed_and_alarms():
    phases = exclusive_phases_s([span(Phase.DENOISE, 1, 9)], start_s=0, end_s=10)
    assert phases == {"denoise": 8.0, "unattributed": 2.0}
    assert is_unattributed_alarming(phases["unattributed"], 10)
    assert not is_unattributed_alarming(0.1, 10)
    assert is_unattributed_alarming(1.1, 1000)


def test_an_inner_span_owns_its_time():
    phases = exclusive_phases_s(
        [span(Phase.DENOISE, 0, 10), span(Phase.COMPILE, 2, 5)], start_s=0, end_s=10
    )
    assert phases == {"compile": 3.0, "denoise": 7.0, "unattributed": 0.0}


def test_spans_outside_the_job_do_not_count():
    phases = exclusive_phases_s([span(Phase.DENOISE, -5, 3)], start_s=0, end_s=4)
    assert phases == {"denoise": 3.0, "unattributed": 1.0}


SPANS = st.lists(
    st.builds(
        lambda phase, start, length, background: span(
            phase, start, start + length, background=background
        ),
        st.sampled_from([phase for phase in Phase if phase is not Phase.UNATTRIBUTED]),
        st.floats(-5, 20),
        st.floats(0, 10),
        st.booleans(),
    ),
    max_size=30,
)


@given(SPANS, st.floats(0, 10), st.floats(0, 20))
def test_phases_and_unattributed_add_up_to_the_wall_time(spans, start_s, length_s):
    phases = exclusive_phases_s(spans, start_s=start_s, end_s=start_s + length_s)
    assert sum(phases.values()) == pytest.approx(length_s, abs=1e-9)
    assert all(seconds >= 0 for seconds in phases.values())


@given(SPANS)
def test_unattributed_is_what_no_span_covers(spans):
    covered = exclusive_phases_s(
        [*spans, span(Phase.QUEUE_WAIT, -10, 40, background=True)], start_s=0, end_s=30
    )
    assert covered["unattributed"] == 0.0


@pytest.mark.parametrize(
    ("steps", "expected"),
    [((), None), ((2.0,), 2.0), ((2.0, 4.0), 3.0), ((9.0, 1.0, 1.2, 1.1, 5.0), 1.1)],
)
def test_median_step_leaves_out_the_first_and_the_last(steps, expected):
    assert median_step_s(steps) == expected


LOST = st.lists(st.tuples(st.floats(-5, 20), st.floats(0, 10)), max_size=10)


def turns_lost(pairs):
    from ourvidz.core.recorder import SpanRecorder
    from tests.clocks import ManualClock

    recorder = SpanRecorder(ManualClock())
    for start_s, length_s in pairs:
        recorder.lose_turn(start_s, start_s + length_s)
    return recorder.lost_turns()


@given(SPANS, LOST, st.floats(0, 10), st.floats(0, 20))
def test_phases_unattributed_and_shared_add_up_to_the_wall_time(spans, lost, start_s, length_s):
    account = account_of(
        spans, start_s=start_s, end_s=start_s + length_s, lost_turns=turns_lost(lost)
    )
    total_s = sum(account.phases_s.values()) + account.unattributed_s + account.shared_s
    assert total_s == pytest.approx(length_s, abs=1e-9)
    assert account.shared_s >= 0


def test_anothers_turn_is_in_no_phase():
    account = account_of(
        [span(Phase.DENOISE, 0, 10), span(Phase.SAVE, 4, 12, background=True)],
        start_s=0,
        end_s=12,
        lost_turns=turns_lost([(2, 1), (2.5, 2.5)]),
    )
    assert account.phases_s == {"denoise": 7.0, "save": 2.0}
    assert (account.unattributed_s, account.shared_s) == (0.0, 3.0)


def test_a_job_that_loads_anyway_is_loading_while_another_works():
    account = account_of(
        [span(Phase.LOAD_UNET, 0, 4, background=True), span(Phase.DENOISE, 6, 8)],
        start_s=0,
        end_s=8,
        lost_turns=turns_lost([(1, 5)]),
    )
    assert account.phases_s == {"load.unet": 4.0, "denoise": 2.0}
    assert account.shared_s == 2.0


def test_device_seconds_are_measured_or_the_wall_less_lost_turns_or_a_share():
    spans = [
        span(Phase.LOAD_UNET, 0, 4, background=True),
        Span(phase=Phase.ENCODE, start_s=4, end_s=6, device_s=0.5),
        span(Phase.DENOISE, 6, 10),
        Span(phase=Phase.DECODE, start_s=10, end_s=14, facts={"share": 0.25}),
        span(Phase.SAVE, 14, 20),
    ]
    assert device_seconds(spans, turns_lost([(7, 1)])) == 0.5 + 3.0 + 1.0
