"""Verdicts: found where they must be, silent where they must, refused with the difference named."""

import json
from dataclasses import replace

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.comparison import Incomparable
from ourvidz.perf.decisions import Effect
from ourvidz.perf.measures import measures_of, tolerance_of
from ourvidz.perf.record import Origin
from ourvidz.perf.verdicts import Outcome, judge_runs, judge_values
from tests.perf.simulated import PHASES, environment, make_record, make_runs

NUM_TRIALS = 20
STANDARD_N = 7  # runs of a benchmark's standard protocol
INJECTED = ["denoise", "decode", "save", "upload", "encode", "prepare", "thumbnail", "probe"]


def trial(phase, times, seed, *, cold=False, n=STANDARD_N):
    """Judge seeded runs of which those after are slower by ``times`` the phase's tolerance."""
    before = make_runs(n, seed=[seed, 0], cold=cold)
    base = measures_of(make_record(cold=cold))[phase]
    factor = 1.0 + times * tolerance_of(phase).as_share(base)
    after = make_runs(n, seed=[seed, 1], first=100, cold=cold, slower={phase: factor})
    return judge_runs(before, after)


@pytest.mark.parametrize("phase", [*INJECTED, "peak_memory"])
def test_twice_the_tolerance_is_found_and_named(phase):
    found = [trial(phase, 2.0, seed).regressions for seed in range(NUM_TRIALS)]
    named = [phase in regressions for regressions in found]
    assert sum(named) >= 19, found
    with_it = {phase, "step", "total"} if phase == "denoise" else {phase}
    assert all(set(regressions) <= with_it for regressions in found), found


@pytest.mark.parametrize("phase", ["load.transformer", "load.text_encoder", "load.vae"])
def test_twice_the_tolerance_of_loading_is_found_in_cold_runs(phase):
    found = [trial(phase, 2.0, seed, cold=True).regressions for seed in range(NUM_TRIALS)]
    assert sum(phase in regressions for regressions in found) >= 19, found


@pytest.mark.parametrize("phase", [*INJECTED, "peak_memory"])
def test_half_the_tolerance_is_never_a_regression(phase):
    found = [trial(phase, 0.5, seed) for seed in range(NUM_TRIALS)]
    assert all(verdict.outcome is Outcome.NO_CHANGE for verdict in found)
    assert all(verdict.of(phase).detectable > tolerance_of(phase).share for verdict in found)


@pytest.mark.parametrize("cold", [False, True])
def test_nothing_is_found_where_nothing_changed(cold):
    found = [trial("denoise", 0.0, seed, cold=cold) for seed in range(NUM_TRIALS)]
    assert all(verdict.outcome is Outcome.NO_CHANGE for verdict in found)


def test_a_slower_whole_is_found_from_five_runs_and_phases_are_not():
    before = make_runs(5, seed=1)
    after = make_runs(5, seed=2, first=100, slower={"denoise": 1.3})
    verdict = judge_runs(before, after)
    assert verdict.regressions == ("total",)
    whole, denoise = verdict.of("total"), verdict.of("denoise")
    assert whole.p_value == pytest.approx(2 / 252)
    assert whole.shift.interval.low > 0.10
    assert denoise.outcome is Outcome.INDICATIVE
    assert "5 + 5 runs, a verdict needs 7 + 7" in denoise.text
    assert verdict.finding.effect is Effect.REGRESSION
    assert verdict.finding.from_record == after[0].id


def test_an_improvement_is_the_regression_seen_from_the_other_side():
    slow = make_runs(7, seed=3, slower={"denoise": 1.25})
    fast = make_runs(7, seed=4, first=100)
    there, back = judge_runs(fast, slow), judge_runs(slow, fast)
    assert set(there.regressions) == set(back.improvements) == {"total", "step", "denoise"}
    assert not there.improvements
    assert not back.regressions
    assert back.outcome is Outcome.IMPROVEMENT
    assert back.finding.effect is Effect.IMPROVEMENT


