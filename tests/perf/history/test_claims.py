import pytest

from ourvidz.perf.history import Effect, Verdict, case_of, effect_of, judge_claims
from ourvidz.perf.history.claims import success_rate
from ourvidz.perf.history.evidence import change_between
from ourvidz.perf.history.judgement import is_same, subsets_behind
from ourvidz.perf.stats import Interval


@pytest.fixture(scope="module")
def judged(history):
    return {claim.id: claim for claim in judge_claims(history)}


def of(claim):
    return {figure.name: figure for figure in claim.figures}


def entry(content, label):
    return next(record for record in content["records"] if record["label"] == label)


def test_every_claim_is_judged_and_says_why(judged, history):
    assert list(judged) == [claim.id for claim in history.claims]
    assert len(judged) == 19
    for claim in judged.values():
        assert claim.reason.endswith(".")
        assert claim.figures


def test_three_values_stand_for_one_mean(judged):
    claim = judged["video_fast_mean"]
    first, second, third, cold, warm = claim.figures
    assert (first.stated, second.stated, third.stated) == (241.4, 251.5, 262.0)
    assert first.recomputed == pytest.approx(241.475)
    assert second.recomputed == pytest.approx(251.5333, abs=1e-4)
    assert third.recomputed == pytest.approx(262.0)
    assert (first.n, first.is_mixed, first.states) == (4, True, ("cold", "warm"))
    assert first.interval is not None
    assert first.interval.low < 241.475 < first.interval.high
    assert third.interval is None
    assert (cold.n, cold.recomputed) == (1, 297.3)
    assert (warm.n, warm.recomputed) == (3, pytest.approx(222.8667, abs=1e-4))
    assert claim.verdict is Verdict.WRONG
    assert claim.is_mixed
    assert "241.475" in claim.reason


def test_the_record_left_out_is_found(judged):
    assert "runs 4, 10 alone" in judged["video7b_fast_mean"].reason
    high = judged["video7b_high_mean"]
    assert "run 5 alone, a refusal" in high.reason
    assert of(high)["warm only"].recomputed == 378.8  # without the refusal


def test_sixteen_percent_is_refused_with_its_reason(judged):
    claim = judged["job9_improvement"]
    assert claim.verdict is Verdict.REFUSED
    assert claim.figures[0].recomputed == pytest.approx(-15.9952, abs=1e-4)
    assert "warm is set against cold and warm" in claim.reason
    assert "one against three allows no verdict" in claim.reason
    assert claim.figures[1].recomputed == pytest.approx(-7.5880, abs=1e-4)


def test_shares_of_the_first_job(judged):
    claim = judged["job1_shares"]
    assert [round(figure.recomputed) for figure in claim.figures[:3]] == [44, 51, 1]
    assert [figure.stated for figure in claim.figures[:3]] == [70, 25, 5]
    assert of(claim)["without a name"].recomputed == pytest.approx(4.137, abs=1e-3)
    assert claim.verdict is Verdict.WRONG


def test_enhancement_was_not_compared_with_a_cached_one(judged):
    claim = judged["enhance_overhead_cold"]
    assert claim.verdict is Verdict.REFUSED
    assert "run 4 holds 30.4 s of enhance.load" in claim.reason
    assert "phases of run 10 exceed its total" in claim.reason


def test_warm_against_cold_is_refused_and_turns_round_within_a_state(judged):
    claim = judged["high_faster_than_fast"]
    assert claim.verdict is Verdict.REFUSED
    assert claim.figures[0].recomputed == pytest.approx(29.38, abs=0.01)
    assert claim.figures[1].recomputed == pytest.approx(-39.63, abs=0.01)
    assert "39.6 % more" in claim.reason


def test_fifty_steps_against_twenty_five(judged):
    claim = judged["step_50_vs_25"]
    assert claim.verdict is Verdict.WRONG
    assert "run 5 is a refusal" in claim.reason
    assert claim.figures[2].recomputed == pytest.approx(61.397, abs=1e-3)


def test_targets_are_recomputed_from_roadmap_and_goal(judged, parse, content):
    assert [round(f.recomputed, 1) for f in judged["preload_target"].figures] == [42.7, 76.9]
    content["roadmap"][0]["target"] = "65 s"
    changed = {claim.id: claim for claim in judge_claims(parse(content))}
    assert changed["preload_target"].figures[1].recomputed == pytest.approx(50.0)


