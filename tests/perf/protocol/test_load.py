from dataclasses import replace
from itertools import pairwise

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.protocol.load import (
    SKIPPED,
    SUCCEEDED,
    LoadPlan,
    Served,
    arrivals_of,
    report_load,
)
from ourvidz.perf.protocol.load_text import render_load
from ourvidz.perf.protocol.plan import PROMPTS, RunKind
from ourvidz.perf.protocol.results import empty_report
from tests.perf.protocol.runs import make_plan

PLAN = LoadPlan(rate_s=2.0, duration_s=500.0, deadline_s=3.0, job_types=("image_fast", "b"))


def served(index, latency_s, *, outcome=SUCCEEDED, job_type="image_fast"):
    return Served(
        index=index,
        job_type=job_type,
        at_s=float(index),
        sent_s=float(index),
        latency_s=latency_s,
        wait_s=None if latency_s is None else 0.5,
        outcome=outcome,
    )


def test_arrivals_are_poisson_and_the_same_for_a_seed():
    arrivals = arrivals_of(PLAN, PROMPTS)
    assert arrivals == arrivals_of(PLAN, PROMPTS)
    assert arrivals != arrivals_of(replace(PLAN, seed=8), PROMPTS)
    gaps = [b.at_s - a.at_s for a, b in pairwise(arrivals)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(0.5, rel=0.1)
    assert variance**0.5 == pytest.approx(mean, rel=0.1)  # exponential: both are equal
    assert {arrival.job_type for arrival in arrivals} == {"image_fast", "b"}


def test_only_what_ends_in_time_is_good():
    found = report_load(
        PLAN,
        [
            served(0, 2.0),
            served(1, 4.0),
            served(2, 3.0, job_type="b"),
            served(3, None, outcome="out_of_memory"),
            served(4, None, outcome=SKIPPED),
        ],
        elapsed_s=10.0,
    )
    whole, *each = found.figures
    assert (whole.arrived, whole.succeeded, whole.in_time) == (5, 3, 2)
    assert whole.goodput_s == pytest.approx(0.2)
    assert whole.failures == {"out_of_memory": 1, SKIPPED: 1}
    assert [figures.job_type for figures in each] == ["image_fast", "b"]
    assert found.most_under_way == 2
    assert whole.latency is not None
    assert (whole.latency.median, whole.latency.p90) == (3.0, None)  # too few for a percentile


def test_percentiles_come_with_enough_jobs():
    found = report_load(PLAN, [served(i, 1.0 + i / 100) for i in range(20)], elapsed_s=20.0)
    latency = found.figures[0].latency
    assert latency is not None
    assert latency.p95 is not None
    assert latency.p99 is None


def test_a_test_in_which_nothing_succeeds_is_told_too():
    found = report_load(PLAN, [served(0, None, outcome="refused:forbidden")], elapsed_s=1.0)
    plan = make_plan(kind=RunKind.LOAD, repeats=0)
    text = render_load(replace(empty_report(plan), details={"load": found.to_dict()}))
    assert "| refused:forbidden | 1 |" in text
    assert "| all | 1 | 0 (0% to 79%) | 0 |" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_s": 0.0},
        {"duration_s": -1.0},
        {"deadline_s": float("nan")},
        {"rate_s": 1e6},
        {"job_types": ()},
    ],
)
def test_what_can_not_be_offered_is_refused(wrong):
    with pytest.raises(InvalidRequest):
        replace(PLAN, **wrong)


def test_a_test_without_arrivals_is_refused():
    with pytest.raises(InvalidRequest, match="none comes"):
        arrivals_of(replace(PLAN, rate_s=0.001, duration_s=0.1), PROMPTS)
