"""The matrix: a row for everything that ran and for what never did."""

import json

import pytest

from ourvidz.perf.baselines import BaselineStatus
from ourvidz.perf.decisions import Verb, decide
from ourvidz.perf.matrix import Expected, matrix
from ourvidz.perf.record import Origin
from ourvidz.perf.trend import trends
from tests.perf.simulated import BEGIN, make_record, make_runs

JOB_TYPES = ["sdxl_image_fast", "video_fast"]
SLOW = {"denoise": 1.2}


def rows(records, **options):
    return matrix(records, job_types=JOB_TYPES, **options).rows


def test_every_job_type_has_a_row_even_if_it_never_ran():
    found = matrix(make_runs(6, seed=1), job_types=JOB_TYPES)
    assert [row.job_type for row in found.rows] == JOB_TYPES
    never, video = found.rows
    assert (never.status, never.n, never.real_s) == (BaselineStatus.PENDING, 0, None)
    assert never.notes == ("never ran here",)
    assert (video.status, video.n, video.state) == (BaselineStatus.ESTABLISHED, 6, "resident")
    assert video.interval.low <= video.real_s <= video.interval.high
    assert video.quality is None
    assert video.success.n == 6
    assert (found.num_job_types, found.num_established) == (2, 1)


def test_states_and_presets_are_rows_of_their_own():
    runs = [
        *make_runs(3),
        *make_runs(2, first=10, cold=True),
        *make_runs(2, first=20, workload={"preset": "balanced"}),
        *make_runs(2, first=30, job_type="other"),
    ]
    found = [(row.job_type, row.preset, row.state, row.n) for row in rows(runs)]
    assert found == [
        ("sdxl_image_fast", "baseline", None, 0),
        ("video_fast", "baseline", "resident", 3),
        ("video_fast", "baseline", "cold", 2),
        ("video_fast", "balanced", "resident", 2),
        ("other", "baseline", "resident", 2),
    ]


def test_expected_comes_from_whoever_computes_it():
    runs = make_runs(5)
    real_s = runs[0].run_s

    def expect(record):
        assert record == runs[-1]
        return Expected(seconds=real_s / 1.25, source="predictor")

    row = rows(runs, expect=expect)[1]
    assert (row.expected_s, row.expected_from) == (real_s / 1.25, "predictor")
    assert row.variance == pytest.approx(0.25)
    assert rows(runs)[1].variance is None
    assert rows(runs, expect=lambda _: None)[1].expected_s is None


def test_quality_stands_beside_where_it_is_known():
    assert rows(make_runs(5), quality=lambda baseline: float(baseline.n))[1].quality == 5.0


def test_trend_and_what_was_decided():
    runs = [*make_runs(12, seed=2), *make_runs(12, seed=3, first=12, slower=SLOW)]
    row = rows(runs)[1]
    assert row.trend == "slower"
    assert row.trend_shift == pytest.approx(0.175, abs=0.02)
    (change,) = trends(runs, measures={"total"})[0].changes
    assert row.change == change.id
    assert change.text in row.notes

    def after(verb):
        decision = decide(
            change.finding, verb, author="ada", note="a fan", decision_id="d", now=BEGIN
        )
        return rows(runs, decisions=[decision])[1]

    assert after(Verb.IGNORE).trend == "stable"
    assert after(Verb.INVESTIGATE).trend == "slower"
    assert "ada investigates: a fan" in after(Verb.INVESTIGATE).notes
    accepted = after(Verb.ACCEPT)
    assert (accepted.trend, accepted.n) == ("stable", 12)
    assert accepted.status is BaselineStatus.ESTABLISHED
    assert "baseline since job_0012: a fan" in accepted.notes


def test_too_few_runs_have_no_trend():
    assert rows(make_runs(9, seed=4))[1].trend == "unknown"
    assert rows(make_runs(10, seed=4))[1].trend == "stable"
    assert "indicative: 3 of 5 runs" in rows(make_runs(3))[1].notes


def test_what_was_left_out_and_what_is_slow_is_noted():
    runs = [
        *make_runs(12, seed=5),
        make_record(20, flags=("throttled",)),
        *make_runs(3, first=30, slower=SLOW),
    ]
    notes = rows(runs)[1].notes
    assert "1 left out (throttled)" in notes
    assert "3 of the last 5 jobs were slow" in notes


def test_imported_history_is_a_note_and_never_a_baseline():
    imported = make_runs(9, origin=Origin.IMPORTED)
    row = rows(imported)[1]
    assert (row.status, row.n, row.real_s) == (BaselineStatus.PENDING, 0, None)
    assert "no baseline of this machine: resident n = 9, median 27.4 s" in row.notes[1]


def test_an_empty_installation_and_json():
    found = matrix([], job_types=JOB_TYPES)
    assert (found.num_established, len(found.rows)) == (0, 2)
    body = json.dumps(matrix(make_runs(6), job_types=JOB_TYPES).to_json(), allow_nan=False)
    assert json.loads(body)["rows"][1]["status"] == "established"
