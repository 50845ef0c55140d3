"""Live jobs against their prediction interval; three of five; the installation's alarms."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from ourvidz.perf.decisions import Effect, Finding, Verb, decide
from ourvidz.perf.scoring import alarms, score_job, watches
from ourvidz.perf.stats import Direction, Score, prediction_interval
from tests.perf.simulated import BEGIN, ENVIRONMENT, make_record, make_runs

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


SLOWER = {"total", "step", "denoise"}


def raised(records, *decisions):
    return {each.measure: each for each in alarms(records, decisions=decisions)}


def decided(verb, first, runs, *, number=0, effect=Effect.REGRESSION):
    return decide(
        Finding(
            id=f"c-{number}",
            series=_series_of(runs),
            effect=effect,
            from_at=first.at,
            from_record=first.id,
            text="",
        ),
        verb,
        author="ada",
        note="known",
        decision_id=f"d-{number}",
        now=BEGIN,
    )


def history(*stretches):
    """Runs of one group, a minute apart: how many, and how much slower at denoising."""
    runs = []
    for seed, (number, factor) in enumerate(stretches):
        runs += make_runs(number, seed=seed, first=len(runs), slower={"denoise": factor})
    return runs


def test_an_alarm_ends_when_runs_are_back_and_never_while_they_are_slow():
    runs = history((60, 1.0), (60, 1.3), (100, 1.0))
    assert set(raised(runs[:120])) == SLOWER
    assert set(raised(runs[:124])) == SLOWER
    assert raised(runs) == {}
    late = [
        replace(run, at=run.at + timedelta(days=400 * (place >= 75)))
        for place, run in enumerate(runs[:90])
    ]
    assert set(raised(late)) == SLOWER


@pytest.mark.parametrize("verb", [Verb.IGNORE, Verb.INVESTIGATE])
def test_a_change_that_somebody_looks_at_has_no_alarm_and_the_next_one_has(verb):
    runs = history((60, 1.0), (60, 1.15), (12, 1.6))
    known = decided(verb, runs[60], runs)
    assert set(raised(runs[:120])) == SLOWER
    assert raised(runs[:120], known) == {}
    found = raised(runs, known)
    assert set(found) == SLOWER
    assert all(each.record >= "job_0120" for each in found.values())


@pytest.mark.parametrize(("place", "effect"), [(30, Effect.REGRESSION), (60, Effect.IMPROVEMENT)])
def test_what_was_decided_of_another_change_silences_nothing(place, effect):
    runs = history((60, 1.0), (20, 1.3))
    other = decided(Verb.IGNORE, runs[place], runs, effect=effect)
    assert set(raised(runs, other)) == SLOWER


def test_the_group_that_came_after_ends_an_alarm_by_its_runs_alone():
    slow = history((60, 1.0), (20, 1.3))

    def then(number, factor):
        setup = ENVIRONMENT["setup"] | {"model_files": {"wan": "bbbb"}}
        return make_runs(
            number,
            seed=9,
            first=100,
            slower={"denoise": factor},
            environment=ENVIRONMENT | {"setup": setup},
        )

    assert set(raised([*slow, *then(4, 1.0)])) == SLOWER
    assert set(raised([*slow, *then(40, 1.3)])) == SLOWER
    assert raised([*slow, *then(12, 1.0)]) == {}
    still = then(40, 1.3)
    assert raised([*slow, *still], decided(Verb.ACCEPT, still[0], slow)) == {}


def test_a_watch_ends_a_month_before_the_newest_run():
    slow = [*make_runs(12, seed=2), *make_runs(3, first=20, slower=SLOW)]
    for days, watched in ((1, True), (29, True), (31, False), (100, False)):
        other = make_record(90, job_type="image_fast", at=slow[-1].at + timedelta(days=days))
        assert bool(watches([*slow, other])) is watched
    assert watches(slow)


def test_a_watched_change_that_somebody_ignores_is_none():
    slow = [*make_runs(12, seed=2), *make_runs(3, first=20, slower=SLOW)]
    assert watches(slow, decisions=[decided(Verb.IGNORE, slow[12], slow)]) == ()
    assert watches(slow, decisions=[decided(Verb.IGNORE, slow[2], slow)])