def test_variance_against_estimates(judged):
    figures = of(judged["matrix_variance"])
    assert figures["video_high"].verdict is Verdict.NOT_SUPPORTED  # one run
    assert figures["image7b_fast_enhanced"].recomputed == pytest.approx(168.39, abs=0.01)
    assert figures["video_fast"].verdict is Verdict.WRONG
    assert "run 5 alone" in figures["video7b_high_enhanced"].note
    assert figures["sdxl_image_fast"].verdict is Verdict.UNMEASURABLE
    assert figures["sdxl_image_fast"].recomputed is None


def test_coverage_is_counted(judged):
    claim = judged["coverage"]
    assert [figure.recomputed for figure in claim.figures] == [70.0, 70.0]
    assert [figure.stated for figure in claim.figures] == ["10 %", "1/10"]
    assert claim.verdict is Verdict.WRONG


def test_options_contradict_themselves(judged):
    claim = judged["option_times"]
    assert claim.verdict is Verdict.WRONG
    assert of(claim)["baseline"].recomputed == 211.3
    assert "outside the promise of 120 to 150 s" in of(claim)["balanced"].note


def test_fewer_steps_can_save_no_more_than_denoising(judged):
    claim = judged["tradeoff_steps_25_18"]
    assert claim.verdict is Verdict.WRONG
    assert of(claim)["if all was denoising"].recomputed == pytest.approx(28.0)
    assert of(claim)["of run 3"].recomputed == pytest.approx(100 * 7 * 5.29 / 230.6)


@pytest.mark.parametrize(
    ("claim", "setting"),
    [
        ("tradeoff_solver_unipc_euler", "--vary scheduler=unipc,euler"),
        ("tradeoff_shift_5_3", "--vary flow_shift=5.0,3.0"),
        ("tradeoff_frames_83_64", "--vary num_frames=81,61"),
        ("negative_prompt_cost", "--vary negative_prompt=off,on"),
    ],
)
def test_what_needs_a_sweep_names_the_command(judged, claim, setting):
    assert judged[claim].verdict is Verdict.NOT_MEASURED
    assert setting in judged[claim].reason


def effect(factor, before, after, change, low, high, n=7):
    case = case_of(job_type="video_fast", factor=factor, before=before, after=after)
    found = effect_of(
        case, change=change, low=low, high=high, n=n, machine="a card", source="sweep.json"
    )
    assert found is not None
    return found


def test_a_sweep_decides(history):
    effects = [
        effect("scheduler", "UniPC", "Euler", -0.1, -0.9, 0.6),
        effect("flow_shift", 5, 3.0, 0.04, -0.5, 0.7),
        effect("num_frames", 81, 61, -26.0, -27.0, -24.0),
        effect("num_inference_steps", 25, 18, -27.0, -28.0, -26.0),
        effect("negative_prompt", "off", "on", 3.1, 2.6, 3.4),
        effect("size", "480x832", "384x640", -30.0, None, None, n=2),
    ]
    judged = {claim.id: claim for claim in judge_claims(history, effects=effects)}
    solver = judged["tradeoff_solver_unipc_euler"]
    assert solver.verdict is Verdict.WRONG
    assert solver.figures[0].recomputed == pytest.approx(0.1)
    assert (solver.figures[0].n, solver.figures[0].note) == (7, "measured: sweep.json")
    assert solver.figures[0].interval == Interval(low=-0.6, high=0.9, level=0.95)
    assert "a solver makes no step dearer" in solver.reason
    assert judged["tradeoff_shift_5_3"].verdict is Verdict.WRONG
    assert judged["tradeoff_frames_83_64"].verdict is Verdict.CONFIRMED
    assert judged["tradeoff_steps_25_18"].verdict is Verdict.WRONG
    assert judged["negative_prompt_cost"].verdict is Verdict.CONFIRMED
    assert judged["tradeoff_resolution_480_384"].verdict is Verdict.NOT_SUPPORTED


def test_a_later_sweep_counts_and_other_job_types_do_not(history):
    first = effect("scheduler", "unipc", "euler", -20.0, -21.0, -19.0)
    second = effect("scheduler", "unipc", "euler", 0.0, -1.0, 1.0)
    other = Effect(
        job_type="video_high",
        factor="scheduler",
        before="unipc",
        after="euler",
        change=-25.0,
        interval=None,
        n=7,
        machine="a card",
        source="x.json",
    )
    judged = {c.id: c for c in judge_claims(history, effects=[first, second, other])}
    assert judged["tradeoff_solver_unipc_euler"].figures[0].recomputed == 0.0


