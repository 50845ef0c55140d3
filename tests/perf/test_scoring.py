"""Live jobs against their prediction interval; three of five; the installation's alarms."""

import json

import pytest

from ourvidz.perf.decisions import Effect, Finding, Verb, decide
from ourvidz.perf.scoring import alarms, score_job, watches
from ourvidz.perf.stats import Direction, Score, prediction_interval
from tests.perf.simulated import BEGIN, make_record, make_runs

SLOW = {"denoise": 1.2}


def test_a_job_is_scored_against_the_99_percent_interval():
    runs = make_runs(12, seed=1)
    found = score_job(make_record(20), runs)
    whole = next(each for each in found.measures if each.measure == "total")
    wanted = prediction_interval([run.run_s for run in runs[:8]], level=0.99)
    assert (whole.n, whole.interval) == (8, wanted.interval)
    assert found.score is Score.NORMAL
    slow = score_job(make_record(20, slower=SLOW), runs)
    assert slow.score is Score.SLOW
    by_name = {each.measure: each.score for each in slow.measures}
    assert by_name["denoise"] is by_name["step"] is Score.SLOW
    assert by_name["decode"] is Score.NORMAL
    assert "queue_wait" not in by_name
    assert score_job(make_record(20, slower={"denoise": 0.8}), runs).score is Score.FAST


@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_score_from_fewer_than_three_runs(n):
    found = score_job(make_record(20), make_runs(n))
    assert found.score is None
    assert not found.is_watched


def test_one_slow_job_is_no_sign_and_three_of_five_are():
    runs = make_runs(12, seed=2)
    for number, watched in ((1, False), (2, False), (3, True), (5, True)):
        slow = make_runs(number, first=20, slower=SLOW)
        everything = [*runs, *slow]
        assert score_job(slow[-1], everything).is_watched is watched
        assert bool(watches(everything)) is watched
    (watch,) = watches([*runs, *make_runs(3, first=20, slower=SLOW)])
    assert watch.slow == ("job_0020", "job_0021", "job_0022")


def test_slow_jobs_with_normal_ones_between_them_count_too():
    runs = make_runs(12, seed=3)
    mixed = [
        make_record(20 + index, slower=SLOW if index in {0, 2, 4} else None) for index in range(5)
    ]
    assert score_job(mixed[-1], [*runs, *mixed]).is_watched
    assert not score_job(mixed[-2], [*runs, *mixed]).is_watched


def test_contaminated_jobs_are_scored_and_never_counted():
    runs = make_runs(12, seed=4)
    hot = make_runs(4, first=20, slower=SLOW, flags=("throttled",))
    found = score_job(hot[-1], [*runs, *hot])
    assert found.score is Score.SLOW
    assert not found.is_watched
    assert not watches([*runs, *hot])


def test_later_runs_change_no_score():
    runs = make_runs(12, seed=5)
    job = make_record(20, slower=SLOW)
    later = make_runs(9, first=30, slower=SLOW)
    assert score_job(job, [*runs, job, *later]) == score_job(job, runs)
    json.dumps(score_job(job, runs).to_json(), allow_nan=False)


def test_a_step_raises_an_alarm_over_the_whole_installation_and_accepting_ends_it():
    before, after = make_runs(60, seed=6), make_runs(12, seed=7, first=60, slower=SLOW)
    raised = {each.measure: each for each in alarms([*before, *after])}
    assert set(raised) == {"total", "step", "denoise"}
    found = raised["denoise"]
    assert found.alarm.direction is Direction.SLOWER
    assert found.alarm.adjusted_p <= 0.05
    assert found.record in {run.id for run in after}
    assert not alarms(before)
    decision = decide(
        Finding(
            id="c",
            series=_series_of(before),
            effect=Effect.REGRESSION,
            from_at=after[0].at,
            from_record=after[0].id,
            text="",
        ),
        Verb.ACCEPT,
        author="ada",
        note="known",
        decision_id="d",
        now=BEGIN,
    )
    assert not alarms([*before, *after], decisions=[decision])


def _series_of(runs):
    from ourvidz.perf.grouping import series_id

    return series_id(runs[0])


def test_no_records_no_alarms():
    assert alarms([]) == ()
    assert watches([]) == ()
