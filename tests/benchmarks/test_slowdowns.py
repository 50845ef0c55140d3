from benchmarks.slowdowns import phases_of, slowed, trial
from tests.perf.protocol.runs import make_plan, make_runs

PLAN = make_plan(repeats=14)


def runs():
    return make_runs(PLAN, body={"request": {"profile": "pocket"}, "fidelity": "exact"})


def test_a_delay_goes_to_its_phase_and_to_the_whole():
    body = {"total_s": 10.0, "phases_s": {"denoise": 8.0, "save": 2.0}, "step_times_s": [4.0, 4.0]}
    found = slowed(body, "denoise", 0.5)
    assert found == {
        "total_s": 14.0,
        "phases_s": {"denoise": 12.0, "save": 2.0},
        "step_times_s": [6.0, 6.0],
    }
    assert body["total_s"] == 10.0


def test_twice_a_tolerance_is_named_and_half_of_it_is_not():
    phases = phases_of(runs())
    assert phases["decode"] == 0.15
    assert "unattributed" not in phases
    found = trial(runs(), phase="decode", share=0.30, number=1)
    assert (found.is_found, found.others) == (True, ())
    for share in (0.075, 0.0):
        missed = trial(runs(), phase="decode", share=share, number=1)
        assert (missed.is_found, missed.others) == (False, ())
