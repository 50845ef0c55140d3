from dataclasses import replace

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.history import effect_of, judge_claims, shipped
from ourvidz.perf.protocol.compare import compare_sides, sides_of
from ourvidz.perf.protocol.plan import RunKind
from ourvidz.perf.protocol.results import empty_report
from ourvidz.perf.protocol.sweep import (
    Advice,
    cases_of_sweep,
    factors_of,
    judge_sweep,
    values_of,
    worse_outputs,
)
from ourvidz.perf.protocol.sweep_text import render_sweep
from ourvidz.perf.quality import OutputDifference
from tests.perf.protocol.runs import make_plan, make_run, np

OWN = {
    "num_inference_steps": "25",
    "scheduler": "unipc",
    "flow_shift": "5.0",
    "size": "480x832",
    "preset": "baseline",
    "negative_prompt": "on",
    "fidelity": "exact",
}
SAME = OutputDifference(psnr_db=52.0, ssim=0.999, largest=3, num_frames=81)
OTHER = OutputDifference(psnr_db=18.0, ssim=0.7, largest=255, num_frames=81)


def cases(*vary, is_grid=False, job_type="video_fast"):
    factors = factors_of(vary)
    return factors, cases_of_sweep(
        factors, job_type=job_type, preset="baseline", values={}, own=OWN, is_grid=is_grid
    )


def swept(*vary, slower=None, differences=None, repeats=7):
    """A sweep whose settings take factors of the preset's time, by case."""
    factors, found = cases(*vary)
    plan = make_plan(kind=RunKind.SWEEP, repeats=repeats, cases=found)
    rng = np.random.default_rng(1)
    runs = []
    for index, run in enumerate(plan.runs()):
        factor = (slower or {}).get(run.case.name, 1.0)
        request = {"num_inference_steps": 25, "scheduler": "unipc", "flow_shift": 5.0} | {
            name: value for name, value in run.case.values.items() if name != "negative_prompt"
        }
        made = make_run(
            run, index=index, rng=rng, slower={"denoise": factor}, body={"request": request}
        )
        runs.append(made)
    return plan, judge_sweep(
        plan.cases,
        runs,
        own=OWN,
        factors=factors,
        differences=differences or {},
        machine="a machine",
        source="a sweep",
    )


def test_one_factor_at_a_time_leaves_out_what_the_preset_has():
    _, found = cases("num_inference_steps=15,18,25", "scheduler=unipc,euler", "flow_shift=5,3")
    assert [case.name for case in found] == [
        "video_fast",
        "num_inference_steps=15",
        "num_inference_steps=18",
        "scheduler=euler",
        "flow_shift=3",
    ]
    assert found[1].values == {"num_inference_steps": 15}


def test_a_grid_has_every_combination():
    _, found = cases("num_inference_steps=15,25", "scheduler=unipc,euler", is_grid=True)
    assert [case.name for case in found] == [
        "video_fast",
        "num_inference_steps=15",
        "num_inference_steps=15,scheduler=euler",
        "scheduler=euler",
    ]
    assert found[2].factor == "num_inference_steps+scheduler"


def test_levels_become_parameters():
    assert values_of("size", "384x640") == {"width": 384, "height": 640}
    assert values_of("negative_prompt", "off") == {"negative_prompt": ""}
    assert values_of("flow_shift", "3") == {"flow_shift": 3.0}
    _, (_, case) = cases("preset=balanced")
    assert (case.preset, case.values) == ("balanced", {})


@pytest.mark.parametrize(
    "vary",
    [
        (),
        ("scheduler",),
        ("scheduler=",),
        ("seed=1,2",),
        ("speed=1",),
        ("scheduler=euler", "scheduler=dpm++"),
        ("scheduler=unipc",),  # nothing but the preset itself
        ("size=big",),
        ("num_inference_steps=few",),
        ("negative_prompt=maybe",),
    ],
)
def test_what_can_not_be_varied_is_refused(vary):
    with pytest.raises(InvalidRequest):
        cases(*vary)


def test_solver_and_shift_change_no_time_and_the_claims_of_2025_fall():
    _, found = swept("scheduler=unipc,euler", "flow_shift=5.0,3.0")
    assert {each.case for each in found.changes} == {
        "video_fast.scheduler.unipc-to-euler",
        "video_fast.flow_shift.5.0-to-3.0",
    }
    for change in found.changes:
        assert change.low is not None
        assert -2 < change.low < change.high < 2  # percent, at 1 % of noise
    verdicts = {claim["id"]: claim["verdict"] for claim in found.claims}
    assert verdicts == {
        "tradeoff_solver_unipc_euler": "wrong",
        "tradeoff_shift_5_3": "wrong",
    }
    assert all(
        each.reason == "it saves no time that matters, and the output is another"
        for each in found.settings[1:]
    )


