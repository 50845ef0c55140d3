from dataclasses import replace

import pytest

from ourvidz.perf.protocol.hints import hints_of, next_tests
from ourvidz.perf.protocol.judge import (
    Reference,
    failures_of,
    groups_of,
    outcome_of,
    quality_of,
    store_reference,
    verdicts_of,
)
from ourvidz.perf.protocol.results import empty_report
from ourvidz.perf.protocol.text import render_report
from ourvidz.perf.record import Origin
from tests.perf.protocol.runs import make_plan, make_runs

PLAN = make_plan("video_fast", "image_fast")


def reference(**fields):
    records = [run.record for run in make_runs(PLAN, seed=2, first=100, **fields)]
    return Reference(kind="protocol", name="run before", records=records)


def test_a_group_holds_its_figures_and_shares_that_add_up():
    groups = groups_of(PLAN, make_runs(PLAN))
    assert [group["case"] for group in groups] == ["video_fast", "image_fast"]
    for group in groups:
        assert group["n"] == 7
        assert sum(group["shares"].values()) == pytest.approx(1.0)
        assert group["quality"] == {"outputs": 7.0, "num_frames": 81.0, "sharpness": 120.0}


def test_of_prompts_followed_it_is_the_share_of_what_could_be_judged():
    runs = make_runs(PLAN)[:4]
    shown = [{"follows_prompt": True}, {"follows_prompt": False}, {"follows_prompt": True}, {}]
    marked = [replace(run, quality=(each,)) for run, each in zip(runs, shown, strict=True)]
    assert quality_of(marked) == {
        "outputs": 4.0,
        "follows_prompt": pytest.approx(2 / 3),
        "prompts_judged": 3.0,
    }


def test_equal_runs_show_no_change():
    verdicts = verdicts_of(PLAN, make_runs(PLAN), reference())
    assert {each["outcome"] for each in verdicts} == {"no_change"}
    assert outcome_of(verdicts) == "no_change"


def test_a_slower_phase_is_a_regression_and_named():
    verdicts = verdicts_of(PLAN, make_runs(PLAN, slower={"decode": 1.4}), reference())
    assert outcome_of(verdicts) == "regression"
    assert all(each["regressions"] == ["decode"] for each in verdicts)


def test_without_a_baseline_nothing_is_said():
    verdicts = verdicts_of(PLAN, make_runs(PLAN), None)
    assert {each["text"] for each in verdicts} == {"no baseline"}
    assert outcome_of(verdicts) == "none"


def test_three_runs_allow_no_verdict():
    plan = make_plan("video_fast", repeats=3)
    verdicts = verdicts_of(plan, make_runs(plan, slower={"decode": 9.0}), reference())
    assert outcome_of(verdicts) == "indicative"


def test_another_machine_is_refused_by_name():
    body = {"environment": {"machine": {"device": "cuda", "gpu": "NVIDIA H100"}}}
    verdicts = verdicts_of(PLAN, make_runs(PLAN), reference(body=body))
    assert outcome_of(verdicts) == "incomparable"
    assert "GPU (NVIDIA H100, NVIDIA H200)" in verdicts[0]["text"]


def test_the_stores_baseline_is_of_earlier_protocol_runs_through_the_same_door():
    records = [run.record for run in make_runs(PLAN)]
    mine = {record.id for record in records[:2]}
    found = store_reference(records, source="cli", without=mine)
    assert found is not None
    assert {record.id for record in found.records} == {r.id for r in records} - mine
    assert store_reference(records, source="api", without=frozenset()) is None
    live = [replace(record, origin=Origin.LIVE) for record in records]
    assert store_reference(live, source="cli", without=frozenset()) is None
    assert store_reference(records[:4], source="cli", without=frozenset()) is None


def rules_of(**phases_s):
    body = {"phases_s": phases_s, "total_s": sum(phases_s.values())}
    runs = make_runs(make_plan(), body=body)
    return {hint.rule: hint for hint in hints_of(groups_of(make_plan(), runs))}


def test_a_hint_gives_its_evidence():
    hints = rules_of(denoise=3.8, **{"load.transformer": 6.2})
    assert hints.keys() == {"load_share"}
    assert hints["load_share"].text.startswith("load is 62% of the total, most of it")
    assert hints["load_share"].evidence["share"] == pytest.approx(0.62)


@pytest.mark.parametrize(
    ("phases_s", "rule"),
    [
        ({"denoise": 7.0, "decode": 3.0}, "decode_share"),
        ({"denoise": 6.0, "enhance.run": 4.0}, "enhance_share"),
        ({"denoise": 8.0, "save": 1.0, "upload": 1.0}, "files_share"),
    ],
)
def test_each_rule_finds_its_share(phases_s, rule):
    assert rules_of(**phases_s).keys() == {rule}


def test_nothing_stands_out_of_a_job_that_denoises():
    assert rules_of(denoise=9.0, decode=1.0) == {}


def test_warm_ups_tell_what_a_cold_start_costs():
    warm_up = replace(
        make_runs(make_plan(repeats=1), body={"phases_s": {"load.transformer": 12.0}})[0],
        is_warm_up=True,
    )
    (hint,) = hints_of([], [warm_up])
    assert hint.rule == "cold_start"
    assert "12.0 s" in hint.text


def test_what_to_test_next_follows_from_what_was_found():
    runs = make_runs(PLAN, slower={"decode": 1.4})
    groups, verdicts = groups_of(PLAN, runs), verdicts_of(PLAN, runs, reference())
    found = next_tests(
        PLAN, groups, verdicts, all_job_types=("video_fast", "video_high"), status="interrupted"
    )
    commands = [each.command for each in found]
    assert commands[0] == f"ourvidz bench run --resume {PLAN.id}"
    assert "ourvidz perf trend --job-type video_fast" in commands
    assert any("--job-types video_high" in command for command in commands)
    assert any("--vary num_inference_steps=15,19,25" in command for command in commands)


def test_a_report_is_told_in_full():
    runs = make_runs(PLAN, slower={"decode": 1.4})
    verdicts = verdicts_of(PLAN, runs, reference())
    report = replace(
        empty_report(PLAN),
        outcome=outcome_of(verdicts),
        groups=tuple(groups_of(PLAN, runs)),
        verdicts=tuple(verdicts),
        failures=tuple(failures_of([replace(runs[0], error="out of | memory")])),
    )
    text = render_report(report)
    assert "**regression**" in text
    assert "- `decode`: regression: +40" in text
    assert "| run before (n = 7) |" in text
    assert "out of \\| memory" in text


def test_peaks_of_processes_that_held_other_models_are_not_compared():
    def memory(peak, weights):
        return {"memory": {"device_peak_allocated_bytes": peak, "weights_bytes": weights}}

    grown = make_runs(PLAN, body=memory(20_000_000_000, 5_000_000_000))
    alike = reference(body=memory(14_000_000_000, 5_000_000_000))
    assert verdicts_of(PLAN, grown, alike)[0]["regressions"] == ["peak_memory"]
    fewer = reference(body=memory(14_000_000_000, 1_000_000_000))
    (found, _) = verdicts_of(PLAN, grown, fewer)
    assert found["outcome"] == "no_change"
    assert "held 0.93 and 4.66 GiB of weights" in found["text"]