def test_size_alone_and_significance_alone_are_no_verdict():
    # Twenty runs on each side see 4 % with certainty; the tolerance of the step is 5 %.
    small = judge_runs(
        make_runs(20, seed=5), make_runs(20, seed=6, first=100, slower={"denoise": 1.04})
    ).of("denoise")
    assert small.adjusted_p < 0.001
    assert small.outcome is Outcome.NO_CHANGE
    # Half as slow again at the middle, but so noisy that it may be chance.
    noisy = judge_values("total", [8.0, 9, 10, 11, 30], [9.0, 12, 15, 16, 31])
    assert noisy.shift.estimate > 0.10
    assert noisy.outcome is Outcome.NO_CHANGE
    assert "would have seen" in noisy.text


@pytest.mark.parametrize(("num_before", "num_after"), [(1, 1), (3, 3), (4, 9), (9, 4)])
def test_too_few_runs_are_indicative_however_slow(num_before, num_after):
    verdict = judge_runs(
        make_runs(num_before), make_runs(num_after, first=100, slower={"denoise": 9.0})
    )
    assert verdict.outcome is Outcome.INDICATIVE
    assert all(each.outcome is Outcome.INDICATIVE for each in verdict.measures)
    assert all(each.p_value is None for each in verdict.measures)
    assert "no verdict" in verdict.text
    assert verdict.finding.effect is Effect.NONE


def test_more_phases_than_the_runs_can_judge_leave_out_the_shortest():
    extra = {f"phase{index:02d}": 0.001 * (index + 1) for index in range(9)}

    def widened(records):
        return [replace(each, phases_s={**each.phases_s, **extra}) for each in records]

    verdict = judge_runs(
        widened(make_runs(7, seed=7)),
        widened(make_runs(7, seed=8, first=100, slower={"decode": 1.3})),
    )
    assert verdict.regressions == ("decode",)
    left_out = [m.measure for m in verdict.measures if m.outcome is Outcome.INDICATIVE]
    assert set(left_out) == set(sorted(extra)[: len(left_out)])
    assert left_out
    assert "more than 7 + 7 runs can judge" in verdict.of(left_out[0]).text


def test_waiting_in_the_queue_is_nobodys_regression():
    busy = make_runs(7, seed=9, first=100, slower={"queue_wait": 500.0})
    verdict = judge_runs(make_runs(7, seed=10), busy)
    assert verdict.outcome is Outcome.NO_CHANGE
    assert verdict.of("queue_wait") is None


def test_the_memory_of_the_process_is_shown_and_not_judged():
    before = make_runs(7, memory={"host_peak_bytes": 2_000_000_000})
    after = make_runs(7, first=100, memory={"host_peak_bytes": 3_000_000_000})
    assert measures_of(after[0])["host_memory"] == 3e9
    assert "peak_memory" not in measures_of(after[0])
    verdict = judge_runs(before, after)
    assert verdict.of("host_memory") is None
    assert verdict.outcome is Outcome.NO_CHANGE


def test_a_phase_that_only_one_side_has_is_told_and_not_judged():
    after = make_runs(7, seed=11, first=100)
    after = [replace(each, phases_s={**each.phases_s, "compile": 0.5}) for each in after]
    found = judge_runs(make_runs(7, seed=12), after).of("compile")
    assert (found.num_before, found.num_after) == (0, 7)
    assert found.outcome is Outcome.INDICATIVE
    assert (found.median_before, found.median_after) == (None, 0.5)


def test_a_few_milliseconds_are_no_regression():
    before = [replace(each, phases_s={**each.phases_s, "probe": 0.002}) for each in make_runs(9)]
    after = make_runs(9, first=100)
    after = [replace(each, phases_s={**each.phases_s, "probe": 0.006}) for each in after]
    found = judge_runs(before, after).of("probe")
    assert found.shift.estimate == pytest.approx(2.0)
    assert found.tolerance == pytest.approx(2.5)
    assert found.outcome is Outcome.NO_CHANGE


def test_contaminated_and_failed_runs_are_left_out_visibly():
    wild = make_record(50, slower={"denoise": 40.0}, flags=("throttled",))
    failed = make_record(51, is_success=False, failure="out_of_memory")
    verdict = judge_runs(make_runs(7, seed=13), [*make_runs(7, seed=14, first=100), wild, failed])
    assert verdict.outcome is Outcome.NO_CHANGE
    assert {each.id: each.reasons for each in verdict.left_out} == {
        wild.id: ("throttled",),
        failed.id: ("failed: out_of_memory",),
    }


