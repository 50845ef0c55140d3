"""The command line's history of speed: figures out of the store, decisions into it, refusals."""

import subprocess
import sys

import pytest

from ourvidz.catalog.config import load_settings
from ourvidz.jobs.open import open_store
from tests.clocks import ManualClock
from tests.jobs.factory import make_asset, make_job
from tests.perf.simulated import environment, make_runs

JOB_TYPE = "sdxl_image_fast"  # what the factory's jobs are


def fill(tmp_path, runs):
    """Put simulated runs into the store of a folder, a minute apart; return the jobs' ids."""
    clock = ManualClock()
    store = open_store(load_settings(data_dir=tmp_path / "ourvidz-data"), clock=clock)
    store.migrate()
    ids = []
    for run in runs:
        clock.advance(60.0)
        store.submit((make_job(),))
        job = store.claim("w1", lease_s=20.0, overdue_s=900.0)
        body = {
            "origin": "live",
            "request": dict(run.workload),
            "environment": dict(run.environment),
            "state": run.state,
            "compile_state": run.compile_state,
            "total_s": run.total_s,
            "phases_s": dict(run.phases_s),
            "step_times_s": list(run.step_times_s),
            "memory": dict(run.memory),
            "flags": list(run.flags),
        }
        assert store.finish(job.id, job.token, result={}, assets=[make_asset(1)], record=body)
        ids.append(job.id)
    store.close()
    return ids


@pytest.fixture
def stepped(tmp_path):
    """Twelve runs, and twelve slower ones with another torch."""
    return fill(
        tmp_path,
        [
            *make_runs(12, seed=1),
            *make_runs(12, seed=2, slower={"denoise": 1.2}, environment=environment(torch="2.12")),
        ],
    )


def series_of(cli):
    (found,) = cli("perf", "trend", "--no-history", "--json").last_json["series"]
    return found


def row_of(cli):
    rows = cli("perf", "matrix", "--json").last_json["rows"]
    return next(row for row in rows if row["job_type"] == JOB_TYPE)


def test_an_empty_installation_has_every_job_type_pending(cli, tmp_path):
    found = cli("perf", "matrix", "--json")
    assert found.code == 0
    rows = found.last_json["rows"]
    assert len(rows) == 10
    assert {row["status"] for row in rows} == {"pending"}
    assert any("imported history" in note for row in rows for note in row["notes"])
    assert not list(tmp_path.glob("ourvidz-data/*.db"))  # looking made no store
    trend = cli("perf", "trend", "--json")
    assert all(series["is_history"] for series in trend.last_json["series"])
    assert [day["metric"] for day in trend.last_json["history_candidates"]] == ["step_s"]


def test_matrix_and_trend_out_of_the_store(cli, stepped):
    row = row_of(cli)
    assert (row["n"], row["status"], row["trend"]) == (24, "established", "slower")
    series = series_of(cli)
    (change,) = series["changes"]
    assert change["at_record"] == stepped[12]
    assert [each["measure"] for each in change["measures"]] == ["total", "step", "denoise"]
    assert "software.torch 2.11 -> 2.12" in change["cause"]
    shown = cli("perf", "trend", "--no-history", "--job-type", JOB_TYPE)
    assert change["id"] in shown.err
    assert "regression" in shown.err


def test_accept_begins_a_new_baseline_and_undo_brings_the_old_one_back(cli, stepped):
    change = series_of(cli)["changes"][0]["id"]
    done = cli("perf", "accept", change[:8], "--note", "needed", "--author", "ada", "--json")
    assert done.code == 0
    decision = done.last_json["decision"]
    assert (decision["author"], decision["verb"]) == ("ada", "accept")
    assert decision["finding"]["from_record"] == stepped[12]
    row = row_of(cli)
    assert (row["n"], row["trend"]) == (12, "stable")
    again = cli("perf", "accept", change, "--note", "again", "--json")
    assert again.code == 1
    assert again.last_json["error"]["code"] == "illegal_state"
    undone = cli("perf", "undo", decision["id"], "--note", "wrong", "--author", "bob", "--json")
    assert undone.last_json["decision"]["undoes"] == decision["id"]
    assert row_of(cli)["n"] == 24
    listed = cli("perf", "decisions", "--json").last_json["decisions"]
    assert [(each["verb"], each["holds"]) for each in listed] == [
        ("accept", False),
        ("undo", False),
    ]


