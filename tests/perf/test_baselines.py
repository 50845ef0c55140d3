"""Baselines: who counts, who is left out and why, and what is said from how many runs."""

import json
from dataclasses import replace

import pytest

from ourvidz.perf.baselines import BaselineStatus, baseline_of, baselines
from ourvidz.perf.decisions import Effect, Finding, Verb, decide
from ourvidz.perf.record import Origin
from ourvidz.perf.scoring import alarms
from ourvidz.perf.stats import summarize, wilson_interval
from tests.perf.simulated import BEGIN, ENVIRONMENT, environment, make_record, make_runs


def only(records, **options):
    (found,) = baselines(records, **options)
    return found


def accepted(records, first, effect=Effect.IMPROVEMENT):
    finding = Finding(
        id="c-1",
        series=only(records, measures=()).series,
        effect=effect,
        from_at=first.at,
        from_record=first.id,
        text="",
    )
    return decide(finding, Verb.ACCEPT, author="ada", note="new", decision_id="d1", now=BEGIN)


@pytest.mark.parametrize(
    ("n", "status"),
    [(1, "in_progress"), (4, "in_progress"), (5, "established"), (30, "established")],
)
def test_status_by_the_number_of_runs(n, status):
    assert only(make_runs(n)).status.value == status


def test_figures_are_those_of_the_statistics():
    runs = make_runs(12, seed=1)
    found = only(runs)
    totals = [run.run_s for run in runs]
    assert found.measures["total"] == summarize(totals)
    assert found.measures["denoise"] == summarize([run.phases_s["denoise"] for run in runs])
    assert found.measures["step"].n == found.measures["peak_memory"].n == 12
    assert found.measures["total"].p90 is not None
    assert found.measures["total"].p95 is None
    assert found.runs == tuple(run.id for run in runs)


def test_the_whole_job_is_told_without_its_wait_in_the_queue():
    record = make_record()
    summary = only([record]).measures["total"]
    assert summary.median == pytest.approx(record.total_s - record.phases_s["queue_wait"])


def test_what_does_not_count_is_listed_with_its_reasons():
    runs = make_runs(5)
    hot = make_record(10, flags=("throttled", "foreign process"), slower={"denoise": 9})
    dead = make_record(11, is_success=False, failure="crashed", total_s=None)
    unknown = make_record(12, total_s=None)
    found = only([*runs, hot, dead, unknown])
    assert found.n == 5
    assert {each.id: each.reasons for each in found.left_out} == {
        hot.id: ("throttled", "foreign process"),
        dead.id: ("failed: crashed",),
        unknown.id: ("not measured",),
    }
    assert found.measures["total"].maximum < 40


def test_an_outlier_is_flagged_and_counted():
    found = only([*make_runs(9, seed=2), make_record(10, slower={"denoise": 5.0})])
    assert found.n == found.measures["total"].n == 10
    assert "job_0010" in found.outliers["total"]
    assert "job_0010" in found.outliers["denoise"]


def test_imported_records_never_count():
    own = make_runs(5)
    imported = make_runs(8, first=100, origin=Origin.IMPORTED)
    history, mine = baselines([*own, *imported])
    assert (mine.n, mine.is_history, mine.left_out) == (5, False, ())
    assert (history.n, history.is_history) == (0, True)
    assert history.status is BaselineStatus.PENDING
    assert not history.measures
    assert {each.reasons for each in history.left_out} == {("imported",)}


def test_states_presets_and_machines_never_mix_but_software_does():
    runs = [
        *make_runs(3),
        *make_runs(2, first=10, cold=True),
        *make_runs(2, first=20, compile_state="compiled"),
        *make_runs(2, first=30, workload={"preset": "balanced"}),
        *make_runs(2, first=40, environment={"machine": {"gpu": "Other"}}),
        *make_runs(2, first=50, environment=environment(torch="2.12")),
    ]
    found = baselines(runs)
    assert sorted(each.n for each in found) == [2, 2, 2, 2, 5]
    assert found[0].last_at == max(run.at for run in runs)
    assert len({each.id for each in found}) == 5


def test_success_is_counted_over_all_states_and_cancelled_jobs_are_not():
    lost = [
        make_record(20 + i, state="unknown", is_success=False, failure="crashed", total_s=None)
        for i in range(2)
    ]
    cancelled = make_record(30, is_success=False, failure="cancelled", total_s=None)
    refused = make_record(31, flags=("enhancement_refused",))
    found = only([*make_runs(7), *lost, cancelled, refused])
    assert (found.success.successes, found.success.n) == (7, 10)
    assert found.success.interval == wilson_interval(7, 10)
    assert found.n == 7


def test_where_nothing_ever_succeeded_it_is_still_there():
    dead = make_runs(3, is_success=False, failure="crashed", total_s=None, state="unknown")
    found = only(dead)
    assert (found.n, found.status) == (0, BaselineStatus.PENDING)
    assert found.success.share == 0.0


def test_an_accepted_improvement_begins_a_new_baseline():
    old, new = make_runs(8, seed=3), make_runs(6, seed=4, first=50, slower={"denoise": 0.8})
    decision = accepted([*old, *new], new[0])
    found = only([*old, *new], decisions=[decision])
    assert found.status is BaselineStatus.OPTIMISED
    assert found.runs == tuple(run.id for run in new)
    assert found.begins_with == decision
    assert {each.reasons for each in found.left_out} == {("before the change accepted by ada",)}
    few = only([*old, *new[:3]], decisions=[decision])
    assert few.status is BaselineStatus.IN_PROGRESS


def test_an_accepted_regression_begins_one_too_and_optimises_nothing():
    old, new = make_runs(8), make_runs(6, first=50)
    decision = accepted([*old, *new], new[0], Effect.REGRESSION)
    found = only([*old, *new], decisions=[decision])
    assert (found.status, found.n) == (BaselineStatus.ESTABLISHED, 6)


def test_accepting_a_later_change_undoes_no_earlier_one():
    """The fix came with other model files: the group before it stays as it was accepted."""
    old, slow = make_runs(60, seed=1), make_runs(60, seed=2, first=60, slower={"denoise": 1.3})
    first = accepted([*old, *slow], slow[0], Effect.REGRESSION)
    files = ENVIRONMENT | {"setup": ENVIRONMENT["setup"] | {"model_files": {"wan": "bbbb"}}}
    fixed = make_runs(20, seed=3, first=120, environment=files)
    finding = replace(first.finding, id="c-2", from_at=fixed[0].at, from_record=fixed[0].id)
    second = decide(finding, Verb.ACCEPT, author="ada", note="fix", decision_id="d2", now=BEGIN)
    records, decisions = [*old, *slow, *fixed], [first, second]
    newer, older = baselines(records, decisions=decisions, measures=())
    assert (newer.begins_with, newer.n) == (second, 20)
    assert (older.begins_with, older.n) == (first, 60)
    assert alarms(records, decisions=decisions) == ()
    assert older == only([*old, *slow], decisions=[first], measures=())


def test_the_baseline_of_a_record():
    runs = [*make_runs(5), *make_runs(3, first=10, cold=True)]
    assert baseline_of(runs[-1], runs).n == 3
    assert baseline_of(make_record(9, state="warm"), runs) is None


def test_json_holds_no_number_that_is_none():
    body = only(make_runs(6, seed=5)).to_json()
    assert json.loads(json.dumps(body, allow_nan=False))["n"] == 6
    assert "records" not in body


def test_order_of_records_changes_nothing():
    runs = make_runs(9, seed=6)
    assert only(runs).to_json() == only(runs[::-1]).to_json()
    assert only([replace(run) for run in runs]).id == only(runs).id
