"""History: change points with what else changed there, marks, candidates, decisions on them."""

import json
from datetime import timedelta

import pytest

from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.perf.decisions import Effect, Verb, decide
from ourvidz.perf.matrix import matrix
from ourvidz.perf.record import Origin
from ourvidz.perf.trend import MarkKind, Note, change_of, marks_of, notes_from_json, trends
from tests.perf.simulated import BEGIN, ENVIRONMENT, environment, make_record, make_runs


def only(records, **options):
    (found,) = trends(records, **options)
    return found


def stepped(times=1.12, *, n=12, **after):
    return [
        *make_runs(n, seed=1),
        *make_runs(n, seed=2, first=n, slower={"denoise": times}, **after),
    ]


def test_a_step_is_one_change_with_its_measures_and_the_version_that_changed_there():
    runs = stepped(environment=environment(torch="2.12", driver="570.0"))
    found = only(runs)
    (change,) = found.changes
    assert change.at_record == "job_0012"
    assert [each.measure for each in change.measures] == ["total", "step", "denoise"]
    assert all(each.p_value <= 0.001 for each in change.measures)
    assert change.measures[2].shift.estimate == pytest.approx(0.12, abs=0.01)
    assert change.effect is Effect.REGRESSION
    assert {each.name: (each.before, each.after) for each in change.differences} == {
        "software.torch": (("2.11",), ("2.12",)),
        "software.driver": (("560.1",), ("570.0",)),
    }
    assert all(each.is_at_change for each in change.differences)
    assert "software.torch 2.11 -> 2.12" in change.cause
    assert {mark.kind for mark in change.marks} == {MarkKind.DRIVER, MarkKind.VERSION}
    assert not found.candidates


def test_a_change_without_a_recorded_cause_says_so():
    (change,) = only(stepped()).changes
    assert change.differences == ()
    assert change.cause == "cause unknown: nothing recorded differs"
    bare = [
        *make_runs(12, seed=1, environment={}),
        *make_runs(12, seed=2, first=12, environment={}, slower={"denoise": 0.88}),
    ]
    (change,) = only(bare).changes
    assert change.effect is Effect.IMPROVEMENT
    assert change.cause == "cause unknown: the environment was not captured"


def test_what_changed_elsewhere_is_told_apart():
    other = environment(torch="2.12")
    runs = [
        *make_runs(12, seed=1),
        *make_runs(4, seed=2, first=12, slower={"denoise": 1.2}),
        *make_runs(8, seed=3, first=16, slower={"denoise": 1.2}, environment=other),
    ]
    (change,) = only(runs).changes
    (difference,) = change.differences
    assert difference.name == "software.torch"
    assert not difference.is_at_change
    assert difference.after == ("2.11", "2.12")


def test_a_stable_series_and_a_small_step_have_no_change():
    assert only(make_runs(40, seed=3)).changes == ()
    small = [*make_runs(30, seed=4), *make_runs(30, seed=5, first=30, slower={"denoise": 1.02})]
    assert only(small, measures={"denoise"}).changes == ()


def test_of_a_long_series_the_newest_runs_are_searched():
    slow = {"denoise": 1.2}
    early = [*make_runs(90, seed=1), *make_runs(400, seed=2, first=90, slower=slow)]
    (change,) = only(early, measures={"denoise"}).changes
    assert abs(int(change.at_record.removeprefix("job_")) - 90) <= 2
    longer = [*early, *make_runs(60, seed=3, first=490)]
    (change,) = only(longer, measures={"denoise"}).changes
    assert abs(int(change.at_record.removeprefix("job_")) - 490) <= 2
    assert change.effect is Effect.IMPROVEMENT
    (measure,) = change.measures
    assert measure.shift.estimate == pytest.approx(1 / 1.2 - 1, abs=0.01)
    assert len(only(longer).points) == 550


def test_two_changes_and_the_decision_on_each():
    runs = [
        *make_runs(12, seed=6),
        *make_runs(12, seed=7, first=12, slower={"denoise": 1.2}),
        *make_runs(12, seed=8, first=24, slower={"denoise": 1.2, "decode": 1.4}),
    ]
    first, second = only(runs).changes
    assert (first.at_record, second.at_record) == ("job_0012", "job_0024")
    assert [each.measure for each in second.measures] == ["decode"]
    decision = decide(
        second.finding, Verb.IGNORE, author="ada", note="known", decision_id="d", now=BEGIN
    )
    again = only(runs, decisions=[decision]).changes
    assert [change.decision for change in again] == [None, decision]


def test_a_decision_stays_with_a_change_that_later_runs_moved_a_little():
    runs = stepped()
    (change,) = only(runs).changes
    finding = change.finding
    moved = type(finding)(
        id="c-old",
        series=finding.series,
        effect=finding.effect,
        from_at=finding.from_at,
        from_record="job_0014",
        text="",
    )
    decision = decide(
        moved, Verb.INVESTIGATE, author="ada", note="why?", decision_id="d", now=BEGIN
    )
    assert only(runs, decisions=[decision]).changes[0].decision == decision


def test_one_machine_a_series_and_software_within_it():
    runs = [
        *make_runs(2),
        *make_runs(2, first=10, environment=environment(torch="9")),
        *make_runs(2, first=20, environment=ENVIRONMENT | {"machine": {"gpu": "Other"}}),
        *make_runs(2, first=30, cold=True),
        *make_runs(2, first=40, origin=Origin.IMPORTED),
    ]
    found = trends(runs)
    assert sorted(len(each.points) for each in found) == [2, 2, 2, 4]
    assert found[0].is_history
    limit = ENVIRONMENT["machine"] | {"power_limit_w": 500}
    slower = make_runs(2, first=50, environment=ENVIRONMENT | {"machine": limit})
    assert len(trends([*make_runs(2), *slower])) == 1