def test_cases_of_no_change_are_no_effects():
    assert effect_of("video_fast", change=1, low=0, high=2, n=3, machine="m", source="s") is None
    change, interval = change_between([10.0] * 5, [9.0] * 5)
    assert change == pytest.approx(-10.0)
    assert interval is not None


# ------------------------------------------------------------------ nothing of it is typed by hand


def test_other_seconds_give_other_findings(parse, content):
    entry(content, "9")["total_s"] = 250.0
    content["claims"][0]["stated"] = [251.1, 251.2]
    judged = {claim.id: claim for claim in judge_claims(parse(content))}
    assert judged["job9_improvement"].verdict is Verdict.WRONG
    assert judged["job9_improvement"].figures[0].recomputed == pytest.approx(-0.6096, abs=1e-4)
    # The recipe has three groups of runs, the claim two values by now.
    assert judged["video_fast_mean"].verdict is Verdict.UNMEASURABLE


def test_true_shares_are_confirmed(parse, content):
    claim = next(claim for claim in content["claims"] if claim["id"] == "job1_shares")
    claim["stated"] = [44, 51, 1]
    judged = {claim.id: claim for claim in judge_claims(parse(content))}
    assert judged["job1_shares"].verdict is Verdict.CONFIRMED


def test_enough_runs_in_one_state_confirm_a_change(parse, content):
    for index in range(5):
        for day, seconds in (("2025-07-06", 100 + index), ("2025-07-07", 80 + index)):
            content["records"].append(
                {
                    "job_type": "image_fast",
                    "label": f"{day}/{index}",
                    "date": day,
                    "state": "warm",
                    "total_s": seconds,
                    "ok": True,
                }
            )
    labels = {day: [f"{day}/{i}" for i in range(5)] for day in ("2025-07-06", "2025-07-07")}
    recipe = {
        "kind": "change",
        "of": [{"after": labels["2025-07-07"], "before": labels["2025-07-06"]}],
    }
    content["claims"] = [{"id": "own", "stated": [-19.6], "recipe": recipe}]
    (claim,) = judge_claims(parse(content))
    assert claim.verdict is Verdict.CONFIRMED
    assert claim.figures[0].interval is not None


def test_a_record_that_is_gone_makes_a_claim_unmeasurable(parse, content):
    content["records"] = [r for r in content["records"] if r["label"] != "9"]
    judged = {claim.id: claim for claim in judge_claims(parse(content))}
    for name in ("video_fast_mean", "job9_improvement", "step_50_vs_25"):
        assert judged[name].verdict is Verdict.UNMEASURABLE
        assert "no record 9" in judged[name].reason


def test_a_claim_without_a_recipe_says_so(parse, content):
    content["claims"] = [{"id": "own", "stated": ["twice as fast"]}]
    (claim,) = judge_claims(parse(content))
    assert claim.verdict is Verdict.UNMEASURABLE
    assert "recipe" in claim.reason


def test_successes_are_recounted(history, parse, content):
    assert success_rate(history) == (16, 16, 15)
    entry(content, "5")["doubt"] = "nothing"
    assert success_rate(parse(content)) == (16, 16, 16)
    entry(content, "2")["failure"] = "out_of_memory"
    assert success_rate(parse(content)) == (16, 16, 15)


@pytest.mark.parametrize(
    ("stated", "value", "expected"),
    [
        (241.4, 241.475, True),  # cut off
        (241.5, 241.475, True),  # rounded
        (241.3, 241.475, False),
        (262.0, 262.4, True),  # whole
        (262.0, 263.0, False),
        (-16.0, -15.995, True),
        (-16.0, 15.995, False),
        (33.0, 33.66, True),
        (200.0, 199.47, True),  # tens
        (200.0, 189.0, False),
        (70.0, 43.7, False),
    ],
)
def test_when_a_stated_figure_is_the_recomputed_one(stated, value, expected):
    assert is_same(stated, value) is expected


def test_the_runs_behind_a_mean():
    values = [("a", 10.0), ("b", 20.0), ("c", 40.0)]
    assert subsets_behind(15.0, values) == (("a", "b"),)
    assert subsets_behind(23.3, values) == (("a", "b", "c"),)
    assert subsets_behind(99.0, values) == ()
    assert subsets_behind(1.0, [(str(i), 1.0) for i in range(13)]) == ()
