import json

import pytest

from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.perf.protocol.plan import (
    PROMPTS,
    SUITES,
    cases_of_run,
    find_suite,
    plan_from,
    remaining,
)
from tests.perf.protocol.runs import make_plan

NAMES = ("image_fast", "video_fast", "sdxl_image_fast")


def test_the_suites_have_the_repeats_that_their_verdicts_need():
    assert {name: suite.repeats for name, suite in SUITES.items()} == {
        "quick": 3,
        "standard": 7,
        "full": 10,
    }


def test_every_round_holds_every_case_once_in_an_order_of_its_own():
    runs = make_plan(*NAMES).runs()
    rounds = [[run.case.name for run in runs if run.repeat == n] for n in range(1, 8)]
    assert all(sorted(each) == sorted(NAMES) for each in rounds)
    assert [run.repeat for run in runs] == sorted(run.repeat for run in runs)
    assert len({tuple(each) for each in rounds}) > 1


def test_the_same_seed_gives_the_same_order_and_another_another():
    orders = [[run.key for run in make_plan(*NAMES, seed=seed).runs()] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_prompts_and_seeds_are_fixed_by_repeat():
    runs = make_plan(*NAMES, repeats=10).runs()
    for run in runs:
        assert run.prompt == PROMPTS[run.repeat - 1]
        assert run.seed == 7000 + run.repeat
    assert len(set(PROMPTS)) == 10


def test_a_plan_survives_being_written_and_read():
    plan = make_plan(*NAMES)
    assert plan_from(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    "broken",
    [None, [], {}, {"schema": 2}, {"schema": 1}, {"schema": 1, "kind": "dance", "cases": []}],
)
def test_what_is_no_plan_is_refused(broken):
    with pytest.raises(InvalidRequest):
        plan_from(broken)


def test_what_ended_is_not_run_again():
    plan = make_plan(*NAMES)
    done = [run.key for run in plan.runs()[:4]]
    assert [run.key for run in remaining(plan, done)] == [run.key for run in plan.runs()[4:]]


def test_unknown_names_are_refused_with_a_hint():
    with pytest.raises(UnknownName, match="standart") as error:
        find_suite("standart")
    assert "standard" in (error.value.hint or "")
    with pytest.raises(InvalidRequest):
        cases_of_run(["image_fast", "image_fast"], preset="baseline", values={})