def test_a_new_field_without_a_value_changes_no_history():
    wider = {**make_record().workload, "enhancer": None, "width": 480.0}
    runs = [*make_runs(2), *make_runs(2, first=10, workload=wider)]
    assert len(trends(runs)) == 1


def test_marks_are_made_where_neighbours_differ():
    other = ENVIRONMENT | {"setup": {"precision": "auto", "model_files": {"wan": "bbbb"}}}
    told = ENVIRONMENT | {"told": {"gpus": 8}}
    marks = marks_of(
        [
            make_record(0),
            make_record(1, environment=environment(driver="570")),
            make_record(2, environment=environment(driver="570")),
            make_record(3, environment=ENVIRONMENT | {"software": environment()["software"]}),
            make_record(4, environment=told),
            make_record(5, environment=other),
        ]
    )
    assert [(mark.kind, mark.name, mark.before, mark.after) for mark in marks] == [
        (MarkKind.DRIVER, "software.driver", "560.1", "570"),
        (MarkKind.DRIVER, "software.driver", "570", "560.1"),
        (MarkKind.MODEL, "setup.model_files.wan", "aaaa", "bbbb"),
    ]
    assert marks[0].at == make_record(1).at


def test_notes_stand_in_the_log_and_at_their_change():
    runs = stepped()
    notes = [
        Note(at=runs[12].at - timedelta(seconds=1), text="new fan", author="ada"),
        Note(at=runs[3].at, text="elsewhere"),
    ]
    found = only(runs, notes=notes)
    assert [mark.text for mark in found.marks] == ["elsewhere", "new fan"]
    assert [mark.text for mark in found.changes[0].marks] == ["new fan"]


def test_notes_out_of_a_file():
    text = '[{"at": "2026-01-05T08:00:00", "text": "new fan", "author": "ada"}]'
    assert notes_from_json(text) == (Note(at=BEGIN, text="new fan", author="ada"),)
    assert notes_from_json("[]") == ()
    for broken in ("", "{}", "[1]", '[{"at": "soon", "text": "x"}]', '[{"text": "x"}]'):
        with pytest.raises(InvalidRequest) as caught:
            notes_from_json(broken)
        assert caught.value.param == "notes"


def test_contaminated_runs_are_points_and_not_counted():
    runs = [*make_runs(12, seed=9), *make_runs(12, first=12, slower={"denoise": 2}, flags=("hot",))]
    found = only(runs)
    assert found.changes == ()
    assert len(found.points) == 24
    assert found.points[-1].left_out == ("hot",)


def test_five_and_two_points_far_apart_are_a_candidate_and_no_change():
    runs = [
        make_record(index, total_s=None, phases_s={}, step_times_s=(step,), origin=origin)
        for index, (step, origin) in enumerate(
            [(step, Origin.IMPORTED) for step in (5.30, 5.29, 5.31, 5.30, 5.30, 4.67, 4.68)]
        )
    ]
    runs = [type(run)(**{**_fields(run), "total_s": 200.0 + i}) for i, run in enumerate(runs)]
    found = only(runs)
    assert found.changes == ()
    (candidate,) = [each for each in found.candidates if each.measure == "step"]
    assert (candidate.num_before, candidate.num_after) == (5, 2)
    assert candidate.shift == pytest.approx(-0.118, abs=0.002)
    assert "too few for a verdict" in candidate.text


def _fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_noise_makes_no_candidates():
    found = [only(make_runs(7, seed=seed)).candidates for seed in range(10)]
    assert sum(map(bool, found)) <= 2


def test_a_change_is_found_by_the_beginning_of_its_id():
    series = trends(stepped())
    (change,) = series[0].changes
    assert change_of(series, change.id) == change_of(series, change.id[:6]) == change
    for missing in ("", "c-zzz"):
        with pytest.raises(NotFound):
            change_of(series, missing)
    two = trends([*stepped(), *stepped(cold=False, workload={"preset": "x"})])
    with pytest.raises(InvalidRequest, match="beginning of 2"):
        change_of([*two, *two], "c-")


def test_json_of_a_series():
    body = only(stepped(environment=environment(torch="3"))).to_json()
    assert json.loads(json.dumps(body, allow_nan=False))["changes"][0]["effect"] == "regression"


def test_a_change_has_one_id_whatever_is_asked_for():
    runs = [
        *make_runs(12, seed=6),
        *make_runs(2, seed=9, first=12, slower={"decode": 1.5, "save": 2.0}),
        *make_runs(12, seed=7, first=14, slower={"denoise": 1.2, "decode": 1.5, "save": 2.0}),
    ]
    (whole,) = only(runs).changes
    names = [each.measure for each in whole.measures]
    assert {"total", "decode", "save"} <= set(names)
    starts = {each.measure: each.at_record for each in whole.measures}
    assert starts["total"] != starts["decode"]
    for name in names:
        (one,) = only(runs, measures={name}).changes
        assert (one.id, one.at_record, one.decision) == (whole.id, whole.at_record, whole.decision)
        assert [each.measure for each in one.measures] == [name]
    assert only(runs, measures={"upload"}).changes == ()
    (row,) = matrix(runs, job_types=["video_fast"]).rows
    assert row.change == whole.id
