"""One answer to how many jobs succeeded: a refused enhancement fails no job and is no success."""

from dataclasses import replace

import pytest

from ourvidz.perf.baselines import baselines
from ourvidz.perf.optimisations import Measure, measure_records
from ourvidz.perf.report.collect import metrics_of
from ourvidz.perf.rollouts import compare_rollouts
from tests.perf.simulated import make_record, make_runs

NOTE = {"rollout": {"name": "fewer", "arm": "treatment", "changes": []}}
CANCELLED = {"is_success": False, "failure": "cancelled", "total_s": None}


def whole_table(records):
    (found,) = {each.success for each in baselines(records)}
    return found.successes, found.n


def whole_report(records):
    found = metrics_of(records).success
    return found.successes, found.n


def goal(records):
    found = measure_records(records, Measure(kind="success_rate"))
    return round(found.value * found.n / 100), found.n


def rollout(records):
    (found,) = compare_rollouts([replace(each, settings=NOTE) for each in records])
    return found.treatment.success.successes, found.treatment.success.n


@pytest.mark.parametrize("told", [whole_table, whole_report, goal, rollout])
@pytest.mark.parametrize("code", ["enhancement_refused", "enhancement_failed"])
def test_an_unusable_enhancement_is_no_clean_run_wherever_success_is_told(told, code):
    records = [
        *make_runs(7),
        make_record(10, flags=("throttled",)),  # disturbed, and a success
        make_record(11, flags=(code,)),
        make_record(12, is_success=False, failure=code, total_s=None),
        make_record(13, **CANCELLED),
    ]
    assert told(records) == (8, 10)


def test_the_report_counts_answers_that_were_no_prompts():
    records = [
        *make_runs(3),
        make_record(10, flags=("enhancement_refused",)),
        make_record(11, flags=("enhancement_failed",)),
        make_record(12, is_success=False, failure="enhancement_failed", total_s=None),
    ]
    assert metrics_of(records).refusals == 3