@pytest.mark.parametrize(
    ("factor", "difference", "advice", "reason"),
    [
        (0.5, SAME, Advice.ADOPT, "it takes 45% less time, and the output stays the same"),
        (0.5, OTHER, Advice.TEST_FIRST, "the output is another: look at it"),
        (0.5, None, Advice.TEST_FIRST, "the output is another: look at it"),
        (1.5, SAME, Advice.AVOID, "longer"),
        (1.0, SAME, Advice.AVOID, "it saves no time that matters, and the output stays the same"),
    ],
)
def test_advice_weighs_time_against_output(factor, difference, advice, reason):
    name = "scheduler=euler"
    differences = {} if difference is None else {name: difference}
    _, found = swept("scheduler=euler", slower={name: factor}, differences=differences)
    setting = found.settings[1]
    assert setting.advice is advice
    assert reason in setting.reason


def test_outputs_that_are_worse_by_themselves_are_named():
    before = {"sharpness": 100.0, "flicker": 1.0, "frozen_frames": 0.0}
    after = {"sharpness": 60.0, "flicker": 2.0, "frozen_frames": 8.0}
    assert worse_outputs(before, before) == []
    assert worse_outputs(before, after) == [
        "sharpness falls by 40%",
        "flicker grows by 100%",
        "frozen frames appear",
    ]


def test_prompts_that_are_followed_less_are_named_once_it_is_beyond_chance():
    def followed(share, n):
        return {"follows_prompt": share, "prompts_judged": float(n)}

    assert worse_outputs(followed(1.0, 7), followed(5 / 7, 7)) == []
    assert worse_outputs(followed(1.0, 20), followed(0.5, 20)) == [
        "prompts are followed by 50% in place of 100%"
    ]
    assert worse_outputs({}, followed(0.0, 20)) == []


def test_of_two_runs_nothing_is_advised():
    _, found = swept("scheduler=euler", repeats=2, slower={"scheduler=euler": 0.5})
    assert found.settings[1].advice is Advice.TEST_FIRST
    assert "too few" in found.settings[1].reason
    assert found.changes[0].low is None


def test_the_first_level_is_compared_with_too():
    _, found = swept("negative_prompt=off,on")
    assert [(each.before, each.after) for each in found.changes] == [("on", "off"), ("off", "on")]


def test_a_sweep_is_told_in_full():
    plan, found = swept(
        "scheduler=unipc,euler",
        slower={"scheduler=euler": 0.5},
        differences={"scheduler=euler": SAME},
    )
    report = replace(empty_report(plan), details={"sweep": found.to_dict()})
    text = render_sweep(report)
    assert "| scheduler=euler | 7 |" in text
    assert "52.0 dB, SSIM 0.999 | adopt |" in text
    assert "## What was claimed in 2025" in text
    assert "* scheduler=euler ####" in text


def test_two_sides_are_compared_but_for_what_is_compared():
    plan = make_plan(cases=cases("scheduler=euler")[1])
    rng = np.random.default_rng(1)
    runs = [
        make_run(
            run,
            index=index,
            rng=rng,
            slower={"denoise": 0.5 if run.case.factor else 1.0},
            body={"request": {"scheduler": run.case.values.get("scheduler", "unipc")}},
        )
        for index, run in enumerate(plan.runs())
    ]
    (before,) = sides_of(runs, name="A", case=None).values()
    (after,) = sides_of(runs, name="A", case="scheduler=euler").values()
    refused = compare_sides(before, after, factors=(), difference=None)
    assert refused.outcome == "incomparable"
    assert "scheduler (unipc, euler)" in refused.text
    found = compare_sides(before, after, factors=("scheduler",), difference=SAME)
    assert found.outcome == "improvement"
    assert found.speed is not None
    assert found.speed.label == "faster"
    with pytest.raises(InvalidRequest, match="no runs of euler"):
        sides_of(runs, name="A", case="euler")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-15.3, 9.3, "not supported"), (-20.0, -10.0, "confirmed"), (-8.0, 1.0, "wrong")],
)
def test_a_claim_is_not_confirmed_by_an_interval_that_holds_zero_too(low, high, verdict):
    effect = effect_of(
        "video_fast.flow_shift.5.0-to-3.0",
        change=(low + high) / 2,
        low=low,
        high=high,
        n=7,
        machine="a machine",
        source="a sweep",
    )
    judged = {each.id: each for each in judge_claims(shipped().history, effects=[effect])}
    assert judged["tradeoff_shift_5_3"].verdict.value == verdict