@pytest.mark.parametrize("verb", ["investigate", "ignore"])
def test_investigate_and_ignore_stand_at_the_change(cli, stepped, verb):
    change = series_of(cli)["changes"][0]["id"]
    assert cli("perf", verb, change, "--note", "a fan", "--author", "ada").code == 0
    found = series_of(cli)["changes"][0]["decision"]
    assert (found["verb"], found["note"]) == (verb, "a fan")
    assert row_of(cli)["n"] == 24


def test_a_run_can_be_named_in_place_of_a_change(cli, tmp_path):
    ids = fill(tmp_path, [*make_runs(8, seed=3), *make_runs(7, seed=4, slower={"denoise": 0.7})])
    assert series_of(cli)["changes"][0]["at_record"] == ids[8]
    done = cli("perf", "accept", ids[8], "--note", "faster", "--author", "ada", "--json")
    assert done.last_json["decision"]["finding"]["effect"] == "improvement"
    assert row_of(cli)["status"] == "optimised"
    few = cli("perf", "accept", ids[12], "--note", "x", "--author", "ada", "--json")
    assert few.code == 2
    assert "Too few runs" in few.last_json["error"]["message"]


def test_a_record_beside_its_baseline(cli, stepped):
    found = cli("perf", "record", stepped[12], "--json")
    assert found.last_json["score"]["score"] == "slow"
    assert found.last_json["record"]["id"] == stepped[12]
    assert found.last_json["baseline"]["n"] == 24
    assert "denoise" in found.err
    both = cli("perf", "record", stepped[12], "--against", stepped[0], "--json").last_json
    assert both["against"]["outcome"] == "indicative"
    assert "1 + 1 runs" in both["against"]["text"]


def test_a_baseline_in_full(cli, stepped):
    group = row_of(cli)["group"]
    found = cli("perf", "baseline", group[:6], "--json")
    assert found.last_json["measures"]["denoise"]["n"] == 24
    assert "p95" in found.err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("record", "job_none"), 1, "not_found"),
        (("baseline", "g-none"), 1, "not_found"),
        (("accept", "c-none", "--note", "x"), 1, "not_found"),
        (("undo", "dec_none", "--note", "x"), 1, "not_found"),
        (("matrix", "--job-type", "video_fats"), 2, "unknown_name"),
        (("trend", "--measure", "speed"), 2, "invalid_request"),
        (("trend", "--notes", "none.json"), 2, "invalid_request"),
    ],
)
@pytest.mark.parametrize("is_empty", [True, False])
def test_what_is_not_there_is_refused(cli, tmp_path, arguments, code, word, is_empty):
    if not is_empty:
        fill(tmp_path, make_runs(2))
    found = cli("perf", *arguments, "--json")
    assert (found.code, found.last_json["error"]["code"]) == (code, word)


def test_incomparable_records_are_refused_by_name(cli, tmp_path):
    ids = fill(tmp_path, [*make_runs(1), *make_runs(1, cold=True)])
    found = cli("perf", "record", ids[0], "--against", ids[1], "--json")
    assert (found.code, found.last_json["error"]["code"]) == (2, "incomparable")
    assert "state of the weights (cold, resident)" in found.last_json["error"]["message"]


def test_a_decision_needs_a_note(cli, stepped):
    change = series_of(cli)["changes"][0]["id"]
    assert cli("perf", "accept", change, "--author", "ada").code == 2
    found = cli("perf", "accept", change, "--note", " ", "--author", "ada", "--json")
    assert found.last_json["error"]["param"] == "note"


def test_the_command_line_starts_without_the_statistics():
    code = (
        "import sys, ourvidz.cli.main; "
        "print([name for name in sys.modules if name.startswith(('ourvidz.perf.stats', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
