"""Both sides of a rollout on live traffic: compared where all else is alike, and only there."""

import json
from dataclasses import replace

from ourvidz.perf.rollouts import compare_rollouts
from ourvidz.perf.verdicts import Outcome
from tests.perf.simulated import WORKLOAD, make_record, make_runs


def side(arm, runs, *, steps=25, name="fewer", **workload):
    return [
        replace(
            each,
            id=f"{each.id}-{arm}",
            workload={**WORKLOAD, "num_inference_steps": steps, **workload},
            settings={
                "rollout": {"name": name, "arm": arm, "changes": ["num_inference_steps"]},
            },
        )
        for each in runs
    ]


def both(n, *, factor=0.72):
    return [
        *side("control", make_runs(n, seed=1)),
        *side("treatment", make_runs(n, seed=2, slower={"denoise": factor}), steps=18),
    ]


def test_enough_runs_have_a_verdict():
    (found,) = compare_rollouts(both(8))
    assert (found.name, found.job_type) == ("fewer", "video_fast")
    (pair,) = found.pairs
    assert (pair.n_control, pair.n_treatment) == (8, 8)
    assert pair.verdict.outcome is Outcome.IMPROVEMENT
    assert {"total", "denoise"} <= set(pair.verdict.improvements)
    assert found.control.success.n == 8
    json.dumps(found.to_json(), allow_nan=False)


def test_no_difference_is_no_verdict_and_few_are_indicative():
    (found,) = compare_rollouts(both(8, factor=1.0))
    assert found.pairs[0].verdict.outcome is Outcome.NO_CHANGE
    (found,) = compare_rollouts(both(3))
    assert found.pairs[0].verdict.outcome is Outcome.INDICATIVE


def test_what_differs_in_more_is_not_compared():
    wide = side("treatment", make_runs(6, seed=3), steps=18, width=640)
    cold = side("treatment", make_runs(6, seed=4, first=20, cold=True), steps=18)
    (found,) = compare_rollouts([*side("control", make_runs(6, seed=1)), *wide, *cold])
    assert found.pairs == ()
    assert "No comparable runs" in found.text
    assert found.treatment.jobs == 12


def test_failures_count_for_success_and_not_for_speed():
    failed = side(
        "treatment", [make_record(90, is_success=False, failure="out_of_memory")], steps=18
    )
    (found,) = compare_rollouts([*both(6), *failed])
    assert (found.treatment.jobs, found.treatment.clean) == (7, 6)
    assert found.treatment.success.successes == 6


def test_each_rollout_stands_alone_and_others_records_are_passed_over():
    second = [
        replace(each, settings={"rollout": {**each.settings["rollout"], "name": "second"}})
        for each in both(5)
    ]
    broken = replace(make_record(99), settings={"rollout": {"name": "x", "arm": "neither"}})
    found = compare_rollouts([*both(5), *second, *make_runs(5), broken])
    assert sorted(each.name for each in found) == ["fewer", "second"]
    assert all(each.control.jobs == 5 for each in found)