def test_an_outlier_stays_in_and_is_told_of_where_it_matters():
    before = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02, 9.98]
    after = [13.0, 13.1, 12.9, 13.05, 12.95, 13.02, 13.03, 4.0, 3.9]
    found = judge_values("total", before, after)
    assert found.outcome is Outcome.NO_CHANGE
    assert found.outcome_without_outliers is Outcome.REGRESSION
    assert found.num_after == 9


def test_software_may_differ_and_is_named():
    after = make_runs(7, seed=15, first=100, environment=environment(torch="2.12"))
    verdict = judge_runs(make_runs(7, seed=16), after)
    assert [(each.field, each.before, each.after) for each in verdict.software] == [
        ("torch", "2.11", "2.12")
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "cold"}, "state of the weights (resident, cold)"),
        ({"compile_state": "compiled"}, "compile state (eager, compiled)"),
        ({"workload": {"preset": "balanced"}}, "preset (baseline, balanced)"),
        ({"environment": {"machine": {"gpu": "Other"}}}, "GPU (NVIDIA H200, Other)"),
    ],
)
def test_incomparable_runs_are_refused_by_name(fields, words):
    with pytest.raises(Incomparable) as caught:
        judge_runs(make_runs(5), make_runs(5, first=100, **fields))
    assert words in caught.value.message
    with pytest.raises(Incomparable):  # within one group too
        judge_runs([*make_runs(5), make_record(9, **fields)], make_runs(5, first=100))


def test_what_is_compared_may_differ():
    other = {**make_record().workload, "num_inference_steps": 18}
    after = make_runs(7, seed=18, first=100, workload=other, slower={"denoise": 18 / 25})
    verdict = judge_runs(make_runs(7, seed=17), after, varied={"num_inference_steps"})
    assert "denoise" in verdict.improvements
    assert [each.field for each in verdict.varied] == ["num_inference_steps"]
    with pytest.raises(Incomparable):
        judge_runs(make_runs(7), after, varied={"scheduler"})


def test_nothing_to_compare_is_refused():
    with pytest.raises(InvalidRequest, match="it is empty"):
        judge_runs([], make_runs(5))
    with pytest.raises(InvalidRequest, match="throttled"):
        judge_runs(make_runs(5), make_runs(5, first=100, flags=("throttled",)))
    with pytest.raises(InvalidRequest, match="in both groups"):
        judge_runs(make_runs(5), make_runs(5, first=4))


def test_imported_history_is_compared_with_itself_alone():
    imported = make_runs(7, seed=19, origin=Origin.IMPORTED)
    with pytest.raises(InvalidRequest, match="Imported history"):
        judge_runs(imported, make_runs(7, first=100))
    later = make_runs(7, seed=20, first=100, origin=Origin.IMPORTED, slower={"denoise": 1.5})
    assert "total" in judge_runs(imported, later).regressions


def test_the_same_runs_give_the_same_verdict_as_json():
    before, after = make_runs(7, seed=21), make_runs(7, seed=22, first=100)
    verdict = judge_runs(before, after)
    again = judge_runs(reversed(before), reversed(after))
    assert verdict.to_json() == again.to_json()
    text = json.dumps(verdict.to_json(), allow_nan=False)
    assert json.loads(text)["outcome"] == "no_change"


def test_every_phase_of_the_simulation_is_judged():
    verdict = judge_runs(make_runs(7, seed=23), make_runs(7, seed=24, first=100))
    judged = {each.measure for each in verdict.measures}
    assert judged == {*PHASES, "total", "step", "peak_memory"} - {"queue_wait"}


@pytest.mark.slow
def test_stable_pairs_have_no_verdict_and_power_grows_with_the_shift():
    """The figures of docs/guides/performance.md."""
    stable = [trial("denoise", 0.0, 1000 + seed).outcome for seed in range(300)]
    assert set(stable) == {Outcome.NO_CHANGE}
    found = {
        times: sum("denoise" in trial("denoise", times, 2000 + s).regressions for s in range(60))
        for times in (0.5, 1.0, 1.25, 1.5, 2.0)
    }
    assert found[0.5] == 0
    assert found[1.0] <= 4  # one in forty lies beyond a 95 % interval's end
    assert 30 <= found[1.25] <= 50
    assert found[1.5] >= 57
    assert found[2.0] == 60
